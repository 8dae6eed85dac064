"""From checked rules to cells: the printed IR of whole policies, folding, sharing, and what order cannot change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang import ir, tree
from policy_lang.checking.guards import Every, Formula, Interner, Leaf, Some, every, holds, negate, some
from policy_lang.checking.lower import lower
from policy_lang.checking.policy import CheckedPolicy, check
from policy_lang.checking.rules import CheckedRule
from policy_lang.compile import compile_policy
from policy_lang.declared.inventory import take_inventory
from policy_lang.declared.names import bind_names
from policy_lang.declared.settings import NO_SETTINGS
from policy_lang.diagnostics import Diagnostic
from policy_lang.ir.printer import print_program
from policy_lang.source import Span
from policy_lang.syntax.parser import parse
from tests.lang.guards import guard_text

GOLDEN = Path(__file__).parents[1] / "golden" / "ir"
EXAMPLES = Path(__file__).parents[2] / "policies" / "examples"
POLICIES = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
"""The examples, whose printed programs are reviewed."""


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_example_has_a_printed_program_and_no_other_is_there() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == [path.name for path in POLICIES]


@pytest.mark.parametrize("folder", POLICIES, ids=lambda path: path.name)
def test_the_printed_program(folder: Path, *, update_golden: bool) -> None:
    printed, golden = print_program(compile_policy(files_of(folder)).program), GOLDEN / f"{folder.name}.ir"
    if update_golden:
        golden.write_text(printed, "utf-8")
    assert printed == golden.read_text("utf-8")


# ---------------------------------------------------------------- folding and cells

HEAD = """module m
token user { issuer "https://id.example" claim sub: string claim o: string optional claim at: time
  factor mfa at token.at when token.sub == "x" }
