"""A table of a test as cases, one a row: `| call | token.roles | expect |`.

A table goes in, `Written` cases come out as if each row were a `call … with … expect …`; rows with a mistake are left
out. A table whose head lacks a column gives no case.
Source: language.md 5.7.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from policy_lang import tree
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.cases import GivenTwice, LackingColumn, RaggedTable, WrongCell
from policy_lang.source import Source
from policy_lang.wording import as_written


class Written(Struct, frozen=True):
    """A case and its text on one line."""

    case: tree.Case
    text: str


def written_cases(step: tree.Case | tree.Table, source: Source, found: list[Diagnostic]) -> Iterator[Written]:
    """The cases of one step of a test."""
    if isinstance(step, tree.Case):
        yield Written(step, as_written(source, step.span))
    elif _has_its_columns(step, source, found):
        for row in step.rows:
            written = _row(step, row, source, found)
            if written is not None:
                yield written


def _has_its_columns(table: tree.Table, source: Source, found: list[Diagnostic]) -> bool:
    seen: set[str] = set()
    before = len(found)
    for head in table.head:
        name = as_written(source, head.span)
        if name in seen:
            found.append(GivenTwice(span=head.span, what=f"the column `{name}`"))
        seen.add(name)
    for column, kind in (("call", tree.CallHead), ("expect", tree.ExpectHead)):
        if not any(isinstance(head, kind) for head in table.head):
            found.append(LackingColumn(span=table.span, column=column))
    return len(found) == before


def _row(table: tree.Table, row: tree.TableRow, source: Source, found: list[Diagnostic]) -> Written | None:
    if len(row.cells) != len(table.head):
        found.append(RaggedTable(span=row.span, cells=len(row.cells), columns=len(table.head)))
        return None
    before = len(found)
    call: tree.PathCall | None = None
    expect: tree.Outcome | None = None
    overrides: list[tree.Override] = []
    for head, cell in zip(table.head, row.cells, strict=True):
        match head, cell:
            case tree.CallHead(), tree.PathCall():
                call = cell
            case tree.CallHead(), _:
                found.append(WrongCell(span=cell.span, column="call", wanted="a service, a method and a path"))
            case tree.ExpectHead(), tree.Outcome():
                expect = cell
            case tree.ExpectHead(), _:
                found.append(WrongCell(span=cell.span, column="expect", wanted="`allow`, `deny` or `step_up`"))
            case tree.Ref(), tree.PathCall() | tree.Outcome():
                column = as_written(source, head.span)
                found.append(WrongCell(span=cell.span, column=column, wanted="values"))
            case tree.Ref(), _:
                overrides.append(tree.Override(cell.id, cell.span, head, cell))
    if call is None or expect is None or len(found) > before:
        return None
    changes = "".join(f" with {as_written(source, o.ref.span)} = {as_written(source, o.span)}" for o in overrides)
    text = f"call {as_written(source, call.span)}{changes} expect {as_written(source, expect.span)}"
    return Written(tree.Case(row.id, row.span, call, tuple(overrides), expect), text)
