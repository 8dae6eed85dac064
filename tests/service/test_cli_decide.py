"""`pdp decide`: environments, built policies, whole requests, and traces in which nothing private can be read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pdp.audit.keys import create_keys
from pdp.runtime.built import write_built
from pdp.runtime.bundle import read_folder
from pdp.state import prepare_state
from policy_lang.compile import compile_policy
from tests.support.cases import POLICY
from tests.support.command import Done, Pdp
from tests.support.environments import SETTINGS

EMAIL = "ann@canary.example"
TRANSFER = ("POST", "https://ledger.example/accounts/a1/transfers")
ANN = ("--as", "user", "--set", "sub=u1", "--set", 'accounts=["a1"]', "--set", "aud=ledger", "--set", f"email={EMAIL}")


@pytest.fixture
def decide(pdp: Pdp) -> Pdp:
    return lambda *arguments: pdp("decide", *arguments, "--policies", POLICY)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = prepare_state(tmp_path / "state")
    create_keys(state.keys, "test.example/log", os.urandom)
    return state.root


def _requested(tmp_path: Path, **form: object) -> Path:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(form))
    return path


# ---------------------------------------------------------------- what is private


def _email_reads(done: Done) -> list[object]:
    guards = [guard for rule in done.json["rules"] for guard in rule["guards"]]
    return [guard["read"]["token.email"] for guard in guards if "token.email" in guard.get("read", {})]


def test_a_private_claim_is_a_fingerprint_under_the_states_key(decide: Pdp, state: Path) -> None:
    done = decide(*TRANSFER, *ANN, "--explain", "--json", "--state", state)
    assert EMAIL not in done.out
    (read,) = set(map(json.dumps, _email_reads(done)))
    shown = json.loads(read)["private"]
    assert shown.startswith("fp:")
    assert len(shown) == len("fp:") + 16
    assert done.json["principal"]["email"] == {"private": shown}
    lines = decide(*TRANSFER, *ANN, "--explain", "--state", state)
    assert f"token.email = {shown}" in lines.out
    assert EMAIL not in lines.out


def test_fingerprints_are_equal_for_equal_values_and_for_no_others(decide: Pdp, state: Path, tmp_path: Path) -> None:
    other = prepare_state(tmp_path / "other")
    create_keys(other.keys, "test.example/log", os.urandom)
    ben = (*ANN[:-1], "email=ben@canary.example")
    asked = ((ANN, state), (ANN, state), (ben, state), (ANN, other.root))
    shown = [
        decide(*TRANSFER, *who, "--explain", "--json", "--state", where).json["principal"]["email"]["private"]
        for who, where in asked
    ]
    assert shown[0] == shown[1]
    assert len(set(shown)) == 3


def test_without_a_state_a_private_claim_is_only_said_to_be_one(decide: Pdp, tmp_path: Path) -> None:
    done = decide(*TRANSFER, *ANN, "--explain", "--json", "--state", tmp_path / "nowhere")
    assert done.json["principal"]["email"] == {"private": "(private)"}
    assert EMAIL not in done.out


def test_without_explain_no_value_is_shown_at_all(decide: Pdp, state: Path) -> None:
    done = decide(*TRANSFER, *ANN, "--json", "--state", state)
    assert "principal" not in done.json
    assert "a1" not in done.out


CANARIES = """language 1
module m
token user {
  issuer "https://id.example"
  claim sub: string
  claim secret: string optional private
  claim born: time optional private
  claim plain: string optional
}
subject person { type "person" property mail: string private }
service s {
  audience "s"
  host "s.example"
  header device: string optional private from "x-device"
  endpoint a GET /a/{p}
    query pin: string optional private
}
service acts {
  audience none
  accepts person
  endpoint look action "look" on "thing"
    property code: string optional private
}
allow users for any user on s
  when query has pin
  should set header "x-pin" to query.pin
  because "Users see it"
allow persons for any person on acts.look
  when resource has code
  should set header "x-code" to resource.code
  because "Persons see it"
