"""Diagnostics: the text and the JSON a person or a program gets, and the catalogue of the parser's mistakes."""

from __future__ import annotations

import inspect
import json
import re
import time
from string import Formatter
from typing import ClassVar

import pytest

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import (
    LONGEST_COMPARED,
    MOST_COMPARED,
    MOST_LOOKED_AT,
    MOST_SHOWN,
    CompileError,
    Diagnostic,
    Label,
    as_json,
    has_errors,
    hint_for,
    nearest,
    ordered,
    render,
)
from policy_lang.mistakes import syntax
from policy_lang.source import Source, Span
from policy_lang.syntax.parser import parse


class Mistake(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E999"
    title: ClassVar[str] = "`{word}` is wrong"
    label: ClassVar[str] = "this one"
    help: ClassVar[str] = "write {{braces}}"

    word: str


class Doubt(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "W999"
    title: ClassVar[str] = "odd"
    severity: ClassVar = "warning"


def mistake(start: int, end: int, word: str = "x", **more: str) -> Mistake:
    return Mistake(span=Span("a.pol", start, end), word=word, **more)  # type: ignore[arg-type]


def rendered(text: str, *diagnostics: Diagnostic) -> str:
    return render(diagnostics, {"a.pol": Source("a.pol", text)})


def test_the_whole_shape() -> None:
    shown = Mistake(
        span=Span("a.pol", 7, 10), word="two", others=(Label(Span("a.pol", 0, 3), "the first"),), hint="or leave it"
    )
    assert rendered("one\n  two\n", shown) == (
        "error[E999]: `two` is wrong\n"
        "  --> a.pol:2:4\n"
        "  |\n"
        "2 |   two\n"
        "  |    ^^ this one\n"
        "  ::: a.pol:1:1\n"
        "  |\n"
        "1 | one\n"
        "  | --- the first\n"
        "   = help: write {braces}\n"
        "   = help: or leave it"
    )


def test_the_shape_of_the_parser_s_own() -> None:
    text = 'module m\ndeny a\n  on s\n  when token.sub = "x"\n'
    parsed = parse("orders.pol", text.encode())
    assert render(parsed.diagnostics, {"orders.pol": parsed.source}) == (
        "error[E101]: `=` is not a comparison\n"
        "  --> orders.pol:4:18\n"
        "  |\n"
        '4 |   when token.sub = "x"\n'
        "  |                  ^ did you mean `==`?"
    )


EXCERPTS = {
    "a tab before the place stays a tab": ("\tab", 1, 2, "1 | \tab\n  | \t^ this one"),
    "an empty span is one mark": ("ab", 1, 1, "1 | ab\n  |  ^ this one"),
    "a span over several lines marks the first": ("ab\ncd", 1, 5, "1 | ab\n  |  ^ this one"),
    "the end of the text": ("ab", 2, 2, "1 | ab\n  |   ^ this one"),
    "an empty text": ("", 0, 0, "1 |\n  | ^ this one"),
    "line ten has a wider gutter": ("\n" * 9 + "x", 9, 10, "10 | x\n   | ^ this one"),
}


@pytest.mark.parametrize(("text", "start", "end", "wanted"), EXCERPTS.values(), ids=EXCERPTS.keys())
def test_excerpt(text: str, start: int, end: int, wanted: str) -> None:
    assert wanted in rendered(text, mistake(start, end))


def test_a_long_line_is_cut_around_the_place() -> None:
    text = rendered("a" * 5000 + "HERE" + "b" * 5000, mistake(5000, 5004))
    excerpt, marks = text.split("\n")[3:5]
    assert len(excerpt) < 200
    assert excerpt[marks.index("^") : marks.rindex("^") + 1] == "HERE"


HOSTILE = {
    "a terminal sequence in the source": ("\x1b[2Jab\u202ecd", "x", "1 | \ufffd[2Jab\ufffdcd"),
    "a carriage return in the source": ("ab\rcd", "x", "1 | ab\ufffdcd"),
    "a terminal sequence in the message": ("ab", "\x1b]0;x\x07", "`\\u{1b}]0;x\\u{7}` is wrong"),
    "a line end in the message": ("ab", "x\nerror[E1]: y", "`x\\u{a}error[E1]: y` is wrong"),
}


@pytest.mark.parametrize(("text", "word", "wanted"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_shown_and_not_obeyed(text: str, word: str, wanted: str) -> None:
    assert wanted in rendered(text, mistake(0, 1, word)).replace(" |\n", " |\n")


def test_hostile_file_names_are_shown_and_not_obeyed() -> None:
    name = "a\x1b[31m\n.pol"
    shown = Mistake(span=Span(name, 0, 1), word="x")
    assert "--> a\\u{1b}[31m\\u{a}.pol:1:1" in render([shown], {name: Source(name, "x")})
    assert "--> a\\u{1b}[31m\\u{a}.pol" in render([shown], {})


def test_braces_of_the_policy_are_no_templates() -> None:
    assert "`{word} {0} {` is wrong" in rendered("x", mistake(0, 1, "{word} {0} {"))


def test_an_unknown_source_is_named_by_its_file() -> None:
    assert render([mistake(0, 1)], {}).split("\n")[1] == "  --> a.pol"


def test_no_more_than_a_hundred_are_shown_and_the_rest_is_counted() -> None:
    text = rendered("x" * 200, *(mistake(i, i + 1) for i in range(MOST_SHOWN + 3)))
    assert text.count("error[E999]") == MOST_SHOWN
    assert text.endswith("\n\n3 more not shown")


def test_nothing_to_show() -> None:
    assert render([], {}) == ""
    assert as_json([], {}) == []


def test_json() -> None:
    shown = Mistake(span=Span("a.pol", 4, 99), word="x", others=(Label(Span("b.pol", 0, 1), "there"),), hint="h")
    made = as_json([shown], {"a.pol": Source("a.pol", "one\ntwo")})
    assert json.loads(json.dumps(made)) == [
        {
            "code": "E999",
            "severity": "error",
            "message": "`x` is wrong",
            "label": "this one",
            "help": ["write {braces}", "h"],
            "note": "",
            "file": "a.pol",
            "line": 2,
            "column": 1,
            "end_line": 2,
            "end_column": 4,
            "others": [{"text": "there", "file": "b.pol"}],
        }
    ]


def test_ordered_sorts_by_place_and_drops_repetitions() -> None:
    first, second, third = mistake(1, 2), mistake(1, 3), mistake(5, 6)
    assert ordered([third, second, first, second]) == (first, second, third)


def test_a_warning_is_no_error() -> None:
    doubt = Doubt(span=Span("a.pol", 0, 0))
    assert not has_errors([])
    assert not has_errors([doubt])
    assert has_errors([doubt, mistake(0, 1)])
    assert rendered("", doubt).startswith("warning[W999]: odd")


def test_nearest() -> None:
    assert nearest("acount", ["account", "order"]) == "did you mean `account`?"
    assert nearest("acount", []) == ""
    assert nearest("zzz", ["account"]) == ""


MANY = [f"condition_number_{n}" for n in range(5 * MOST_COMPARED)]
FAR_FROM_SORTED_NEIGHBOURS = {
    "a letter too many at the end": ("account_holderx", "account_holder"),
    "another first letter": ("bccount_holder", "account_holder"),
    "a letter less in the middle": ("accont_holder", "account_holder"),
    "two letters turned round": ("accoutn_holder", "account_holder"),
}


@pytest.mark.parametrize("case", FAR_FROM_SORTED_NEIGHBOURS)
def test_nearest_among_many(case: str) -> None:
    name, meant = FAR_FROM_SORTED_NEIGHBOURS[case]
    assert nearest(name, [*MANY, meant, *(f"account_{n}" for n in range(MOST_COMPARED // 2))]) == (
        f"did you mean `{meant}`?"
    )


def test_names_too_long_to_compare_get_no_hint() -> None:
    long = "a" * (LONGEST_COMPARED + 1)
    assert nearest(long, [long[1:]]) == ""
    assert nearest(long[1:], [long]) == ""
    assert nearest(long[2:], [long[1:]]) == f"did you mean `{long[1:]}`?"


def test_hints_end_where_mistakes_are_no_longer_shown() -> None:
    errors: list[Diagnostic] = [mistake(i, i + 1) for i in range(MOST_SHOWN - 1)]
    doubts: list[Diagnostic] = [Doubt(span=Span("a.pol", i, i)) for i in range(MOST_SHOWN)]
    assert hint_for("acount", ["account"], [*errors, *doubts]) == "did you mean `account`?"
    assert hint_for("acount", ["account"], [*errors, *doubts, mistake(0, 1)]) == ""


def test_two_thousand_unknown_names_beside_two_thousand_known_take_seconds() -> None:
    count = 2000
    known = "".join(f'condition cond_number_{n} (x: string) = x == "y"\n' for n in range(count))
    rules = "".join(f'deny d{n} on s when cond_nunber_{n}x(request.host) because "-"\n' for n in range(count))
    text = f'module m\n{known}service s {{ audience "s" host "s.example" endpoint e GET / }}\n{rules}'
    started = time.process_time()
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": text.encode()})
    assert [each.code for each in refused.value.diagnostics] == ["E200"] * count
    assert sum(bool(each.hint) for each in refused.value.diagnostics) == MOST_LOOKED_AT // count
    # Two seconds; comparing every name with every other took minutes.
    assert time.process_time() - started < 20


def test_a_compile_error_says_the_first_and_counts_the_others() -> None:
    found = (mistake(4, 5), mistake(5, 6))
    error = CompileError(found, {"a.pol": Source("a.pol", "one\ntwo\n")})
    assert str(error) == "E999 a.pol:2: `x` is wrong; and 1 more"
    assert error.diagnostics == found
    assert str(CompileError(found[:1])) == "E999 a.pol: `x` is wrong"


def test_a_compile_error_says_an_error_and_no_warning_before_it() -> None:
    doubt = Doubt(span=Span("a.pol", 0, 1))
    assert str(CompileError([doubt, mistake(1, 2), doubt])) == "E999 a.pol: `x` is wrong"
    assert str(CompileError([doubt])) == "the policy was refused"
    assert str(CompileError([])) == "the policy was refused"


def test_the_text_of_a_compile_error_is_one_line_for_a_terminal() -> None:
    error = CompileError([mistake(9, 9, "a\nb\x1b[2J")], {"a.pol": Source("a.pol", "x")})
    assert str(error) == "E999 a.pol:1: `a\\u{a}b\\u{1b}[2J` is wrong"


# ---------------------------------------------------------------- the catalogue


CATALOGUE = {
    name: kind
    for name, kind in inspect.getmembers(syntax, inspect.isclass)
    if issubclass(kind, Diagnostic) and kind is not Diagnostic
}


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_templates_name_fields_and_are_worded_as_the_house_words_them(kind: type[Diagnostic]) -> None:
    known = set(kind.__struct_fields__)
    for template in (kind.title, kind.label, kind.help, kind.about):
        assert {name for _, name, _, _ in Formatter().parse(template) if name is not None} <= known
        assert not template.endswith(".")
        assert not re.match(r"[A-Z]", template)
    assert re.fullmatch(r"E1\d\d", kind.code)


def test_classes_that_share_a_code_say_what_it_stands_for() -> None:
    said: dict[str, list[str]] = {}
    for kind in CATALOGUE.values():
        said.setdefault(kind.code, []).append(kind.about)
    shared = {code: set(abouts) for code, abouts in said.items() if len(abouts) > 1}
    assert set(shared) == {"E101", "E104"}
    assert all(len(abouts) == 1 and "" not in abouts for abouts in shared.values())


def test_the_catalogue_is_not_empty() -> None:
    assert len(CATALOGUE) > 10
