"""The canonical layout: golden files that hold every construct, small cases by name, and what is refused."""

from __future__ import annotations

import re
import time
from importlib.resources import files
from pathlib import Path

import pytest

from policy_lang.layout.formatter import formatted
from policy_lang.syntax.grammar import Tree, read
from policy_lang.syntax.parser import MOST_BYTES

GOLDEN = Path(__file__).parents[1] / "golden" / "layout"
ODD = sorted(GOLDEN.glob("*.pol"))

NAMELESS = {
    "call_spec",
    "casbin_item",
    "clause",
    "endpoint_item",
    "field_mod",
    "given",
    "obligation",
    "outcome",
    "subject",
    "tag_filter",
}
"""Rules of the grammar that make no tree of their name, since each of their alternatives has one of its own."""


def laid_out(text: str) -> str:
    result = formatted("x.pol", text.encode())
    assert isinstance(result, str), result
    return result


def refused(data: bytes) -> list[str]:
    result = formatted("x.pol", data)
    assert not isinstance(result, str), result
    return [diagnostic.code for diagnostic in result]


@pytest.mark.parametrize("path", ODD, ids=lambda path: path.stem)
def test_lays_out_as_the_golden_file_says(path: Path, update_golden: bool) -> None:
    golden = path.with_suffix(".formatted")
    result = laid_out(path.read_text("utf-8"))
    if update_golden:
        golden.write_text(result, "utf-8")
    assert result == golden.read_text("utf-8")
    assert laid_out(result) == result


def test_the_golden_files_hold_every_construct_of_the_grammar() -> None:
    rules = files("policy_lang.syntax").joinpath("grammar.lark").read_text("utf-8")
    named = set(re.findall(r"^([a-z][a-z_]*) *:", rules, re.MULTILINE)) | set(re.findall(r"-> ([a-z_]+)", rules))
    seen: set[str] = set()
    for path in ODD:
        tree = read(path.read_text("utf-8"), "start")
        assert isinstance(tree, Tree)
        waiting = [tree]
        while waiting:
            branch = waiting.pop()
            seen.add(str(branch.data))
            waiting += [child for child in branch.children if isinstance(child, Tree)]
    assert named - seen == NAMELESS


ALONE = {
    "a file of one line stays": ("module a\n", "module a\n"),
    "the last line ends with a line end": ("module a", "module a\n"),
    "CRLF becomes LF": ("module a\r\n\r\nlabel b\r\n", "module a\n\nlabel b\n"),
    "a byte order mark goes": ("\ufeffmodule a\n", "module a\n"),
    "blanks at line ends and in indents go": ("\tmodule a \t\n \t \n\n  label b  \n", "module a\n\nlabel b\n"),
    "empty lines at both ends go": ("\n\n\nmodule a\n\n\n", "module a\n"),
    "runs of empty lines fold to one": ("module a\n\n\n\nlabel b\n\n\n\nlabel c", "module a\n\nlabel b\n\nlabel c\n"),
    "short declarations may stand together": ("module a label b label c", "module a\n\nlabel b\nlabel c\n"),
    "an empty line stands between long ones": (
        'module a test "b" { } test "c" { }',
        'module a\n\ntest "b" {}\n\ntest "c" {}\n',
    ),
    "clauses have lines of their own": (
        "module a deny b on c must answer 404",
        "module a\n\ndeny b\n  on c\n  must answer 404\n",
    ),
    "empty lines within a rule go": ("module a\n\ndeny b\n\n  on c\n", "module a\n\ndeny b\n  on c\n"),
    "names that are keywords elsewhere are names": (
        "module a condition b=token.when==path.on and token has for",
        "module a\n\ncondition b = token.when == path.on and token has for\n",
    ),
    "the blanks in a capture are normal": (
        "module a service b { audience none endpoint c GET /x/{d\t:  uuid} }",
        "module a\n\nservice b {\n  audience none\n  endpoint c  GET /x/{d: uuid}\n}\n",
    ),
    "a string keeps all its blanks": ('module a workload b = "  #\tx  "', 'module a\n\nworkload b = "  #\tx  "\n'),
    "no blank joins a call and its bracket, one parts a name declared": (
        "module a relation b(c:int) condition d (e : int)=b (e)or not(e==-1)",
        "module a\n\nrelation b (c: int)\n\ncondition d (e: int) = b(e) or not (e == -1)\n",
    ),
    "a path and the comment behind it stay apart": (
        "module a deny b on c GET /x #y\n",
        "module a\n\ndeny b\n  on c GET /x  #y\n",
    ),
    "a comment alone in a block stays in it": (
        'module a test "b" { # c\n}',
        'module a\n\ntest "b" {  # c\n}\n',
    ),
    "a comment above the first token stays there": ("# a\nmodule a # b\n# c", "# a\nmodule a  # b\n# c\n"),
    "a comment between the last tokens stays there": ("module # a\n# b\na", "module  # a\n    # b\n    a\n"),
}


