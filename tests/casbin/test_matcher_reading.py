"""Matchers are read as Python reads what Casbin makes of them, or refused: the trees of both, compared."""

from __future__ import annotations

import ast
import re
import warnings
from typing import assert_never

from casbin.core_enforcer import CoreEnforcer
from casbin.util import util
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lang.casbin.conf import Text
from policy_lang.casbin.definitions import Sections, read_model
from policy_lang.casbin.matcher import resolved
from policy_lang.casbin.matcher_syntax import (
    Call,
    Compared,
    Joined,
    Listing,
    Literally,
    Minus,
    Name,
    Negation,
    Operation,
    Part,
    Syntax,
)
from policy_lang.casbin.matcher_text import Parsed, parse_matcher
from policy_lang.diagnostics import has_errors
from policy_lang.ir.tables import Mode
from policy_lang.source import Source

HEAD = """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = """

Tree = tuple[object, ...]
_SIGNS: dict[type[ast.AST], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in",
    ast.NotIn: "not in", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%", ast.And: "and",
    ast.Or: "or",
}  # fmt: skip


def ours(node: Syntax) -> Tree:
    match node:
        case Name(name):
            return ("name", name)
        case Part(Name(root), name, False) if re.fullmatch(r"[rp]\d*", root):
            return ("name", f"{root}_{name}")
        case Part(of, name, by_item):
            return ("item" if by_item else "part", ours(of), name)
        case Literally(value):
            return ("value", type(value).__name__, value)
        case Listing(parts):
            return ("list", *map(ours, parts))
        case Negation(of):
            return ("not", ours(of))
        case Minus(of):
            return ("minus", ours(of))
        case Joined(op, parts):
            return (op, *map(ours, parts))
        case Compared(first, rest):
            return ("compared", ours(first), *((op, ours(each)) for op, each in rest))
        case Operation(op, left, right):
            return (op, ours(left), ours(right))
        case Call(function, arguments):
            return ("call", ours(function), *map(ours, arguments))
        case _:
            assert_never(node)


def theirs(node: ast.AST) -> Tree:
    match node:
        case ast.Name("true" | "false" as word):
            return ("value", "bool", word == "true")
        case ast.Name(name):
            return ("name", name)
        case ast.Attribute(of, name):
            return ("part", theirs(of), name)
        case ast.Subscript(of, ast.Constant(str(name))):
            return ("item", theirs(of), name)
        case ast.Constant(value):
            return ("value", type(value).__name__, value)
        case ast.Tuple(parts) | ast.List(parts):
            return ("list", *map(theirs, parts))
        case ast.UnaryOp(ast.Not(), of):
            return ("not", theirs(of))
        case ast.UnaryOp(ast.USub(), of):
            return ("minus", theirs(of))
        case ast.BoolOp(op, values):
            return (_SIGNS[type(op)], *map(theirs, values))
        case ast.Compare(first, ops, rest):
            pairs = zip(ops, rest, strict=True)
            return ("compared", theirs(first), *((_SIGNS[type(op)], theirs(each)) for op, each in pairs))
        case ast.BinOp(left, op, right):
            return (_SIGNS[type(op)], theirs(left), theirs(right))
        case ast.Call(function, arguments, []):
            return ("call", theirs(function), *map(theirs, arguments))
        case _:
            raise SyntaxError(f"a matcher has no {type(node).__name__}")


def python_reads(matcher: str) -> Tree | None:
    """The tree of what Casbin hands to Python; None where Python cannot read it, or it is no form of a matcher."""
    text = util.remove_comments(util.escape_assertion(matcher))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return theirs(CoreEnforcer._get_expression(text, {}).ast_parsed_value)
        except (SyntaxError, ValueError, AttributeError, IndexError):
            return None


def parsed(matcher: str, mode: Mode = "compat") -> Parsed:
    return parse_matcher(Text("model.conf", matcher, ((0, 0),)), mode=mode)


_LEAVES = st.sampled_from([
    "r.sub", "p.sub", "r.obj", "p.obj", "r.sub.Age", 'r.sub["a b"]', "r.sub.a.b", "1", "2.5", "0", "'a'", '"b"',
    "''", "'it\"s'", r"'\\'", r"'\d'", "'a && b'", "'a||b'", "'x!'", "'!='", "'/p.x'", "'/r.x'", "true", "True",
    "False", "mine", "'größe'",
])  # fmt: skip


