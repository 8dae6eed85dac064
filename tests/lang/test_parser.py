"""The parser: what it builds, what it refuses whole, and the laws that hold for any bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lark import Tree

from policy_lang.diagnostics import has_errors
from policy_lang.grammar import accepted, read, spellings
from policy_lang.parser import MOST_BYTES, Parsed, parse
from policy_lang.scan import DEEPEST, pieces
from policy_lang.slips import RESERVED
from policy_lang.tree import And, Module, Node, Or, Ref, Rule, WhenClause

GOLDEN = Path(__file__).parents[1] / "golden"
WHOLE = (GOLDEN / "check" / "whole_language.pol").read_text("utf-8")
SMALL = """module m
token user {
  issuer "i"
  claim sub: string
}
allow a
  for any user
  on s.e
  when token.sub == path.x and (now - 1m < token.since)
  because "b"
test "t" {
  given token user { sub: "u" }
  call s GET /a expect allow by a
}
"""


def outline(value: object) -> object:
    """A node without ids and places: its class name and fields; names and texts as plain strings."""
    match value:
        case tuple():
            return [outline(item) for item in value]
        case Node():
            rest = [outline(getattr(value, f.name)) for f in fields(value) if f.name not in ("id", "span")]
            kind = type(value).__name__
            return rest[0] if kind in ("Name", "Text") else (kind, *rest)
        case _:
            return value


def nodes(value: object) -> Iterator[Node]:
    """Every node within `value`, itself included."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            yield item
        if isinstance(item, tuple):
            stack += item
        elif is_dataclass(item) and not isinstance(item, type):
            stack += [getattr(item, f.name) for f in fields(item)]


def module_of(text: str) -> Module:
    parsed = parse("x.pol", f"module m\n{text}".encode())
    assert parsed.diagnostics == ()
    assert parsed.module is not None
    return parsed.module


def condition(text: str) -> object:
    (rule,) = module_of(f"deny x on any endpoint when {text}").declarations
    assert isinstance(rule, Rule)
    clause = rule.clauses[1]
    assert isinstance(clause, WhenClause)
    return outline(clause.condition)


def lit(value: int) -> tuple[str, int]:
    return ("IntLit", value)


def word(text: str) -> tuple[str, str, None, None, None]:
    return ("TypeExpr", text, None, None, None)


def ref(*names: str) -> tuple[str, str, list[str]]:
    return ("Ref", names[0], list(names[1:]))


