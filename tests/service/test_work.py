"""How much there is to trace: rules, clauses, conditions and the members of sets, and counting that itself ends."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pdp.runtime.work import MEMBERS_A_STEP, MOST_COUNTED, MOST_TRACED, Work
from policy_lang.compile import compile_policy
from policy_lang.ir import Cell, Program
from tests.support.crowded import crowded, repeated

HEAD = """module m
token user {
  issuer "https://id.example"
  claim sub: string
}
service s {
  audience "s"
  host "s.example"
  endpoint a GET /a/{x}
}
"""


def _program(*rules: str) -> Program:
    text = "".join(f'allow r{number} for any user on s.a {rule} because "r"\n' for number, rule in enumerate(rules))
    return compile_policy({"m.pol": (HEAD + text).encode()}).program


def _cell(program: Program, endpoint: str = "s.a") -> Cell:
    return next(each for each in program.cells if program.endpoints[each.endpoint].id == endpoint and each.kind)


def _steps(*rules: str) -> int:
    program = _program(*rules)
    return Work(program).of_cell(_cell(program))


MEMBERS = ", ".join(f'"m{number}"' for number in range(400))
GREATER: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "two rules than one": (('when path.x == "a"', 'when path.x == "b"'), ('when path.x == "a"',)),
    "a condition than none": (('when path.x == "a"',), ("",)),
    "two conditions than one": (('when path.x == "a" and token.sub == "b"',), ('when path.x == "a"',)),
    "two clauses than one": (('when path.x == "a" unless token.sub == "b"',), ('when path.x == "a"',)),
    "a set than a value": ((f"when path.x in [{MEMBERS}]",), ('when path.x == "a"',)),
}


@pytest.mark.parametrize("sentence", GREATER)
def test_there_is_more_to_trace_in(sentence: str) -> None:
    greater, less = GREATER[sentence]
    assert _steps(*greater) > _steps(*less)


def test_the_members_of_a_set_count() -> None:
    assert _steps(f"when path.x in [{MEMBERS}]") - _steps('when path.x in ["a", "b"]') == 400 // MEMBERS_A_STEP


def test_an_empty_cell_takes_no_steps() -> None:
    program = _program("")
    assert Work(program).of_cell(Cell(0, "user", (), (), (), ())) == 0


def test_of_a_cell_without_end_it_is_known_that_it_is_too_large() -> None:
    program = repeated(compile_policy({"m.pol": crowded(100)}).program, 50)
    counted = Work(program).of_cell(_cell(program, "s.crowd"))
    assert MOST_TRACED < MOST_COUNTED < counted < MOST_COUNTED + 100