require r_claim for any user on s.a when token has secret must set header "x-secret" to token.secret because "r"
require r_time for any user on s.a when token has born must set header "x-born" to (token.born + 5m) because "r"
require r_header for any user on s.a when header has device must set header "x-dev" to header.device because "r"
require r_property for any person on acts.look must set header "x-mail" to subject.mail because "r"
require r_plain for any user on s.a when token has plain must set header "x-plain" to token.plain because "r"
require r_path for any user on s.a must set header "x-path" to path.p must remove header "x-gone" because "r"
"""
WITH_TOKEN = {
    "service": "s",
    "method": "GET",
    "path": "/a/seen-path?pin=CANARY1",
    "host": "s.example",
    "headers": {"x-device": "CANARY2"},
    "principal": {
        "kind": "token",
        "name": "user",
        "claims": {"sub": "u", "aud": "s", "secret": "CANARY3", "born": 1_234_567_890, "plain": "seen-claim"},
    },
}
WITH_SUBJECT = {
    "service": "acts",
    "action": "look",
    "resource": {"type": "thing", "id": "t", "properties": {"code": "CANARY4"}},
    "principal": {"kind": "subject", "name": "person", "claims": {"id": "p", "mail": "CANARY5"}},
}
SHAPES: dict[str, tuple[str, ...]] = {
    "as text": (),
    "explained": ("--explain",),
    "as JSON": ("--json",),
    "as JSON, explained": ("--explain", "--json"),
}


@pytest.mark.parametrize("sentence", SHAPES)
@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without a key"])
@pytest.mark.parametrize(("form", "headers"), [(WITH_TOKEN, 4), (WITH_SUBJECT, 2)], ids=["token", "subject"])
def test_no_obligation_shows_what_is_private(
    sentence: str, keyed: bool, form: dict[str, object], headers: int, pdp: Pdp, state: Path, tmp_path: Path
) -> None:
    """A header that is made of a private input stands by its name; others with their values."""
    (tmp_path / "canaries").mkdir()
    (tmp_path / "canaries" / "m.pol").write_text(CANARIES)
    where = ("--policies", tmp_path / "canaries", "--state", state if keyed else tmp_path / "nowhere")
    done = pdp("decide", "--request", _requested(tmp_path, **form), *where, *SHAPES[sentence])
    assert done.code == 0, done.err
    for canary in ("CANARY", "1234567890", "2009-02-13"):
        assert canary not in done.out + done.err
    if "--json" not in SHAPES[sentence]:
        shown = [line for line in done.out.splitlines() if " set header " in line]
        assert sum(line.rpartition(" to ")[2].startswith("fp:" if keyed else "(private)") for line in shown) == headers
        assert ('must set header "x-plain" to "seen-claim"' in shown) == (form is WITH_TOKEN)
        assert ('must set header "x-path" to "seen-path"' in shown) == (form is WITH_TOKEN)


# ---------------------------------------------------------------- the trace


def test_the_trace_says_what_was_asked_decided_and_read(decide: Pdp) -> None:
    call = ("GET", "https://ledger.example/accounts/a3", *ANN, "--now", "2026-03-01T12:00:00Z", "--explain", "--json")
    trace = decide(*call).json
    assert (trace["decision"], trace["by"], trace["reason"]) == ("deny", ["default"], "default.no_rule")
    assert trace["at"] == "2026-03-01T12:00:00.000Z"
    assert trace["bundle"] == f"sha256:{trace['policy']}"
    assert (trace["service"], trace["endpoint"]) == ("ledger", "ledger.read_account")
    assert (trace["route"], trace["captures"]) == ("GET /accounts/{account}", {"account": "a3"})
    assert (trace["principal"]["kind"], trace["principal"]["sub"]) == ("user", "u1")
    assert trace["baselines"] == ["route", "schema", "audience", "exclusive", "scope"]
    assert (trace["nearest"], trace["distance"]) == ("cases.guest_reads_shared_account", 1)
    rules = {rule["id"]: rule for rule in trace["rules"]}
    failed = next(guard for guard in rules["cases.owner_uses_own_account"]["guards"] if guard["is"] == "false")
    assert failed["read"] == {"token.accounts": ["a1"], "path.account": "a3"}


def test_a_sentence_says_which_rule_came_nearest(decide: Pdp) -> None:
    done = decide("GET", "https://ledger.example/accounts/a3", *ANN)
    assert done.out.startswith("deny by default (default.no_rule)\nNo rule allowed this")
    assert "The closest, `cases.guest_reads_shared_account`" in done.out


def test_what_the_gateway_must_and_should_do_is_said(decide: Pdp) -> None:
    ann = ("--as", "user", "--set", "sub=u1", "--set", "aud=desk")
    done = decide("GET", "https://desk.example/notes/u1", *ann)
    assert done.code == 0
    assert 'must set header "x-desk-user" to "u1"' in done.out
    assert 'must remove header "x-debug"' in done.out
    assert 'should set header "x-desk-place" to "front"' in done.out


# ---------------------------------------------------------------- requests

EMPLOYEE = {"kind": "subject", "name": "employee", "claims": {"id": "e1", "department": "legal"}}
DOCUMENT = {"type": "document", "id": "d1", "properties": {"department": "legal"}}
USER = {"kind": "token", "name": "user", "claims": {"sub": "u1", "aud": "desk"}}
DESK: dict[str, object] = {"service": "desk", "method": "GET", "host": "desk.example", "principal": USER}
REQUESTS: dict[str, tuple[dict[str, object], int, str]] = {
    "an action by a subject": (
        {"action": "read", "resource": DOCUMENT, "principal": EMPLOYEE},
        0,
        "allow by desk.departments_read",
    ),
    "an action on another department's document": (
        {"action": "read", "resource": DOCUMENT | {"properties": {"department": "hr"}}, "principal": EMPLOYEE},
        1,
        "deny by default",
    ),
    "a reading": (DESK | {"path": "/risky", "signals": {"risk": 10}}, 0, "allow by desk.users_read"),
    "no reading": (DESK | {"path": "/risky"}, 1, "deny by desk.risky_callers"),
    "a peer": (
        {
            "service": "desk",
            "method": "GET",
            "host": "desk.example",
            "path": "/inner",
            "peer": "spiffe://example/front",
        },
        0,
        "allow by desk.insiders",
    ),
    "a gateway": (DESK | {"path": "/edge", "gateway": "spiffe://example/edge"}, 0, "allow by desk.users_read"),
    "another gateway": (DESK | {"path": "/edge", "gateway": "spiffe://example/x"}, 1, "deny by desk.elsewhere"),
    "an observed service": (
        {
            "service": "trial",
            "method": "GET",
            "host": "trial.example",
            "path": "/try/u2",
            "principal": {"kind": "token", "name": "user", "claims": {"sub": "u1", "aud": "trial"}},
        },
        0,
        "allow by observe (observe)\nAllowed while the service is observed.",
    ),
}


@pytest.mark.parametrize("sentence", REQUESTS)
def test_a_whole_request_is_decided(sentence: str, tmp_path: Path, decide: Pdp) -> None:
    form, code, said = REQUESTS[sentence]
    done = decide("--request", _requested(tmp_path, **form))
    assert (done.code, said in done.out) == (code, True), done.out + done.err


def test_an_action_beside_a_path_is_bad_input(tmp_path: Path, decide: Pdp) -> None:
    done = decide("--request", _requested(tmp_path, action="read", resource=DOCUMENT, path="/a"))
    assert done.code == 2
    assert "not both" in done.err


def test_a_gateway_of_the_configuration_is_taken_at_its_word(tmp_path: Path, decide: Pdp) -> None:
    config = tmp_path / "pdp.toml"
    config.write_text('[[gateways]]\nname = "front"\nidentity = "spiffe://example/edge"\ncapabilities = ["answer"]\n')
    known = decide("--request", _requested(tmp_path, **DESK, path="/edge", gateway="front"), "--config", config)
    assert "allow by desk.users_read" in known.out
    unable = decide("--request", _requested(tmp_path, **DESK, path="/notes/u1", gateway="front"), "--config", config)
    assert "capability.set_header" in unable.out
    able = decide("--request", _requested(tmp_path, **DESK, path="/notes/u1", gateway="other"), "--config", config)
    assert able.code == 0


# ---------------------------------------------------------------- environments and built policies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in SETTINGS.items():
        path = tmp_path / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "policies"


def test_the_environment_decides_what_settings_are(folder: Path, pdp: Pdp) -> None:
    call = ("decide", "GET", "https://t.example/ping", "--policies", folder)
    assert pdp(*call, "--settings", "test").code == 0
    assert pdp(*call, "--settings", "prod").code == 1
    unbound = pdp(*call)
    assert (unbound.code, "prod" in unbound.err) == (2, True)
    assert pdp(*call, "--settings", "stage").code == 2


def test_the_configuration_names_the_environment(folder: Path, tmp_path: Path, pdp: Pdp) -> None:
    config = tmp_path / "pdp.toml"
    config.write_text('settings = "test"\npolicies = "policies"\n')
    assert pdp("decide", "GET", "https://t.example/ping", "--config", config).code == 0
    overruled = pdp("decide", "GET", "https://t.example/ping", "--config", config, "--settings", "prod")
    assert overruled.code == 1


def test_a_built_policy_decides_as_its_folder_does(tmp_path: Path, pdp: Pdp) -> None:
    bundle = read_folder(POLICY)
    digest = write_built(tmp_path / "built", bundle, compile_policy(bundle.files).program, None)
    config = tmp_path / "pdp.toml"
    config.write_text(f'policies = "built"\nbundle_digest = "{digest}"\n')
    call = ("decide", "GET", "https://ledger.example/accounts/a1", *ANN, "--config", config)
    assert pdp(*call).code == 0
    with (tmp_path / "built").open("ab") as file:
        file.write(b"x")
    refused = pdp(*call)
    assert (refused.code, "P132" in refused.err) == (2, True)


def test_a_built_policy_explains_as_its_folder_does(state: Path, tmp_path: Path, pdp: Pdp) -> None:
    bundle = read_folder(POLICY)
    digest = write_built(tmp_path / "built", bundle, compile_policy(bundle.files).program, None)
    config = tmp_path / "pdp.toml"
    config.write_text(f'policies = "built"\nbundle_digest = "{digest}"\n')
    get = ("decide", "GET", "https://ledger.example/accounts/a1", *ANN)
    call = (*get, "--now", "2026-03-01T12:00:00Z", "--explain", "--state", state)
    folder, built = pdp(*call, "--policies", POLICY), pdp(*call, "--config", config)
    assert (built.code, built.out) == (folder.code, folder.out)
    assert folder.out.count("passes") > 1


def test_a_digest_in_the_configuration_binds_the_place_that_it_names(folder: Path, tmp_path: Path, pdp: Pdp) -> None:
    """Neither a folder in place of the built file nor no file at all; a folder of --policies is what is asked for."""
    config = tmp_path / "pdp.toml"
    config.write_text(f'policies = "policies"\nbundle_digest = "{"0" * 64}"\n')
    call = ("decide", "GET", "https://t.example/ping", "--config", config)
    assert "P135" in pdp(*call).err
    config.write_text(f'policies = "nowhere"\nbundle_digest = "{"0" * 64}"\n')
    assert "P131" in pdp(*call).err
    assert pdp(*call, "--policies", folder, "--settings", "test").code == 0


def test_a_built_policy_of_another_environment_than_asked_for_is_refused(
    folder: Path, tmp_path: Path, pdp: Pdp
) -> None:
    bundle = read_folder(folder, "prod")
    digest = write_built(tmp_path / "built", bundle, compile_policy(bundle.files, "prod").program, "prod")
    config = tmp_path / "pdp.toml"
    config.write_text(f'policies = "built"\nbundle_digest = "{digest}"\n')
    call = ("decide", "GET", "https://s.example/ping", "--config", config)
    assert pdp(*call).code == 0
    refused = pdp(*call, "--settings", "test")
    assert (refused.code, "P134" in refused.err) == (2, True)


# ---------------------------------------------------------------- hostile requests


def test_a_request_of_aliases_within_aliases_is_refused(tmp_path: Path, decide: Pdp) -> None:
    """Each line names the one before ten times: written out, more values than any memory holds."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    path = tmp_path / "request.yaml"
    path.write_text("\n".join(lines))
    done = decide("--request", path)
    assert (done.code, "C203" in done.err) == (2, True), done.err


