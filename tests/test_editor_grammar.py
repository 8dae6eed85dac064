"""The editor's grammar is the language's: written from its words, and it colours sample lines as it should.

The lines are read as an editor reads them: rule by rule, the earliest match of the first rule that has it. The
expressions must mean the same to Python's `re` as to the editor's Oniguruma, so what the two read differently is
refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_lang.syntax.grammar import spellings
from tools.editor_grammar import TARGET, main, render

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = ROOT / "editors" / "vscode"
GRAMMAR = json.loads(render())
POLICIES = sorted((ROOT / "tests" / "golden" / "layout").glob("*.formatted"))


def test_the_file_is_what_the_tool_writes() -> None:
    assert TARGET.read_text("utf-8") == render()
    assert main(["--check"]) == 0
    assert main(["--no-such-option"]) == 2


def test_the_manifest_names_files_that_are_there() -> None:
    contributes = json.loads((EXTENSION / "package.json").read_text("utf-8"))["contributes"]
    (language,), (grammar,) = contributes["languages"], contributes["grammars"]
    assert (EXTENSION / grammar["path"]).resolve() == TARGET
    assert grammar["scopeName"] == GRAMMAR["scopeName"]
    configuration = json.loads((EXTENSION / language["configuration"]).read_text("utf-8"))
    assert configuration["comments"] == {"lineComment": "#"}
    opens = re.compile(configuration["indentationRules"]["increaseIndentPattern"])
    for line in ("token user {", 'test "a { b" {  # c', "  shadow deny x", "allow y  # z"):
        assert opens.search(line)
    for line in ("  claim sub: string", '  because "{"', "# {", "  call a.b { id: 1 }"):
        assert not opens.search(line)


def _expressions(rules: list[dict[str, Any]]) -> Iterator[str]:
    for rule in rules:
        yield from (rule[key] for key in ("match", "begin", "end") if key in rule)
        yield from _expressions(rule.get("patterns", []))
        for group in rule.get("captures", {}).values():
            yield from _expressions(group.get("patterns", []))


@pytest.mark.parametrize("expression", list(_expressions(GRAMMAR["patterns"])))
def test_each_expression_means_the_same_to_both_engines(expression: str) -> None:
    re.compile(expression)
    assert not re.search(r"&&|\[\[|\[:|\(\?[^:=!<]|\(\?<[^=!]|\\[hHkgGKRXzZQE]|[*+?}]\+", expression)


# ---------------------------------------------------------------- a reader of lines


Rules = list[dict[str, Any]]
Coloured = Iterator[tuple[str, str]]


def scopes(line: str) -> list[tuple[str, str]]:
    """What of a line is coloured: text and scope, left to right, the language's own suffix left out."""
    return list(_coloured(GRAMMAR["patterns"], line, 0, len(line)))


def _first(rules: Rules, line: str, at: int, end: int) -> tuple[dict[str, Any], re.Match[str]] | None:
    found = [
        (match.start(), number, match)
        for number, rule in enumerate(rules)
        if (match := re.compile(rule.get("match") or rule["begin"]).search(line, at, end)) and match[0]
    ]
    if not found:
        return None
    _, number, match = min(found, key=lambda each: each[:2])
    return rules[number], match


def _coloured(rules: Rules, line: str, at: int, end: int) -> Coloured:
    while at < end and (found := _first(rules, line, at, end)):
        rule, match = found
        at = _end(rule, match, line) if "end" in rule else match.end()
        if "name" in rule:
            yield line[match.start() : at], rule["name"].removesuffix(".portcullis")
        if "end" in rule:
            yield from _coloured(rule["patterns"], line, match.end(), at)
        for number, group in rule.get("captures", {}).items():
            yield from _captured(group, match, line, int(number))


def _end(rule: dict[str, Any], begin: re.Match[str], line: str) -> int:
    """Where what `begin` opens ends; what its own rules match cannot end it."""
    at = begin.end()
    while True:
        closing = re.compile(rule["end"]).search(line, at)
        inner = _first(rule["patterns"], line, at, len(line))
        assert closing
        if not inner or closing.start() <= inner[1].start():
            return closing.end()
        at = inner[1].end()


def _captured(group: dict[str, Any], match: re.Match[str], line: str, number: int) -> Coloured:
    if match[number] is not None:
        if "name" in group:
            yield match[number], group["name"].removesuffix(".portcullis")
        yield from _coloured(group.get("patterns", []), line, *match.span(number))


KEYWORD, CLAUSE, FIELD = "keyword.declaration", "keyword.other.clause", "keyword.other.field"
TYPE, NAME, WORD = "storage.type", "entity.name.type", "keyword.operator.word"
STRING, PATH, ADDRESS = "string.quoted.double", "string.unquoted.path", "constant.numeric.address"
RULE, MEMBER, CONSTANT = "entity.name.function.rule", "variable.other.member", "constant.language"

