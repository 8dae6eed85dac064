"""The mistakes of the parser, one by one: code, place, and that what was not understood is dropped whole.

What fits on a line of text stands in `tests/golden/check/syntax.chunks`; here is the rest.
"""

from __future__ import annotations

import calendar
import ipaddress
import sys
import unicodedata
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang import addresses
from policy_lang.diagnostics import Diagnostic
from policy_lang.source import Source
from policy_lang.syntax.literals import Misspelt, duration_ms, instant_ms, integer, unescape, units_descend
from policy_lang.syntax.parser import MOST_BYTES, parse
from policy_lang.syntax.scan import hidden_characters
from policy_lang.tree import IpLit, NetworkDecl
from policy_lang.typesystem import INT_MAX, INT_MIN


def only(data: bytes) -> Diagnostic:
    (diagnostic,) = parse("x.pol", data).diagnostics
    return diagnostic


# ---------------------------------------------------------------- bytes and files


NOT_UTF8 = {
    "a lone continuation byte": (b"module m # \x80", 11),
    "an overlong slash": (b"module \xc0\xaf", 7),
    "a surrogate in UTF-8": (b"\xed\xa0\x80", 0),
    "UTF-16 with its mark": ("module m".encode("utf-16"), 0),
    "a character cut short": (b"module m # \xf0\x9f\x98", 11),
}


@pytest.mark.parametrize(("data", "offset"), NOT_UTF8.values(), ids=NOT_UTF8.keys())
def test_not_utf8(data: bytes, offset: int) -> None:
    diagnostic = only(data)
    assert diagnostic.code == "E100"
    assert f"byte {offset} " in diagnostic.message
    assert parse("x.pol", data).module is None


NO_MODULE = {
    "an empty file": b"",
    "a file of a byte order mark": b"\xef\xbb\xbf",
    "blanks": b" \n\t\r\n",
    "comments": b"# module m\n  # more",
    "a pragma alone": b"language 1\n",
    "declarations alone": b"label a\nlabel b\n",
}


@pytest.mark.parametrize("data", NO_MODULE.values(), ids=NO_MODULE.keys())
def test_no_module_line(data: bytes) -> None:
    parsed = parse("x.pol", data)
    assert [d.code for d in parsed.diagnostics] == ["E102"]
    assert parsed.module is None


def test_no_module_line_is_said_beside_other_mistakes() -> None:
    codes = [d.code for d in parse("x.pol", b"label a\nallow\n").diagnostics]
    assert codes == ["E102", "E101"]


def test_a_broken_module_line_is_not_said_to_be_absent() -> None:
    parsed = parse("x.pol", b"module 5\nlabel a\n")
    assert [d.code for d in parsed.diagnostics] == ["E101"]
    assert parsed.module is None


def test_too_large_a_file_is_not_decoded() -> None:
    assert only(b"\xff" * (MOST_BYTES + 1)).code == "E105"


# ---------------------------------------------------------------- characters


HIDDEN = {
    "NUL": "\x00",
    "escape, which starts terminal sequences": "\x1b",
    "backspace": "\b",
    "vertical tab": "\v",
    "form feed": "\f",
    "delete": "\x7f",
    "next line (C1)": "\x85",
    "control sequence introducer (C1)": "\x9b",
    "soft hyphen": "\u00ad",
    "Arabic letter mark": "\u061c",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "left-to-right mark": "\u200e",
    "right-to-left mark": "\u200f",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "left-to-right embedding": "\u202a",
    "right-to-left override": "\u202e",
    "word joiner": "\u2060",
    "left-to-right isolate": "\u2066",
    "pop directional isolate": "\u2069",
    "Hangul filler": "\u3164",
    "byte order mark not at the start": "\ufeff",
    "interlinear annotation anchor": "\ufff9",
    "language tag": "\U000e0041",
    "variation selector of the second kind": "\U000e0100",
    "carriage return before no line feed": "\r",
}
PLACES = {
    "between words": "module{} m",
    "in a comment": "module m # a{}b\n",
    "in a string": 'module m\ncondition c = x == "a{}b"',
    "at the end": "module m\n{}",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("character", HIDDEN.values(), ids=HIDDEN.keys())
def test_hidden_character(character: str, place: str) -> None:
    text = place.format(character)
    diagnostic = only(text.encode())
    assert diagnostic.code == "E103"
    assert f"U+{ord(character):04X} " in diagnostic.message
    assert text[diagnostic.span.start : diagnostic.span.end] == character
    assert parse("x.pol", text.encode()).module is None


@pytest.mark.parametrize("character", ["\t", "\n", "\r\n", "é", "🙂", "\ufe0f", "\u00a0", "字"])
def test_visible_characters_and_line_ends_may_stand_in_a_comment(character: str) -> None:
    assert parse("x.pol", f"module m # a{character}# b".encode()).diagnostics == ()


def test_every_control_and_format_character_of_unicode_is_hidden() -> None:
    known = {"Cc", "Cf", "Zl", "Zp"}
    characters = [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) in known]
    missed = [c for c in characters if c not in "\t\n" and not hidden_characters(Source("x", f"{c} "))]
    assert missed == []


