"""Policies: lines and records to rows and links, where each value stands, and what is no row."""

from __future__ import annotations

import pytest
from casbin.persist.adapter import _extract_tokens
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.casbin.definitions import Model, read_model
from policy_lang.casbin.row_lines import bracketed_values_of, span_of
from policy_lang.casbin.rows import Options, PolicyRows, read_rows, rows_of
from policy_lang.diagnostics import MOST_SHOWN, has_errors
from policy_lang.ir.tables import Mode
from policy_lang.source import Source

MODEL = """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
p2 = sub, eft
[role_definition]
g = _, _
g2 = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
"""
CONDITIONAL = MODEL.replace("g = _, _\ng2 = _, _, _", "g = _, _, (_, _)\ng2 = _, _, _, (_, _)")
COMPAT = Options(mode="compat")


def model(text: str = MODEL) -> Model:
    return read_model(Source("model.conf", text), mode="strict")


def read(text: str, mode: Mode = "strict", of: str = MODEL) -> PolicyRows:
    return read_rows(Source("policy.csv", text), model(of), Options(mode=mode))


def values(rows: PolicyRows, kind: str = "p") -> list[tuple[str, ...]]:
    return [row.values for row in rows.rows[kind]]


def codes(rows: PolicyRows) -> list[str]:
    return [each.code for each in rows.diagnostics]


# ---------------------------------------------------------------- lines

LINES: dict[str, tuple[str, list[tuple[str, ...]]]] = {
    "nothing": ("", []),
    "blank lines and comments alone": ("\n \t \n# p, a, b, c\n  # p, a, b, c\n", []),
    "a row": ("p, alice, data1, read", [("alice", "data1", "read")]),
    "no blanks": ("p,alice,data1,read", [("alice", "data1", "read")]),
    "blanks around everything": ("  p ,\talice , data1,  read \t", [("alice", "data1", "read")]),
    "CRLF": ("p, a, b, c\r\np, d, e, f\r\n", [("a", "b", "c"), ("d", "e", "f")]),
    "an empty value": ("p, a, , c", [("a", "", "c")]),
    "an empty value at the end": ("p, a, b,", [("a", "b", "")]),
    "a comma in parentheses": ("p, f(a, b), c, d", [("f(a, b)", "c", "d")]),
    "a comma in brackets": ("p, [a, b], c, d", [("[a, b]", "c", "d")]),
    "brackets within brackets": ("p, f([a, (b, c)], d), e, f", [("f([a, (b, c)], d)", "e", "f")]),
    "a comment sign within a value": ("p, a#b, # c, d", [("a#b", "# c", "d")]),
    "a byte order mark and a comment": ("\ufeff# c\np, a, b, c", [("a", "b", "c")]),
    "blanks that are not of ASCII": ("p,\u00a0a\u2003,b,c", [("a", "b", "c")]),
    "letters that are not of ASCII": (
        "p, \u00e5se, \u6570\u636e, \U0001f600",
        [("\u00e5se", "\u6570\u636e", "\U0001f600")],
    ),
    "the same row twice": ("p, a, b, c\np, a, b, c", [("a", "b", "c"), ("a", "b", "c")]),
}


@pytest.mark.parametrize("name", LINES)
def test_lines(name: str) -> None:
    text, want = LINES[name]
    rows = read(text)
    assert values(rows) == want
    assert rows.diagnostics == ()


def test_an_empty_policy_has_an_entry_for_each_definition() -> None:
    rows = read("")
    assert rows.rows == {"p": (), "p2": ()}
    assert rows.links == {"g": (), "g2": ()}


def test_rows_know_their_line_and_their_vote() -> None:
    rows = read("# first\np, a, b, c\n\np2, a, deny\r\np2, a, allow")
    assert [(row.line, row.vote) for row in rows.rows["p"]] == [(2, "allow")]
    assert [(row.line, row.vote) for row in rows.rows["p2"]] == [(4, "deny"), (5, "allow")]


