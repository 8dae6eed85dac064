"""What a verification found: findings in, one report with one exit code out.

Specification: contracts.md, "Exit codes of `audit verify`".
"""

from __future__ import annotations

from msgspec import Struct, field

SOUND = 0
USAGE = 2
OUR_FAULT = 3
STALE = 11
INCOMPLETE = 20
FORK = 30
INVALID = 40

MOST_FINDINGS = 1000
"""More are counted and not kept."""


class Finding(Struct, frozen=True):
    """One thing that is not as it should be: its exit code, the file or record it is about, and what is wrong."""

    code: int
    place: str
    text: str


class Findings(Struct):
    """Collects findings; the worst code counts even of those that are not kept."""

    kept: list[Finding] = field(default_factory=list)
    dropped: int = 0
    worst: int = SOUND

    def add(self, code: int, place: str, text: str) -> None:
        """Take one finding down."""
        self.worst = max(self.worst, code)
        if len(self.kept) < MOST_FINDINGS:
            self.kept.append(Finding(code, place, text))
        else:
            self.dropped += 1


class Report(Struct, frozen=True):
    """The outcome of a verification.

    `size` and `root` (hex) are the checkpoint's, None where it could not be believed; `records` were read of the tree,
    `pending` of the write-ahead logs beyond it; `writers` counts boots of writers. `newest_us` is the latest instant
    that a record of the tree states, in Unix microseconds. `notes` are no findings. `exit_code` is the worst finding's.
    `keys` counts the keys that signed for the log so far; `witnessed` are the records that enough witnesses cosigned
    and since when, in Unix seconds, None where nobody asked or they did not.
    """

    exit_code: int
    origin: str
    size: int | None
    root: str | None
    records: int
    writers: int
    pending: int
    newest_us: int | None
    findings: tuple[Finding, ...]
    findings_dropped: int
    notes: tuple[str, ...]
    keys: int = 1
    witnessed: tuple[int, int] | None = None