token partner { issuer "https://partner.example" claim sub: string }
relation rows (a: string, n: int)
service s { audience "s" host "s.example" endpoint one GET /one/{a} endpoint two GET /two/{b} }
"""


def program_of(rules: str) -> ir.Program:
    return compile_policy({"m.pol": (HEAD + rules).encode()}).program


def held(program: ir.Program, rule: str) -> dict[tuple[str, str | None], list[str]]:
    """The clauses of a rule by endpoint and kind, each as the text of its guard."""
    found = {}
    for cell in program.cells:
        for each in ir.rules_of(cell):
            if program.rules[each.rule].id == f"m.{rule}":
                where = (program.endpoints[cell.endpoint].id, cell.kind)
                body = program.bodies[each.body]
                found[where] = [guard_text(program, clause.guard) for clause in body.clauses]
                found[where] += [guard_text(program, need.guard) for need in body.needs]
    return found


TRUE, FALSE = "all()", "any()"

FOLDED = {
    "a rule without conditions is in every cell it admits": (
        'deny r on s because "-"',
        {(f"s.{e}", k): [TRUE] for e in ("one", "two") for k in ("partner", "user", None)},
    ),
    "for any KIND is in the cells of that kind": (
        'deny r for any user on s.one because "-"',
        {("s.one", "user"): [TRUE]},
    ),
    "a kind that is another folds the rule away": (
        'deny r on s.one when token is user because "-"',
        {("s.one", "user"): [TRUE, TRUE]},
    ),
    "a capture that is there is true": (
        'deny r for any user on s when path has a and path.a == "x" because "-"',
        {("s.one", "user"): [TRUE, 'path.a == "x"']},
    ),
    "a claim that no such kind has is false": (
        'deny r on s.one unless token has o because "-"',
        {
            ("s.one", "partner"): [TRUE, TRUE],
            ("s.one", "user"): [TRUE, "not token has o"],
            ("s.one", None): [TRUE, TRUE],
        },
    ),
    "a required claim is there": (
        'deny r on s.one when token has sub because "-"',
        {("s.one", "partner"): [TRUE, TRUE], ("s.one", "user"): [TRUE, TRUE]},
    ),
    "an `or` with a constant side": (
        'deny r for any user, any partner on s.one when token is partner or token.sub == "x" because "-"',
        {("s.one", "partner"): [TRUE, TRUE], ("s.one", "user"): [TRUE, 'token.sub == "x"']},
    ),
    "constants are compared": (
        """deny r for any user on s.one when 1 < 2 and "a" in ["a"] and "ab" like "a*"
           unless [] overlaps ["x"] because "-" """,
        {("s.one", "user"): [TRUE, TRUE, TRUE]},
    ),
    "negation goes down to the atoms": (
        'deny r for any user on s.one unless token.sub == "x" and (token has o or token.at < now) because "-"',
        {("s.one", "user"): [TRUE, 'any(not token.sub == "x", all(not token has o, not token.at < now))']},
    ),
    "the other comparisons are these three": (
        'deny r for any user on s.one when token.at > now and token.at >= now and token.sub != "x" because "-"',
        {("s.one", "user"): [TRUE, 'all(now < token.at, now <= token.at, not token.sub == "x")']},
    ),
    "a constant stands right of an equality": (
        'deny r for any user on s.one when "x" == token.sub because "-"',
        {("s.one", "user"): [TRUE, 'token.sub == "x"']},
    ),
    "constant arithmetic is done": (
        'deny r for any user on s.one when token.at < 1970-01-02 - 1h because "-"',
        {("s.one", "user"): [TRUE, "token.at < 82800000"]},
    ),
    "other arithmetic is kept": (
        'deny r for any user on s.one when token.at < now - 1h because "-"',
        {("s.one", "user"): [TRUE, "token.at < (now - 3600000)"]},
    ),
    "a factor is its condition and its age": (
        "require r for any user on s.one needs factor mfa within 5m",
        {("s.one", "user"): [TRUE, 'all(token.sub == "x", age of token.at within 300000ms)']},
    ),
    "a factor without a bound": (
        "require r for any user on s.one needs factor mfa",
        {("s.one", "user"): [TRUE, 'all(token.sub == "x", age of token.at)']},
    ),
    "a factor that a kind does not have is never met": (
        "require r on s.one needs factor mfa",
        {
            ("s.one", "partner"): [TRUE, FALSE],
            ("s.one", "user"): [TRUE, 'all(token.sub == "x", age of token.at)'],
            ("s.one", None): [TRUE, FALSE],
        },
    ),
    "a lookup takes literals of its columns": (
        'deny r for any user on s.one when rows(token.sub, 3) because "-"',
        {("s.one", "user"): [TRUE, "m.rows(token.sub, 3)"]},
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folds(name: str) -> None:
    text, wanted = FOLDED[name]
    assert held(program_of(text), "r") == wanted


def test_every_endpoint_has_a_cell_for_every_kind_and_for_nobody() -> None:
    program = program_of("")
    assert [(cell.endpoint, cell.kind) for cell in program.cells] == [
        (endpoint, kind) for endpoint in range(2) for kind in ("partner", "user", None)
    ]
    assert not any((*cell.deny, *cell.allow, *cell.require) for cell in program.cells)


def test_a_clause_keeps_its_words_on_one_line_without_comments() -> None:
    program = program_of(
        """deny r for any user,
             any partner on s.one  # where
          unless token.sub == "a  #b"   # never
             and token.sub != "c"
          when (token.sub like "x*")
          because "-" """
    )
    (rule,) = next(cell.deny for cell in program.cells if cell.deny)
    assert [(clause.label, clause.text) for clause in program.bodies[rule.body].clauses] == [
        ("for", "any user, any partner"),
        ("unless 1", 'token.sub == "a  #b" and token.sub != "c"'),
        ("when 2", '(token.sub like "x*")'),
    ]


def test_needs_carry_their_challenge_and_whole_seconds() -> None:
    program = program_of(
        """require r for any user on s.one
             needs factor mfa within 1500ms
             needs token has o else challenge "device"
             must log normal strict must log full """
    )
    (rule,) = next(cell.require for cell in program.cells if cell.require)
    body = program.bodies[rule.body]
    assert [(need.text, need.challenge, need.within_s) for need in body.needs] == [
        ("factor mfa within 1500ms", "mfa", 1),
        ('token has o else challenge "device"', "device", None),
    ]
    assert body.must == (ir.LogDuty("normal", strict=True), ir.LogDuty("full", strict=False))


def test_a_refused_rule_is_never_lowered() -> None:
    nowhere = ir.Place("m.pol", 1, 1)
    span = Span("m.pol", 0, 0)
    decl = tree.Rule(tree.NodeId(0), span, False, "deny", tree.Name(tree.NodeId(1), span, "r"), ())
    rule = CheckedRule(ir.Rule("m.r", "deny", "-", nowhere, False), decl, (), (), refused=True)
    with pytest.raises(ValueError, match=r"m\.r"):
        lower(take_inventory((), NO_SETTINGS, []), CheckedPolicy((rule,), (), (), frozenset()))


def test_a_rule_with_a_mistake_says_that_it_is_refused() -> None:
    text = HEAD + 'deny r for any user on s when token.sub == 1 because "-"\ndeny q for any user on s because "-"'
    module = parse("m.pol", text.encode()).module
    assert module is not None
    found: list[Diagnostic] = []
    inventory = take_inventory([module], NO_SETTINGS, found)
    checked = check(inventory, bind_names(inventory, found), found)
    assert [(rule.rule.id, rule.refused) for rule in checked.rules] == [("m.q", False), ("m.r", True)]


# ---------------------------------------------------------------- sharing and order


def test_equal_conditions_of_different_rules_are_one_guard() -> None:
    program = program_of(
        """condition c (a: string) = token.sub == a and token has o
        deny a for any user on s when token.sub == "x" and token has o because "-"
        deny b for any user on s when c("x") because "-"
        allow d for any user on s unless not token.sub == "x" unless not token has o because "-" """
    )
    assert len(program.atoms) == 2
    assert held(program, "a").values() != held(program, "d").values()
    guards = {program.bodies[each.body].clauses[1].guard for cell in program.cells for each in cell.deny}
    assert len(guards) == 1


def test_true_and_one_are_two_constants() -> None:
    """Python's `True == 1` must not make one atom of two."""
    interner = Interner()
    attr = ir.Attr("token", "x")
    one = interner.guard(Leaf(ir.Member(attr, ir.Const(frozenset((1,))))))
    true = interner.guard(Leaf(ir.Member(attr, ir.Const(frozenset((True,))))))
    assert one != true
    assert len(interner.atoms) == 2


