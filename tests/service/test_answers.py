"""The one table from a decision to its answer: row by row, then the laws that hold of every decision."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.answers import MOST_CHALLENGE, HttpAnswer, check_code, http_answer, lacks_token, problem, visible
from pdp.model import Challenge, Decision
from tests.support.decisions import DECISIONS

ID = "0000000100000000002a0123456789ab"


def decided(outcome: str, by: str, **more: object) -> Decision:
    fields: dict[str, object] = {"reason": "a.reason", "id": ID, "authenticated": True} | more
    return Decision(outcome=outcome, by=(by,), **fields)  # type: ignore[arg-type]


STEP_UP = decided("step_up", "orders.fresh", challenges=(Challenge("mfa", 600), Challenge("hwk", 300)))

CASES: dict[str, tuple[Decision, int, int, str | None]] = {
    "an allow by a rule passes": (decided("allow", "orders.own"), 200, 0, None),
    "an allow by observe passes": (decided("allow", "observe"), 200, 0, None),
    "an allow of an anonymous caller passes": (decided("allow", "orders.open", authenticated=False), 200, 0, None),
    "an allow without a record is refused": (decided("allow", "orders.own", id=None), 503, 13, None),
    "a bad token is 401 with its error": (
        decided("deny", "token", authenticated=False),
        401,
        16,
        'Bearer error="invalid_token"',
    ),
    "a bad token stays one beside a declared peer": (decided("deny", "token"), 401, 16, 'Bearer error="invalid_token"'),
    "an unknown route is a plain 401 for nobody": (decided("deny", "route", authenticated=False), 401, 16, "Bearer"),
    "a bad path is a plain 401 for nobody": (decided("deny", "path", authenticated=False), 401, 16, "Bearer"),
    "a denial by a rule is a plain 401 for nobody": (
        decided("deny", "orders.own", authenticated=False),
        401,
        16,
        "Bearer",
    ),
    "a missing scope is a plain 401 for nobody": (
        decided("deny", "scope", authenticated=False, scopes=("a",)),
        401,
        16,
        "Bearer",
    ),
    "a step-up is a plain 401 for nobody": (
        decided("step_up", "orders.fresh", authenticated=False, challenges=(Challenge("mfa", 1),)),
        401,
        16,
        "Bearer",
    ),
    "a denial by a rule is 403": (decided("deny", "orders.own"), 403, 7, None),
    "a denial that conceals is 404": (decided("deny", "orders.own", status=404), 404, 7, None),
    "a denial for want of patience is 429": (decided("deny", "orders.own", status=429), 429, 7, None),
    "a denial for legal reasons is 451": (decided("deny", "orders.own", status=451), 451, 7, None),
    "a denial as if nothing worked is 503": (decided("deny", "orders.own", status=503), 503, 7, None),
    "a status of none of these is 403": (decided("deny", "orders.own", status=200), 403, 7, None),
    "nobody is not told that something is concealed": (
        decided("deny", "orders.own", status=404, authenticated=False),
        401,
        16,
        "Bearer",
    ),
    "an unrecorded concealment is 503": (decided("deny", "audit", status=404), 503, 14, None),
    "a conflict is 403": (decided("deny", "conflict"), 403, 7, None),
    "a lack of the gateway is 403": (decided("deny", "capability"), 403, 7, None),
    "a denial by path is 403": (decided("deny", "path"), 403, 7, None),
    "a denial by route is 403": (decided("deny", "route"), 403, 7, None),
    "a denial by schema is 403": (decided("deny", "schema"), 403, 7, None),
    "a denial by audience is 403": (decided("deny", "audience"), 403, 7, None),
    "a denial by exclusive is 403": (decided("deny", "exclusive"), 403, 7, None),
    "a denial by default is 403": (decided("deny", "default"), 403, 7, None),
    "a denial by conflict is 403": (decided("deny", "conflict"), 403, 7, None),
    "a denial by capability is 403": (decided("deny", "capability"), 403, 7, None),
    "a denial by nothing is 403": (Decision("deny", (), "", authenticated=True), 403, 7, None),
    "a missing scope names the scopes": (
        decided("deny", "scope", scopes=("orders:read", "orders:write")),
        403,
        7,
        'Bearer error="insufficient_scope", scope="orders:read orders:write"',
    ),
    "a step-up names all factors and the smallest age": (
        STEP_UP,
        401,
        16,
        'Bearer error="insufficient_user_authentication", acr_values="mfa hwk", max_age="300"',
    ),
    "a step-up without an age names none": (
        decided("step_up", "orders.fresh", challenges=(Challenge("mfa", None),)),
        401,
        16,
        'Bearer error="insufficient_user_authentication", acr_values="mfa"',
    ),
    "a step-up to an age of zero says zero": (
        decided("step_up", "orders.fresh", challenges=(Challenge("mfa", 0), Challenge("mfa", 60))),
        401,
        16,
        'Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="0"',
    ),
    "a step-up without challenges is still one": (
        decided("step_up", "orders.fresh"),
        401,
        16,
        'Bearer error="insufficient_user_authentication"',
    ),
    "a failure of ours is 503": (decided("deny", "internal"), 503, 13, None),
    "a failure of ours is 503 for nobody": (decided("deny", "internal", authenticated=False), 503, 13, None),
    "a deadline is 503 for nobody": (decided("deny", "deadline", authenticated=False, id=None), 503, 13, None),
    "a full log is 503 for nobody": (decided("deny", "audit", authenticated=False, id=None), 503, 14, None),
}


@pytest.mark.parametrize("sentence", CASES)
def test_each_row_of_the_table(sentence: str) -> None:
    decision, status, code, challenge = CASES[sentence]
    answer = http_answer(decision, {})
    assert (answer.status, check_code(decision)) == (status, code)
    assert dict(answer.headers).get("www-authenticate") == challenge


def test_a_full_log_asks_to_come_back() -> None:
    assert ("retry-after", "1") in http_answer(decided("deny", "audit", id=None), {}).headers
    assert "retry-after" not in dict(http_answer(decided("deny", "internal"), {}).headers)


def test_a_refusal_says_its_decision_id_where_there_is_one() -> None:
    assert ("x-portcullis-decision", ID) in http_answer(decided("deny", "default"), {}).headers
    assert "x-portcullis-decision" not in dict(http_answer(decided("deny", "audit", id=None), {}).headers)


def test_challenge_names_are_said_in_the_words_of_the_issuer() -> None:
    value = dict(http_answer(STEP_UP, {"mfa": "urn:example:mfa", "other": "urn:example:other"}).headers)
    assert 'acr_values="urn:example:mfa hwk"' in value["www-authenticate"]


def test_two_challenges_with_one_name_at_the_issuer_are_said_once() -> None:
    value = dict(http_answer(STEP_UP, {"mfa": "urn:x", "hwk": "urn:x"}).headers)
    assert 'acr_values="urn:x"' in value["www-authenticate"]


def test_quotes_backslashes_and_line_ends_cannot_leave_a_challenge() -> None:
    decision = decided("deny", "scope", scopes=('a"b\\c\r\nx-evil: 1\x00é',))
    value = dict(http_answer(decision, {}).headers)
    assert value["www-authenticate"] == 'Bearer error="insufficient_scope", scope="a\\"b\\\\c??x-evil: 1??"'


def test_a_list_of_scopes_ends_at_a_whole_name() -> None:
    scopes = tuple(f"scope-{number:05}" for number in range(1000))
    value = dict(http_answer(decided("deny", "scope", scopes=scopes), {}).headers)["www-authenticate"]
    found = re.search(r'scope="([^"]*)"', value)
    assert found is not None
    assert len(found[1]) <= MOST_CHALLENGE
    assert tuple(found[1].split(" ")) == scopes[: len(found[1].split(" "))]


def test_the_body_holds_a_title_and_the_id() -> None:
    assert json.loads(problem(decided("deny", "default"), "no")) == {"title": "no", "decision": ID}
    assert json.loads(problem(decided("deny", "audit", id=None), "no")) == {"title": "no"}


def test_no_answer_shows_who_decided_or_why() -> None:
    decision = decided("deny", "secretmodule.secretrule", reason="secret.reason", subject="secretclaim")
    answer = http_answer(decision, {})
    assert "secret" not in repr(answer) + problem(decision, answer.title)


def test_visible_text_stays_and_the_rest_is_marked() -> None:
    assert visible("a b~") == "a b~"
    assert visible("") == ""
    assert visible("é\x7f\udc80\n") == "????"


def _said(answer: HttpAnswer) -> str:
    return "".join(name + value for name, value in answer.headers)


@given(DECISIONS)
def test_code_zero_is_an_allow_with_a_record_and_nothing_else(decision: Decision) -> None:
    """code = 0  <=>  outcome = allow, id, and the token that is asked for;  code = 0  <=>  status = 200."""
    sound = bool(decision.id) and not lacks_token(decision)
    assert (check_code(decision) == 0) == (decision.outcome == "allow" and sound)
    assert (check_code(decision) == 0) == (http_answer(decision, {}).status == 200)


@given(DECISIONS)
def test_every_refusal_has_a_status_and_a_code_of_the_table(decision: Decision) -> None:
    """(status, code) is of the table, or a rule's status with 7; 401 <=> www-authenticate, unless 403 scope."""
    answer = http_answer(decision, {})
    if check_code(decision) != 0:
        assert (answer.status, check_code(decision)) in {(401, 16), (403, 7), (503, 13), (503, 14)} | {
            (status, 7) for status in (404, 429, 451, 503)
        }
        challenged = "www-authenticate" in dict(answer.headers)
        assert challenged == (answer.status == 401 or (answer.status == 403 and decision.by[:1] == ("scope",)))


@given(DECISIONS, st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_every_header_value_is_one_printable_ascii_line(decision: Decision, acr_values: dict[str, str]) -> None:
    """Every character of every header is in 0x20..0x7e, and the body is ASCII JSON."""
    answer = http_answer(decision, acr_values)
    assert all(" " <= character <= "~" for character in _said(answer))
    assert json.loads(problem(decision, answer.title))["title"] == answer.title
    assert problem(decision, answer.title).isascii()


@given(DECISIONS)
def test_a_challenge_is_well_formed(decision: Decision) -> None:
    """RFC 9110 11.6.1: a scheme, then parameters whose values are quoted strings."""
    value = dict(http_answer(decision, {}).headers).get("www-authenticate")
    if value is not None:
        assert re.fullmatch(r'Bearer( [a-z_]+="(\\.|[^"\\])*"(, [a-z_]+="(\\.|[^"\\])*")*)?', value)
