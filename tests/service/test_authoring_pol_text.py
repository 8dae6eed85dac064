"""Policy text from what strangers wrote: every name, string and comment is the one token it is meant to be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.authoring.model import HttpRoute, Operation, Parameter
from pdp.authoring.pol_text import (
    RESERVED,
    ROOTS,
    Names,
    comment,
    declared_name,
    endpoint_text,
    identifier,
    quoted,
    service_text,
)
from policy_lang.source import Source
from policy_lang.syntax.grammar import Tree, read, token_of
from policy_lang.syntax.literals import unescape
from policy_lang.syntax.scan import hidden_characters
from tests.support.process import ROOT

NAMES = {
    "listLoans": "list_loans",
    "HTTPServer": "http_server",
    "get /users/{id}": "get_users_id",
    "Pet Store": "pet_store",
    "X-Trace-Id": "x_trace_id",
    "größe": "gro_e",
    "été": "ete",
    "2fast": "f2fast",
    "日本": "fallback",
    "": "fallback",
    "__a__": "a",
    "v2Beta1": "v2_beta1",
}


@pytest.mark.parametrize(("text", "name"), NAMES.items(), ids=map(repr, NAMES))
def test_a_name_in_snake_case(text: str, name: str) -> None:
    assert identifier(text, "fallback") == name


def test_the_reserved_words_are_those_of_the_grammar() -> None:
    grammar = (ROOT / "policy_lang" / "syntax" / "grammar.lark").read_text()
    found = re.search(r"^NAME:\s+/\(\?!\(\?:([a-z_|]+)\)", grammar, re.MULTILINE)
    assert found is not None
    assert set(found[1].split("|")) == RESERVED


@pytest.mark.parametrize("word", sorted(RESERVED | ROOTS))
def test_a_reserved_word_is_no_name(word: str) -> None:
    assert declared_name(word, "x", "endpoint") == f"{word}_endpoint"


@given(st.text(max_size=300))
def test_any_text_gives_a_name_that_can_be_declared(text: str) -> None:
    tree = read(f"label {declared_name(text, 'tag', 'tag')}", "part")
    assert isinstance(tree, Tree)


@given(st.text(max_size=300))
def test_any_text_is_a_string_of_that_value(text: str) -> None:
    token = quoted(text)
    assert unescape(token) == re.sub("[\ud800-\udfff]", "\ufffd", text)
    source = Source("x", f"language 1\nmodule m\nworkload w = {token}")
    assert isinstance(read(source.text, "start"), Tree)
    assert hidden_characters(source) == ()


@given(st.text(max_size=1000))
def test_any_text_is_a_comment_of_one_line(text: str) -> None:
    line = comment(text)
    assert line.startswith("#")
    assert len(line) < 110
    source = Source("x", f"module m\n{line}\nlabel a")
    tree = read(source.text, "start")
    assert isinstance(tree, Tree)
    assert len(tree.children) == 2
    assert hidden_characters(source) == ()


def test_names_that_thousands_want_are_numbered_in_linear_time() -> None:
    names = Names(["a", "a_3"])
    assert [names.take("a") for _ in range(3)] == ["a_2", "a_4", "a_5"]
    crowd = Names()
    assert len({crowd.take("same") for _ in range(50_000)}) == 50_000


@given(
    summary=st.text(max_size=80),
    scope=st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20),
    source=st.text(min_size=1, max_size=30),
)
def test_an_endpoint_is_read_as_one_closed_endpoint(summary: str, scope: str, source: str) -> None:
    operation = Operation(
        name="read_it",
        route=HttpRoute("GET", "/a/{b: uuid}"),
        parameters=(Parameter("query", source, "int 1..5", optional=True),),
        scopes=(scope,),
        tags=("x",),
        comments=(summary,),
        place="#",
    )
    lines = service_text("s", "aud", ["h.example"])
    text = "\n".join(["module m", *lines[:-1], *endpoint_text(operation, "read_it", ("x",)), "}"])
    tree = read(text, "start")
    assert isinstance(tree, Tree)
    service = tree.children[1]
    assert isinstance(service, Tree)
    endpoints = [each for each in service.children if isinstance(each, Tree) and each.data == "endpoint"]
    assert [str(token_of(each.children[0])) for each in endpoints] == ["read_it"]
    kinds = [each.data for each in endpoints[0].children if isinstance(each, Tree)]
    assert kinds == ["http_route", "closed", "scopes", "labels", "query_param"]
