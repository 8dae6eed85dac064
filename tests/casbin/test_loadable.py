"""What the front end makes loads again: the invariant of tables holds of every matcher it takes, however deep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang.casbin.parts import all_in, deeper_than, parts_of
from policy_lang.casbin.program import compile_casbin
from policy_lang.diagnostics import CompileError
from policy_lang.ir import codec
from policy_lang.ir.table_validity import DEEPEST, check_table
from policy_lang.ir.tables import Expression, Mode, Table
from tests.casbin.table_draws import EXPRESSIONS
from tests.lang.programs import build

MODEL = """
[request_definition]
r = sub, obj
[policy_definition]
p = sub, obj, rule
[role_definition]
g = _, _
g2 = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = """
FUNCTIONS = {"f": lambda *values: bool(values)}

TRUTHS = ("r.sub == p.sub", "g(r.sub, p.sub)", "g2(r.obj, p.obj, p.sub)", "true", "r.sub in ('a', p.obj)", "f(r.sub)")
WRAPS = (
    "({}) == r.obj == r.sub",
    "!({})",
    "({}) && r.sub == p.sub",
    "({}) || f(r.obj) && ({})",
    "f({})",
    "f(r.sub not in ('a', f({})))",
    "r.sub not in (f({}), r.obj, 1)",
    "f({}) == -(r.sub + 1) * 2",
    "keyMatch(r.sub, keyGet(f({}), p.obj))",
)
MODES: tuple[Mode, ...] = ("strict", "compat")


def table_of(matcher: str, mode: Mode, rule: str = "true") -> Table | None:
    """The table; None where it is refused."""
    policy = f"p, a, b, {rule}\ng, a, b\ng2, a, b, c\n"
    try:
        return compile_casbin(MODEL + matcher, policy, mode=mode, functions=FUNCTIONS).table
    except CompileError as refused:
        assert refused.diagnostics
        return None


def loads(table: Table) -> None:
    check_table(table)
    named = replace(table, id="m.t")
    again = codec.load(codec.dump(replace(build([], [], []), tables=(named,)))).tables
    assert repr(again) == repr((named,))


@given(st.sampled_from(TRUTHS), st.lists(st.sampled_from(WRAPS), max_size=6), st.sampled_from(MODES))
def test_every_matcher_that_is_taken_loads(inner: str, wraps: list[str], mode: Mode) -> None:
    """For all m: compiled(m) is refused, or load(dump(compiled(m))) = compiled(m); the same text in a row."""
    text = inner
    for wrap in wraps:
        text = wrap.replace("{}", text)
    for made in (table_of(text, mode), table_of("eval(p.rule)", mode, text)):
        if made is not None:
            loads(made)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrap", [wrap for wrap in WRAPS if wrap.count("{}") == 1])
def test_the_deepest_matcher_that_is_taken_loads(wrap: str, mode: Mode) -> None:
    """Somewhere between no level and a hundred the front end refuses; what it takes before loads."""
    text, taken = "r.sub == p.sub", 0
    for _ in range(DEEPEST):
        made = table_of(text, mode)
        if made is not None:
            loads(made)
            taken += 1
        text = wrap.replace("{}", text)
    assert taken < DEEPEST
    assert table_of(text, mode) is None
    assert table_of("eval(p.rule)", mode, text) is None


@given(EXPRESSIONS, st.integers(0, 8))
def test_deeper_is_deeper(expression: Expression, most: int) -> None:
    """deeper_than(e, n) <=> depth(e) > n, depth by recursion."""

    def depth(of: Expression) -> int:
        return 1 + max((depth(part) for part in parts_of(of)), default=0)

    assert deeper_than(expression, most) is (depth(expression) > most)
    assert sum(1 for _ in all_in(expression)) >= depth(expression)
