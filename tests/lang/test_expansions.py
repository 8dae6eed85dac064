"""A condition stands for what it says, wherever it is used and whoever used it before: for what is written out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from policy_lang import ir
from policy_lang.checking.operands import MOST_NESTED
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.ir.printer import print_atom

HEAD = """module m
enum size = small < large
token user { issuer "https://id.example"
  claim sub: string claim level: int claim groups: set of string claim o: string optional }
token partner { issuer "https://partner.example" claim sub: string claim o: string claim level: int 5..5 }
roles for user from token.groups { role reader role writer includes reader }
relation holds (who: string, as: role)
service s { audience "s" host "s.example"
  endpoint one GET /one/{id} tag own = "a" tag size = small
  endpoint two GET /two/{id: int} tag own = "b" tag size = large
  endpoint three GET /three
}
"""


def guards(program: ir.Program) -> dict[tuple[str, str, str | None], list[str]]:
    """The conditions of every rule, in each of its cells, in full."""
    return {
        (program.rules[each.rule].id, program.endpoints[cell.endpoint].id, cell.kind): [
            guard(program, clause.guard) for clause in program.bodies[each.body].clauses
        ]
        for cell in program.cells
        for each in ir.rules_of(cell)
    }


def guard(program: ir.Program, index: int) -> str:
    match program.guards[index]:
        case ir.Lit(atom, negated):
            return f"{'not ' if negated else ''}{print_atom(program.atoms[atom])}"
        case ir.All(parts) | ir.AnyOf(parts) as whole:
            return f"{type(whole).__name__}({', '.join(guard(program, part) for part in parts)})"


def policy(conditions: str, uses: Sequence[str]) -> bytes:
    rules = "".join(f'deny d{n} for anyone on {use} because "-"\n' for n, use in enumerate(uses))
    return f"{HEAD}{conditions}\n{rules}".encode()


SAME: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "twice in one place": (
        "condition c = token.sub == endpoint.own",
        (
            ("s.one when token has sub and c", "s.one when token has sub and token.sub == endpoint.own"),
            ("s.one when token has sub and not c", "s.one when token has sub and not token.sub == endpoint.own"),
        ),
    ),
    "another tag on each endpoint": (
        'condition c = endpoint.own == "a"',
        (("s.one, s.two when c", 's.one, s.two when endpoint.own == "a"'),),
    ),
    "an input that some endpoints lack": (
        "condition c = path has id",
        (("s when c", "s when path has id"), ("s.three when not c", "s.three when not path has id")),
    ),
    "another caller": (
        "condition c = token is partner or (token has level and token.level > 5)",
        (("s when c", "s when token is partner or (token has level and token.level > 5)"),),
    ),
    "an optional claim of one kind that another always has": (
        "condition c = token has o",
        (("s when c", "s when token has o"),),
    ),
    "another constant": (
        "condition c (x: string) = token has sub and token.sub == x",
        (
            ('s when c("a")', 's when token has sub and token.sub == "a"'),
            ('s when c("b")', 's when token has sub and token.sub == "b"'),
        ),
    ),
    "a tag as an argument": (
        "condition c (x: string) = token has sub and token.sub == x",
        (("s.one, s.two when c(endpoint.own)", "s.one, s.two when token has sub and token.sub == endpoint.own"),),
    ),
    "another role": (
        "condition c (r: role) = token is user and holds(token.sub, r)",
        (
            ("s when c(reader)", "s when token is user and holds(token.sub, reader)"),
            ("s when c(writer)", "s when token is user and holds(token.sub, writer)"),
        ),
    ),
    "a condition of a condition, met alone before": (
        "condition c = token has level and token.level > 5\ncondition d = not c",
        (
            ("s when c", "s when token has level and token.level > 5"),
            ("s when d", "s when not (token has level and token.level > 5)"),
        ),
    ),
    "what another condition proves": (
        'condition c = token has o\ncondition d = c and token.o == "x"',
        (("s when d", 's when token has o and token.o == "x"'),),
    ),
    "what is proved before it": (
        "condition c = token has o and token.o == token.sub",
        (
            ("s when token has o and c", "s when token has o and token has o and token.o == token.sub"),
            ("s when c", "s when token has o and token.o == token.sub"),
        ),
    ),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("backwards", [False, True], ids=["as written", "backwards"])
def test_it_means_what_is_written_out(name: str, *, backwards: bool) -> None:
    conditions, pairs = SAME[name]
    ordered = pairs[::-1] if backwards else pairs
    used = compile_policy({"m.pol": policy(conditions, [use for use, _ in ordered])}).program
    written = compile_policy({"m.pol": policy("", [written for _, written in ordered])}).program
    assert guards(used) == guards(written)


@pytest.mark.parametrize("uses", [(0, 1), (1, 0)], ids=["after one that does", "before one that does"])
def test_what_one_rule_proves_is_not_proved_for_another(uses: tuple[int, int]) -> None:
    conditions = 'condition c = token.o == "x"'
    rules = ("s when token is user and token has o and c", "s when token is user and c")
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": policy(conditions, [rules[use] for use in uses])})
    assert [each.code for each in refused.value.diagnostics] == ["E330"]


def test_a_mistake_that_only_another_caller_shows_is_found_there() -> None:
    conditions = "condition c = token.groups is empty"
    rules = ("s when token is user and c", "s when token is partner and c")
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": policy(conditions, rules)})
    assert [each.code for each in refused.value.diagnostics] == ["E310"]


def chain(length: int) -> str:
    return "condition c0 = token has sub\n" + "".join(f"condition c{n} = c{n - 1}\n" for n in range(1, length))


@pytest.mark.parametrize("before", [0, MOST_NESTED - 1], ids=["met first", "after all it calls"])
def test_conditions_nest_as_deep_wherever_they_were_met(before: int) -> None:
    """A call, what it calls, and so on down to the expression of the first: one level each."""
    deepest = MOST_NESTED - 2
    met = [f"s when c{n}" for n in range(before)]
    compile_policy({"m.pol": policy(chain(deepest + 1), [*met, f"s when c{deepest}"])})
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": policy(chain(deepest + 2), [*met, f"s when c{deepest + 1}"])})
    assert [each.message for each in refused.value.diagnostics] == [
        f"the expression is too large: it nests deeper than {MOST_NESTED}"
    ]
