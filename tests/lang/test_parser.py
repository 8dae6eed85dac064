"""The parser: what it builds, what it refuses whole, and the laws that hold for any bytes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from policy_lang.diagnostics import has_errors
from policy_lang.syntax.grammar import Branch, Token, Tree, accepted, read, spellings
from policy_lang.syntax.parser import MOST_BYTES, Parsed, parse
from policy_lang.syntax.scan import DEEPEST, RESERVED, declares, meant, pieces
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
            rest = [outline(getattr(value, name)) for name in value.__struct_fields__ if name not in ("id", "span")]
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
        elif isinstance(item, Struct):
            stack += [getattr(item, name) for name in item.__struct_fields__]


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
    "a factor within a time": ("factor mfa within 5m", ("HasFactor", "mfa", ("DurationLit", 300_000))),
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


def test_parsing_needs_no_lark() -> None:
    """The tables are made beforehand: neither the time of making them nor Lark is needed where policies are read."""
    code = (
        "import sys; from policy_lang.syntax.parser import parse; "
        "parse('x', b'module m'); sys.exit('lark' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=GOLDEN.parents[1], check=False).returncode == 0


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
    """Those of a usual layout: a declaration begins a line, and nothing else does that looks like one."""
    return [file for file in sorted(GOLDEN.rglob("*.pol")) if file.parent.name != "layout"]


def shape(branch: Branch) -> object:
    """A tree without its places."""
    return str(branch) if isinstance(branch, Token) else (branch.data, [shape(child) for child in branch.children])


@pytest.mark.parametrize("file", policies(), ids=lambda file: file.name)
def test_read_whole_and_read_in_pieces_agree(file: Path) -> None:
    text = file.read_text("utf-8")
    whole = read(text, "start")
    assert isinstance(whole, Tree)
    parts = [read(text[a:b], "part") for a, b in pieces(text)]
    # The piece before the first declaration holds comments alone.
    assert [shape(part) for part in parts if isinstance(part, Tree)] == [shape(part) for part in whole.children]
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
    grammar = files("policy_lang.syntax").joinpath("grammar.lark").read_text("utf-8")
    listed = re.search(r"(?m)^NAME:.*\(\?!\(\?:([a-z_|]+)\)", grammar)
    assert listed is not None
    assert frozenset(listed[1].split("|")) == RESERVED


MEANT = {
    "a letter missing": ("alow", "`allow`"),
    "a letter too many": ("denny", "`deny`"),
    "a letter changed": ("servise", "`service`"),
    "two letters swapped": ("moudle", "`module`"),
    "capitals": ("ALLOW", "`allow`"),
    "another language": ("permit", "`allow`"),
    "another language's word for any rule": ("policy", "`allow`, `deny` or `require`"),
    "two letters off": ("alw", ""),
    "a word of the language": ("role", ""),
    "a name": ("orders", ""),
    "nothing": ("", ""),
    "a word of a megabyte": ("a" * 1_000_000, ""),
}


@pytest.mark.parametrize(("word", "wanted"), MEANT.values(), ids=MEANT.keys())
def test_what_an_opening_word_was_meant_to_be(word: str, wanted: str) -> None:
    assert meant(word) == wanted


def test_a_misspelt_declaration_costs_itself_alone() -> None:
    parsed = parse("x.pol", b"module m\nlabel a\nlabl b\nLabel c\nlabel d")
    assert parsed.module is not None
    assert len(parsed.module.declarations) == 2
    assert [d.span.start for d in parsed.diagnostics] == [17, 24]


def test_a_line_that_continues_an_expression_is_not_cut() -> None:
    text = "module m\ncondition c = a and\nrole b and\nrest and\ntoken.a == b\ncondition d = a = b"
    parsed = parse("x.pol", text.encode())
    assert [d.span.start for d in parsed.diagnostics] == [text.rindex("=")]


def test_what_follows_a_whole_declaration_is_not_blamed_on_it() -> None:
    """The whole stops where the second `module` begins; the piece before it is right."""
    text = "module m\nlabel a\nmodule n\nlabel b"
    assert declares(text, text.index("label"))
    assert not declares(text, text.rindex("module"))
    parsed = parse("x.pol", text.encode())
    assert [(d.span.start, d.message) for d in parsed.diagnostics] == [(17, "`module` is said twice")]
    assert parsed.module is not None
    assert len(parsed.module.declarations) == 2


def test_the_cut_knows_every_word_a_declaration_starts_with() -> None:
    stop = read("", "part")
    assert not isinstance(stop, Tree)
    words = {spellings().get(name, "allow") for name in accepted(stop, "part")} | {"deny", "require"}
    assert {word for word in words if len(list(pieces(f"x\n{word} y"))) == 2} == words


def test_the_whole_language_is_recognised() -> None:
    parsed = parse("x.pol", WHOLE.encode())
    assert parsed.diagnostics == ()


# ---------------------------------------------------------------- laws for any input


def check_laws(data: bytes) -> Parsed:
    """What holds whatever the bytes: see the docstring of `policy_lang/syntax/parser.py`."""
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
    below = [getattr(node, name) for name in node.__struct_fields__] if isinstance(node, And | Or) else []
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
