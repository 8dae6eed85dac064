"""A program as bytes and back: canonical JSON, one form for one program, quick to read.

`dump` writes what `load` reads. The document is one object of tables. What is declared stands as declarations.py
says; what rules come to stands in tables that refer to each other by index, each thing once:

    texts     every text of rules and clauses
    operands  ["attr", root, name]  ["now"]  ["shift", operand, sign, operand]  ["set", …]  or a scalar
    atoms     tag, operand, operand (0 where there is none)   flat; `other` refers to the next table instead
    others    ["like", operand, pattern]  ["net", operand, name, hexadecimal first, last, …]
              ["lookup", relation, operands …]  ["age", operand, milliseconds or null]
              ["vote", table, "allow" or "deny", operands …]
    guards    4 * atom, and 1 more where it is negated; 4 * n + 2 and n parts for all, 4 * n + 3 and n parts for any
    clauses   label, text, guard                         flat
    bodies    n and n clauses
    duties    [body, needs, must, should] of bodies that have any
    rules     id, effect, because, file, line, column, shadow   flat
    placed    rule, body                                 flat
    groups    n and n placed
    cells     endpoint, kind, deny, allow, require, shadow      flat; kind 0 is nobody, else one more than its index
    tables    Casbin tables, as table_json.py says

Keys are sorted, sets are sorted lists, tables are in the order in which a walk over the program meets their values, and
nothing is written that can be worked out, so equal programs give equal bytes.
INVARIANT: load(dump(p)) == p; whatever `load` returns keeps the invariants of `ir` (policy_lang/ir/validity.py). It
reads bytes that may come from anywhere: what is not such a program is a ValueError, never another exception and never a
smaller program.
Source: policy_lang/ir; contracts.md "Bundles, places, configuration" (the SHA-256 of these bytes is stated in the log).

Decision (2026-11-21): flat tables of integers are checked by their smallest and largest number and read column by
column, since 10,000 rules are to be loaded in half a second.
Decision (2026-11-21): the collector of cyclic garbage rests while a program is read: some 200,000 values come to live
and none to die, and it would walk all of them several times, a quarter of the whole time.
"""

from __future__ import annotations

import json
import re

from policy_lang import ir
from policy_lang.ir.json_values import JsonValue, Reader
from policy_lang.ir.reading import Loader
from policy_lang.ir.validity import check_program
from policy_lang.ir.writing import Writer
from policy_lang.uncollected import uncollected

_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


def dump(program: ir.Program) -> bytes:
    """The bytes of a program: ASCII, no white space."""
    document = Writer(program).document()
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def load(data: bytes) -> ir.Program:
    """The program in `data`.

    Errors: ValueError for anything that is not one of this version, whole and sound: another version, an unknown tag,
        a wrong shape, an index out of range, a guard not after its parts, a repeated key.
    """
    with uncollected():
        try:
            program = _read(data)
            check_program(program)
        except RecursionError as error:
            raise ValueError("the program nests too deep") from error
    return program


def _read(data: bytes) -> ir.Program:
    document = json.loads(data.decode("ascii"), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    if _HALF_CHARACTER.search(data):
        _refuse_halves(document)
    return Loader(Reader(document, "program")).program()


def _refuse_halves(document: JsonValue) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text of the program holds half a character") from error


def _without_repeats(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return read


def _no_constant(text: str) -> JsonValue:
    raise ValueError(f"not a number: {text}")
