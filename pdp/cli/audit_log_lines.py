"""Rows of the log, and groups of them, as lines for a person and as JSON for a program.

Every text of a record is escaped, whoever wrote it: what a terminal would obey or not show stands as its number, and
JSON is ASCII. Columns are as wide as the first rows need them, so that lines come out while the log is read.
Design: contracts.md "Command line" (`log`); audit.md 4.8.

Decision: 2026-11-21. A line of JSON holds the clear fields as they were recorded, but for `d`, `by` and `rc` of a
    decision whose answer was another: these say what left, and `recorded` what the record says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click
import orjson

from pdp.audit.aggregate import AGGREGATE
from pdp.audit.rows import Answer, Row
from pdp.audit.selection import UNSAID, Group, GroupedBy
from pdp.cli.instants import instant_text
from pdp.model import Json
from policy_lang.diagnostics import printable

COLOURS = {"allow": "green", "deny": "red", "step_up": "yellow"}

_HEADER = ("time", "decision", "by", "endpoint", "gateway", "id")
_WIDTHS = (24, 8, 12, 12, 7, 32)
"""At least so wide."""

_ABOUT = {"policy.activated": "pb", "policy.refused": "pb", "policy.distrusted": "pb", "log.start": "software"}
"""What is said of other records, by kind: the name of a clear field."""

Shown = tuple[Row, Mapping[str, Json]]
"""A row with every clear field of its record."""


class Table:
    """Lines of a table of rows. `several`: there is a column that says which log; `coloured`: for a terminal."""

    def __init__(self, *, several: bool, coloured: bool) -> None:
        self._header = (*_HEADER[:5], "log", _HEADER[5]) if several else _HEADER
        self._several = several
        self._coloured = coloured
        self._widths: list[int] = []

    def lines(self, rows: Sequence[Shown]) -> Iterator[str]:
        """The lines of these rows; the first call gives the header, too, and sets the widths."""
        cells = [self._cells(row, clear) for row, clear in rows]
        if not self._widths:
            least = (*_WIDTHS[:5], 3, _WIDTHS[5]) if self._several else _WIDTHS
            self._widths = (
                [max(width, *map(len, column)) for width, *column in zip(least, *cells, strict=True)]
                if cells
                else list(least)
            )
            yield self._line(self._header, "")
        for (row, _), each in zip(rows, cells, strict=True):
            yield self._line(each, "" if row.answer is None else row.answer.outcome)

    def _cells(self, row: Row, clear: Mapping[str, Json]) -> tuple[str, ...]:
        first = (instant_text(row.at_us), _decision(row), _by(row, clear), _endpoint(row), row.gateway or UNSAID)
        cells = (*first, row.origin, row.id) if self._several else (*first, row.id)
        return tuple(map(printable, cells))

    def _line(self, cells: Sequence[str], outcome: str) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)]
        if self._coloured and outcome in COLOURS:
            padded[1] = click.style(padded[1], fg=COLOURS[outcome])
        return "  ".join(padded).rstrip()


def _decision(row: Row) -> str:
    if row.answer is None:
        return UNSAID
    mark = "*" if row.recorded is not None else ""
    times = f" x{row.count:,}" if row.kind == AGGREGATE else ""
    return f"{row.answer.outcome}{mark}{times}"


def _by(row: Row, clear: Mapping[str, Json]) -> str:
    """Who decided; where another answer left, also what was recorded; of other records, their kind and subject."""
    if row.answer is None:
        said = str(clear.get(_ABOUT.get(row.kind, ""), ""))
        return f"{row.kind} {said[:24]}".rstrip()
    by = _decided(row.answer)
    if row.recorded is not None:
        by = f"{by} (recorded: {row.recorded.outcome} by {_decided(row.recorded)})"
    return f"{by} corrects {row.of}" if row.of else by


def _decided(answer: Answer) -> str:
    """Who decided, and the finer reason where that is not in the name of a rule."""
    by = ", ".join(answer.by) or UNSAID
    return by if answer.reason in {"", "rule", *answer.by} else f"{by} ({answer.reason})"


def _endpoint(row: Row) -> str:
    """The endpoint, which begins with its service; else the service, and the shape of the path."""
    named = row.endpoint if row.endpoint.startswith(f"{row.service}.") else f"{row.service} {row.endpoint}"
    return (named if row.endpoint else " ".join(filter(None, (row.service, row.method, row.shape)))).strip() or UNSAID


def json_line(row: Row, clear: Mapping[str, Json]) -> str:
    """A row as one line of JSON."""
    stated: dict[str, Json] = {**clear, "id": row.id, "kind": row.kind, "origin": row.origin}
    stated |= {"index": row.index, "at": instant_text(row.at_us)}
    if row.recorded is not None and row.answer is not None:
        stated |= _answer(row.answer) | {"recorded": _answer(row.recorded)}
        stated["corrected_by"] = row.corrected_by or row.id
    return _dumped(stated)


def _answer(answer: Answer) -> dict[str, Json]:
    return {"d": answer.outcome, "by": list[Json](answer.by), "rc": answer.reason}


def group_lines(groups: Iterable[Group], by: GroupedBy) -> Iterator[str]:
    """The lines of a table of groups; `logs` counts those that a group is found in."""
    header = ["count", "first", "last", "logs", by]
    rows = [
        [
            f"{group.count:,}",
            instant_text(group.first_us),
            instant_text(group.last_us),
            str(len(group.origins)),
            printable(group.value),
        ]
        for group in groups
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for cells in (header, *rows):
        first = cells[0].rjust(widths[0])
        yield "  ".join(
            [first, *(cell.ljust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        ).rstrip()


def group_json(group: Group, by: GroupedBy) -> str:
    """A group as one line of JSON."""
    return _dumped(
        {
            "by": by,
            "value": group.value,
            "count": group.count,
            "first": instant_text(group.first_us),
            "last": instant_text(group.last_us),
            "origins": list[Json](sorted(group.origins)),
        }
    )


def _dumped(stated: Mapping[str, Json]) -> str:
    """Canonical as a leaf is: sorted, ASCII, and DEL escaped too."""
    data = orjson.dumps(stated, option=orjson.OPT_SORT_KEYS)
    if data.isascii() and b"\x7f" not in data:
        return data.decode()
    return json.dumps(stated, sort_keys=True, separators=(",", ":")).replace("\x7f", "\\u007f")
