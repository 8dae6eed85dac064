"""Values read as the literals of a policy: what is shown can be written, and comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.ir import Value
from policy_lang.meaning.literals import duration_text, value_text
from policy_lang.syntax.literals import duration_ms, instant_ms, unescape, units_descend
from policy_lang.typesystem import INT_MAX, EnumType, IntType, RoleType, Scalar, SetType, Type

TIER = EnumType("m.tier", ("silver", "gold"), ordered=True)
ROLE = RoleType(("viewer", "editor"))

TYPED: dict[str, tuple[Value, Type | None]] = {
    "2026-12-20T10:00:00Z": (1_797_760_800_000, Scalar.TIME),
    "1970-01-01T00:00:00Z": (0, Scalar.TIME),
    "2026-12-20T10:00:00.500Z": (1_797_760_800_500, Scalar.TIME),
    "-106751991167d7h12m55s808ms": (-(2**63), Scalar.TIME),
    "10m": (600_000, Scalar.DURATION),
    "1h30m": (5_400_000, Scalar.DURATION),
    "1d1ms": (86_400_001, Scalar.DURATION),
    "0s": (0, Scalar.DURATION),
    "-5m": (-300_000, Scalar.DURATION),
    "600000": (600_000, IntType()),
    "true": (True, Scalar.BOOL),
    "false": (False, None),
    "gold": ("gold", TIER),
    "editor": ("editor", ROLE),
    '"gold"': ("gold", Scalar.STRING),
    "10.0.0.1": ("10.0.0.1", Scalar.IP),
    '"spiffe://x/y"': ("spiffe://x/y", Scalar.WORKLOAD),
    "[gold, silver]": (frozenset({"silver", "gold"}), SetType(TIER)),
    "[2, 10]": (frozenset({10, 2}), SetType(IntType())),
    "[5m, 1h]": (frozenset({3_600_000, 300_000}), SetType(Scalar.DURATION)),
    "[]": (frozenset(), SetType(Scalar.STRING)),
    "17": (17, Scalar.STRING),
    '"a"': ("a", SetType(Scalar.STRING)),
}


@pytest.mark.parametrize("text", TYPED)
def test_a_value_of_a_type(text: str) -> None:
    value, type_ = TYPED[text]
    assert value_text(value, type_) == text


VALUES: dict[str, Value] = {
    '"é"': "é",
    '"a\\"b"': 'a"b',
    '"a\\\\b"': "a\\b",
    '"\\n\\t\\r"': "\n\t\r",
    '"\\u{1b}[2J"': "\x1b[2J",
    '"\\u{9b}2J"': "\x9b2J",
    '"\\u{7f}"': "\x7f",
    '"\\u{202e}"': "\u202e",
    '"\\u{d800}"': "\ud800",
    "-5": -5,
    "[]": frozenset(),
    "[1, 2]": frozenset({2, 1}),
}


@pytest.mark.parametrize("text", VALUES)
def test_values_are_safe_to_show(text: str) -> None:
    assert value_text(VALUES[text]) == text


@pytest.mark.parametrize("type_", [TIER, ROLE, Scalar.IP])
def test_what_stands_bare_is_safe_to_show(type_: Type) -> None:
    assert value_text("\x1b[2J", type_) == "\\u{1b}[2J"


@given(st.integers(0, INT_MAX))
def test_a_duration_is_read_as_what_was_shown(ms: int) -> None:
    """For all ms in 0..2**63-1: duration_ms(duration_text(ms)) == ms."""
    assert units_descend(duration_text(ms))
    assert duration_ms(duration_text(ms)) == ms


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_an_instant_is_read_as_what_was_shown(seconds: int) -> None:
    """For all whole seconds of the calendar: instant_ms(value_text(t, TIME)) == t."""
    assert instant_ms(value_text(seconds * 1000, Scalar.TIME)) == seconds * 1000


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_string_is_read_as_what_was_shown(text: str) -> None:
    """For all strings a policy may hold: unescape(value_text(s)) == s; and what is shown is printable."""
    assert unescape(value_text(text)) == text
    assert value_text(text).isprintable()