RULES = [
    'deny b on s when token has sub and token.sub == "x" because "-"',
    'allow a for any user on s.one when rows(token.sub, 1) because "-"',
    'allow c for any partner on s because "-"',
    "require d for any user on s needs factor mfa within 5m must log full",
    "condition unused = 1 == 1\nlabel spare",
]


@given(st.permutations(RULES))
def test_the_order_of_declarations_changes_places_only(rules: list[str]) -> None:
    assert _placeless(program_of("\n".join(rules))) == _placeless(program_of("\n".join(RULES)))


def _placeless(program: ir.Program) -> ir.Program:
    nowhere = ir.Place("", 1, 1)
    return replace(
        program,
        rules=tuple(replace(rule, place=nowhere) for rule in program.rules),
        endpoints=tuple(replace(endpoint, place=nowhere) for endpoint in program.endpoints),
    )


# ---------------------------------------------------------------- formulas

LEAVES = [Leaf(ir.Has(ir.Attr("token", name))) for name in "abc"]
FORMULAS: st.SearchStrategy[Formula] = st.recursive(
    st.sampled_from([True, False, *LEAVES]),
    lambda inner: (
        inner.map(negate)
        | st.lists(inner, max_size=3).map(lambda parts: every(tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: some(tuple(parts)))
    ),
    max_leaves=8,
)


def value(formula: Formula, present: frozenset[str]) -> bool:
    match formula:
        case bool():
            return formula
        case Leaf(ir.Has(attr), negated):
            return (attr.name in present) != negated
        case Every(parts):
            return all(value(part, present) for part in parts)
        case Some(parts):
            return any(value(part, present) for part in parts)
        case _:
            raise AssertionError(formula)


@given(FORMULAS, FORMULAS, st.frozensets(st.sampled_from("abc")))
def test_the_connectives_mean_what_they_say(a: Formula, b: Formula, present: frozenset[str]) -> None:
    assert value(negate(a), present) == (not value(a, present))
    assert value(every((a, b)), present) == (value(a, present) and value(b, present))
    assert value(some((a, b)), present) == (value(a, present) or value(b, present))


@given(FORMULAS)
def test_parts_stand_before_wholes_and_constants_only_at_the_top(formula: Formula) -> None:
    interner = Interner()
    top = interner.guard(formula)
    for index, guard in enumerate(interner.guards):
        if not isinstance(guard, ir.Lit):
            assert all(part < index for part in guard.parts)
            assert len(guard.parts) > 1 or (not guard.parts and index == top)


def test_only_atoms_of_constants_fold() -> None:
    attr = ir.Attr("token", "x")
    nothing = ir.Const(frozenset())
    assert holds(ir.Overlap(nothing, ir.Const(frozenset(("a",))))) is False
    assert isinstance(holds(ir.Overlap(nothing, attr)), Leaf)
    assert isinstance(holds(ir.Member(attr, nothing)), Leaf)
