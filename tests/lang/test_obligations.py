"""Obligations merge into one thing to do, or into the first reason why they cannot be done."""

from __future__ import annotations

import pytest

from policy_lang.ir import (
    NORMAL_LOG,
    Alert,
    Answer,
    Attr,
    Const,
    IssueToken,
    LogDuty,
    Now,
    Obligation,
    Operand,
    Redact,
    RemoveHeader,
    SetHeader,
    Shift,
    Signal,
    Value,
)
from policy_lang.meaning.obligations import (
    LONGEST_VALUE,
    Conflict,
    Terms,
    header_text,
    instants_of,
    is_instant,
    lacking,
    merged_advice,
    merged_alerts,
    merged_answer,
    merged_duties,
    merged_log,
)
from policy_lang.typesystem import IntType, Scalar
from policy_lang.verdict import CAPABILITIES, NO_DUTIES, Capability, Duties, Header
from tests.lang.programs import claim, endpoint, subject_kind, token, token_kind


def text_of(operand: Operand) -> str | None:
    """Constants as they are; nothing else is known."""
    return header_text(operand.value, instant=False) if isinstance(operand, Const) else None


TERMS = Terms(text_of, ("read", "write"), frozenset({"read", "admin"}))
WITHOUT_TOKEN = Terms(text_of, ("read",), None)


def put(name: str, value: Value) -> SetHeader:
    return SetHeader(name, Const(value))


# ---------------------------------------------------------------- duties

UNKNOWN = SetHeader("x-unknown", token("sub"))
DUTIES: dict[str, tuple[list[Obligation], Duties | Conflict]] = {
    "nothing": ([], NO_DUTIES),
    "what is ours": ([LogDuty("full", strict=True), Answer(404)], NO_DUTIES),
    "headers by name": ([put("b", "2"), put("a", "1")], Duties((Header("a", "1"), Header("b", "2")))),
    "equal values are one": ([put("a", "1"), put("a", "1")], Duties((Header("a", "1"),))),
    "equal texts of two types are one": ([put("a", "1"), put("a", 1)], Duties((Header("a", "1"),))),
    "two values": ([put("a", "1"), put("a", "2")], Conflict("conflict.header", "a")),
    "true is not 1": ([put("a", True), put("a", 1)], Conflict("conflict.header", "a")),
    "the first header by name is told": (
        [put("b", "1"), put("b", "2"), put("a", "1"), put("a", "2")],
        Conflict("conflict.header", "a"),
    ),
    "what is not known": ([UNKNOWN], Conflict("conflict.value", "x-unknown")),
    "what is not known comes before what differs": (
        [put("x-unknown", "1"), put("x-unknown", "2"), UNKNOWN],
        Conflict("conflict.value", "x-unknown"),
    ),
    "an empty value": ([put("a", "")], Duties((Header("a", ""),))),
    "removed, each once": ([RemoveHeader("b"), RemoveHeader("a"), RemoveHeader("b")], Duties(removed=("a", "b"))),
    "remove and set is set": ([RemoveHeader("a"), put("a", "1")], Duties((Header("a", "1"),))),
    "set and remove is set": ([put("a", "1"), RemoveHeader("a")], Duties((Header("a", "1"),))),
    "redactions unite": ([Redact(("/b", "/c")), Redact(("/a", "/b"))], Duties(redactions=("/a", "/b", "/c"))),
    "alerts unite": ([Alert("soc"), Alert("ops"), Alert("soc")], Duties(alerts=("ops", "soc"))),
    "a token with the endpoint's scopes, cut to the caller's": ([IssueToken(None)], Duties(token_scopes=("read",))),
    "a token with named scopes": ([IssueToken(("admin", "read"))], Duties(token_scopes=("admin", "read"))),
    "two tokens are one with what both name": (
        [IssueToken(("admin", "read")), IssueToken(None)],
        Duties(token_scopes=("read",)),
    ),
    "two tokens with nothing in common": (
        [IssueToken(("admin",)), IssueToken(("read",))],
        Conflict("conflict.scope", "admin read"),
    ),
    "scopes the caller has not": ([IssueToken(("write",))], Conflict("conflict.scope", "write")),
    "no scopes asked for": ([IssueToken(())], Duties(token_scopes=())),
    "no scopes and some": ([IssueToken(()), IssueToken(("read",))], Conflict("conflict.scope", "read")),
    "a header before scopes": ([IssueToken(("write",)), UNKNOWN], Conflict("conflict.value", "x-unknown")),
}