@pytest.mark.parametrize(("text", "expected"), ALONE.values(), ids=ALONE.keys())
def test_small_cases(text: str, expected: str) -> None:
    assert laid_out(text) == expected
    assert laid_out(expected) == expected


STOPPED = {
    "an empty file": (b"", ["E1"]),
    "a file of comments": (b"# nothing\n", ["E1"]),
    "no module": (b"label a\n", ["E1"]),
    "a slip": (b"module a\nallow b for any user when c = d\n", ["E1"]),
    "a comment that touches a path": (b"module a\ndeny b on c GET /x#y\n", ["E1"]),
    "words that touch": (b"module a\nlabel b2C\n", ["E1"]),
    "bytes that are not UTF-8": (b"module a\xff\n", ["E1"]),
    "a character nobody sees": ("module a # \u202e\n".encode(), ["E103"]),
    "brackets a thousand deep": (b"module a condition b = " + b"(" * 1000 + b"c" + b")" * 1000, ["E104"]),
}


@pytest.mark.parametrize(("data", "codes"), STOPPED.values(), ids=STOPPED.keys())
def test_what_cannot_be_read_is_refused_with_its_mistakes(data: bytes, codes: list[str]) -> None:
    found = refused(data)
    assert [code.startswith(tuple(codes)) for code in found] == [True] * len(found)
    assert found


def test_a_file_over_the_limit_is_refused_by_name() -> None:
    assert refused(b"module a\n" + b"#" * MOST_BYTES) == refused(b"#" * (MOST_BYTES + 1))


def test_a_file_that_would_grow_over_the_limit_is_refused_by_name() -> None:
    rows = "| x GET /y | 1 |\n" * (MOST_BYTES // 80)
    wide = f"| x GET /{'y' * 80} | 1 |"
    text = f'module a test "b" {{ table | call | expect |\n{wide}\n{rows} }}'
    assert len(text) < MOST_BYTES // 2
    assert refused(text.encode()) == refused(b"#" * (MOST_BYTES + 1))


def test_names_that_nobody_declared_stop_nothing() -> None:
    assert laid_out("module a deny b on nowhere.at_all when nothing") == (
        "module a\n\ndeny b\n  on nowhere.at_all\n  when nothing\n"
    )


LONG = {
    "a chain of `and`": "module a condition b = " + " and ".join(["token.sub"] * 4000),
    "a chain of `not`": "module a condition b = " + "not " * 12_000 + "c",
    "one list": "module a label " + ",".join(["b"] * 30_000),
    "one comment a token": "module a\n" + "label # c\n b\n" * 4000,
    "one rule a line": "module a\n" + "deny b on c\n" * 4000,
    "a string of 60,000 characters": f'module a workload b = "{"x" * 60_000}"',
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_long_input_takes_time_linear_in_it(text: str) -> None:
    laid_out("module a")
    before = time.process_time()
    result = laid_out(text)
    assert time.process_time() - before < 6
    assert laid_out(result) == result


def test_no_line_is_longer_than_120_columns_where_it_can_be_broken() -> None:
    names = ", ".join(f"name_number_{i}" for i in range(100))
    for text in (f"module a import b ({names})", f"module a label {names}", f"module a condition b = c in [{names}]"):
        lines = laid_out(text).splitlines()
        assert len(lines) > 10
        assert max(map(len, lines)) <= 120
