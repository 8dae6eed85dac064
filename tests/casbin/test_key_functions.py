"""Casbin's functions on values from a request, and the clock of timeMatch: total, and as pycasbin has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from casbin.util import builtin_operators as theirs
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.ir.tables import ARITY, FunctionName, Mode
from policy_lang.meaning import key_functions
from policy_lang.meaning.key_functions import call
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.local_time import LocalTime, zone_known
from policy_lang.meaning.open_names import is_left_open

NOON = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()) * 1_000
NOW = LocalTime.of(NOON, "UTC")

CALLS: dict[str, tuple[FunctionName, tuple[object, ...], bool | str | None]] = {
    "a truth": ("keyMatch", ("/a/b", "/a/*"), True),
    "a pattern that is compiled": ("keyMatch2", ("/a/b", "/a/:x"), True),
    "a prefix that is very long": ("keyMatch", ("a" * 9_000, "a" * 9_000), True),
    "an expression that is very long": ("regexMatch", ("a", "a" * 9_000), None),
    "a number in place of a name": ("keyMatch", (1, "/a"), None),
    "nothing in place of a name": ("keyMatch2", (None, "/a"), None),
    "a truth in place of a pattern": ("regexMatch", ("a", True), None),
    "a list in place of a name": ("globMatch", (["/a"], "/a"), None),
    "too few values": ("keyMatch", ("/a",), None),
    "too many values": ("keyMatch", ("/a", "/a", "/a"), None),
    "no values": ("timeMatch", (), None),
    "an expression that cannot be read": ("regexMatch", ("a", "("), None),
    "no address": ("ipMatch", ("here", "10.0.0.0/8"), None),
    "no network": ("ipMatch", ("10.0.0.1", "there"), None),
    "what the star takes": ("keyGet", ("/foo/bar/foo", "/foo/*"), "bar/foo"),
    "a star that takes nothing": ("keyGet", ("/foo/", "/foo/*"), ""),
    "no star": ("keyGet", ("/foo", "/foo"), ""),
    "what a name takes": ("keyGet2", ("/a/1/b", "/a/:id/b", "id"), "1"),
    "what the second takes": ("keyGet2", ("/a/1/b/2", "/a/:id/b/:no", "no"), "2"),
    "what the first of two alike takes": ("keyGet2", ("/1/2", "/:id/:id", "id"), "1"),
    "a name that is not there": ("keyGet2", ("/a/1", "/a/:id", "no"), ""),
    "a pattern that does not fit": ("keyGet2", ("/b/1", "/a/:id", "id"), ""),
    "what a name in braces takes": ("keyGet3", ("p/proj_1_admin/", "p/proj_{x}_admin/", "x"), "1"),
    "a star alone": ("keyGet2", ("/a", "*", "x"), ""),
    "an expression under a name": ("keyGet2", ("/a", "/(:id", "id"), None),
    "too long for a name": ("keyGet3", ("/a", "/" + "a" * 9_000, "id"), None),
    "an unpaired surrogate in what is taken": ("keyGet2", ("/a/\ud800", "/a/:id", "id"), "\ud800"),
    "a time between": ("timeMatch", ("2026-07-01 11:59:59", "2026-07-01 12:00:01"), True),
    "the beginning is not between": ("timeMatch", ("2026-07-01 12:00:00", "_"), False),
    "nor is the end": ("timeMatch", ("_", "2026-07-01 12:00:00"), False),
    "a time before": ("timeMatch", ("2026-07-01 12:00:01", "_"), False),
    "a time after": ("timeMatch", ("_", "2026-07-01 11:00:00"), False),
    "no bounds": ("timeMatch", ("_", "_"), True),
    "a short way of writing": ("timeMatch", ("2026-7-1 9:0:0", "_"), True),
    "a date alone": ("timeMatch", ("2026-07-01", "_"), None),
    "a bad end after a good beginning": ("timeMatch", ("2027-01-01 00:00:00", "soon"), None),
    "a day that is none": ("timeMatch", ("2026-02-30 00:00:00", "_"), None),
    "the year nought": ("timeMatch", ("0000-01-01 00:00:00", "_"), None),
    "digits of another script": ("timeMatch", ("\u0662026-01-01 00:00:00", "_"), None),
    "an empty bound": ("timeMatch", ("", "_"), None),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_function_gives(case: str) -> None:
    function, arguments, expected = CALLS[case]
    assert call(function, arguments, mode="compat", now=NOW) == expected


def test_strict_has_no_value_for_a_trap() -> None:
    assert call("keyMatch2", ("/a.b", "/a.b"), mode="compat", now=NOW) is True
    assert call("keyMatch2", ("/a.b", "/a.b"), mode="strict", now=NOW) is None
    assert call("keyGet2", ("/1", "/:a.b", "a.b"), mode="compat", now=NOW) == "1"
    assert call("keyGet2", ("/1", "/:a.b", "a.b"), mode="strict", now=NOW) is None


# ---------------------------------------------------------------- laws

HOSTILE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=3)
    | st.lists(st.text(max_size=2), max_size=2)
)
TEXT = st.text(st.sampled_from("ab/:{}*?.[](|)^$\\-+,1 \n\ud800é"), max_size=12)
FUNCTIONS: st.SearchStrategy[FunctionName] = st.sampled_from(list(ARITY))
MODES: st.SearchStrategy[Mode] = st.sampled_from(["strict", "compat"])


@given(FUNCTIONS, st.lists(TEXT | HOSTILE, max_size=4), MODES, st.integers(-(10**18), 10**18), TEXT)
def test_any_values_have_an_answer(
    function: FunctionName, arguments: list[object], mode: Mode, now_ms: int, zone: str
) -> None:
    """Nothing raises; what is no string, and a wrong number, has no value; `keyGet` ones give texts, others truths."""
    got = call(function, arguments, mode=mode, now=LocalTime.of(now_ms, zone))
    if len(arguments) != ARITY[function] or not all(isinstance(each, str) for each in arguments):
        assert got is None
    assert got is None or isinstance(got, str if function.startswith("keyGet") else bool)


@given(FUNCTIONS, TEXT, TEXT, MODES)
def test_a_pattern_known_beforehand_says_the_same(function: FunctionName, name: str, text: str, mode: Mode) -> None:
    """call(f, (name, text)) = pattern(f, text).fits(name), None for a trap, and for names of `open_names`."""
    if is_left_open(function, name):
        assert call(function, (name, text), mode=mode, now=NOW) is None
    elif ARITY[function] == 2 and function not in {"keyGet", "timeMatch"}:
        read = pattern(function, text, mode=mode)
        known = read.fits(name) if isinstance(read, Pattern) else None
        assert call(function, (name, text), mode=mode, now=NOW) is known


GETS: dict[FunctionName, Callable[..., str]] = {"keyGet2": theirs.key_get2, "keyGet3": theirs.key_get3}


GET_SEGMENTS = {
    "keyGet2": ("a", "1", ":b", ":a", "a:b", "*", "(a)", "(c)?:b", "a.b", ":b|a"),
    "keyGet3": ("a", "1", "{b}", "{a}", "a{b}", "{b}{a}", "*", "(a)", "(c)?{b}", "a.b", "{b}|a"),
}


@pytest.mark.parametrize("function", GETS)
def test_wildcards_take_what_they_take_in_pycasbin(function: FunctionName) -> None:
    """Of 4,000 patterns, those that pycasbin reads: the same text for the same name, groups of the pattern included."""
    random = Random(7)
    taken = 0
    for _ in range(4_000):
        text = "/".join(("", *random.choices(GET_SEGMENTS[function], k=random.randint(1, 3))))
        name = "/".join(("", *random.choices(("a", "1", "aa", "a1", "axb"), k=text.count("/"))))
        they = _they_get(function, name, text)
        if they is not None:
            we = call(function, (name, text, "b"), mode="compat", now=NOW)
            assert we == they, (name, text)
            taken += bool(we)
    assert taken > 400


def _they_get(function: FunctionName, name: str, text: str) -> str | None:
    """What pycasbin answers of the wildcard `b`; None where it raises, or gives nothing."""
    try:
        return GETS[function](name, text, "b")
    except Exception:  # noqa: BLE001 - whatever it raises, it has no answer
        return None


def test_what_is_remembered_is_bounded() -> None:
    for number in range(1_000):
        call("regexMatch", ("a", f"a{number}"), mode="compat", now=NOW)
        call("keyGet2", ("/a", f"/:a{number}", "a"), mode="compat", now=NOW)
    for remembered in (key_functions._remembered, key_functions._parts):
        kept = remembered.cache_info()
        assert 0 < kept.currsize <= (kept.maxsize or 0) <= 256


# ---------------------------------------------------------------- clocks


def test_the_clock_is_that_of_the_zone() -> None:
    """Noon in UTC is 14 o'clock in Berlin in summer, 21 o'clock in Tokyo."""
    for zone, hour in {"UTC": 12, "Europe/Berlin": 14, "Asia/Tokyo": 21}.items():
        clock = LocalTime.of(NOON, zone)
        assert clock.between(f"2026-07-01 {hour - 1}:59:59", f"2026-07-01 {hour}:00:01") is True


def test_both_passes_of_an_hour_are_the_same_times() -> None:
    """In Berlin the clock showed 2:30 twice on 2026-10-25, an hour apart."""
    first = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()) * 1_000
    bounds = ("2026-10-25 02:29:59", "2026-10-25 02:30:01")
    assert LocalTime.of(first, "Europe/Berlin").between(*bounds) is True
    assert LocalTime.of(first + 3_600_000, "Europe/Berlin").between(*bounds) is True
    assert LocalTime.of(first + 7_200_000, "Europe/Berlin").between(*bounds) is False


def test_a_millisecond_counts() -> None:
    assert LocalTime.of(NOON + 1, "UTC").between("2026-07-01 12:00:00", "_") is True
    assert LocalTime.of(NOON - 1, "UTC").between("_", "2026-07-01 12:00:00") is True


NO_ZONES = {
    "unknown": "Europe/Atlantis",
    "empty": "",
    "a way out of the folder": "../../etc/passwd",
    "an absolute path": "/etc/passwd",
    "a folder": "Europe",
    "a nought": "UTC\0",
    "an unpaired surrogate": "\ud800",
    "very long": "A" * 10_000,
}


@pytest.mark.parametrize("case", NO_ZONES)
def test_a_zone_that_is_not_known_has_no_clock(case: str) -> None:
    assert not zone_known(NO_ZONES[case])
    assert LocalTime.of(NOON, NO_ZONES[case]).between("_", "_") is None


def test_a_known_zone_is_known() -> None:
    assert zone_known("Europe/Berlin")


@pytest.mark.parametrize("now_ms", [10**17, -(10**17), 2**200])
def test_an_instant_that_no_clock_shows_has_no_value(now_ms: int) -> None:
    assert LocalTime.of(now_ms, "Europe/Berlin").between("_", "_") is None


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)), st.integers(-5, 5), st.integers(-5, 5))  # noqa: DTZ001
def test_bounds_are_compared_as_times(shown: datetime, before: int, after: int) -> None:
    """between(a, b) = a < now < b, to the second in the bounds and the millisecond in the clock."""
    shown = shown.replace(microsecond=shown.microsecond // 1_000 * 1_000)
    start, end = shown + timedelta(seconds=before), shown + timedelta(seconds=after)
    now_ms = (shown.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    texts_of = [f"{each:%Y-%m-%d %H:%M:%S}" for each in (start, end)]
    expected = start.replace(microsecond=0) < shown < end.replace(microsecond=0)
    assert LocalTime.of(now_ms, "UTC").between(*texts_of) is expected


@given(st.from_regex(r"[0-9]{3,5}-[0-9]{1,2}-[0-9]{1,2} {1,2}[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}", fullmatch=True))
def test_a_time_is_read_as_strptime_reads_it(text: str) -> None:
    try:
        datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
        readable = True
    except ValueError:
        readable = False
    assert (NOW.between(text, "_") is not None) is readable
