"""What the front end makes loads again: the invariant of tables holds of every matcher it takes, however deep."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

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
    """Somewhere between no level and a hundred the front end refuses; what it takes before loads. Tried are the first
    levels, every tenth, and each around the one from which on it refuses.
    """
    texts = list(accumulate(range(DEEPEST), lambda text, _: wrap.replace("{}", text), initial="r.sub == p.sub"))
    refused = bisect_left(range(DEEPEST), True, key=lambda level: table_of(texts[level], mode) is None)
    around = range(max(0, refused - 4), min(DEEPEST, refused + 4))
    for level in sorted({*range(4), *range(0, DEEPEST, 10), *around}):
        made = table_of(texts[level], mode)
        assert (made is None) is (level >= refused), level
        if made is not None:
            loads(made)
    assert 0 < refused < DEEPEST
    text = texts[DEEPEST]
    assert table_of(text, mode) is None
    assert table_of("eval(p.rule)", mode, text) is None


@given(EXPRESSIONS, st.integers(0, 8))
def test_deeper_is_deeper(expression: Expression, most: int) -> None:
    """deeper_than(e, n) <=> depth(e) > n, depth by recursion."""

    def depth(of: Expression) -> int:
        return 1 + max((depth(part) for part in parts_of(of)), default=0)

    assert deeper_than(expression, most) is (depth(expression) > most)
    assert sum(1 for _ in all_in(expression)) >= depth(expression)
