"""Wall clocks: an instant and a zone in, what a clock there shows out; and the times that `timeMatch` compares it with.

Source: Casbin's documentation, "RBAC with conditions", timeMatch; IANA time zone database.

Decision (2026-11-21): a zone that is not known, an instant outside the years 1 to 9999 and a text that is no time have
no value, so that a link or a row under them holds for nobody; nothing here raises.
Decision (2026-11-21): times are compared as the clock on the wall shows them, as Casbin does. In the hour that a zone
goes through twice, both passes are the same times.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TIME = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\s+(\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)

OPEN = "_"
"""A bound of `timeMatch` that is not there."""

LONGEST_BOUND = 64
"""Characters of the longest bound of `timeMatch`: a time with blanks to spare."""


class Times(Struct, frozen=True):
    """The times after `after` and before `before`, neither included; None is no bound."""

    after: datetime | None
    before: datetime | None

    def has(self, shown: datetime) -> bool:
        """Whether what a clock shows is among them."""
        return (self.after is None or shown > self.after) and (self.before is None or shown < self.before)


class LocalTime(Struct, frozen=True):
    """An instant, in milliseconds since 1970-01-01 UTC, and the IANA name of the zone whose clock is read."""

    now_ms: int
    zone: str

    @classmethod
    def of(cls, now_ms: int, zone: str) -> LocalTime:
        """The instant in the zone. Nothing is looked up before it is asked about."""
        return cls(now_ms, zone)

    def shown(self) -> datetime | None:
        """What the clock shows, its zone set aside (as UTC); None where there is no such clock or no such time."""
        return _shown(self.now_ms, self.zone)

    def between(self, start: str, end: str) -> bool | None:
        """Whether the clock shows a time after `start` and before `end`, both `YYYY-MM-DD hh:mm:ss` or `_` for none.

        None where a bound is neither, longer than `LONGEST_BOUND`, or the clock shows nothing. Bounds are not
        included.
        """
        shown, asked = self.shown(), times(start, end)
        return None if shown is None or asked is None else asked.has(shown)


def times(start: str, end: str) -> Times | None:
    """The times between two bounds, each `YYYY-MM-DD hh:mm:ss` or `_` for none; None where one is neither."""
    after, before = _bound(start), _bound(end)
    if (after is None and start != OPEN) or (before is None and end != OPEN):
        return None
    return Times(after, before)


def zone_known(zone: str) -> bool:
    """Whether the time zone database has the zone."""
    return _zone(zone) is not None


@lru_cache(maxsize=64)
def _shown(now_ms: int, zone: str) -> datetime | None:
    there = _zone(zone)
    if there is None:
        return None
    try:
        return (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(there).replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=64)
def _zone(zone: str) -> tzinfo | None:
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return None


def _bound(text: str) -> datetime | None:
    # Bounds may come from requests, of any length, and what was asked is kept.
    return _remembered(text) if len(text) <= LONGEST_BOUND else None


@lru_cache(maxsize=1_024)
def _remembered(text: str) -> datetime | None:
    read = _TIME.fullmatch(text)
    if read is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(each) for each in read.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
