"""Which targets of one `on` a `tagged` is said of, and that it is refused where that can be read in two ways.

The text that a person reads is tests/golden/rendered/E406.txt; the other clauses are tests/golden/check/rules.chunks.
"""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError

HEAD = """module m
label l, k
token user { issuer "https://id.example" claim sub: string }
service s { audience "s" host "s.example" endpoint one GET /one tagged l endpoint two GET /two }
service t { audience "t" host "t.example" endpoint one GET /one tagged l, k endpoint two GET /two }
"""

UNCLEAR = {
    "behind a service": "s, t tagged l",
    "behind an endpoint": "s.two, t tagged l",
    "behind a pattern": "s GET /**, t tagged l",
    "behind everything": "any endpoint, t tagged l",
    "of everything": "s, any endpoint tagged l",
    "between others": "t tagged l, s, t tagged k",
    "far behind": "s, t.one tagged l, t.two tagged k",
    "with two labels": "s, t tagged l and k",
}
CLEAR = {
    "one target": ("t tagged l", {"t.one"}),
    "the tagged one first": ("t tagged l, s", {"t.one", "s.one", "s.two"}),
    "each its own": ("s tagged l, t tagged k", {"s.one", "t.one"}),
    "none": ("s, t", {"s.one", "s.two", "t.one", "t.two"}),
}


@pytest.mark.parametrize("word", ["deny r on", 'prove "p" never allow on'])
@pytest.mark.parametrize("case", UNCLEAR)
def test_a_label_that_may_be_said_of_two_targets_is_refused(case: str, word: str) -> None:
    because = 'because "-"' if word.startswith("deny") else ""
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": f"{HEAD}{word} {UNCLEAR[case]} {because}".encode()})
    assert [each.code for each in refused.value.diagnostics] == ["E406"]


@pytest.mark.parametrize("case", CLEAR)
def test_a_label_narrows_the_target_before_it(case: str) -> None:
    written, reached = CLEAR[case]
    program = compile_policy({"m.pol": f'{HEAD}deny r on {written} because "-"'.encode()}).program
    assert {program.endpoints[cell.endpoint].id for cell in program.cells if cell.deny} == reached


def test_what_is_said_in_place_of_it_compiles() -> None:
    """Both readings that the message writes out are policies."""
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": f'{HEAD}deny r on s.two, t  GET /** tagged l or k because "-"'.encode()})
    (mistake,) = refused.value.diagnostics
    (told,) = mistake.helps
    readings = [part for part in told.split("`") if part.startswith("on ")]
    assert readings == ["on t GET /** tagged l or k, s.two", "on s.two tagged l or k, t GET /** tagged l or k"]
    for reading in readings:
        compile_policy({"m.pol": f'{HEAD}deny r {reading} because "-"'.encode()})
