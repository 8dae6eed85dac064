"""`pdp decide --token FILE --reach`: what a token is, what it opens, what in it is personal; the law of what opens."""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pdp.token_personal import personal_in
from pdp.token_reach import Opening, openings
from policy_lang.compile import compile_policy
from policy_lang.meaning.admission import Call
from policy_lang.verdict import CAPABILITIES, Caller, Json, Question
from tests.support.command import Done, Pdp
from tests.support.generator.trial import Trial
from tests.support.issuing import TestIssuer
from tests.support.tokens import signer, token_of

NOW = 1_800_000_000
AT = "1800000000"

# ---------------------------------------------------------------- the law

POLICIES = 14
QUESTIONS = 60
TOKENS = 6
LIFE_MS = 3_600_000


def _tokens(trial: Trial, questions: list[Question]) -> list[Question]:
    """The questions of callers with whole tokens, the first few."""
    tokens = {kind.id for kind in trial.program.kinds if kind.form == "token"}
    return [each for each in questions if each.caller.kind in tokens and not each.caller.unread][:TOKENS]


def _asked(number: int) -> Iterator[tuple[str, str, bool, str]]:
    """Of every call with every token of one policy: the state of its endpoint, the outcome, whether it was admitted,
    and what to say of it.
    """
    trial = Trial.of(f"reach {number}", crowded=0.1)
    kinds = {kind.id: kind for kind in trial.program.kinds}
    questions = list(trial.questions(QUESTIONS, hostile=0))
    for holder in _tokens(trial, questions):
        ends_ms = holder.now_ms + LIFE_MS
        kind = kinds[holder.caller.kind or ""]
        found = openings(trial.program, kind, holder.caller, holder.now_ms, ends_ms)
        states = {each.endpoint: each.state for each in found}
        for place, other in enumerate([holder, *questions]):
            now_ms = holder.now_ms + (0, 1, LIFE_MS // 2, LIFE_MS - 1)[place % 4]
            question = replace(other, caller=holder.caller, now_ms=now_ms, capabilities=CAPABILITIES)
            call = trial.reference.admission.admit(question)
            verdict = trial.reference.judge(question, call)
            if verdict.endpoint is not None:
                told = f"{trial.seed}: {verdict.endpoint} by {verdict.by} ({verdict.reason})"
                yield states[verdict.endpoint], verdict.outcome, isinstance(call, Call), told


def test_what_a_token_opens_holds_of_every_call_with_it() -> None:
    """For all p, t, q with the token t while it lasts: allowed(q) => not closed(endpoint(q)); for q admitted, opens =>
    allowed(q), and opens after step-up => allowed(q) or stepped up(q). Every state is met often enough to tell.
    """
    met: Counter[tuple[str, str]] = Counter()
    for number in range(POLICIES):
        for state, outcome, admitted, told in _asked(number):
            met[state, outcome] += 1
            assert (state, outcome) != ("closed", "allow"), told
            if admitted:
                assert state != "opens" or outcome == "allow", told
                assert state != "opens after step-up" or outcome != "deny", told
    assert met["opens", "allow"] > 100
    assert met["opens after step-up", "step_up"] > 50
    assert min(met["may open", outcome] for outcome in ("allow", "deny", "step_up")) > 50
    assert met["closed", "deny"] > 500


# ---------------------------------------------------------------- one endpoint each

POLICY = """module m
enum rank = low < high
token user {
  issuer "https://id.example"
  claim sub: string
  claim rank: rank
  claim accounts: set of string
  claim roles: set of string optional
  claim at: time
  claim email: string optional private
  claim nickname: string optional from "profile" "nickname"
  factor login at token.at
}
relation shared (account: string, user: string)
signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown
service s {
  audience "s"
  host "s.example"
  endpoint open GET /open
  endpoint own GET /own/{account}
  endpoint rows GET /rows/{account}
  endpoint low GET /low
  endpoint high GET /high
  endpoint scoped GET /scoped scope "w"
  endpoint denied GET /denied
  endpoint risky GET /risky
  endpoint fresh GET /fresh
  endpoint stale GET /stale
  endpoint header GET /header/{account}
  endpoint named GET /named
  endpoint night GET /night
  endpoint ended GET /ended
  endpoint limited GET /limited query n: int optional
  endpoint unruled GET /unruled
  endpoint shut GET /shut closed
}
service other { audience "o" host "o.example" endpoint e GET /e }
service watched { audience "s2" host "w.example" observe until 2099-01-01 endpoint w GET /w }
service guarded { audience "s" host "g.example" observe until 2099-01-01 endpoint g GET /g scope "w" }

allow plain for any user
  on s.open, s.denied, s.risky, s.fresh, s.stale, s.header, s.named, s.scoped, s.limited because "-"
allow owns for any user on s.own when path.account in token.accounts because "-"
allow rows for any user on s.rows when shared(path.account, token.sub) because "-"
allow lows for any user on s.low when token.rank == low because "-"
allow highs for any user on s.high when token.rank == high because "-"
allow nights for any user on s.night when now > 2030-01-01 because "-"
allow ended for any user on s.ended until 2020-01-01 because "-"
allow others for any user on other because "-"
allow watchers for any user on watched because "-"
deny lowly for any user on s.denied when token.rank == low because "-"
deny risks for any user on s.risky when signal.risk > 50 because "-"
deny many for any user on s.limited when query has n and query.n > 10 because "-"
require logins for any user on s.fresh needs factor login within 30d because "-"
require stales for any user on s.stale needs factor login within 5m because "-"
require accounts for any user on s.header must set header "x-account" to path.account because "-"
require subjects for any user on s.named must set header "x-sub" to token.sub because "-"
"""
CLAIMS: Mapping[str, Json] = {
    "sub": "u1",
    "rank": "low",
    "accounts": ["a1"],
    "at": NOW - 3600,
    "aud": "s",
    "scope": "r",
}
STATES = {
    "allowed whatever the call holds": ("s.open", "opens", ""),
    "allowed by a claim": ("s.low", "opens", ""),
    "allowed, and a claim goes along": ("s.named", "opens", ""),
    "with a login that stays fresh while it lasts": ("s.fresh", "opens", ""),
    "with a login that is too old": ("s.stale", "opens after step-up", ""),
    "by the path": ("s.own", "may open", "m.owns when 1: path.account"),
    "by facts": ("s.rows", "may open", "m.rows when 1: facts shared, path.account"),
    "by a reading": ("s.risky", "may open", "m.risks when 1: signal.risk"),
    "by the query": ("s.limited", "may open", "m.many when 1: query.n"),
    "with a header of the path, which may be one that cannot be sent": (
        "s.header",
        "may open",
        "m.accounts obligations: header x-account",
    ),
    "by a claim that it has not": ("s.high", "closed", "default.no_rule"),
    "by a deny": ("s.denied", "closed", "rule"),
    "without the scope": ("s.scoped", "closed", "scope.missing"),
    "for which no rule is written": ("s.unruled", "closed", "default.no_cell_rule"),
    "that is closed": ("s.shut", "closed", "default.no_cell_rule"),
    "by a rule that has ended": ("s.ended", "closed", "default.no_rule"),
    "by a rule that begins later than it ends": ("s.night", "closed", "default.no_rule"),
    "of another service": ("other.e", "closed", "audience.mismatch"),
    "of another service, which is observed": ("watched.w", "closed", "audience.mismatch"),
    "without the scope, while that is observed": (
        "guarded.g",
        "may open",
        "observe until 2099-01-01: now",
    ),
}


def _openings(claims: Mapping[str, Json], until_ms: int | None) -> dict[str, Opening]:
    program = compile_policy({"m.pol": POLICY.encode()}).program
    found = openings(program, program.kinds[0], Caller("user", claims), NOW * 1000, until_ms)
    assert len(found) == len(program.endpoints)
    return {each.endpoint: each for each in found}


@pytest.mark.parametrize("sentence", STATES)
def test_an_endpoint(sentence: str) -> None:
    endpoint, state, why = STATES[sentence]
    found = _openings(CLAIMS, (NOW + 3600) * 1000)[endpoint]
    assert found.state == state
    open_ = "; ".join(f"{each.rule} {each.clause}: {', '.join(each.inputs)}".strip() for each in found.unsettled)
    assert (found.reason if state == "closed" else open_) == why


def test_every_endpoint_of_the_policy_is_looked_at_by_name() -> None:
    assert {endpoint for endpoint, _, _ in STATES.values()} == set(_openings(CLAIMS, None))


def test_what_time_may_still_change_is_open_for_a_token_without_an_end() -> None:
    found = _openings(CLAIMS, None)
    assert (found["s.fresh"].state, found["s.fresh"].challenges) == ("opens after step-up", ("login",))
    assert found["s.night"].state == "may open"
    assert [each.inputs for each in found["s.night"].unsettled] == [("now",)]
    assert found["s.ended"].state == "closed"


MALFORMED: dict[str, tuple[dict[str, Json], str, str]] = {
    "a required claim": ({"rank": "middle"}, "schema.claim_type", "rank"),
    "its audiences": ({"aud": 7}, "schema.claim_type", "aud"),
}


@pytest.mark.parametrize("sentence", MALFORMED)
def test_a_token_opens_nothing_where_malformed_is(sentence: str) -> None:
    """But what is observed for it: there the schema refuses nobody yet whom the audience would let pass."""
    changes, reason, subject = MALFORMED[sentence]
    found = _openings({**CLAIMS, **changes}, None)
    passing = {id_ for id_, each in found.items() if each.state != "closed"}
    assert passing == ({"guarded.g"} if "aud" not in changes else set())
    assert {(each.reason, each.subject) for each in found.values()} == {(reason, subject)}


def test_a_token_without_audience_opens_nothing() -> None:
    found = _openings({name: value for name, value in CLAIMS.items() if name != "aud"}, None)
    assert {each.reason for each in found.values()} == {"audience.missing"}


def test_a_token_of_no_kind_opens_nothing() -> None:
    program = compile_policy({"m.pol": POLICY.encode()}).program
    found = openings(program, None, Caller(None), NOW * 1000)
    assert {(each.state, each.reason) for each in found} == {("closed", "token.issuer")}


def test_a_policy_without_endpoints_has_nothing_to_open() -> None:
    program = compile_policy({"m.pol": b'module m token user { issuer "https://id.example" }'}).program
    assert openings(program, program.kinds[0], Caller("user", CLAIMS), NOW * 1000) == ()


def test_who_may_name_several_services_opens_them_all() -> None:
    program = compile_policy({"m.pol": POLICY.encode()}).program
    claims: dict[str, Json] = {**CLAIMS, "aud": ["s", "o"]}
    for several, wanted in ((True, "opens"), (False, "closed")):
        caller = Caller("user", claims, multi_audience=several)
        found = {each.endpoint: each for each in openings(program, program.kinds[0], caller, NOW * 1000)}
        assert (found["s.open"].state, found["other.e"].state) == (wanted, wanted)


# ---------------------------------------------------------------- what is personal

HELD: dict[str, tuple[dict[str, Json], list[tuple[str, str | None, bool]]]] = {
    "declared and private": ({"email": "CANARY"}, [("email", "email", True)]),
    "declared, not private": ({"profile": {"nickname": "CANARY"}}, [("profile.nickname", "nickname", False)]),
    "not declared": ({"phone_number": "CANARY"}, [("phone_number", None, False)]),
    "below what is not declared": ({"address": {"locality": "CANARY"}}, [("address.locality", None, False)]),
    "in a list of objects": ({"people": [{"iban": "CANARY"}, {"iban": "C"}]}, [("people.iban", None, False)]),
    "a number": ({"mobile": 491700000}, [("mobile", None, False)]),
    "a truth, which tells nobody": ({"email_verified": True, "mobile": False}, []),
    "null": ({"email": None}, []),
    "an empty object": ({"address": {}}, []),
    "nothing": ({}, []),
}


@pytest.mark.parametrize("sentence", HELD)
def test_personal_is(sentence: str) -> None:
    claims, wanted = HELD[sentence]
    kind = compile_policy({"m.pol": POLICY.encode()}).program.kinds[0]
    found = personal_in({**CLAIMS, **claims}, kind)
    assert [(".".join(each.way), each.declared, each.private) for each in found] == wanted


def test_of_a_kind_that_is_not_known_nothing_is_declared() -> None:
    (found,) = personal_in({"email": "CANARY"}, None)
    assert (found.declared, found.private) == (None, False)


# ---------------------------------------------------------------- the command

PERSONAL: Mapping[str, Json] = {"email": "CANARY@x", "address": {"street": "CANARY"}, "profile": {"nickname": "CANARY"}}


@pytest.fixture
def issuer() -> TestIssuer:
    return TestIssuer()


Reach = Callable[..., Done]


@pytest.fixture
def reach(pdp: Pdp, issuer: TestIssuer, tmp_path: Path) -> Reach:
    """`pdp decide --reach` of a token text, under the policy and the configuration above."""
    folder = tmp_path / "policy"
    (folder / "facts").mkdir(parents=True)
    (folder / "m.pol").write_text(POLICY)
    (folder / "facts" / "m.shared.csv").write_text("account,user\n")
    keys = issuer.write_keys(tmp_path / "jwks.json")
    config = tmp_path / "pdp.toml"
    config.write_text(f'[[issuers]]\nurl = "{issuer.url}"\nkeys = "{keys}"\nalgorithms = ["ES256"]\n')

    def run(token: str | bytes, *more: str | Path) -> Done:
        file = tmp_path / "token.jwt"
        file.write_bytes(token.encode() if isinstance(token, str) else token)
        given = ("--config", config, "--policies", folder, "--now", AT)
        return pdp("decide", "--token", file, "--reach", *given, *more)

    return run


def _claims(**changes: Any) -> dict[str, Any]:
    return {**CLAIMS, **PERSONAL, **changes}


def test_a_verified_token_is_told_as_text(reach: Reach, issuer: TestIssuer) -> None:
    done = reach(issuer.mint(_claims(), NOW) + "\n")
    assert done.code == 0, done.err
    head, (columns, *rows) = done.out.splitlines()[:9], done.out.splitlines()[9:]
    assert head == [
        "verified",
        "issuer    https://id.example",
        "kind      user",
        "audience  s",
        "scopes    r",
        "expires   2027-01-15T09:00:00Z (3600 s left)",
        "bound     no: whoever holds it can use it",
        "personal  address.street (not declared), email (private), profile.nickname (declared, not private)",
        "opens 11 of 20 endpoints in 2 of 4 services (4 always, 1 after step-up, 6 depending on the call)",
    ]
    assert columns.split() == ["endpoint", "call", "state", "why"]
    assert len(rows) == 20
    shown = {row.split()[0]: row for row in rows}
    assert shown["s.own"].endswith("GET /own/{account}     may open             m.owns when 1: path.account")
    assert shown["s.stale"].endswith("opens after step-up  asks for login")
    assert shown["s.denied"].endswith("closed               rule by m.lowly")
    assert shown["s.scoped"].endswith("closed               scope.missing: w")
    assert "CANARY" not in done.out + done.err


def test_the_json_has_the_shape_that_is_promised(reach: Reach, issuer: TestIssuer) -> None:
    done = reach(issuer.mint(_claims(cnf={"jkt": "CANARY"}, nbf=NOW), NOW), "--json")
    assert done.code == 0, done.err
    told = done.json
    endpoints = {each["id"]: each for each in told.pop("endpoints")}
    assert told == {
        "verified": True,
        "reason": "",
        "at": NOW,
        "issuer": "https://id.example",
        "kind": "user",
        "audience": ["s"],
        "scopes": ["r"],
        "issued_at": NOW,
        "not_before": NOW,
        "expires_at": NOW + 3600,
        "seconds_left": 3600,
        "bound": ["jkt"],
        "personal": [
            {"claim": "address.street", "declared": None, "private": False},
            {"claim": "email", "declared": "email", "private": True},
            {"claim": "profile.nickname", "declared": "nickname", "private": False},
        ],
        "reach": told["reach"],
    }
    counts = Counter(each["state"] for each in endpoints.values())
    assert {name: told["reach"][name] for name in counts} == counts
    assert sum(counts.values()) == told["reach"]["endpoints"] == 20
    assert endpoints["s.own"] == {
        "id": "s.own",
        "service": "s",
        "call": "GET /own/{account}",
        "state": "may_open",
        "reason": "",
        "subject": "",
        "rules": ["m.owns"],
        "challenges": [],
        "unsettled": [{"rule": "m.owns", "clause": "when 1", "inputs": ["path.account"]}],
    }
    assert "CANARY" not in done.out


def test_help_names_every_member_of_the_json(pdp: Pdp, reach: Reach, issuer: TestIssuer) -> None:
    told = reach(issuer.mint(_claims(), NOW), "--json").json
    words = set(re.findall(r"[a-z_]+", pdp("decide", "--help").out))
    endpoint = next(each for each in told["endpoints"] if each["unsettled"])
    states = {each["state"] for each in told["endpoints"]}
    assert states == {"opens", "opens_after_step_up", "may_open", "closed"}
    assert {*told, *endpoint, *endpoint["unsettled"][0], *told["personal"][0], *states} <= words
    assert told["reach"].keys() - states <= words


def test_a_terminal_gets_a_table_that_fits(reach: Reach, issuer: TestIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "90")
    lines = reach(issuer.mint(_claims(), NOW)).out.splitlines()
    rows = [line for line in lines if "│" in line]
    assert any("s.own" in row and "may open" in row for row in rows)
    assert max(map(len, rows)) <= 90


def _forged(issuer: TestIssuer, _: int) -> str:
    return TestIssuer(issuer.url).mint(_claims(), NOW)


UNPROVED: dict[str, tuple[Callable[[TestIssuer, int], str], str]] = {
    "it has expired": (lambda issuer, now: issuer.mint(_claims(), now - 7200), "token.expired"),
    "it is not valid yet": (lambda issuer, now: issuer.mint(_claims(nbf=now + 600), now), "token.not_yet"),
    "another signed it": (_forged, "token.signature"),
    "its issuer is not known": (
        lambda _, now: TestIssuer("https://evil.example").mint(_claims(), now),
        "token.issuer",
    ),
    "it names no issuer": (lambda issuer, now: issuer.mint(_claims(iss=None), now), "token.issuer"),
    "its issuer is no text": (
        lambda _, now: token_of(signer("ES256"), **_claims(iss={"a": "b"}, iat=now, exp=now + 600)),
        "token.issuer",
    ),
}


@pytest.mark.parametrize("sentence", UNPROVED)
def test_a_token_is_not_verified_and_told_all_the_same_where(sentence: str, reach: Reach, issuer: TestIssuer) -> None:
    make, reason = UNPROVED[sentence]
    done = reach(make(issuer, NOW), "--json")
    assert done.code == 1, done.err
    assert (done.json["verified"], done.json["reason"]) == (False, reason)
    known = done.json["issuer"] == issuer.url
    assert (done.json["kind"], done.json["reach"]["endpoints_opened"] > 0) == ("user" if known else None, known)
    text = reach(make(issuer, NOW))
    assert text.code == 1
    assert text.out.splitlines()[0].startswith("not verified: ")
    assert f"({reason})" in text.out.splitlines()[0]
    assert "CANARY" not in done.out + text.out


def test_without_configured_issuers_nothing_is_verified(
    reach: Reach, pdp: Pdp, issuer: TestIssuer, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(issuer.mint(_claims(), NOW))
    (tmp_path / "empty.toml").write_text("")
    given = ("--config", tmp_path / "empty.toml", "--policies", tmp_path / "policy", "--now", AT)
    done = pdp("decide", "--token", tmp_path / "token", "--reach", *given, "--json")
    assert (done.code, done.json["reason"], done.json["kind"]) == (1, "token.issuer", "user")
    assert done.json["reach"]["endpoints_opened"] == 12, "what opens one day counts, since no end of it is proved"


def test_a_token_comes_from_standard_input_too(
    reach: Reach, pdp: Pdp, issuer: TestIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.mint(_claims(), NOW)
    from_file = reach(token, "--json").json
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
    given = ("--config", tmp_path / "pdp.toml", "--policies", tmp_path / "policy", "--now", AT)
    done = pdp("decide", "--token", "-", "--reach", *given, "--json")
    assert (done.code, done.json) == (0, from_file)


def test_hostile_names_do_not_reach_the_terminal(reach: Reach, issuer: TestIssuer) -> None:
    done = reach(issuer.mint(_claims(**{"\x1b[2J_email": "CANARY", "aud": ["s", "\x1b]0;x\x07"]}), NOW))
    assert "_email (not declared)" in done.out
    assert "\x1b" not in done.out
    assert "\x07" not in done.out


NO_TOKENS = {
    "nothing": (b"", "three parts"),
    "one word": (b"hello", "three parts"),
    "a second part that is no base64url": (b"a.!.c", "three parts"),
    "a second part that is no JSON": (b"e30.aGVsbG8.x", "no JSON object"),
    "a second part that is a list": (b"e30.W10.x", "no JSON object"),
    "four parts": (b"e30.e30.x.y", "three parts"),
    "what is not ASCII": ("é.é.é".encode(), "not ASCII"),
    "more than any token": (b"a" * 20_000, "16384 characters"),
}


@pytest.mark.parametrize("sentence", NO_TOKENS)
def test_bad_input_is(sentence: str, reach: Reach) -> None:
    text, words = NO_TOKENS[sentence]
    done = reach(text)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "(C207)" in done.err


BESIDE: dict[str, tuple[str, ...]] = {
    "a call": ("GET", "https://s.example/open"),
    "a service": ("--service", "s"),
    "a kind": ("--as", "user"),
    "a claim": ("--set", "sub=u1"),
    "an address": ("--ip", "10.0.0.1"),
    "a workload": ("--peer", "spiffe://x/y"),
    "a request": ("--request", "r.json"),
    "a trace": ("--explain",),
}


@pytest.mark.parametrize("sentence", BESIDE)
def test_reach_does_not_go_with(sentence: str, reach: Reach, issuer: TestIssuer) -> None:
    done = reach(issuer.mint(_claims(), NOW), *BESIDE[sentence])
    assert (done.code, done.out) == (2, "")
    assert "--reach tells of --token FILE" in done.err


def test_reach_asks_for_a_token(pdp: Pdp, reach: Reach, tmp_path: Path) -> None:
    done = pdp("decide", "--reach", "--policies", tmp_path / "policy")
    assert done.code == 2
    assert "--reach tells of --token FILE" in done.err


def test_a_file_that_is_not_there_is_bad_input(pdp: Pdp, reach: Reach, tmp_path: Path) -> None:
    done = pdp("decide", "--token", tmp_path / "nosuch", "--reach", "--policies", tmp_path / "policy")
    assert done.code == 2
    assert "No such file or directory (C207)" in done.err