def test_links_with_domains_and_conditions() -> None:
    rows = read("g, alice, admin, _, 2030-01-01 00:00:00\ng2, alice, admin, here, _, _", of=CONDITIONAL)
    (plain,), (domain,) = rows.links["g"], rows.links["g2"]
    assert (plain.member, plain.role, plain.domain, plain.line) == ("alice", "admin", "", 1)
    assert plain.condition == ("_", "2030-01-01 00:00:00")
    assert (domain.member, domain.role, domain.domain, domain.condition) == ("alice", "admin", "here", ("_", "_"))


# ---------------------------------------------------------------- mistakes

WRONG: dict[str, tuple[str, list[str], list[str]]] = {
    "one value too few": ("p, a, b", ["E617"], ["E617"]),
    "one value too many": ("p, a, b, c, d", ["E617"], ["E617"]),
    "a type alone": ("p", ["E617"], ["E617"]),
    "a link with one value too few": ("g, a", ["E617"], ["E617"]),
    "a link with a value too many": ("g, a, b, c", ["E617"], ["W617"]),
    "a link without its domain": ("g2, a, b", ["E617"], ["E617"]),
    "no type": (", a, b, c", ["E602"], ["E602"]),
    "a type that the model has not": ("p3, a, b, c", ["E614"], ["W614"]),
    "a type in capitals": ("P, a, b, c", ["E614"], ["W614"]),
    "a section that holds no rows": ("m, a, b, c", ["E614"], ["W614"]),
    "an effect in capitals": ("p2, a, Deny", ["E607"], ["W607"]),
    "no effect": ("p2, a,", ["E607"], ["W607"]),
    "a value in quotation marks": ('p, "a", b, c', ["E615"], ["W615"]),
    "a comma in quotation marks": ('p, "a, b", c', ["E615"], ["W615"]),
    "a quotation mark in a comment": ('# "\np, a, b, c', [], []),
    "a bracket that is not closed": ("p, f(a, b, c", ["E602"], ["E617", "W602"]),
    "a bracket that closes nothing": ("p, a), b, c", ["E602"], ["E602"]),
    "a bracket that closes another": ("p, (a], b, c", ["E602"], ["W602"]),
    "a byte order mark before a row": ("\ufeffp, a, b, c", ["W602"], ["W602"]),
    "a byte order mark further in": ("p, a, b, c\n\ufeffp, a, b, c", ["E602", "E614"], ["W602", "W614"]),
    "a character that has no width": ("p, al\u200bice, b, c", ["E602"], ["W602"]),
    "text that turns around": ("p, a\u202eb, b, c", ["E602"], ["W602"]),
    "a NUL": ("p, a\0, b, c", ["E602"], ["W602"]),
    "a character that cannot be seen in a comment": ("# \u202e\n", ["E602"], ["W602"]),
    "a CR within a line": ("# c\rp, a, b, c", ["E602"], ["W602"]),
    "lines that end in CR alone": ("p, a, b, c\rp, d, e, f\r", ["E602", "E617"], ["E617", "W602"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_row(name: str) -> None:
    text, strict, compat = WRONG[name]
    assert sorted(codes(read(text))) == strict
    assert sorted(codes(read(text, "compat"))) == compat


PASSED: dict[str, tuple[str, list[tuple[str, ...]]]] = {
    "quotation marks are characters": ('p, "a", b", c', [('"a"', 'b"', "c")]),
    "a comma in quotation marks ends the value": ('p, "a, b", c', [('"a', 'b"', "c")]),
    "what follows a bracket that is not closed is one value": ("p, a, b, f(c, d", [("a", "b", "f(c, d")]),
    "any bracket closes any other": ("p, (a, b], c, d", [("(a, b]", "c", "d")]),
    "rows of an unknown type are left out": ("p3, a\np, a, b, c\nP, a", [("a", "b", "c")]),
    "what cannot be seen stays": ("p, a\u200b, b, c", [("a\u200b", "b", "c")]),
}


@pytest.mark.parametrize("name", PASSED)
def test_what_compat_lets_pass(name: str) -> None:
    text, want = PASSED[name]
    rows = read(text, "compat")
    assert values(rows) == want
    assert not has_errors(rows.diagnostics)


def test_compat_keeps_a_row_of_an_unknown_effect_which_says_nothing() -> None:
    assert [row.vote for row in read("p2, a, Deny", "compat").rows["p2"]] == [None]


def test_compat_cuts_links_as_casbin_does() -> None:
    (link,) = read("g, a, b, c, d", "compat").links["g"]
    assert (link.member, link.role, link.domain, link.condition) == ("a", "b", "", ())


HINTS = {
    "an effect in capitals": ("p2, a, DENY", "did you mean `deny`?"),
    "an effect with a letter too many": ("p2, a, allows", "did you mean `allow`?"),
    "a type in capitals": ("P2, a, allow", "did you mean `p2`?"),
    "nothing that is near": ("p2, a, maybe", ""),
}


@pytest.mark.parametrize("name", HINTS)
def test_hints(name: str) -> None:
    text, want = HINTS[name]
    assert [each.hint for each in read(text).diagnostics] == [want]


def test_rows_of_a_model_that_is_refused_are_not_called_undeclared() -> None:
    assert codes(read("p, a\nq, a, b", of="[request_definition]\n")) == []


# ---------------------------------------------------------------- many mistakes


def test_of_many_mistakes_the_first_are_kept_and_the_rest_is_counted() -> None:
    rows = read("p, a\n" * 1000)
    assert len(rows.diagnostics) == MOST_SHOWN
    assert [each.span.start for each in rows.diagnostics[:3]] == [0, 5, 10]
    assert rows.diagnostics[-1].message == "901 more problems in this policy"


def test_an_error_is_not_lost_behind_warnings() -> None:
    rows = read("q, a\n" * 1000 + "p, a\n", "compat")
    assert "E617" in codes(rows)
    assert len(rows.diagnostics) == MOST_SHOWN
    assert has_errors(rows.diagnostics)


def test_warnings_alone_are_counted_as_warnings() -> None:
    rows = read("q, a\n" * 1000, "compat")
    assert not has_errors(rows.diagnostics)
    assert codes(rows)[-1] == "W602"


# ---------------------------------------------------------------- places

_VALUE = st.text(alphabet="ab#\u00e5()[] ", max_size=4).map(str.strip)


@given(st.lists(_VALUE, min_size=1, max_size=5), st.data())
def test_every_value_is_found_where_it_stands(parts: list[str], data: st.DataObject) -> None:
    """text[span_of(line, values, i)] = values[i], blanks or not, whichever line."""
    blanks = st.text(alphabet=" \t\u00a0", max_size=2)
    written = ",".join(data.draw(blanks) + part + data.draw(blanks) for part in ["p", *parts])
    found, _ = bracketed_values_of(written.strip())
    source = Source("p.csv", f"# one\n{written}\n")
    for at, value in enumerate(found):
        span = span_of(source, 2, found, at)
        assert source.text[span.start : span.end] == value


@given(st.text(alphabet="ab, ()[]", max_size=20))
def test_values_are_those_that_casbin_finds(line: str) -> None:
    """values(line) = Casbin's tokens, where Casbin does not fail."""
    line = line.strip()
    ours, wrong = bracketed_values_of(line)
    try:
        theirs = _extract_tokens(line)
    except IndexError:
        assert wrong is not None
        assert wrong.fatal
        return
    assert wrong is None or not wrong.fatal
    assert theirs is None or ours == theirs


def test_a_place_that_is_not_as_said_is_the_whole_line() -> None:
    rows = read("p, a, b, c")
    assert rows.place("p", 1, ("other", "values", "than", "these"), 3) == rows.line_place(1)
    assert rows.place("p", 0, ("a",), 0).end <= len("p, a, b, c")


# ---------------------------------------------------------------- records


def records(*of: tuple[str | None, ...], mode: Mode = "strict") -> PolicyRows:
    return rows_of(of, model(), Options(mode=mode))


RECORDS: dict[str, tuple[tuple[str | None, ...], list[tuple[str, ...]]]] = {
    "NULL ends a record": (("p", "a", "b", "c", None, None, None), [("a", "b", "c")]),
    "an empty string does too": (("p", "a", "b", "c", "", "", ""), [("a", "b", "c")]),
    "an empty last value that is asked for": (("p", "a", "b", ""), [("a", "b", "")]),
    "an empty last value before NULL": (("p", "a", "b", "", None, None), [("a", "b", "")]),
    "nothing but empty values, as many as are asked for": (("p", "", "", ""), [("", "", "")]),
    "an empty value behind NULL": (("p", "a", "b", "c", None, ""), [("a", "b", "c")]),
    "an empty value within a record": (("p", "a", "", "c", None), [("a", "", "c")]),
    "values are trimmed": (("p ", " a", "b ", "\tc"), [("a", "b", "c")]),
    "a comma is a character": (("p", "a,b", "c", "d"), [("a,b", "c", "d")]),
    "brackets are characters": (("p", "a(", "]", "d"), [("a(", "]", "d")]),
    "a comment sign is a character": (("p", "#", "b", "c"), [("#", "b", "c")]),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records(name: str) -> None:
    record, want = RECORDS[name]
    rows = records(record)
    assert values(rows) == want
    assert rows.diagnostics == ()


WRONG_RECORDS: dict[str, tuple[tuple[str | None, ...], list[str]]] = {
    "nothing at all": ((), ["E602"]),
    "NULL alone": ((None, None), ["E602"]),
    "a value after NULL": (("p", "a", None, "c"), ["E602"]),
    "too few": (("p", "a", "b"), ["E617"]),
    "an empty last value, which nobody can tell from none": (("p", "a", "b", "", "", ""), ["E617"]),
    "an empty type": (("", "a", "b", "c"), ["E602"]),
    "empty values alone": (("", "", ""), ["E602"]),
    "a quotation mark": (("p", "a", 'b"', "c"), ["E615"]),
    "a line end in a value": (("p", "a", "b\np, x, y, z", "c"), ["E602"]),
    "a comment": (("# p", "a", "b", "c"), ["E614"]),
}


@pytest.mark.parametrize("name", WRONG_RECORDS)
def test_what_is_no_record(name: str) -> None:
    record, want = WRONG_RECORDS[name]
    assert codes(records(record)) == want


def test_records_have_the_place_of_their_number() -> None:
    rows = records(("p", "a", "b", "c"), ("p", "d", "e"))
    assert [row.line for row in rows.rows["p"]] == [1]
    assert rows.source.position(rows.diagnostics[0].span.start).line == 2
    assert rows.source.line_text(2) == "p, d, e"


def test_what_cannot_be_seen_in_a_record_is_pointed_at() -> None:
    rows = records(("p", "a,b", "c\u200bd", "e"))
    (found,) = rows.diagnostics
    assert rows.source.text[found.span.start : found.span.end] == "\u200b"


def test_no_records_and_too_many() -> None:
    assert records().source.text == ""
    large = rows_of((("p", "x" * 2**20, "b", "c") for _ in range(65)), model())
    assert codes(large) == ["E602"]
    assert values(large) == []


@given(st.lists(st.lists(st.none() | st.text(max_size=3), max_size=8), max_size=5))
def test_any_records_are_read_without_an_exception(of: list[list[str | None]]) -> None:
    """Total; and whatever is taken has as many values as its type has columns."""
    for mode in (Options(), COMPAT):
        rows = rows_of(of, model(), mode)
        assert all(len(row.values) == 3 for row in rows.rows["p"])


@given(st.text(max_size=40) | st.text(alphabet='p2g, ab()[]"\r\n\ufeff#', max_size=60))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    """Total; and whatever is taken has as many values as its type has columns."""
    for mode in ("strict", "compat"):
        rows = read(text, mode)
        assert all(len(row.values) == 2 for row in rows.rows["p2"])
        assert all(0 <= each.span.start <= each.span.end <= len(text) for each in rows.diagnostics)
