"""Needs and obligations as JSON and back. For codec.py, which says what holds of the form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import assert_never

from policy_lang import ir
from policy_lang.ir.json_values import JsonValue, Reader

_LEVELS: Mapping[str, ir.LogLevel] = {"minimal": "minimal", "normal": "normal", "full": "full"}


def written_needs(needs: Iterable[ir.Need]) -> list[JsonValue]:
    """Needs."""
    return [[each.text, each.guard, each.challenge, each.within_s] for each in needs]


def written_obligations(obligations: Iterable[ir.Obligation], place: Callable[[ir.Operand], int]) -> list[JsonValue]:
    """Obligations; `place` tells the index of an operand."""
    return [_written(each, place) for each in obligations]


def _written(obligation: ir.Obligation, place: Callable[[ir.Operand], int]) -> JsonValue:
    match obligation:
        case ir.LogDuty(level, strict):
            return ["log", level, strict]
        case ir.SetHeader(name, value):
            return ["set", name, place(value)]
        case ir.RemoveHeader(name):
            return ["remove", name]
        case ir.Redact(pointers):
            return ["redact", *pointers]
        case ir.IssueToken(scopes):
            return ["issue"] if scopes is None else ["issue", list(scopes)]
        case ir.Alert(channel):
            return ["alert", channel]
        case ir.Answer(status):
            return ["answer", status]
        case _:
            assert_never(obligation)


def read_needs(value: Reader) -> tuple[ir.Need, ...]:
    """Needs."""
    return value.each(_read_need) if value.value else _none(value)


def _read_need(value: Reader) -> ir.Need:
    text, guard, challenge, within_s = value.items(4)
    return ir.Need(text.text(), guard.integer(), challenge.text(), within_s.integer_or_none())


def read_obligations(value: Reader, operands: Sequence[ir.Operand]) -> tuple[ir.Obligation, ...]:
    """Obligations; `operands` are those they refer to."""
    if not value.value:
        return _none(value)
    return tuple(_read(each, operands) for each in value.all_items())


def _none(value: Reader) -> tuple[()]:
    if value.value != []:
        raise value.refused("a list")
    return ()


def _read(value: Reader, operands: Sequence[ir.Operand]) -> ir.Obligation:
    match value.value:
        case ["set", str() as name, index] if type(index) is int and 0 <= index < len(operands):
            return ir.SetHeader(name, operands[index])
        case ["log", str() as level, bool() as strict] if level in _LEVELS:
            return ir.LogDuty(_LEVELS[level], strict)
        case ["remove", str() as name]:
            return ir.RemoveHeader(name)
        case ["redact", *pointers] if set(map(type, pointers)) <= {str}:
            return ir.Redact(tuple(map(str, pointers)))
        case ["issue"]:
            return ir.IssueToken(None)
        case ["issue", [*scopes]] if set(map(type, scopes)) <= {str}:
            return ir.IssueToken(tuple(map(str, scopes)))
        case ["alert", str() as channel]:
            return ir.Alert(channel)
        case ["answer", int() as status] if type(status) is int:
            return ir.Answer(status)
        case _:
            raise value.refused("an obligation")