EXPRESSIONS: dict[str, tuple[str, object]] = {
    "a reference": ("token.accounts.x", ref("token", "accounts", "x")),
    "a reserved word after a dot": ("path.role", ref("path", "role")),
    "a name that begins like a reserved word": ("notable and inner", ("And", ref("notable"), ref("inner"))),
    "true and false": ("true == false", ("Compare", "==", ("BoolLit", True), ("BoolLit", False))),
    "an integer with separators": ("a == 1_000", ("Compare", "==", ref("a"), lit(1000))),
    "a negative integer": ("a == -7", ("Compare", "==", ref("a"), lit(-7))),
    "a string with escapes": (r'a == "\"\\\n\u{41}"', ("Compare", "==", ref("a"), ("StringLit", '"\\\nA'))),
    "a duration": ("a < 1d2h3m4s5ms", ("Compare", "<", ref("a"), ("DurationLit", 93_784_005))),
    "a date": ("a > 1970-01-02", ("Compare", ">", ref("a"), ("TimeLit", 86_400_000))),
    "an instant before the epoch": ("a == 1969-12-31T23:59:59Z", ("Compare", "==", ref("a"), ("TimeLit", -1000))),
    "unset": ("a == unset", ("Compare", "==", ref("a"), ("UnsetLit",))),
    "an empty set": ("a in []", ("In", ref("a"), ("SetLit", []), False)),
    "not in": ("a not in [1, 2]", ("In", ref("a"), ("SetLit", [lit(1), lit(2)]), True)),
    "overlaps": ("a overlaps b", ("SetTest", "overlaps", ref("a"), ref("b"))),
    "covers": ("a covers b", ("SetTest", "covers", ref("a"), ref("b"))),
    "like": ('a like "x*"', ("Like", ref("a"), "x*")),
    "has": ("token has sub", ("Has", ref("token"), "sub")),
    "is empty": ("a is empty", ("IsEmpty", ref("a"))),
    "is a kind": ("token is user", ("IsKind", ref("token"), "user")),
    "a call without arguments": ("f()", ("Call", "f", [])),
    "a call with arguments": ("f(a, 1)", ("Call", "f", [ref("a"), lit(1)])),
    "a factor": ("factor mfa", ("HasFactor", "mfa", None)),
    "a factor within a time": ("factor mfa within 5m", ("HasFactor", "mfa", 300_000)),
    "arithmetic goes left to right": (
        "a - b + c == d",
        ("Compare", "==", ("Arithmetic", "+", ("Arithmetic", "-", ref("a"), ref("b")), ref("c")), ref("d")),
    ),
    "and binds closer than or": ("a or b and c", ("Or", ref("a"), ("And", ref("b"), ref("c")))),
    "parentheses turn that round": ("(a or b) and c", ("And", ("Or", ref("a"), ref("b")), ref("c"))),
    "not binds closer than and": ("not a and b", ("And", ("Not", ref("a")), ref("b"))),
    "not takes a whole comparison": ("not a == b", ("Not", ("Compare", "==", ref("a"), ref("b")))),
    "not not": ("not not a", ("Not", ("Not", ref("a")))),
    "every comparison": (
        "a <= b and a >= b and a != b",
        (
            "And",
            ("And", ("Compare", "<=", ref("a"), ref("b")), ("Compare", ">=", ref("a"), ref("b"))),
            ("Compare", "!=", ref("a"), ref("b")),
        ),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_expression(text: str, wanted: object) -> None:
    assert condition(text) == wanted


DECLARATIONS: dict[str, tuple[str, object]] = {
    "labels": ("label a, b", ("LabelDecl", ["a", "b"])),
    "a token kind": (
        (
            'token user { issuer "i" claim sub: string claim g: set of int 0..5 optional private from "a" "b"\n'
            "  factor mfa at token.t when a factor login at token.t }"
        ),
        (
            "TokenDecl",
            "user",
            "i",
            [
                ("Field", "sub", word("string"), False, False, ()),
                (
                    "Field",
                    "g",
                    ("TypeExpr", "set", None, None, ("TypeExpr", "int", 0, 5, None)),
                    True,
                    True,
                    ("a", "b"),
                ),
            ],
            [("FactorDecl", "mfa", ref("token", "t"), ref("a")), ("FactorDecl", "login", ref("token", "t"), None)],
        ),
    ),
    "a relation": ("relation r (a: uuid)", ("RelationDecl", "r", [("Column", "a", word("uuid"))])),
    "a condition without parameters": ("condition c = a", ("ConditionDecl", "c", [], ref("a"))),
    "a condition with parameters": (
        "condition c (x: time, y: duration) = x",
        (
            "ConditionDecl",
            "c",
            [("Column", "x", word("time")), ("Column", "y", word("duration"))],
            ref("x"),
        ),
    ),
    "a service": (
        (
            'service s { audience "a", "b" host "h" host "k"\n'
            '  endpoint e GET | HEAD /x/{y: int}/ scope "r" tagged l scope "w" query q: bool optional }'
        ),
        (
            "ServiceDecl",
            "s",
            ["a", "b"],
            ["h", "k"],
            [
                (
                    "EndpointDecl",
                    "e",
                    ("GET", "HEAD"),
                    "/x/{y: int}/",
                    ["r", "w"],
                    ["l"],
                    [("Field", "q", word("bool"), True, False, ())],
                )
            ],
        ),
    ),
    "a service without audience": ("service s { audience none }", ("ServiceDecl", "s", [], [], [])),
    "a rule without clauses": ("deny x", ("Rule", "deny", "x", [])),
    "every clause": (
        (
            "require x for anyone, any user on any endpoint tagged a, s tagged a or b, s.e tagged a and b,\n"
            "  s GET|PUT /p/**\n"
            '  when a unless b needs factor f within 1m needs factor f needs c else challenge "d"\n'
            '  must log full strict must log normal because "r"'
        ),
        (
            "Rule",
            "require",
            "x",
            [
                ("ForClause", [("Anyone",), ("AnyOfKind", "user")]),
                (
                    "OnClause",
                    [
                        ("Target", ("Everything",), ("TagFilter", ["a"], False)),
                        ("Target", ("OfService", "s"), ("TagFilter", ["a", "b"], False)),
                        ("Target", ("OfEndpoint", "s", "e"), ("TagFilter", ["a", "b"], True)),
                        ("Target", ("OfPattern", "s", ("GET", "PUT"), "/p/**"), None),
                    ],
                ),
                ("WhenClause", ref("a"), False),
                ("WhenClause", ref("b"), True),
                ("NeedsClause", ("FactorNeed", "f", 60_000)),
                ("NeedsClause", ("FactorNeed", "f", None)),
                ("NeedsClause", ("ConditionNeed", ref("c"), "d")),
                ("MustClause", ("LogObligation", "full", "strict")),
                ("MustClause", ("LogObligation", "normal", None)),
                ("BecauseClause", "r"),
            ],
        ),
    ),
    "a test": (
        (
            'test "t" { given token user { sub: "u", at: now - 1m } given anonymous given now 1970-01-01T00:00:01Z\n'
            '  given fact r ("a", 1) call s GET /a?b=c with token.sub = unset with now = 1970-01-01T00:00:00Z\n'
            "    expect allow by m . a, default and log full strict\n"
            "  call s ANY / expect deny call s PUT /a expect step_up mfa by a }"
        ),
        (
            "TestDecl",
            "t",
            [
                (
                    "GivenToken",
                    "user",
                    [["sub", ("StringLit", "u")], ["at", ("Arithmetic", "-", ref("now"), ("DurationLit", 60_000))]],
                ),
                ("GivenAnonymous",),
                ("GivenNow", ("TimeLit", 1000)),
                ("GivenFact", "r", [("StringLit", "a"), lit(1)]),
            ],
            [
                (
                    "Case",
                    "s",
                    "GET",
                    "/a?b=c",
                    [("Override", ref("token", "sub"), ("UnsetLit",)), ("Override", ref("now"), ("TimeLit", 0))],
                    ("Outcome", "allow", None, ["m.a", "default"], ("LogObligation", "full", "strict")),
                ),
                ("Case", "s", "ANY", "/", [], ("Outcome", "deny", None, [], None)),
                ("Case", "s", "PUT", "/a", [], ("Outcome", "step_up", "mfa", ["a"], None)),
            ],
        ),
    ),
    "a test without calls": ('test "t" { }', ("TestDecl", "t", [], [])),
    "a proof keeps its title, whatever it asks": (
        'prove "p" never allow for role a via b on any endpoint unless role c until 2026-01-01',
        ("ProveDecl", "p"),
    ),
}


def normal(value: object) -> object:
    """Tuples as lists, so that the table may write either."""
    return [normal(item) for item in value] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize(("text", "wanted"), DECLARATIONS.values(), ids=DECLARATIONS.keys())
def test_declaration(text: str, wanted: object) -> None:
    (declared,) = module_of(text).declarations
    assert normal(outline(declared)) == normal(wanted)


def test_a_module_without_declarations() -> None:
    assert module_of("").declarations == ()


def test_the_pragma_is_kept() -> None:
    parsed = parse("x.pol", b"language 1\nmodule a . b.token")
    assert parsed.module is not None
    assert (parsed.module.language, parsed.module.name.value) == (1, "a.b.token")


def test_a_byte_order_mark_at_the_start_is_no_character() -> None:
    parsed = parse("x.pol", b"\xef\xbb\xbfmodule m")
    assert parsed.module is not None
    assert parsed.module.name.span.start == 7


def test_crlf_line_ends() -> None:
    parsed = parse("x.pol", SMALL.replace("\n", "\r\n").encode())
    assert parsed.diagnostics == ()
    assert parsed.module is not None
    assert len(parsed.module.declarations) == 3


def test_a_small_policy() -> None:
    parsed = parse("x.pol", SMALL.encode())
    assert parsed.diagnostics == ()
    assert parsed.module is not None
    assert [type(d).__name__ for d in parsed.module.declarations] == ["TokenDecl", "Rule", "TestDecl"]


SPANS = {
    "a rule covers all of it": (Rule, SMALL[SMALL.index("allow a") : SMALL.index("\ntest")]),
    "a chain leaves no operand out": (And, "token.sub == path.x and (now - 1m < token.since)"),
    "a clause begins at its word": (WhenClause, "when token.sub == path.x and (now - 1m < token.since)"),
}


@pytest.mark.parametrize(("kind", "text"), SPANS.values(), ids=SPANS.keys())
def test_span(kind: type[Node], text: str) -> None:
    (node,) = (n for n in nodes(parse("x.pol", SMALL.encode()).module) if isinstance(n, kind))
    assert SMALL[node.span.start : node.span.end] == text


def test_a_chain_that_opens_with_parentheses_covers_them() -> None:
    text = "module m condition c = (a or b) and (d or e)"
    (node,) = (n for n in nodes(parse("x.pol", text.encode()).module) if isinstance(n, And))
    assert text[node.span.start : node.span.end] == "(a or b) and (d or e)"


def test_spans_count_code_points_not_bytes() -> None:
    text = 'module m\nlabel a # äöü 🙂\ncondition c = x == "🙂🙂" and y'
    (node,) = (n for n in nodes(parse("x.pol", text.encode()).module) if isinstance(n, Ref) and n.root.text == "y")
    assert text[node.span.start : node.span.end] == "y"


# ---------------------------------------------------------------- the grammar and the cut


def policies() -> list[Path]:
    return sorted(GOLDEN.rglob("*.pol"))


@pytest.mark.parametrize("file", policies(), ids=lambda file: file.name)
def test_read_whole_and_read_in_pieces_agree(file: Path) -> None:
    text = file.read_text("utf-8")
    whole = read(text, "start")
    assert isinstance(whole, Tree)
    parts = [read(text[a:b], "part") for a, b in pieces(text)]
    # The piece before the first declaration holds comments alone.
    assert [part for part in parts if isinstance(part, Tree)] == whole.children
    assert [text[a:b] for (a, b), part in zip(pieces(text), parts, strict=True) if not isinstance(part, Tree)][1:] == []


@given(st.text(alphabet='allow deny service\n {}()[]"#.x', max_size=200))
@example("")
@example("allow\n  token.x\nallow")
def test_pieces_are_the_whole_text(text: str) -> None:
    """pieces(t) joined = t, and every piece but the first begins with a keyword."""
    cut = [text[a:b] for a, b in pieces(text)]
    assert "".join(cut) == text
    assert all(re.match(r"[ \t]*(allow|deny|service)\b", piece) for piece in cut[1:])


def test_the_reserved_words_are_those_of_the_grammar() -> None:
    grammar = files("policy_lang").joinpath("grammar.lark").read_text("utf-8")
    listed = re.search(r"(?m)^NAME:.*\(\?!\(\?:([a-z_|]+)\)", grammar)
    assert listed is not None
    assert frozenset(listed[1].split("|")) == RESERVED


def test_the_cut_knows_every_word_a_declaration_starts_with() -> None:
    stop = read("", "part")
    assert not isinstance(stop, Tree)
    words = {spellings().get(name, "allow") for name in accepted(stop, "part")} | {"deny", "require"}
    assert {word for word in words if len(list(pieces(f"x\n{word} y"))) == 2} == words


def test_the_whole_language_is_recognised() -> None:
    parsed = parse("x.pol", WHOLE.encode())
    assert {d.code for d in parsed.diagnostics} == {"E190"}


# ---------------------------------------------------------------- laws for any input


def check_laws(data: bytes) -> Parsed:
    """What holds whatever the bytes: see the docstring of `policy_lang/parser.py`."""
    parsed = parse("x.pol", data)
    assert parse("x.pol", data) == parsed
    assert parsed.module is not None or has_errors(parsed.diagnostics)
    for diagnostic in parsed.diagnostics:
        assert diagnostic.span.end <= len(parsed.source.text)
        assert diagnostic.message
        assert not re.search("[A-Z]+_|__ANON", diagnostic.message.replace(parsed.source.text, ""))
    found = list(nodes(parsed.module))
    assert len({node.id for node in found}) == len(found)
    assert all(node.span.end <= len(parsed.source.text) for node in found)
    return parsed


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(b"")
@example(b"\xff")
@example(b"module m\n\x00")
def test_any_bytes_give_a_module_or_an_error(data: bytes) -> None:
    """parse(b) is total and deterministic; no module, then an error; ids unique; spans within the text."""
    check_laws(data)


FRAGMENTS = st.sampled_from(re.findall(r'"[^"]*"|\w+|\S|\n', WHOLE))


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAGMENTS, max_size=40))
def test_any_words_of_the_language_give_a_module_or_an_error(words: list[str]) -> None:
    """The same for what looks like a policy."""
    check_laws(("module m\n" + " ".join(words)).encode())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, 12), st.text(alphabet="ab=(){}\"'.\n;#&!", max_size=3))
