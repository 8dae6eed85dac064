"""`pdp check`: what a person sees, what a program reads, and how it ends."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pdp.cli.check_inventory import show_inventory
from pdp.cli.check_progress import working
from pdp.runtime.built import read_built
from policy_lang.compile import compile_policy
from policy_lang.ir import codec as ir_codec
from tests.support.command import Done, Pdp

KIND = 'token user { issuer "https://id.example" claim sub: string }\n'
SERVICE = """service s { audience "s" host "s.example" tag owner = "team"
  endpoint one GET /one/{a} scope "read" tagged pii tag stage = "beta"
  endpoint shut DELETE /one closed
}
"""
POLICY = f"""module shop
label pii
{KIND}subject employee {{ type "employee" }}
relation shared (a: string, user: string)
{SERVICE}service docs {{ audience none accepts employee endpoint read action "read" on "doc" }}
allow owners for any user on s when path.a == token.sub because "-"
allow guests for any user on s.one when shared(path.a, token.sub) because "-"
allow employees for any employee on docs because "-"
require mask on s must redact "/email"
prove "nobody" never allow for anyone on s when request.ip == 192.0.2.1
test "one" {{ call s GET /one/u expect deny }}
"""
CLEAN = POLICY.replace("on s when path.a", "on s.one when path.a")
FACTS = {"facts/shop.shared.csv": "a,user\nx,u\n"}
SETTINGS = """module m
setting host_name: string
setting tenant: string = "t"
token user { issuer "https://id.example" claim sub: string }
service s { audience "s" host host_name endpoint one GET /one }
allow a for any user on s when token.sub == tenant because "-"
"""
BOUND = {
    "m.pol": SETTINGS,
    "settings/prod.toml": 'host_name = "s.example"\n',
    "settings/test.toml": 'host_name = "s.test.example"\ntenant = "other"\n',
}


Check = Callable[..., Done]


@pytest.fixture
def check(pdp: Pdp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """`pdp check p ARGUMENTS` on a policy of these files, where `p` is below the current folder."""

    def run(files: dict[str, str], *arguments: str, folder: str | None = "p") -> Done:
        for name, text in files.items():
            path = tmp_path / "p" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.chdir(tmp_path)
        return pdp("check", *([] if folder is None else [folder]), *arguments)

    return run


def of(*texts: str) -> dict[str, str]:
    return {f"{index}.pol": text for index, text in enumerate(texts)}


# ---------------------------------------------------------------- text


def test_a_good_policy_is_summed_up_with_what_was_not_done(check: Check) -> None:
    assert check(of(CLEAN)) == Done(
        0,
        "facts absent: facts/shop.shared.csv\n"
        "1 proof not run: this version parses `prove` and does not run it\n"
        "p: no problems (2 services, 3 endpoints, 4 rules, 1 test case, 0 warnings)\n",
        "",
    )


def test_with_its_facts_none_are_absent(check: Check) -> None:
    assert "facts absent" not in check(of(CLEAN) | FACTS).out


def test_mistakes_are_shown_and_counted(check: Check) -> None:
    done = check(of("module a\nlabel x\nlabel x", "module b\ncondition c = missing"))
    assert (done.code, done.out) == (1, "")
    assert "--> 0.pol:3" in done.err
    assert "--> 1.pol:2" in done.err
    assert done.err.endswith("\np: 2 problems\n")


def test_a_warning_is_shown_and_lets_the_policy_pass(check: Check) -> None:
    done = check(of(f"module m\n{KIND}label pii\n{SERVICE}"))
    assert done.code == 0
    assert "warning[W803]: no allow can reach `s.one`" in done.err
    assert done.out.endswith("(1 service, 2 endpoints, 0 rules, 0 test cases, 1 warning)\n")


def test_without_a_folder_it_is_the_current_one(check: Check, tmp_path: Path) -> None:
    (tmp_path / "m.pol").write_text("module m")
    assert check({}, folder=None).out.startswith(".: no problems")


def test_without_a_folder_it_is_the_one_the_configuration_names(check: Check, tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text('policies = "p"\n')
    (tmp_path / "m.pol").write_text("module m\nnonsense")
    assert check(of(CLEAN), folder=None).code == 0


NO_POLICY = {
    "a file is answered with its folder": ({"m.pol": "module m"}, "p/m.pol", 2, "name its folder: p"),
    "a folder that is not there": ({}, "nowhere", 2, "no policy folder at nowhere: name one as FOLDER or in pdp.toml"),
    "a folder without a policy": ({"README": "x"}, "p", 1, "E113"),
}


@pytest.mark.parametrize("name", NO_POLICY)
def test_there_is_nothing_to_check(name: str, check: Check) -> None:
    files, folder, code, said = NO_POLICY[name]
    done = check(files, folder=folder)
    assert (done.code, done.out) == (code, "")
    assert said.split(" (")[0] in done.err


MISFITS = {
    "a column is missing": ("a\nx\n", "facts/shop.shared.csv:1: the column `user` is missing"),
    "bytes that are no text": ("a,user\n\0", "facts/shop.shared.csv:2:1: holds a NUL character"),
    "an empty file": ("", "facts/shop.shared.csv:1: the file is empty"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_facts_that_do_not_fit_are_a_warning(name: str, check: Check) -> None:
    data, said = MISFITS[name]
    done = check(of(CLEAN) | {"facts/shop.shared.csv": data})
    assert done.code == 0
    assert f"warning[W821]: facts do not fit: {said}" in done.err
    assert "  --> facts/shop.shared.csv\n" in done.err


def test_the_whole_shape_of_facts_that_do_not_fit(check: Check) -> None:
    done = check(of(CLEAN) | FACTS | {"facts/shop.shred.json": "[]"})
    assert done.err == (
        "warning[W821]: facts do not fit: facts/shop.shred.json: no relation `shop.shred` is declared; "
        "did you mean `shop.shared`?\n"
        "  --> facts/shop.shred.json\n"
        "   = help: with these facts the policy is not served\n"
    )


def test_a_folder_s_name_is_shown_and_not_obeyed(check: Check, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J").mkdir()
    (tmp_path / "a\x1b[2J" / "m.pol").write_text("module m")
    done = check({}, folder="a\x1b[2J")
    assert done.code == 0
    assert "\x1b" not in done.out


# ---------------------------------------------------------------- inventory


def test_the_inventory_in_plain_columns(check: Check) -> None:
    done = check(of(CLEAN), "--inventory")
    assert done.code == 0
    services, endpoints, _ = done.out.split("\n\n")
    assert services == (
        "service  audience  host       accepts   tags        observed until  endpoints\n"
        "docs     none      -          employee  -           -               1\n"
        "s        s         s.example  -         owner=team  -               2"
    )
    who = "any user: shop.guests; any user: shop.owners"
    assert endpoints == (
        f"endpoint   call          scope  labels and tags       {'who may reach it':<{len(who)}}  conditions  always\n"
        f"docs.read  read on doc   -      -                     {'any employee: shop.employees':<{len(who)}}"
        "  0           0\n"
        f"s.one      GET /one/{{a}}  read   shop.pii; stage=beta  {who}  2           2\n"
        f"s.shut     DELETE /one   -      -                     {'closed':<{len(who)}}  0           0"
    )


def test_whom_nothing_lets_in_is_nobody(check: Check) -> None:
    assert "  nobody  " in check(of(f"module m\n{KIND}label pii\n{SERVICE}"), "--inventory").out


def test_nothing_declared_is_two_headers(check: Check) -> None:
    assert [line.split()[0] for line in check(of("module m"), "--inventory").out.splitlines() if line] == [
        "service",
        "endpoint",
        "p:",
    ]


def test_what_does_not_compile_has_no_inventory(check: Check) -> None:
    assert check(of(POLICY), "--inventory").out == ""


def test_on_a_terminal_tables_are_drawn_and_markup_is_text() -> None:
    text = 'module m\nservice s { audience none host "s.example" tag t = "[red]x[/red]\\u{7}" endpoint one GET / }'
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200, color_system=None)
    show_inventory(compile_policy({"m.pol": text.encode()}).program, console)
    drawn = stream.getvalue()
    assert "│ t=[red]x[/red]\\u{7} │" in drawn
    assert "│ s.one    │ GET / │" in drawn


def test_the_service_s_observation_is_in_the_inventory(check: Check) -> None:
    text = 'module m\nservice s { audience none host "s.example" observe until 2099-01-02 endpoint one GET / }'
    assert "  2099-01-02  " in check(of(text), "--inventory").out


# ---------------------------------------------------------------- gateways

LISTENERS = """[[gateways]]
name = "edge"
services = ["s"]
capabilities = ["set_header"]

