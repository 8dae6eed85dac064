"""`pdp audit log`: what was decided, newest last, by the clear part of the records; no key is needed.

Exit codes: 0 listed; 1 listed, but for what could not be read, which is named on standard error; 2 asked wrongly, or no
log; 3 the disk failed. Nothing is proved here: `pdp audit verify` does that.
Design: contracts.md "Command line"; audit.md 4.8.

Decision: 2026-11-21. What is damaged or missing does not end the listing: an investigation needs the rest. It is named,
    once, and changes the exit code; `pdp audit verify` says what it means.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, starmap

import click

from pdp.audit.listing import Asked, Looked, Watch, listed
from pdp.audit.rows import Note, Row, full
from pdp.audit.selection import GROUPED_BY, GroupedBy, Groups, Selection
from pdp.cli.audit_log_lines import Table, group_json, group_lines, json_line
from pdp.cli.audit_log_nothing import nothing_matched
from pdp.cli.audit_log_options import Place, of_logs, opened, selecting
from pdp.cli.options import json_option
from pdp.cli.record_bar import RecordBar
from pdp.errors import printable_lines

LOOK_S = 0.2
"""Between two looks for what came."""

AT_ONCE = 256
"""Rows written at once; of a table, also those that its columns are measured by."""

MOST_NOTES = 100
"""More of what could not be read is not listed."""


class Notes:
    """What could not be read: each said once, on standard error."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._said)

    def add(self, text: str) -> None:
        """Say it, unless it was said."""
        if text in self._said or len(self._said) > MOST_NOTES:
            return
        self._said.add(text)
        more = "there is more that cannot be read: run `pdp audit verify`"
        click.echo(f"note: {printable_lines(text) if len(self._said) <= MOST_NOTES else more}", err=True)


class _Writer:
    """Writes rows as they come."""

    def __init__(self, note: Note, *, several: bool, as_json: bool) -> None:
        self._note = note
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._table = None if as_json else Table(several=several, coloured=coloured)

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows, those that come first after the head of the table."""
        read = ((row, full(row, self._note)) for row in rows)
        shown = [(row, clear) for row, clear in read if clear is not None]
        lines = starmap(json_line, shown) if self._table is None else self._table.lines(shown)
        text = "\n".join(lines)
        if text:
            click.echo(text)


@click.command(short_help="List what was decided, and follow it.")
@selecting
@click.option("--by", "grouped_by", type=click.Choice(GROUPED_BY), help="Count by this in place of listing.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="The newest N only; of groups, the N largest.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@of_logs
@json_option
@click.pass_context
def log(
    ctx: click.Context,
    *,
    selection: Selection,
    grouped_by: GroupedBy | None,
    limit: int | None,
    follow: bool,
    places: Sequence[Place],
    as_json: bool,
) -> None:
    """List the records of the log, newest last, with the answers that left; no key is needed, and nothing is proved.

    A `*` marks an answer that was corrected after it was recorded. Several logs are merged by time. Ends 0, or 1 where
    something could not be read. Whether what is listed is what was signed, `pdp audit verify` says.
    """
    if follow and (grouped_by is not None or selection.until_us is not None):
        raise click.UsageError("--follow goes on with what comes: it goes with neither --by nor --until")
    notes, bar = Notes(), RecordBar(time.monotonic)
    try:
        logs = opened(places, notes.add)
        looked, found = Looked(selection), False
        rows = listed(logs, Asked(selection, None if grouped_by else limit), notes.add, bar.show, looked)
        writer = _Writer(notes.add, several=len(logs) > 1, as_json=as_json)
        watch = Watch(logs, selection, notes.add)
        if grouped_by is not None:
            found = _count(rows, grouped_by, limit, bar, as_json=as_json)
        else:
            for batch in _batches(rows, bar):
                writer.write(batch)
                found = found or bool(batch)
                if follow:
                    watch.keep(batch)
        if not found and limit != 0:
            click.echo(nothing_matched(looked), err=True)
        while follow:
            for came in watch.look():
                writer.write(came)
            time.sleep(LOOK_S)
    except BrokenPipeError:
        raise
    except OSError as error:
        click.echo(f"error: the log cannot be read: {error}", err=True)
        ctx.exit(3)
    finally:
        bar.close()
    ctx.exit(1 if notes else 0)


def _batches(rows: Iterable[Row], bar: RecordBar) -> Iterator[list[Row]]:
    """The rows, some at a time, without the bar in between; at least one batch, which may be empty."""
    ahead = iter(rows)
    batch = list(islice(ahead, AT_ONCE))
    while True:
        bar.close()
        yield batch
        batch = list(islice(ahead, AT_ONCE))
        if not batch:
            return


def _count(rows: Iterable[Row], by: GroupedBy, limit: int | None, bar: RecordBar, *, as_json: bool) -> bool:
    """Write how many rows there are by a word of theirs; whether there were any."""
    groups = Groups(by)
    for row in rows:
        groups.add(row)
    bar.close()
    shown = groups.sorted()[:limit]
    if as_json:
        for group in shown:
            click.echo(group_json(group, by))
    else:
        click.echo("\n".join(group_lines(shown, by)))
    if groups.others:
        click.echo(f"note: {groups.others:,} decisions are in none of these: there are too many groups", err=True)
    return bool(shown)
