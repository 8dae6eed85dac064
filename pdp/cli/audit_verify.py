"""`pdp audit verify`: whether the decision log is what was signed.

Exit codes, contracts.md: 0 sound; 2 usage, no key included; 3 our fault; 11 stale; 20 incomplete; 30 fork; 40 invalid.
SECURITY: the key comes from the command line or from the state's own `keys/log.vkey`, never from the log folder: a
log that brings its own key proves nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from pdp.audit.report import FORK, INCOMPLETE, INVALID, OUR_FAULT, SOUND, STALE, Report
from pdp.audit.verify import Wanted, verify_log
from pdp.cli.options import config_option, configured, json_option, path_type, state_option
from pdp.state import State

SHOW_AFTER_S = 1.0
MOST_GIVEN_BYTES = 64 * 1024
"""So much is read of a key or of a remembered head: they are smaller."""

_RESULTS = {
    SOUND: "sound",
    STALE: "stale: intact, but older than allowed",
    INCOMPLETE: "incomplete: something is missing",
    FORK: "fork: this log does not continue the one known before",
    INVALID: "invalid: something was changed",
}


class _Bar:
    """A bar on a terminal, once the verification takes a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._shown: Progress | None = None

    def show(self, done: int, total: int) -> None:
        """So many records are done."""
        if not sys.stderr.isatty() or self._clock() - self._began < SHOW_AFTER_S:
            return
        if self._shown is None:
            self._shown = Progress(console=Console(stderr=True), transient=True)
            self._shown.add_task("records", total=total)
            self._shown.start()
        self._shown.update(self._shown.task_ids[0], completed=done)

    def close(self) -> None:
        """Take it away."""
        if self._shown is not None:
            self._shown.stop()


@click.command(short_help="Check that the log is what was signed.")
@config_option
@state_option
@click.option("--log", "log_dir", type=path_type, help="A log folder elsewhere, without write-ahead logs.")
@click.option("--key", help="The verifier key, or a file that holds it.  [default: keys/log.vkey of the state]")
@click.option("--known-head", type=path_type, help="A checkpoint remembered earlier, which this log must extend.")
@click.option("--max-age", type=click.IntRange(min=0), metavar="SECONDS", help="How old the newest record may be.")
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    config_path: Path | None,
    state: Path | None,
    log_dir: Path | None,
    key: str | None,
    known_head: Path | None,
    max_age: int | None,
    *,
    as_json: bool,
) -> None:
    """Check that the decision log is what was signed: every record, every hash, every writer's numbers.

    Ends 0 sound, 11 stale, 20 incomplete, 30 fork, 40 invalid; 2 where it was asked wrongly, 3 where the disk fails.
    Whether a log was rolled back to an older state of its own, only --known-head can show.
    """
    place = State(state or configured(config_path).state)
    folder = log_dir or place.log
    if not _stands(folder.is_dir):
        raise click.UsageError(f"there is no log folder {folder}: name one with --state or --log")
    wanted = Wanted(
        known_head=None if known_head is None else _read(known_head, "--known-head"),
        max_age_s=max_age,
        now_us=time.time_ns() // 1000,
    )
    vkey = _key(key, place)
    bar = _Bar(time.monotonic)
    try:
        report = verify_log(folder, place.wal if log_dir is None else None, vkey, bar.show, wanted)
    except OSError as error:
        click.echo(f"error: the log cannot be read: {error}", err=True)
        ctx.exit(OUR_FAULT)
    finally:
        bar.close()
    if as_json:
        stated = msgspec.to_builtins(report) | {"result": _RESULTS[report.exit_code].partition(":")[0]}
        click.echo(json.dumps(stated, indent=2, sort_keys=True))
    else:
        _print(report)
    ctx.exit(report.exit_code)


def _key(given: str | None, place: State) -> str:
    if given is None:
        path = place.keys / "log.vkey"
        if not _stands(path.is_file):
            raise click.UsageError(f"no key to check against: there is no {path}, name one with --key")
        return _read(path, "the key").decode("ascii", "replace")
    if _stands(Path(given).is_file):
        return _read(Path(given), "--key").decode("ascii", "replace")
    return given


def _stands(asked: Callable[[], bool]) -> bool:
    """The answer of the disk; False where it will not look, as at a name too long for it."""
    try:
        return asked()
    except OSError:
        return False


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_GIVEN_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{what}: {path} cannot be read: {error.strerror}") from error


def _print(report: Report) -> None:
    rows = [("log", report.origin)]
    if report.size is not None:
        rows += [
            ("checkpoint", f"{report.size:,} records, root {report.root}"),
            (
                "read",
                f"{report.records:,} records of the tree, {report.pending:,} beyond it, {report.writers:,} writers",
            ),
            ("newest", "no record states a time" if report.newest_us is None else _instant(report.newest_us)),
        ]
    rows.append(("result", _RESULTS[report.exit_code]))
    for label, text in rows:
        click.echo(f"{label:<11} {text}")
    for finding in report.findings:
        click.echo(f"  {finding.code} {finding.place}: {finding.text}")
    if report.findings_dropped:
        click.echo(f"  and {report.findings_dropped:,} more")
    for note in report.notes:
        click.echo(f"  note {note}")


def _instant(microseconds: int) -> str:
    try:
        return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return f"{microseconds} µs since 1970, no date of ours"