[[gateways]]
name = "back"
services = ["other"]
"""


def test_a_gateway_that_cannot_do_what_it_must_is_refused(check: Check) -> None:
    done = check(of(CLEAN), "--gateway", "envoy")
    assert done.code == 1
    assert (
        "error[E518]: the gateway `envoy` cannot redact answers, as `shop.mask` must on `s.one`, `s.shut`" in done.err
    )
    assert done.err.endswith("\np: 1 problem\n")
    assert "gateway envoy" not in done.out


def test_each_gateway_is_looked_at(check: Check) -> None:
    done = check(of(CLEAN), "--gateway", "nginx=redact", "--gateway", "authzen", "--gateway", "own=redact,answer")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[2:5] == [
        "gateway nginx: can do what it must on 2 endpoints",
        "gateway authzen: can do what it must on 1 endpoint",
        "gateway own: can do what it must on 3 endpoints",
    ]


def test_a_gateway_that_serves_nothing_of_it_is_said(check: Check) -> None:
    done = check(of("module m"), "--gateway", "envoy")
    assert (done.code, done.out.splitlines()[0]) == (0, "gateway envoy: serves no endpoint of this policy")


def test_a_gateway_of_the_configuration_can_what_that_says(check: Check, tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text(LISTENERS)
    refused = check(of(CLEAN), "--gateway", "edge")
    assert (refused.code, refused.err.count("E518")) == (1, 1)
    assert "gateway back: serves no endpoint" in check(of(CLEAN), "--gateway", "back").out
    assert "the gateway `edge` cannot redact" in refused.err


MISNAMED = {
    "nobody knows it": ("kong", "there are authzen, envoy, forward-auth, nginx"),
    "a capability that is none": ("envoy=redact,fly", "`fly` is no capability"),
    "no name": ("", "no gateway `` is known"),
}


@pytest.mark.parametrize("name", MISNAMED)
def test_a_gateway_cannot_be_so_named(name: str, check: Check) -> None:
    text, said = MISNAMED[name]
    done = check(of(CLEAN), "--gateway", text)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_gateway_that_says_it_can_nothing_can_nothing(check: Check) -> None:
    assert check(of(CLEAN), "--gateway", "envoy=").code == 1


# ---------------------------------------------------------------- settings


def test_without_an_environment_the_message_lists_them(check: Check) -> None:
    done = check(BOUND)
    assert done.code == 1
    assert "error[E229]" in done.err
    assert "choose one by `--settings`: there are `prod`, `test`" in done.err


def test_one_environment(check: Check) -> None:
    done = check(BOUND, "--settings", "prod", "--inventory")
    assert done.code == 0
    assert "s.example" in done.out
    assert done.out.endswith(
        "p (settings prod): no problems (1 service, 1 endpoint, 1 rule, 0 test cases, 0 warnings)\n"
    )


def test_every_environment_in_turn(check: Check) -> None:
    done = check(BOUND | {"settings/bad.toml": "host_name = 1\n"}, "--settings", "all")
    assert done.code == 1
    assert "`host_name` in `settings/bad.toml` is not a string" in done.err
    assert done.err.endswith("\np (settings bad): 1 problem\n")
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["p (settings prod)", "p (settings test)"]


def test_all_of_no_environments_is_the_policy_without_one(check: Check) -> None:
    done = check(of(CLEAN), "--settings", "all")
    assert (done.code, done.out.splitlines()[-1].split(" (")[0]) == (0, "p: no problems")


def test_an_environment_that_is_not_there(check: Check) -> None:
    done = check(BOUND, "--settings", "../prod")
    assert done.code == 1
    assert "error[E226]" in done.err


# ---------------------------------------------------------------- for programs


def test_json_has_one_shape(check: Check) -> None:
    good = json.loads(check(of(CLEAN), "--json", "--inventory", "--gateway", "authzen=redact").out)
    assert (good["folder"], good["passed"], len(good["environments"])) == ("p", True, 1)
    (here,) = good["environments"]
    assert here.pop("inventory").keys() == {"services", "endpoints"}
    assert here == {
        "settings": None,
        "passed": True,
        "diagnostics": [],
        "facts_absent": ["facts/shop.shared.csv"],
        "proofs_not_run": ["nobody"],
        "gateways": [{"name": "authzen", "can": ["redact"], "endpoints": 1}],
        "services": 2,
        "endpoints": 3,
        "rules": 4,
        "test_cases": 1,
    }


def test_json_of_mistakes_has_a_place_for_each(check: Check) -> None:
    done = check(of("module a\nlabel x\nlabel x"), "--format", "json")
    (here,) = json.loads(done.out)["environments"]
    assert (done.code, done.err, here["passed"]) == (1, "", False)
    assert [(each["code"], each["file"], each["line"]) for each in here["diagnostics"]] == [("E205", "0.pol", 3)]


def test_the_inventory_as_json(check: Check) -> None:
    (here,) = json.loads(check(of(CLEAN), "--json", "--inventory").out)["environments"]
    assert here["inventory"]["endpoints"][1] == {
        "id": "s.one",
        "service": "s",
        "call": "GET /one/{a}",
        "scopes": ["read"],
        "labels": ["shop.pii"],
        "tags": {"owner": "team", "stage": "beta"},
        "closed": False,
        "allows": [{"rule": "shop.guests", "for": "any user"}, {"rule": "shop.owners", "for": "any user"}],
        "conditions": 2,
        "always": ["shop.guests", "shop.owners"],
    }
    assert here["inventory"]["services"][0] == {
        "id": "docs",
        "audiences": [],
        "hosts": [],
        "accepts": ["employee"],
        "tags": {},
        "observed_until_ms": None,
    }


def test_json_of_every_environment(check: Check) -> None:
    report = json.loads(check(BOUND, "--settings", "all", "--json").out)
    assert [(each["settings"], each["passed"]) for each in report["environments"]] == [("prod", True), ("test", True)]


def test_sarif_has_a_run_for_each_environment(check: Check) -> None:
    done = check(BOUND | {"settings/bad.toml": ""}, "--settings", "all", "--format", "sarif")
    log = json.loads(done.out)
    assert (done.code, done.err, log["version"]) == (1, "", "2.1.0")
    assert [run["automationDetails"]["id"] for run in log["runs"]] == ["bad/", "prod/", "test/"]
    assert [[result["ruleId"] for result in run["results"]] for run in log["runs"]] == [["E229"], [], []]


def test_sarif_of_a_gateway_s_mistake_has_a_region(check: Check) -> None:
    (run,) = json.loads(check(of(CLEAN), "--format", "sarif", "--gateway", "envoy").out)["runs"]
    assert "automationDetails" not in run
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (result["ruleId"], place["artifactLocation"]["uri"], place["region"]["startColumn"]) == ("E518", "0.pol", 9)


def test_two_formats_at_once_are_refused(check: Check) -> None:
    done = check(of(CLEAN), "--json", "--format", "sarif")
    assert (done.code, done.out) == (2, "")
    assert check(of(CLEAN), "--json", "--format", "json").code == 0


# ---------------------------------------------------------------- building


def test_a_built_policy_can_be_read_by_the_digest_that_is_printed(check: Check, tmp_path: Path) -> None:
    done = check(BOUND, "--settings", "prod", "--build", "built.zip")
    assert (done.code, done.err) == (0, "")
    digest = hashlib.sha256((tmp_path / "built.zip").read_bytes()).hexdigest()
    built = read_built(tmp_path / "built.zip", digest)
    assert done.out.splitlines()[1:] == [
        "built built.zip",
        f"policy {built.bundle.digest} (so `pdp serve` and `pdp admin status` name it)",
        "to serve the file, by its own digest, write in pdp.toml:",
        'policies = "built.zip"',
        f'bundle_digest = "{digest}"',
    ]
    assert built.bundle.settings == "prod"
    assert ir_codec.load(built.compiled).services[0].hosts == ("s.example",)


def test_the_same_policy_builds_the_same_bytes(check: Check, tmp_path: Path) -> None:
    check(of(CLEAN) | FACTS, "--build", "one.zip")
    os.utime(tmp_path / "p" / "0.pol", (0, 0))
    report = json.loads(check({}, "--build", "two.zip", "--json").out)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    digest = hashlib.sha256((tmp_path / "two.zip").read_bytes()).hexdigest()
    assert report["built"]["digest"] == digest
    assert report["built"]["policy"] == read_built(tmp_path / "two.zip", digest).bundle.digest


UNBUILDABLE = {
    "facts are absent": (of(CLEAN), (), 2, "facts/shop.shared.csv: no facts for the relation `shop.shared`"),
    "facts do not fit": (of(CLEAN) | {"facts/shop.shared.csv": "a\n"}, (), 2, "the column `user` is missing"),
    "facts of nothing": (of(CLEAN) | FACTS | {"facts/shop.x.csv": "a\n"}, (), 2, "no relation `shop.x` is declared"),
    "a mistake": (of(POLICY), (), 1, "nothing is built"),
    "a gateway lacks something": (of(CLEAN) | FACTS, ("--gateway", "envoy"), 1, "nothing is built"),
    "every environment": (BOUND, ("--settings", "all"), 2, "--build writes one environment"),
}


@pytest.mark.parametrize("name", UNBUILDABLE)
def test_nothing_is_built_where(name: str, check: Check, tmp_path: Path) -> None:
    files, arguments, code, said = UNBUILDABLE[name]
    done = check(files, *arguments, "--build", "built.zip")
    assert done.code == code
    assert said in done.err
    assert not (tmp_path / "built.zip").exists()


def test_a_place_that_takes_no_file_is_named(check: Check) -> None:
    done = check(of(CLEAN) | FACTS, "--build", "nowhere/built.zip")
    assert done.code == 2
    assert "nowhere/built.zip" in done.err


# ---------------------------------------------------------------- ages

DAY_S = 86_400
SHADOW = "module m\nlabel pii\n" + KIND + SERVICE + 'allow a for any user on s.one because "-"\n'
OLD_RULE = 'shadow deny watched\n  on s because "-"\n'

with_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str, at_s: float | None = None) -> None:
    date = (
        {} if at_s is None else {"GIT_AUTHOR_DATE": f"@{int(at_s)} +0000", "GIT_COMMITTER_DATE": f"@{int(at_s)} +0000"}
    )
    who = {f"GIT_{role}_{part}": "x@example" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    own = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    subprocess.run(["git", *arguments], cwd=folder, env={**own, **who, **date}, check=True, capture_output=True)


@pytest.fixture
def committed(tmp_path: Path) -> Callable[[str, float], None]:
    """Commits this text as `p/m.pol`, so many days ago."""

    def commit(text: str, days: float) -> None:
        folder = tmp_path / "p"
        folder.mkdir(exist_ok=True)
        (folder / "m.pol").write_text(text)
        if not (tmp_path / ".git").exists():
            git(tmp_path, "init", "-q")
        git(tmp_path, "add", "p/m.pol")
        git(tmp_path, "commit", "-qm", "x", at_s=time.time() - days * DAY_S)

    return commit


@with_git
def test_a_shadow_rule_of_long_ago_is_warned_of(check: Check, committed: Callable[[str, float], None]) -> None:
    committed(SHADOW + OLD_RULE, 40.5)
    done = check({})
    assert done.code == 0
    assert "warning[W814]: `watched` has been a shadow for 40 days" in done.err


@with_git
def test_its_age_is_that_of_its_own_line(check: Check, committed: Callable[[str, float], None]) -> None:
    committed(SHADOW + OLD_RULE, 40)
    committed(SHADOW + "\n" + OLD_RULE.replace("watched", "newer") + OLD_RULE, 10)
    done = check({"m.pol": "# not committed\n" + SHADOW + OLD_RULE.replace("watched", "newer") + OLD_RULE})
    assert done.err.count("W814") == 1
    assert "`watched` has been a shadow for 40 days" in done.err


@with_git
def test_a_young_shadow_rule_is_not_warned_of(check: Check, committed: Callable[[str, float], None]) -> None:
    committed(SHADOW + OLD_RULE.removeprefix("shadow "), 100)
    committed(SHADOW + OLD_RULE, 29)
    assert check({}).err == ""


@with_git
def test_a_file_that_is_not_committed_has_no_age(
    check: Check, committed: Callable[[str, float], None], tmp_path: Path
) -> None:
    committed("module other", 100)
    (tmp_path / "p" / "m.pol").write_text("module other")
    assert check({"n.pol": SHADOW + OLD_RULE}).err == ""


def test_outside_a_work_tree_there_are_no_ages(check: Check) -> None:
    assert check({"m.pol": SHADOW + OLD_RULE}).err == ""


@with_git
def test_without_git_there_are_no_ages(
    check: Check, committed: Callable[[str, float], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    committed(SHADOW + OLD_RULE, 40)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert check({}).err == ""


@pytest.mark.parametrize(
    "script",
    ["exit 1", "echo author-time x; echo", "printf '\\377\\n\\tshadow deny watched'", "exec /nonexistent"],
)
def test_a_git_that_talks_nonsense_says_nothing(
    script: str, check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    done = check({"m.pol": SHADOW + OLD_RULE})
    assert (done.code, done.err) == (0, "")


@with_git
def test_a_repository_has_nothing_run(check: Check, committed: Callable[[str, float], None], tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").write_text("*.pol filter=x diff=x\n")
    committed(SHADOW + OLD_RULE, 40)
    trap = f"touch {tmp_path}/ran; cat"
    for name in (
        "filter.x.clean",
        "filter.x.smudge",
        "diff.x.textconv",
        "diff.x.command",
        "core.fsmonitor",
        "core.pager",
    ):
        git(tmp_path, "config", name, trap)
    done = check({"m.pol": SHADOW + OLD_RULE + "# changed\n"})
    assert "W814" in done.err
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------- progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if "checking p" in stream.getvalue():
            return True
        time.sleep(0.01)
    return False


def errors_to(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error goes to `stream`. Not in a fixture: pytest sets the streams again when the test begins."""
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")


def test_long_work_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    errors_to(terminal, monkeypatch)
    with working("checking p", after_s=0.0):
        assert shown(terminal, 10)


def test_short_work_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    errors_to(terminal, monkeypatch)
    with working("checking p", after_s=60.0):
        pass
    assert terminal.getvalue() == ""


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    errors_to(stream, monkeypatch)
    with working("checking p", after_s=0.0):
        assert not shown(stream, 0.1)
