"""What operands, atoms and guards are worth in one call: Kleene's three values, of which None is unknown.

The rules are those of policy_lang/meaning/values.py and evaluation.py. A Casbin table is not evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pdp.audit.standalone.policy import TAGS
from pdp.audit.standalone.reading import Json, ReceiptError, Truth, UndecidedError, Value, items, numbers, shown, texts
from pdp.audit.standalone.typed_inputs import Call, address


def negated(of: Truth) -> Truth:
    return None if of is None else not of


def all_of(of: Iterable[Truth]) -> Truth:
    """Kleene's `and`."""
    seen = {*of}
    return False if False in seen else None if None in seen else True


def any_of(of: Iterable[Truth]) -> Truth:
    """Kleene's `or`."""
    return negated(all_of(map(negated, of)))


def is_int(value: Value | None) -> bool:
    return type(value) is int


def operand(call: Call, place: int) -> Value | None:
    """The value of an operand; None where it has none."""
    match call.policy.operands[place]:
        case ["attr", str() as root, str() as name]:
            return call.inputs.get((root, name))
        case ["now"]:
            return call.question.now_ms
        case ["shift", int() as left, int() as sign, int() as right]:
            one, other = operand(call, left), operand(call, right)
            if not isinstance(one, int) or not isinstance(other, int) or bool in {type(one), type(other)}:
                return None
            moved = one + sign * other
            return moved if -(2**63) <= moved < 2**63 else None
        case ["set", *members]:
            return frozenset(each for each in members if isinstance(each, bool | int | str))
        case (bool() | int() | str()) as constant:
            return constant
        case _:
            raise ReceiptError("the compiled policy holds an operand that is none")


def guard(call: Call, place: int) -> Truth:
    """What a guard is worth; its parts have smaller numbers than itself."""
    needed, todo = set[int](), [place]
    while todo:
        at = todo.pop()
        kind, *parts = call.policy.guards[at]
        if at not in needed and kind >= 2:
            if any(part >= at for part in parts):
                raise ReceiptError("the compiled policy holds a guard within itself")
            todo += parts
        needed.add(at)
    worth: dict[int, Truth] = {}
    for at in sorted(needed):
        kind, *parts = call.policy.guards[at]
        if kind < 2:
            plain = atom(call, parts[0])
            worth[at] = negated(plain) if kind else plain
        else:
            worth[at] = (all_of if kind == 2 else any_of)(worth[part] for part in parts)
    return worth[place]


def atom(call: Call, place: int) -> Truth:
    tag, first, second = call.policy.atoms[place]
    if TAGS[tag] == "other":
        return other_atom(call, call.policy.others[first])
    left = operand(call, first)
    right = operand(call, second) if tag < 6 else None
    match TAGS[tag]:
        case "eq":
            return (
                left == right
                if left is not None and not isinstance(left, frozenset) and type(left) is type(right)
                else None
            )
        case ("lt" | "le") as op if isinstance(left, int) and isinstance(right, int) and is_int(left) and is_int(right):
            return left < right if op == "lt" else left <= right
        case "member" if isinstance(right, frozenset) and left is not None and not isinstance(left, frozenset):
            return left in right if {*map(type, right)} <= {type(left)} else None
        case ("overlap" | "cover") as op if isinstance(left, frozenset) and isinstance(right, frozenset):
            alike = len({*map(type, left | right)}) <= 1 and len({*map(type, [*left, *right])}) <= 1
            return (not left.isdisjoint(right) if op == "overlap" else left >= right) if alike else None
        case "truth":
            return left if isinstance(left, bool) else None
        case "empty":
            return not left if isinstance(left, frozenset) else None
        case "has":
            _, root, name = texts(call.policy.operands[first])
            unknown = (root, name) in call.unread or (root in {"request", "signal"} and left is None)
            return None if unknown else left is not None
        case _:
            return None


def other_atom(call: Call, written: list[Json]) -> Truth:
    match written:
        case ["like", int() as of, str() as pattern]:
            value = operand(call, of)
            if not isinstance(value, str):
                return None
            core = ".*".join(map(re.escape, pattern.split("*")))
            return re.fullmatch(core, value, re.DOTALL) is not None
        case ["net", int() as of, str(), *ends]:
            value = operand(call, of)
            number = address(value) if isinstance(value, str) else None
            bounds = [int(str(end), 16) for end in ends]
            inside = (
                first <= number <= last
                for first, last in zip(bounds[::2], bounds[1::2], strict=True)
                if number is not None
            )
            return None if number is None else any(inside)
        case ["lookup", str() as relation, *places]:
            row = [operand(call, at) for at in numbers(places)]
            known, columns = call.question.facts.get(relation), call.policy.columns[relation]
            fits = known is not None and all(
                is_of(items(type_), each) for type_, each in zip(columns, row, strict=True)
            )
            return tuple(row) in known if fits and known is not None else None
        case ["age", int() as of, most_ms]:
            at = operand(call, of)
            if not isinstance(at, int) or not is_int(at):
                return None
            age = call.question.now_ms - at
            return age >= -30_000 and (not isinstance(most_ms, int) or age <= most_ms)
        case ["vote", str() as table, *_]:
            raise UndecidedError(
                f"the policy asks the Casbin table {shown(table)}, which needs Portcullis itself and RE2"
            )
        case _:
            raise ReceiptError("the compiled policy holds an atom that is none")


def is_of(type_: Sequence[Json], value: Value | None) -> bool:
    if type_[0] in {"int", "time", "duration"}:
        return is_int(value)
    return isinstance(value, bool if type_[0] == "bool" else str)