@pytest.mark.parametrize("case", DUTIES)
def test_duties(case: str) -> None:
    musts, want = DUTIES[case]
    assert merged_duties(musts, TERMS) == want
    assert merged_duties(reversed(musts), TERMS) == want


def test_scopes_are_not_cut_where_there_is_no_token() -> None:
    assert merged_duties([IssueToken(("x",))], WITHOUT_TOKEN) == Duties(token_scopes=("x",))


ADVICE: dict[str, tuple[list[Obligation], Duties, Duties]] = {
    "nothing": ([], NO_DUTIES, NO_DUTIES),
    "of every kind": (
        [put("a", "1"), RemoveHeader("b"), Redact(("/x",)), Alert("soc")],
        NO_DUTIES,
        Duties((Header("a", "1"),), ("b",), ("/x",), None, ("soc",)),
    ),
    "what contradicts itself is left out": (
        [put("a", "1"), put("a", "2"), put("b", "1")],
        NO_DUTIES,
        Duties((Header("b", "1"),)),
    ),
    "what is not known is left out": ([UNKNOWN], NO_DUTIES, NO_DUTIES),
    "what is set is not removed": ([UNKNOWN, RemoveHeader("x-unknown")], NO_DUTIES, NO_DUTIES),
    "what is a duty already is left out": (
        [put("a", "1"), RemoveHeader("b"), Redact(("/x", "/y")), Alert("soc"), Alert("ops")],
        Duties((Header("a", "1"),), ("b",), ("/x",), None, ("soc",)),
        Duties(redactions=("/y",), alerts=("ops",)),
    ),
    "what goes against a duty is left out": (
        [put("a", "2"), RemoveHeader("a"), put("b", "1")],
        Duties((Header("a", "1"),), ("b",)),
        NO_DUTIES,
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_advice(case: str) -> None:
    shoulds, duties, want = ADVICE[case]
    assert merged_advice(shoulds, duties, TERMS) == want


def test_alerts_of_a_refusal() -> None:
    shoulds: list[Obligation] = [Alert("ops"), Alert("soc")]
    assert merged_alerts([Answer(404), Alert("soc")], shoulds) == (Duties(alerts=("soc",)), Duties(alerts=("ops",)))
    assert merged_alerts([], []) == (NO_DUTIES, NO_DUTIES)


LOGS: dict[str, tuple[list[Obligation], LogDuty]] = {
    "nobody speaks": ([Alert("soc")], NORMAL_LOG),
    "minimal alone": ([LogDuty("minimal", strict=False)], LogDuty("minimal", strict=False)),
    "the highest level and strict win": (
        [LogDuty("full", strict=False), LogDuty("minimal", strict=True), LogDuty("normal", strict=False)],
        LogDuty("full", strict=True),
    ),
}


@pytest.mark.parametrize("case", LOGS)
def test_log(case: str) -> None:
    musts, want = LOGS[case]
    assert merged_log(musts) == want


def test_the_most_concealing_answer_wins() -> None:
    order: list[Obligation] = [Answer(404), Answer(429), Answer(451), Answer(503), Answer(403)]
    for first in range(len(order)):
        best = order[first]
        assert isinstance(best, Answer)
        assert merged_answer(reversed(order[first:])) == best.status
    assert merged_answer([Alert("soc")]) is None


# ---------------------------------------------------------------- capabilities

EVERYTHING: list[Obligation] = [IssueToken(None), Redact(("/a",)), RemoveHeader("a"), put("a", "1")]
LACKING: dict[str, tuple[list[Obligation], frozenset[Capability], Capability | None]] = {
    "all is able": (EVERYTHING, CAPABILITIES, None),
    "nothing is asked": ([LogDuty("full", strict=True), Alert("soc")], frozenset(), None),
    "no header": (EVERYTHING, CAPABILITIES - {"set_header"}, "set_header"),
    "no removal, though the header is set": (EVERYTHING, CAPABILITIES - {"remove_header"}, "remove_header"),
    "no redaction": (EVERYTHING, CAPABILITIES - {"redact"}, "redact"),
    "no token": (EVERYTHING, CAPABILITIES - {"issue_token"}, "issue_token"),
    "the first is told": (EVERYTHING, frozenset(), "set_header"),
    "answers and step-up are not of an allow": (EVERYTHING, CAPABILITIES - {"answer", "step_up"}, None),
}


@pytest.mark.parametrize("case", LACKING)
def test_lacking(case: str) -> None:
    musts, able, want = LACKING[case]
    assert lacking(musts, able, frozenset()) == want


def test_no_token_is_issued_without_one() -> None:
    assert lacking([IssueToken(())], CAPABILITIES, None) == "issue_token"
    assert lacking([put("a", "1")], CAPABILITIES, None) is None


# ---------------------------------------------------------------- values

TEXTS: dict[str, tuple[Value | None, bool, str | None]] = {
    "text": ("a b\tc~!", False, "a b\tc~!"),
    "the empty text": ("", False, ""),
    "a blank at the start": (" a", False, None),
    "a blank at the end": ("a\t", False, None),
    "only a blank": (" ", False, None),
    "a line end": ("a\nb", False, None),
    "a carriage return": ("a\rb", False, None),
    "a line end at the end": ("a\n", False, None),
    "NUL": ("a\0b", False, None),
    "DEL": ("a\x7fb", False, None),
    "a letter outside ASCII": ("é", False, None),
    "half a character": ("\ud800", False, None),
    "the longest text": ("a" * LONGEST_VALUE, False, "a" * LONGEST_VALUE),
    "a text too long": ("a" * (LONGEST_VALUE + 1), False, None),
    "an integer": (-5, False, "-5"),
    "true": (True, False, "true"),
    "false, as an instant too": (False, True, "false"),
    "an instant": (1_767_225_600_000, True, "2026-01-01T00:00:00Z"),
    "an instant with milliseconds": (1_767_225_600_007, True, "2026-01-01T00:00:00.007Z"),
    "an instant before 1970": (-1, True, "1969-12-31T23:59:59.999Z"),
    "an early year": (-62_135_596_800_000, True, "0001-01-01T00:00:00Z"),
    "before all years": (-62_135_596_800_001, True, None),
    "after all years": (2**63 - 1, True, None),
    "a set": (frozenset({"a"}), False, None),
    "nothing": (None, False, None),
}


@pytest.mark.parametrize("case", TEXTS)
def test_header_text(case: str) -> None:
    value, instant, want = TEXTS[case]
    assert header_text(value, instant=instant) == want


def test_which_operands_are_instants() -> None:
    user = token_kind("user", "https://id.example", [claim("at", Scalar.TIME), claim("n", IntType())])
    employee = subject_kind("employee", "employee", [claim("at", Scalar.TIME)])
    place = endpoint(
        "s.a",
        "/a",
        query=[claim("since", Scalar.TIME)],
        headers=[claim("then", Scalar.TIME), claim("d", Scalar.DURATION)],
    )
    signals = [
        Signal("m.at", Scalar.TIME, "context.at", (), 5, None),
        Signal("m.n", IntType(), "context.n", (), 5, None),
    ]
    instants = instants_of(place, user, signals)
    assert instants == {token("at"), Attr("query", "since"), Attr("header", "then"), Attr("signal", "m.at")}
    assert Attr("subject", "at") in instants_of(place, employee, [])
    assert instants_of(place, None, []) == {Attr("query", "since"), Attr("header", "then")}
    hour = Const(3_600_000)
    assert is_instant(Now(), instants)
    assert is_instant(Shift(token("at"), 1, hour), instants)
    assert is_instant(Shift(Shift(Now(), -1, hour), 1, Attr("header", "d")), instants)
    assert not is_instant(Shift(Now(), -1, token("at")), instants)
    assert not is_instant(token("n"), instants)
    assert not is_instant(hour, instants)
