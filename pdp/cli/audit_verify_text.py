"""What `pdp audit verify` says: a few lines for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from pdp.audit.report import FORK, INCOMPLETE, INVALID, SOUND, STALE, Report
from policy_lang.diagnostics import printable

_RESULTS = {
    SOUND: "sound",
    STALE: "stale: intact, but older than allowed",
    INCOMPLETE: "incomplete: something is missing",
    FORK: "fork: this log does not continue the one known before",
    INVALID: "invalid: something was changed",
}


def to_json(reports: Sequence[Report]) -> str:
    """One report as an object; several as one object with all of them and the worst exit code."""
    stated = [msgspec.to_builtins(each) | {"result": _RESULTS[each.exit_code].partition(":")[0]} for each in reports]
    if len(stated) == 1:
        return json.dumps(stated[0], indent=2, sort_keys=True)
    worst = max(each.exit_code for each in reports)
    return json.dumps({"exit_code": worst, "logs": stated}, indent=2, sort_keys=True)


def as_text(report: Report) -> str:
    """One report in lines; whatever a file brought into it is shown escaped."""
    return "\n".join(map(printable, _lines(report)))


def _lines(report: Report) -> Iterator[str]:
    yield _row("log", report.origin)
    if report.size is not None:
        yield _row("checkpoint", f"{report.size:,} records, root {report.root}")
        yield from _read(report)
    if report.keys > 1:
        yield _row("keys", f"{report.keys:,}, one after the other")
    if report.witnessed is not None:
        size, since_s = report.witnessed
        yield _row("witnessed", f"{size:,} records, at {_instant(since_s * 1_000_000)}")
    yield _row("result", _RESULTS[report.exit_code])
    for finding in report.findings:
        yield f"  {finding.code} {finding.place}: {finding.text}"
    if report.findings_dropped:
        yield f"  and {report.findings_dropped:,} more"
    for note in report.notes:
        yield f"  note {note}"


def _read(report: Report) -> Iterator[str]:
    if report.records and not report.writers:  # of a file with single records
        yield _row("proved", _many(report.records, "record"))
        return
    tree, writers = _many(report.records, "record"), _many(report.writers, "writer")
    yield _row("read", f"{tree} of the tree, {report.pending:,} beyond it, {writers}")
    yield _row("newest", "no record states a time" if report.newest_us is None else _instant(report.newest_us))


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _row(label: str, text: str) -> str:
    return f"{label:<11} {text}"


def _instant(microseconds: int) -> str:
    try:
        return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return f"{microseconds} µs since 1970, no date of ours"
