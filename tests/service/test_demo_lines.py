"""The lines of the demo: well formed, well aimed, and decided by the shop's policy as they say.

The whole demo with its gateway is tested end to end elsewhere; here each `curl` is run against the demo's upstream,
which shows what it was sent, and each call is decided by the policy with the demo's own tokens.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pdp.cli.decide import decide
from pdp.demo.calls import CALLS, SCOPED, SESSION_CALL, Call
from pdp.demo.cast import EARLIER_STAFF_TOKEN, SERVICES, customers_tokens, staff_tokens
from pdp.demo.files import Stage
from pdp.demo.lines import Line, Setting, lines, parts
from pdp.demo.ports import Ports, claim
from pdp.demo.prepare import Plan, write_files
from pdp.demo.rotating import StaffIssuer
from pdp.demo.upstream import running_upstream
from pdp.demo.web import serving

ROOT = Path(__file__).resolve().parents[2]
PDP = Path("bin/pdp")
STAGE = Stage(Path("s"))
NAMED = {call.title: call for call in CALLS}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A state folder as the demo leaves it, its name asks for quoting; the staff's issuer may be asked."""
    stage = Stage(tmp_path_factory.mktemp("demo") / "the demo's state")
    ports = claim(Ports(0, 0, 0, 0, 0))
    staff = StaffIssuer(ports.issuer, 60, time.monotonic)
    write_files(Plan(stage, ROOT / "policies" / "shop", None, ports), staff.ring, int(time.time()))
    with serving("the staff's issuer", ports.issuer, staff.answer):
        yield stage


def line_of(stage: Stage, call: Call, ports: Ports, *, gateway: bool) -> Line:
    return next(line for line in lines(Setting(stage, ports, PDP), gateway=gateway) if line.title == call.title)


@pytest.mark.parametrize("gateway", [True, False])
def test_each_line_is_one_command_that_a_shell_can_read(stage: Stage, gateway: bool) -> None:
    printed = lines(Setting(stage, Ports(), PDP), gateway=gateway)
    assert len(printed) > len(CALLS)
    for line in printed:
        assert "\n" not in line.command
        assert "\n" not in line.title + line.expect
        subprocess.run(["sh", "-n", "-c", line.command], check=True)


def test_without_a_gateway_nothing_is_called() -> None:
    printed = lines(Setting(STAGE, Ports(), PDP), gateway=False)
    assert [line.command for line in printed if "curl" in line.command] == ["curl -sS http://127.0.0.1:8383/"]
    assert not [line for line in printed if "revoke" in line.command]


def test_what_the_demo_promises_to_show_is_there() -> None:
    shown = {(call.status, call.outcome) for call in CALLS}
    assert {(200, "allow"), (401, "step_up"), (401, "deny"), (403, "deny")} <= shown
    assert {"default", "audience", "route", "token"} <= {call.by for call in CALLS}
    assert len(NAMED) == len(CALLS)


def test_a_session_is_revoked_between_its_call_and_its_refusal_and_taken_back_at_the_end() -> None:
    (part,) = [each for each in parts(Setting(STAGE, Ports(), PDP), gateway=True) if "session" in each.title]
    passes, revoke, refused, other, withdraw = part.lines
    assert passes.command == refused.command != other.command
    assert [line.holds[0] for line in (passes, refused, other)] == ["HTTP/1.1 200 ", "HTTP/1.1 401 ", "HTTP/1.1 200 "]
    assert withdraw.command == f"{revoke.command} --withdraw"
    (plan,) = [each for each in customers_tokens(0) if each.name == SESSION_CALL.token]
    assert f"revoke session {plan.claims['sid']} --issuer https://id.shop.example " in revoke.command
    assert [each.name for each in customers_tokens(0) if each.claims.get("sid") == plan.claims["sid"]] == [plan.name]


def test_the_broad_token_opens_every_service_and_what_the_service_gets_opens_one() -> None:
    (plan,) = [each for each in staff_tokens(0, 60) if each.name == SCOPED.token]
    assert plan.claims["aud"] == list(SERVICES)
    assert f"aud   {SCOPED.service}\n" in SCOPED.shows
    assert {f"at {service}: refused" for service in SERVICES if service != SCOPED.service} <= set(SCOPED.shows)


def test_every_token_of_a_line_is_minted_and_every_minted_one_is_used() -> None:
    minted = {plan.name for plan in (*customers_tokens(0), *staff_tokens(0, 60))} | {EARLIER_STAFF_TOKEN}
    assert {call.token for call in CALLS if call.token} == minted


@pytest.mark.skipif(shutil.which("curl") is None, reason="the command curl is not installed here")
@pytest.mark.parametrize("title", NAMED)
def test_each_curl_sends_what_it_stands_for(stage: Stage, title: str) -> None:
    call = NAMED[title]
    with running_upstream(0) as port:
        command = line_of(stage, call, Ports(gateway=port), gateway=True).command
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert f"{call.method} {call.path}\n" in done.stdout
    assert f"host: {SERVICES[call.service]}\n" in done.stdout
    assert ("authorization: Bearer eyJ" in done.stdout) is (call.token is not None)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the command curl is not installed here")
def test_the_line_that_explains_takes_the_id_out_of_the_answer(stage: Stage, tmp_path: Path) -> None:
    """`curl` and `pdp` are stood in for by commands of ours: the one answers as the gateway does, the other echoes."""
    (tmp_path / "bin").mkdir()
    for name, script in {
        "curl": r"printf 'HTTP/1.1 403 Forbidden\r\nx-portcullis-decision: 00112233\r\nserver: envoy\r\n\r\n'",
        "pdp": 'printf "%s\\n" "$@"',
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    shown = [line for line in lines(Setting(stage, Ports(), PDP), gateway=True) if "audit show" in line.command]
    path = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", shown[0].command], cwd=tmp_path, env=path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["audit", "show", "00112233", "--why", "--state", str(stage.state)]


@pytest.mark.parametrize("title", [title for title in NAMED if title != SESSION_CALL.title])
def test_the_policy_decides_each_call_as_its_line_says(stage: Stage, title: str) -> None:
    call = NAMED[title]
    line = line_of(stage, call, Ports(), gateway=False)
    url = f"https://{SERVICES[call.service]}{call.path}"
    token = [] if call.token is None else ["--token", str(stage.tokens / call.token)]
    done = CliRunner().invoke(decide, [call.method, url, *token, "--config", str(stage.config)])
    assert done.exit_code == line.exit_code, done.output
    assert re.search(rf"\b{re.escape(line.holds[0])}", done.output)


def test_the_statuses_are_those_of_the_outcomes() -> None:
    for call in CALLS:
        assert (call.status == 200) is (call.outcome == "allow")
        if call.outcome == "step_up" or call.by == "token" or call.token is None:
            assert call.status in {200, 401}


def test_tokens_outlive_the_time_between_two_mintings() -> None:
    now = int(time.time())
    for plan in customers_tokens(now):
        if plan.name == "ann-expired":
            assert plan.expires_at < now - 60
        else:
            assert plan.expires_at - now >= 3600
            assert plan.issued_at <= now


@pytest.mark.parametrize("every_s", [8, 60, 120])
def test_a_token_of_the_staff_outlives_the_next_change_of_keys_and_its_second_factor_counts_till_then(
    every_s: int,
) -> None:
    now = int(time.time())
    for plan in staff_tokens(now, every_s):
        assert plan.expires_at - now > 2 * every_s
        login = plan.claims["auth_time"]
        assert isinstance(login, int)
        assert (now + every_s - login < 5 * 60) is ("second-factor" in plan.name)