def test_a_run_of_hidden_characters_is_one_mistake() -> None:
    assert [d.code for d in parse("x.pol", b"\0\0\0\0 \0").diagnostics] == ["E103", "E103"]


def test_no_more_hidden_characters_are_listed_than_are_shown() -> None:
    assert len(parse("x.pol", b"\0 " * 500).diagnostics) == 100


# ---------------------------------------------------------------- slips that cannot stand in a chunk


def test_a_string_without_its_closing_quote() -> None:
    text = 'module m\nallow a\n  because "open\ndeny b\n  because "fine"\n'
    parsed = parse("x.pol", text.encode())
    (diagnostic,) = parsed.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E101", "the string does not end on its line")
    assert text[diagnostic.span.start] == '"'
    assert parsed.module is not None
    assert len(parsed.module.declarations) == 1


def test_the_end_of_the_file_is_where_the_text_ends_not_its_comments() -> None:
    text = "module m\ncondition c = a ==  # and then?\n\n"
    assert only(text.encode()).span.start == text.index("==") + 2


def test_a_pasted_novel_is_quoted_briefly() -> None:
    assert len(only(f"module m\n{'x' * 5000}".encode()).message) < 200


def test_only_the_first_brace_too_many_is_reported_and_nothing_is_read() -> None:
    parsed = parse("x.pol", ("module m\n" + "[" * 100 + "]" * 100).encode())
    assert [d.code for d in parsed.diagnostics] == ["E104"]
    assert parsed.diagnostics[0].span.start == len("module m\n") + 64
    assert parsed.module is None


def test_brackets_in_strings_and_comments_do_not_nest() -> None:
    text = "module m # " + "(" * 100 + '\ncondition c = a == "' + "[" * 100 + '"'
    assert parse("x.pol", text.encode()).diagnostics == ()


# ---------------------------------------------------------------- what is dropped whole


DROPPED = {
    "E106 a long string": 'because "' + "x" * 4097 + '"',
    "E107 an integer": "when a == 99999999999999999999",
    "E108 a date": "when a == 2026-02-30",
    "E112 an escape": r'because "\q"',
    "E122 an address": "when a == 1.2.3.256",
    "E122 a range": "when a in 1.2.3.0/33",
    "E107 a status": "must answer 99999999999999999999",
    "E108 the end of an exception": "until 2026-02-30",
    "E112 a header": r'must set header "\q" to token.sub',
    "E104 a chain": "when " + " or ".join(["a"] * 513),
    "E104 a nest": "when " + "not " * 65 + "a",
}


@pytest.mark.parametrize("name", DROPPED)
def test_a_declaration_with_a_mistake_in_it_is_dropped(name: str) -> None:
    parsed = parse("x.pol", f"module m\ndeny x on s {DROPPED[name]}\nlabel after".encode())
    assert [d.code for d in parsed.diagnostics] == [name[:4]]
    assert parsed.module is not None
    assert [type(d).__name__ for d in parsed.module.declarations] == ["LabelDecl"]


SAID_TWICE = {
    "observe until": "observe until 2026-01-01 observe until 2026-01-01",
    "grants by": "grants by m grants by m",
    "query strict": "query strict query strict",
    "closed": "endpoint e GET /a closed closed",
    "optional": "header a: string optional optional",
}


@pytest.mark.parametrize("word", SAID_TWICE)
def test_a_service_that_says_something_twice_is_dropped(word: str) -> None:
    text = f'module m\nservice s {{ audience "a" {SAID_TWICE[word]} }}\nlabel after'
    parsed = parse("x.pol", text.encode())
    assert [(d.code, d.message) for d in parsed.diagnostics] == [("E101", f"`{word}` is said twice")]
    assert parsed.diagnostics[0].span.start > text.index(word)
    assert parsed.module is not None
    assert [type(d).__name__ for d in parsed.module.declarations] == ["LabelDecl"]


