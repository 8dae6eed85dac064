"""Points in time on the command line: how a person names one, and how one is shown.

A text and the instant it is now go in, Unix microseconds come out: RFC 3339 with its offset (`2026-11-21T10:00:00Z`,
fractions to the microsecond), a day (`2026-11-21`: its begin, UTC), or how long ago (`90s`, `10m`, `2h`, `3d`, `1w`).
Source: RFC 3339 5.6.

Decision: 2026-11-21. A time without an offset is refused: whoever reads a log of another host must not be shown other
    hours than were meant.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AGO = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhdw])\Z")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_LATEST_US = 253_402_300_800 * 1_000_000
"""The year 10000: what a calendar can show."""


def instant_us(text: str, option: str, now_us: int) -> int:
    """The instant that `text` names, in Unix microseconds. Errors: UsageError, which names `option`."""
    ago = _AGO.match(text)
    if ago is not None:
        return now_us - int(ago["count"]) * _UNITS_S[ago["unit"]] * 1_000_000
    try:
        if _DAY.match(text):
            return _since_epoch_us(datetime.fromisoformat(text).replace(tzinfo=UTC))
        if _TIME.match(text):
            return _since_epoch_us(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        pass
    examples = "write 2026-11-21T10:00:00Z (with Z or an offset), 2026-11-21, or how long ago: 90s, 10m, 2h, 3d, 1w"
    raise click.UsageError(f"{option}: {text!a} names no instant; {examples}")


def instant_text(at_us: int) -> str:
    """An instant as RFC 3339 in UTC to the millisecond; one that no calendar of ours has, as its number."""
    if not 0 <= at_us < _LATEST_US:
        return f"{at_us} µs"
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _since_epoch_us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
