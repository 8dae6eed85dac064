"""Parts of a matcher that hold whatever the policy says (W626).

In goes the syntax of a matcher, at most `DEEPEST` deep; out comes the first part that reads no column of a row and
alone makes the matcher true. Only `and` and `or` are looked through: what stands under `not` counts as a whole.
Source: language.md 6.6, item 18.
"""

from __future__ import annotations

from typing import assert_never

from policy_lang.casbin.matcher_syntax import (
    Call,
    Compared,
    Joined,
    Listing,
    Literally,
    Minus,
    Name,
    Negation,
    Operation,
    Part,
    Syntax,
)


def part_without_row(node: Syntax, rows: str) -> Syntax | None:
    """The first such part of `node`, None where there is none; `rows` is what rows are named by, `p`."""
    match node:
        case Joined("or", parts):
            return next((free for part in parts if (free := part_without_row(part, rows)) is not None), None)
        case Joined("and", parts):
            return node if all(part_without_row(part, rows) is not None for part in parts) else None
        case Literally(False):
            return None
        case _:
            return None if _reads(node, rows) else node


def _reads(node: Syntax, rows: str) -> bool:
    """Whether a column of the row is read."""
    match node:
        case Name() | Literally():
            return False
        case Part(Name(name)):
            return name == rows
        case Part(of) | Negation(of) | Minus(of):
            return _reads(of, rows)
        case Listing(parts) | Joined(_, parts) | Call(_, parts):
            return any(_reads(part, rows) for part in parts)
        case Compared(first, rest):
            return _reads(first, rows) or any(_reads(each, rows) for _, each in rest)
        case Operation(_, left, right):
            return _reads(left, rows) or _reads(right, rows)
        case _:
            assert_never(node)
