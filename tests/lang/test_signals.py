"""Readings become values: what fits; the fallback for what is missing; nothing for what does not fit."""

from __future__ import annotations

import pytest

from policy_lang.ir import Signal, Value
from policy_lang.meaning.signals import read_signals
from policy_lang.typesystem import IntType, Scalar, SetType, Type
from policy_lang.verdict import Json


def declared(provider: str, type_: Type, fallback: Value | None = None) -> Signal:
    return Signal("m.s", type_, provider, ("token.sub",), 5, fallback)


RISK = declared("context.risk", IntType(0, 100))
RISK_OR_7 = declared("context.risk", IntType(0, 100), 7)
CALLS = declared("seen.per_minute", IntType(), 0)

READ: dict[str, tuple[Signal, dict[str, Json], dict[str, Value]]] = {
    "a reading": (RISK, {"risk": 5}, {"m.s": 5}),
    "a reading beside a fallback": (RISK_OR_7, {"risk": 5}, {"m.s": 5}),
    "no reading": (RISK, {}, {}),
    "no reading, and a fallback": (RISK_OR_7, {}, {"m.s": 7}),
    "a false fallback is one": (declared("context.b", Scalar.BOOL, fallback=False), {}, {"m.s": False}),
    "an empty fallback is one": (declared("context.b", SetType(Scalar.STRING), frozenset()), {}, {"m.s": frozenset()}),
    "another reading": (RISK, {"context.risk": 5, "Risk": 5, "m.s": 5}, {}),
    "null is no reading that is missing": (RISK_OR_7, {"risk": None}, {}),
    "out of range": (RISK_OR_7, {"risk": 101}, {}),
    "a fraction": (RISK_OR_7, {"risk": 5.0}, {}),
    "true is no integer": (RISK_OR_7, {"risk": True}, {}),
    "a numeral": (RISK_OR_7, {"risk": "5"}, {}),
    "an object": (RISK_OR_7, {"risk": {}}, {}),
    "an address": (declared("context.ip", Scalar.IP), {"ip": "::ffff:10.0.0.1"}, {"m.s": "10.0.0.1"}),
    "a set": (declared("context.t", SetType(Scalar.STRING)), {"t": ["a", "a"]}, {"m.s": frozenset("a")}),
    "a name with dots": (declared("context.a.b", Scalar.BOOL), {"a.b": True}, {"m.s": True}),
    "nothing counts behaviour": (CALLS, {}, {}),
    "nobody may say what we count": (CALLS, {"seen.per_minute": 3, "per_minute": 3}, {}),
}


@pytest.mark.parametrize("case", READ)
def test_readings(case: str) -> None:
    signal, sent, want = READ[case]
    assert read_signals([signal], sent) == want


def test_each_signal_has_its_reading() -> None:
    other = Signal("n.s", Scalar.BOOL, "context.other", (), 5, None)
    assert read_signals([RISK, CALLS, other], {"risk": 1, "other": False}) == {"m.s": 1, "n.s": False}
    assert read_signals([], {"risk": 1}) == {}