def _composed(of: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joint = st.sampled_from([
        " && ", " || ", " and ", " or ", " == ", " != ", " < ", "<=", ">", ">= ", " in ", " not in ", "+", " - ", "*",
        "/", "%", "==",
    ])  # fmt: skip
    return st.one_of(
        st.tuples(of, joint, of).map("".join),
        of.map("({})".format),
        of.map("!{}".format),
        of.map("not {}".format),
        of.map("-{}".format),
        st.tuples(st.sampled_from(["g", "keyMatch", "f"]), st.lists(of, max_size=3)).map(
            lambda call: f"{call[0]}({', '.join(call[1])})"
        ),
        st.lists(of, max_size=3).map(lambda parts: f"({', '.join(parts)},)" if parts else "()"),
        st.lists(of, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    )


EXPRESSIONS = st.recursive(_LEAVES, _composed, max_leaves=12)
_SOUP = st.lists(
    st.sampled_from([
        *("r.sub", "p.sub", "r.", ".x", "g", "f", "1", "0", "2.5", "'a'", '"', "'", "'a&&b'", "true", "not", "in"),
        *("and", "or", "is", "(", ")", "[", "]", ",", " ", " ", " ", "!", "=", "==", "!=", "<", ">", "&&", "||", "&"),
        *("|", "-", "+", "*", "/", "%", "#", "\\", "eval(", "None", "x"),
    ]),
    max_size=14,
).map("".join)  # fmt: skip


_DAMAGED = st.builds(
    lambda text, at, put: text[: at % (len(text) + 1)] + put + text[at % (len(text) + 1) :],
    EXPRESSIONS,
    st.integers(0, 200),
    st.sampled_from(["", " ", "!", "-", "not ", "(", ")", ",", "=", ".x", "['a']", " in ", "#", "'", '"', "\\"]),
)


@settings(max_examples=600)
@given(EXPRESSIONS)
def test_expressions_are_read_as_python_reads_them(text: str) -> None:
    """For all expressions of the grammar: tree(text) in compat = Python's tree of what Casbin makes of text; what is
    refused says so.
    """
    read = parsed(text)
    if read.syntax is None or has_errors(read.diagnostics):
        assert has_errors(read.diagnostics)
        return
    assert ours(read.syntax) == python_reads(text)


@settings(max_examples=600)
@given(st.one_of(_SOUP, _DAMAGED))
def test_soup_is_refused_or_read_as_python_reads_it(text: str) -> None:
    """For all texts: read in compat without an error implies that Python reads the same."""
    read = parsed(text)
    assert (read.syntax is None) <= has_errors(read.diagnostics)
    if read.syntax is not None and not has_errors(read.diagnostics):
        assert ours(read.syntax) == python_reads(text)


@given(EXPRESSIONS)
def test_what_strict_takes_compat_takes_as_the_same(text: str) -> None:
    """For all expressions: no error in strict implies none in compat, and the same tree."""
    strict, compat = parsed(text, "strict"), parsed(text)
    if strict.syntax is not None and not has_errors(strict.diagnostics):
        assert compat.diagnostics == ()
        assert compat.syntax == strict.syntax


@given(st.one_of(EXPRESSIONS, _SOUP, _DAMAGED), st.sampled_from(("strict", "compat")))
def test_a_model_with_any_matcher_resolves_or_says_why(text: str, mode: Mode) -> None:
    """For all texts: an expression comes out exactly where there is no error; nothing is raised."""
    model = read_model(Source("model.conf", f"{HEAD}{text}\n"), mode=mode)
    expression, found = resolved(model, Sections(), ("f", "mine"), mode=mode)
    errors = has_errors((*model.diagnostics, *found))
    assert errors if expression is None else not has_errors(found)


def test_python_reads_what_matchers_are_made_of() -> None:
    """The laws above are not about refusals alone."""
    read = [
        python_reads(text) is not None for text in ("r.sub == p.sub", "!g(r.sub, p.sub) && 1 < 2 < 3", "(1,) in [2]")
    ]
    assert read == [True, True, True]