BAD_FILES: dict[str, bytes] = {
    "more bytes than a request has": b"{" + b" " * (4 * 1024 * 1024),
    "text that is not UTF-8": b'service: "\xff"',
    "lists without end": b"[" * 100_000,
}


@pytest.mark.parametrize("ending", ["json", "yaml"])
@pytest.mark.parametrize("sentence", BAD_FILES)
def test_is_refused_in_a_request(sentence: str, ending: str, tmp_path: Path, decide: Pdp) -> None:
    path = tmp_path / f"request.{ending}"
    path.write_bytes(BAD_FILES[sentence])
    done = decide("--request", path)
    assert (done.code, "C203" in done.err) == (2, True), done.err


@pytest.mark.parametrize("now", [99_999_999_999_999_999, -1, 100_000_000_000])
def test_an_instant_that_no_trace_can_show_is_refused(now: int, tmp_path: Path, decide: Pdp) -> None:
    done = decide("--request", _requested(tmp_path, **DESK, path="/notes/u1", now=now), "--explain", "--json")
    assert (done.code, "C201" in done.err) == (2, True), done.err


def test_the_last_instant_that_can_be_written_is_shown(tmp_path: Path, decide: Pdp) -> None:
    done = decide(
        "--request", _requested(tmp_path, **DESK, path="/notes/u1", now=99_999_999_999), "--explain", "--json"
    )
    assert done.json["at"] == "5138-11-16T09:46:39.000Z"