SAMPLES = {
    "a comment swallows all": ('# allow x "y"', [('# allow x "y"', "comment.line.number-sign")]),
    "a comment ends a line": ("label pii  # allow", [("pii", NAME), ("# allow", "comment.line.number-sign")]),
    "a string swallows a comment": ('  because "a # b"', [("because", CLAUSE), ('"a # b"', STRING)]),
    "escapes, right and wrong": (
        r'workload b = "\n\u{e9}\q"',
        [
            (r"\n", "constant.character.escape"),
            (r"\u{e9}", "constant.character.escape"),
            (r"\q", "invalid.illegal.escape"),
        ],
    ),
    "each effect is apart": ("allow a_rule", [("allow", "keyword.control.effect.allow"), ("a_rule", RULE)]),
    "deny too": ("deny a_rule", [("deny", "keyword.control.effect.deny"), ("a_rule", RULE)]),
    "require and shadow": (
        "shadow require a_rule",
        [("shadow", "storage.modifier.shadow"), ("require", "keyword.control.effect.require"), ("a_rule", RULE)],
    ),
    "an expected effect": (
        "  call a GET /x  expect deny by default",
        [("GET", "support.constant.method"), ("expect", CLAUSE), ("deny", "keyword.control.effect.deny")],
    ),
    "a declaration and its name": ("token user {", [("token", KEYWORD), ("user", NAME)]),
    "a module": ("module shop.orders", [("module", KEYWORD), ("shop.orders", "entity.name.namespace")]),
    "roles name what they belong to": (
        "roles for user from none {",
        [("roles", KEYWORD), ("for", CLAUSE), ("none", CONSTANT)],
    ),
    "a claim": (
        "  claim ids: set of uuid optional",
        [
            ("claim", FIELD),
            ("ids", "variable.other.field"),
            ("set", TYPE),
            ("of", TYPE),
            ("uuid", TYPE),
            ("optional", CLAUSE),
        ],
    ),
    "a column of type role": ("relation m (user: string, role: role)", [("m", NAME), ("string", TYPE), ("role", TYPE)]),
    "a path with captures": (
        "  endpoint read  GET | HEAD /a/{id: uuid}/{b}/**?c=d",
        [
            ("endpoint", KEYWORD),
            ("read", NAME),
            ("GET", "support.constant.method"),
            ("|", "keyword.operator"),
            ("HEAD", "support.constant.method"),
            ("/a/{id: uuid}/{b}/**?c=d", PATH),
            ("id", "variable.parameter.capture"),
            ("uuid", TYPE),
            ("b", "variable.parameter.capture"),
            ("**", "keyword.operator.wildcard"),
        ],
    ),
    "a gRPC method": ("  endpoint w  grpc a.v1.B/Watch", [("grpc", "support.constant.method"), ("a.v1.B/Watch", PATH)]),
    "addresses of both kinds": (
        "network n = 10.20.0.0/16, 2001:db8::/32, ::ffff:10.0.0.0/112, ::ffff:10.0.0.1 except 10.0.0.7",
        [
            ("10.20.0.0/16", ADDRESS),
            ("2001:db8::/32", ADDRESS),
            ("::ffff:10.0.0.0/112", ADDRESS),
            ("::ffff:10.0.0.1", ADDRESS),
            ("except", CLAUSE),
            ("10.0.0.7", ADDRESS),
        ],
    ),
    "an address in a record": ("  given request { ip: ::1 }", [("ip", "variable.other.field"), ("::1", ADDRESS)]),
    "times and durations": (
        "  when now - 1h30m < 2026-03-01T12:00:00Z and token.at == 2026-03-01",
        [
            ("1h30m", "constant.numeric.duration"),
            ("2026-03-01T12:00:00Z", "constant.numeric.date"),
            ("and", WORD),
            ("2026-03-01", "constant.numeric.date"),
        ],
    ),
    "bounds of a type": (
        "  query limit: int 1..200 optional",
        [
            ("int", TYPE),
            ("1", "constant.numeric.integer"),
            ("..", "keyword.operator"),
            ("200", "constant.numeric.integer"),
        ],
    ),
    "a name behind a dot is no keyword": (
        "  when token.when",
        [("when", CLAUSE), ("token", "variable.other.object"), ("when", MEMBER)],
    ),
    "a name behind `has` is no keyword": ("  when token has not", [("has", WORD), ("not", MEMBER)]),
    "a digit within a name is no number": ("label a1_2", [("label", KEYWORD), ("a1_2", NAME)]),
    "operators": ("  when a != b or c <= d", [("!=", "keyword.operator.comparison"), ("or", WORD)]),
    "setting a header is no type": (
        '  must set header "x" to a',
        [("must", CLAUSE), ("set", CLAUSE), ("header", FIELD)],
    ),
    "a fixture": (
        "  given token user { sub: true }",
        [("given", CLAUSE), ("token", CLAUSE), ("user", NAME), ("true", CONSTANT)],
    ),
}


@pytest.mark.parametrize(("line", "expected"), SAMPLES.values(), ids=SAMPLES.keys())
def test_colours_sample_lines(line: str, expected: list[tuple[str, str]]) -> None:
    found = scopes(line)
    remaining = iter(found)
    assert all(each in remaining for each in expected), found


@pytest.mark.parametrize("word", sorted(word for word in spellings().values() if word.isidentifier()))
def test_every_word_of_the_language_has_a_colour(word: str) -> None:
    assert [text for text, _ in scopes(f"  {word}")] == [word]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_reads_laid_out_files_without_an_illegal_mark(path: Path) -> None:
    coloured = 0
    for line in path.read_text("utf-8").splitlines():
        found = scopes(line)
        coloured += bool(found)
        assert not [each for each in found if each[1].startswith("invalid")], line
    assert coloured > 50