def test_what_is_said_three_times_is_reported_twice() -> None:
    parsed = parse("x.pol", b'module m service s { audience "a" query strict query strict query strict }')
    assert [d.code for d in parsed.diagnostics] == ["E101", "E101"]


# ---------------------------------------------------------------- addresses


@given(st.ip_addresses())
def test_addresses_are_kept_in_one_spelling(value: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """parse(a) = parse(exploded(a)) = parse(a in the IPv4 range of IPv6), for every address a."""
    number = int(value) | (0xFFFF << 32 if value.version == 4 else 0)
    for text in (str(value), value.exploded, ipaddress.IPv6Address(number).exploded):
        parsed = parse("x.pol", f"module m network n = {text}".encode())
        assert parsed.diagnostics == ()
        assert parsed.module is not None
        (network,) = parsed.module.declarations
        assert isinstance(network, NetworkDecl)
        (item,) = network.items
        assert isinstance(item, IpLit)
        assert addresses.number(item.address) == number
        assert item.address == addresses.text_of(number)


# ---------------------------------------------------------------- values of literals


@given(st.integers(INT_MIN - 5, INT_MAX + 5))
def test_integers(value: int) -> None:
    """integer(str(n)) = n inside 64 bits, None outside; separators and leading zeros change nothing."""
    wanted = value if INT_MIN <= value <= INT_MAX else None
    assert integer(str(value)) == wanted
    sign, digits = ("-", str(-value)) if value < 0 else ("", str(value))
    assert integer(f"{sign}0_0{digits}") == wanted


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 9999))
def test_durations(days: int, hours: int, minutes: int, seconds: int, rest: int) -> None:
    """A duration is the sum of its parts, in milliseconds."""
    text = f"{days}d{hours}h{minutes}m{seconds}s{rest}ms"
    assert units_descend(text)
    assert duration_ms(text) == (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + rest


@given(st.datetimes())
def test_instants(at: datetime) -> None:
    """instant(print(t)) is the Unix time of t, whole seconds, as the standard library's calendar module counts it."""
    text = f"{at.year:04}-{at.month:02}-{at.day:02}T{at.hour:02}:{at.minute:02}:{at.second:02}Z"
    assert instant_ms(text) == calendar.timegm(at.timetuple()) * 1000


@given(st.text(st.characters(codec="utf-8"), max_size=50))
def test_strings(value: str) -> None:
    r"""unescape(quote(s)) = s, whichever characters are escaped by number."""
    quoted = "".join(c if c.isalnum() else f"\\u{{{ord(c):x}}}" for c in value)
    assert unescape(f'"{quoted}"') == value


NO_STRINGS = {
    "an unknown escape": (r'"a\qb"', (2, 4)),
    "the first surrogate": (r'"\u{D800}"', (1, 9)),
    "the last surrogate": (r'"\u{dfff}"', (1, 9)),
    "past the last character": (r'"\u{110000}"', (1, 11)),
    "a number in the style of JSON": (r'"\u0041"', (1, 3)),
    "an empty number": (r'"\u{}"', (1, 3)),
    "a raw tab": ('"\t"', (1, 2)),
    "the first of several": (r'"\\\q\z"', (3, 5)),
}


@pytest.mark.parametrize(("token", "place"), NO_STRINGS.values(), ids=NO_STRINGS.keys())
def test_bad_string(token: str, place: tuple[int, int]) -> None:
    value = unescape(token)
    assert isinstance(value, Misspelt)
    assert (value.start, value.end) == place


INSTANTS = {
    "the epoch": ("1970-01-01T00:00:00Z", 0),
    "a date is its midnight": ("1970-01-02", 86_400_000),
    "a leap day": ("2024-02-29", 1_709_164_800_000),
    "no leap day": ("2100-02-29", None),
    "a thirteenth month": ("2026-13-01", None),
    "a leap second": ("2016-12-31T23:59:60Z", None),
    "the year nought": ("0000-01-01", None),
    "the first instant": ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    "the last instant": ("9999-12-31T23:59:59Z", 253_402_300_799_000),
}


@pytest.mark.parametrize(("text", "wanted"), INSTANTS.values(), ids=INSTANTS.keys())
def test_instant(text: str, wanted: int | None) -> None:
    assert instant_ms(text) == wanted
