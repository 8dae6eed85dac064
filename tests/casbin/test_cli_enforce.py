"""`pdp casbin enforce`: requests of a file or of the command line, answered with the row that decided each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Pdp

ENFORCE = ("casbin", "enforce", "model.conf", "policy.csv")

ABAC = """\
[request_definition]
r = sub, obj

[policy_definition]
p = sub_rule, obj

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = eval(p.sub_rule) && r.obj == p.obj
"""


def test_answers_stand_beside_their_requests_and_rows(folder: Path, pdp: Pdp) -> None:
    (folder / "asked.csv").write_text("# who\nalice, /wiki/a, PUT\n\nbob, /wiki/secret/x, GET\nbob, /wiki/a, PUT\n")
    done = pdp(*ENFORCE, "--requests", "asked.csv")
    assert done.code == 1
    assert done.out == (
        "allow  alice, /wiki/a, PUT       editor, /wiki/*, PUT, allow  policy.csv:2\n"
        "deny   bob, /wiki/secret/x, GET  intern, /wiki/secret/:page, GET, deny  policy.csv:3\n"
        "deny   bob, /wiki/a, PUT         no row\n"
    )


def test_answers_for_programs_are_lines_of_json(folder: Path, pdp: Pdp) -> None:
    (folder / "asked.csv").write_text("alice, /wiki/a, PUT\nbob, /wiki/a, PUT\n")
    done = pdp(*ENFORCE, "--requests", "asked.csv", "--json")
    first, second = map(json.loads, done.out.splitlines())
    assert first == {
        "request": ["alice", "/wiki/a", "PUT"],
        "line": 1,
        "allowed": True,
        "vote": "allow",
        "row": {"values": ["editor", "/wiki/*", "PUT", "allow"], "file": "policy.csv", "line": 2},
    }
    assert (second["allowed"], second["vote"], second["row"]) == (False, None, None)


ONE = {
    "allowed": (("alice", "/wiki/a", "PUT"), 0),
    "refused by no row": (("bob", "/wiki/a", "PUT"), 1),
    "refused by a row": (("bob", "/wiki/secret/x", "GET"), 1),
    "nobody": (("", "", ""), 1),
}


@pytest.mark.parametrize("case", ONE)
def test_one_request_ends_as_it_is_answered(folder: Path, pdp: Pdp, case: str) -> None:
    words, code = ONE[case]
    assert pdp(*ENFORCE, "--request", *words).code == code


NO_REQUESTS = {"nothing": "", "blank lines": "\n \n", "comments, as a caller may begin": "#mallory, /wiki/a, PUT\n"}


@pytest.mark.parametrize("verb", ["enforce", "verify"])
@pytest.mark.parametrize("case", NO_REQUESTS)
def test_no_requests_are_no_answer(folder: Path, pdp: Pdp, verb: str, case: str) -> None:
    """Not 0, which says that every request is allowed, or that Casbin answers all of them alike."""
    (folder / "asked.csv").write_text(NO_REQUESTS[case])
    done = pdp("casbin", verb, "model.conf", "policy.csv", "--requests", "asked.csv")
    assert (done.code, done.out) == (2, "")
    assert "asked.csv holds no request" in done.err


def test_an_empty_policy_grants_nothing(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("")
    assert pdp(*ENFORCE, "--request", "", "", "").code == 1


OBJECTS = {
    "old enough": ('{"Age": 19}, data1', 0),
    "too young": ('{"Age": 18}, data1', 1),
    "a text is no age": ('{"Age": "19"}, data1', 1),
    "no age": ('{"Name": "x, y"}, data1', 1),
    "commas within belong to it": ('{"Tags": ["a", "b"], "Age": 30} , data1', 0),
    "another object": ('{"Age": 30}, data2', 1),
}


@pytest.mark.parametrize("case", OBJECTS)
def test_a_value_may_be_a_json_object(folder: Path, pdp: Pdp, case: str) -> None:
    (folder / "model.conf").write_text(ABAC)
    (folder / "policy.csv").write_text("p, r.sub.Age > 18, data1\n")
    line, code = OBJECTS[case]
    (folder / "asked.csv").write_text(f"{line}\n")
    assert pdp(*ENFORCE, "--requests", "asked.csv").code == code


def test_an_object_of_the_command_line(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(ABAC)
    (folder / "policy.csv").write_text("p, r.sub.Age > 18, data1\n")
    assert pdp(*ENFORCE, "--request", '{"Age": 19}', "data1").code == 0


BAD_LINES = {
    "too few values": "alice, /x",
    "too many values": "alice, /x, GET, allow",
    "a type, as in a policy": "p, alice, /x, GET",
    "no JSON": "{sub}, /x, GET",
    "JSON with something behind it": '{"a": 1} x, /x, GET',
    "JSON without an end": '{"a": [1, 2, /x, GET',
    "a deep one": '{"a":' * 50_000 + "1" + "}" * 50_000 + ", /x, GET",
    "a word that JSON has not": '{"Age": NaN}, /x, GET',
    "a number without end": '{"Age": 1e999}, /x, GET',
    "a stray bracket": "alice), /x, GET",
    "an open bracket": "(alice, /x, GET",
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_line_that_is_no_request_is_named(folder: Path, pdp: Pdp, case: str) -> None:
    (folder / "asked.csv").write_text(f"alice, /wiki/a, PUT\n{BAD_LINES[case]}\n")
    done = pdp(*ENFORCE, "--requests", "asked.csv")
    assert done.code == 2
    assert "asked.csv:2" in done.err
    assert "I413" in done.err
    assert done.out == ""


BAD_WORDS = {
    "neither a file nor a request": (),
    "both": ("--requests", "x", "--request", "a"),
    "values without the word": ("alice", "/x", "GET"),
    "the word without values": ("--request",),
    "a value too few": ("--request", "alice", "/x"),
    "no JSON": ("--request", "{", "/x", "GET"),
    "a file that is not there": ("--requests", "none.csv"),
}


@pytest.mark.parametrize("case", BAD_WORDS)
def test_words_that_ask_nothing_end_2(folder: Path, pdp: Pdp, case: str) -> None:
    assert pdp(*ENFORCE, *BAD_WORDS[case]).code == 2


def test_a_model_that_is_refused_answers_nothing(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("p, alice, /x, GET, Allow\n")
    refused = pdp(*ENFORCE, "--request", "alice", "/x", "GET")
    assert (refused.code, refused.out) == (2, "")
    assert "error[E607]" in refused.err
    assert "--mode compat" in refused.err
    compat = pdp(*ENFORCE, "--mode", "compat", "--request", "alice", "/x", "GET")
    assert compat.code == 1
    assert "1 warning; `pdp casbin check` shows them" in compat.err