def test_a_damaged_policy_is_refused_or_differs_in_nothing_hidden(at: int, length: int, put: str) -> None:
    """A file is accepted by the grammar as a whole, or else has an error: no damage is skipped in silence."""
    text = WHOLE[:at] + put + WHOLE[at + length :]
    parsed = check_laws(text.encode())
    assert isinstance(read(text, "start"), Tree) or has_errors(parsed.diagnostics)


# ---------------------------------------------------------------- hostile sizes


RULE = "module m\ndeny x on any endpoint when "
HOSTILE = {
    "a megabyte of open parentheses": ("module m\n" + "(" * 1_000_000, ["E104"]),
    "parentheses one deeper than allowed": (RULE + "(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1), ["E104"]),
    "braces count too": ("module m\n" + "{" * (DEEPEST + 1), ["E104"]),
    "thirty thousand not": (RULE + "not " * 30_000 + "a", ["E104"]),
    "one not too many": (RULE + "not " * (DEEPEST + 1) + "a", ["E104"]),
    "a chain of 513": (RULE + " and ".join(["a"] * 513), ["E104"]),
    "ten thousand or": (RULE + " or ".join(["a"] * 10_000), ["E104"]),
    "sums one deeper than allowed": (RULE + "now" + " + 1m" * (DEEPEST + 1) + " < now", ["E104"]),
    "not and parentheses and chains together": (RULE + "not (a and b and " * 30 + "c" + ")" * 30, ["E104"]),
    "one byte too many": ("#" * (MOST_BYTES + 1), ["E105"]),
    "a string of a megabyte": (RULE + 'a == "' + "x" * 1_000_000 + '"', ["E106"]),
    "a number of a megabyte": (RULE + "a == " + "9" * 1_000_000, ["E107"]),
    "more broken declarations than anyone reads": ("module m\n" + "allow\n" * 50_000, ["E101"] * 100),
}


@pytest.mark.parametrize(("text", "codes"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile(text: str, codes: list[str]) -> None:
    assert [d.code for d in parse("x.pol", text.encode()).diagnostics] == codes


ALLOWED = {
    "parentheses as deep as allowed": RULE + "(" * DEEPEST + "a" + ")" * DEEPEST,
    "as many not as allowed": RULE + "not " * DEEPEST + "a",
    "a chain of 512": RULE + " and ".join(["a"] * 512),
    "a set of five thousand": RULE + "a in [" + ", ".join(["1"] * 5_000) + "]",
    "a file of the largest size": "module m\n".ljust(MOST_BYTES, "#"),
    "a string of the largest length": RULE + 'a == "' + "\\n" * 4096 + '"',
}


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED.keys())
def test_large_and_legal(text: str) -> None:
    assert parse("x.pol", text.encode()).diagnostics == ()


def height(node: object) -> int:
    below = [getattr(node, f.name) for f in fields(node)] if isinstance(node, And | Or) else []
    return 1 + max((height(child) for child in below if isinstance(child, Node)), default=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 512))
def test_a_chain_is_balanced_and_keeps_its_order(length: int) -> None:
    """height(chain of n) = 1 + ceil(log2 n), and its leaves read left to right are its operands."""
    module = module_of("condition c = " + " or ".join(f"a{i}" for i in range(length)))
    leaves = sorted((n.span.start, n.root.text) for n in nodes(module) if isinstance(n, Ref))
    assert [name for _, name in leaves] == [f"a{i}" for i in range(length)]
    (top,) = (
        n for n in nodes(module) if isinstance(n, Or) and n.span.start == leaves[0][0] and n.span.end >= leaves[-1][0]
    )
    assert height(top) == 1 + (length - 1).bit_length()
