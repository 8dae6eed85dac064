"""`casbin` blocks among the rules: an allow rule, and where the block is `as full` a deny rule, each with one clause,
that the table casts this vote.

A block goes in with the bundle and its files; out come the rules, which are checked rules like any other, the table
they ask, and every mistake. The two have the name of the block; which of them decided says the outcome.
INVARIANT: what a rule asks its table about has a value in every call of its cells, but for what of a request may not be
known.
Source: language.md 6.4; points B, F.

Decision (2026-11-21): a caller whose kind has no such claim cannot be asked about, so a block says nothing of it: it
grants nothing, and denies nothing. An endpoint that lacks what is bound, and a claim that a kind may lack, is a
mistake: the block names endpoints and claims itself.
Decision (2026-11-21): times and durations are refused: they are numbers to us and texts to Casbin. So are integers,
truths and sets that the matcher compares with a column by `==` or `!=`: no row has such a value, only its text, so that
a row that denies would never hold. Compared with constants, or in `in`, they mean what they say.
Decision (2026-11-21): so are texts of rows that are spelt as what is bound never is (a UUID in upper case, a value that
the enum lacks): a row that denies by one would never hold, and nobody would be told (casbin_spellings.py).
Decision (2026-11-21): under an effect that denies nothing there is no deny rule, whatever the block says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.casbin.row_lines import span_of
from policy_lang.checking.casbin_callers import shared_names
from policy_lang.checking.casbin_items import Items, Made, items_of, table_of
from policy_lang.checking.casbin_parameters import asked_about, beside_columns
from policy_lang.checking.casbin_spellings import Misspelt, Spelling, misspelt, spelling_of
from policy_lang.checking.environment import Bound, Environment
from policy_lang.checking.groups import Group, groups, reads_of
from policy_lang.checking.guards import Leaf
from policy_lang.checking.memory import Indices
from policy_lang.checking.rules import CheckedClause, CheckedRule, Placed, Variant, closed_ones
from policy_lang.checking.spending import Spending
from policy_lang.declared.endpoints import place_of
from policy_lang.declared.entries import Fixed, ModuleEntry, NetworkEntry, Parameter, RoleEntry, TagRead
from policy_lang.declared.fields import Slot
from policy_lang.declared.literals_typed import Typed
from policy_lang.declared.walking import dotted
from policy_lang.diagnostics import Diagnostic, Label, nearest
from policy_lang.ir.atom_types import asks_of
from policy_lang.ir.tables import Link, Row, Table, Vote
from policy_lang.mistakes.rules import NeverApplies
from policy_lang.mistakes.votes import NeverEqual, NoValue, Unbound, UnknownParameter
from policy_lang.source import Span
from policy_lang.typesystem import EnumType, IntType, Scalar, SetType, Type

CLAUSE = "casbin"
"""The label of the one clause of a rule that a block becomes."""

_Placed = tuple[Group, tuple[ir.Operand, ...]]
"""Endpoints and kinds that are alike, with what is bound there."""

_VOTES: tuple[Vote, ...] = ("allow", "deny")


class CheckedBlock(Struct, frozen=True):
    """A block as rules and the table that they ask; None after a mistake, with one rule that is `refused`."""

    rules: tuple[CheckedRule, ...]
    table: Table | None


def check_block(
    module: ModuleEntry, block: tree.CasbinDecl, bound: Bound, files: Mapping[str, bytes], found: list[Diagnostic]
) -> CheckedBlock:
    """Check one block; mistakes and warnings are appended to `found`."""
    making = _Making(f"{module.name}.{block.name.text}", block, place_of(module.module.source, block.name.span))
    items = items_of(block, module.module.source, files, found)
    if items is None:
        return making.refused()
    endpoints = bound.names[module.name].targets.get(items.on.id, ())
    found += closed_ones(items.on, endpoints, bound)
    made = _asked_table(making.id, items, found)
    texts = frozenset[int]() if made is None else beside_columns(made.table)
    placing = _Placing(module, block.name, items.bindings, texts, bound, found)
    placed = placing.placed(endpoints)
    if made is None or placing.refused:
        return making.refused()
    never = _never_equal(items, made, placing.spellings())
    if never:
        found += never
        return making.refused()
    if not placed:
        found.append(NeverApplies(span=block.name.span, name=block.name.text))
    shared = shared_names(items.bindings, [group for group, _ in placed], bound.names[module.name].inputs, bound)
    found += () if shared is None else (shared,)
    votes = _VOTES if items.reach == "full" and made.table.effect != "allow_override" else _VOTES[:1]
    return CheckedBlock(tuple(making.rule(vote, items, placed) for vote in votes), made.table)


class _Making(Struct, frozen=True):
    """Makes the rules of one block, whose names are its own."""

    id: str
    block: tree.CasbinDecl
    place: ir.Place

    def rule(self, vote: Vote, items: Items, placed: Sequence[_Placed]) -> CheckedRule:
        """The rule that applies where the table casts this vote."""
        text = f'"{items.policy.name}" under "{items.model.name}"'
        variants = tuple(
            Placed(each.endpoints, _ids(each), _variant(text, ir.Vote(self.id, vote, arguments)))
            for each, arguments in placed
        )
        return CheckedRule(self._rule(vote), self._decl(vote, (items.on,)), variants, (), refused=False)

    def refused(self) -> CheckedBlock:
        """What becomes of a block with a mistake. SECURITY: a rule that is refused keeps a program from being made."""
        rule = CheckedRule(self._rule("allow"), self._decl("allow", ()), (), (), refused=True)
        return CheckedBlock((rule,), None)

    def _rule(self, vote: Vote) -> ir.Rule:
        return ir.Rule(self.id, vote, "", self.place, shadow=False)

    def _decl(self, vote: Vote, clauses: tuple[tree.Clause, ...]) -> tree.Rule:
        block = self.block
        return tree.Rule(block.id, block.span, shadow=False, effect=vote, name=block.name, clauses=clauses)


def _ids(group: Group) -> tuple[str | None, ...]:
    return tuple(None if kind is None else kind.kind.id for kind in group.kinds)


def _variant(text: str, atom: ir.Vote) -> Variant:
    return Variant((CheckedClause(CLAUSE, text, Leaf(atom)),), (), (), ())


def _asked_table(id_: str, items: Items, found: list[Diagnostic]) -> Made | None:
    """The table, asked about what the block binds; None after a mistake."""
    made = table_of(id_, items, found)
    if made is None:
        return None
    definition, table = made.sections.r, made.table
    before = len(found)
    for binding in items.bindings:
        parameter = binding.parameter.value.partition(".")[0]
        if parameter not in table.parameters:
            known = ", ".join(f"`{each}`" for each in table.parameters)
            hint = nearest(parameter, table.parameters)
            span = binding.parameter.span
            found.append(
                UnknownParameter(span=span, parameter=parameter, definition=definition, known=known, hint=hint)
            )
    if len(found) > before:  # a name that is wrong is not missing besides
        return None
    asked = asked_about(table, [binding.parameter.value for binding in items.bindings])
    first = items.bindings[0].span
    found += [
        Unbound(span=first, parameter=f"r.{name}", written=f'"{name}"' if "." in name else name)
        for name in asked.missing
    ]
    return None if asked.table is None else Made(asked.table, made.sections)


def _never_equal(items: Items, made: Made, spellings: Mapping[int, Spelling]) -> list[NeverEqual]:
    """What is said of texts that are spelt as what is bound never is."""
    found: list[NeverEqual] = []
    for each in misspelt(made.table, spellings):
        value = items.bindings[each.place].value
        spelling = spellings[each.place]
        span = _place_of(each, items, made)
        hint = nearest(each.text, spelling.of.values) if isinstance(spelling.of, EnumType) else ""
        found.append(
            NeverEqual(
                span=span or value.span,
                others=() if span is None else (Label(value.span, "bound here"),),
                hint=hint,
                text=each.text,
                name=dotted(value),
                what=spelling.what,
                where=f"the matcher of `{items.model.name}` compares it" if span is None else "nothing is equal to it",
                remedy=spelling.remedy(each.wanted),
            )
        )
    return found


def _place_of(misspelt_: Misspelt, items: Items, made: Made) -> Span | None:
    """Where a text stands in the policy; None of one in the matcher."""
    match misspelt_.at:
        case Row(values, _, line):
            return span_of(items.policy, line, (made.sections.p, *values), misspelt_.column + 1)
        case Link(member, role, domain, _, line):
            return span_of(items.policy, line, (misspelt_.graph, member, role, domain), misspelt_.column + 1)
        case None:
            return None
        case _:
            assert_never(misspelt_.at)


# ---------------------------------------------------------------- where it votes


class _Placing:
    """Finds where a block votes, and on what. `refused`: something that it binds has no value, which was reported."""

    def __init__(
        self,
        module: ModuleEntry,
        name: tree.Name,
        bindings: Sequence[tree.Binding],
        texts: frozenset[int],
        bound: Bound,
        found: list[Diagnostic],
    ) -> None:
        self.refused = False
        self._texts = texts
        self._module = module
        self._name = name
        self._bindings = bindings
        self._bound = bound
        self._found = found
        self._told: set[tree.NodeId] = set()
        self._spelt: dict[int, set[Spelling | None]] = {}

    def spellings(self) -> Mapping[int, Spelling]:
        """How what is bound is spelt, by its place, where it is spelt alike for all kinds and endpoints."""
        one = {place: next(iter(each)) for place, each in self._spelt.items() if len(each) == 1}
        return {place: spelling for place, spelling in one.items() if spelling is not None}

    def placed(self, endpoints: Indices) -> list[_Placed]:
        """Groups of endpoints and kinds in which everything that is bound has a value, with the operands."""
        reads = reads_of(self._module.name, [each.value for each in self._bindings], None, (), self._bound)
        spending = Spending(self._name, self._bound.memory)
        placed: list[_Placed] = []
        for group in groups(endpoints, reads, self._bound):
            if not spending.meets(self._found):
                self.refused = True
                break
            operands = self._operands(group)
            if operands is not None:
                placed.append((group, operands))
        spending.end()
        return placed

    def _operands(self, group: Group) -> tuple[ir.Operand, ...] | None:
        """What is bound, in one group; None where its callers lack some of it, or after a mistake."""
        endpoint = self._bound.inventory.endpoints[group.endpoints[0]]
        here = Environment(group.kinds[0], endpoint, self._bound.signals)
        operands: list[ir.Operand] = []
        spelt: list[Spelling | None] = []
        whole = True
        for place, binding in enumerate(self._bindings):
            read = self._read(binding.value, here)
            if isinstance(read, Typed) and place in self._texts and _is_no_text(read.type):
                why = f"the matcher compares it with texts of rows, and `{read.type}` is the type of none"
                read = _no_value(binding.value, why, "bind a text, or compare it by a rule beside the block")
            if isinstance(read, Typed):
                operands.append(read.operand)
                spelt.append(spelling_of(read.operand, read.type))
                continue
            whole = False
            if read is not None and binding.id not in self._told:
                self._told.add(binding.id)
                self.refused = True
                self._found.append(read)
            self.refused = self.refused or self._is_unbound(binding.value)
        if not whole:
            return None
        for place, each in enumerate(spelt):
            self._spelt.setdefault(place, set()).add(each)
        return tuple(operands)

    def _is_unbound(self, ref: tree.Ref) -> bool:
        """Whether a reference means nothing, which was reported where names are bound."""
        return ref.id not in self._bound.names[self._module.name].inputs

    def _read(self, ref: tree.Ref, here: Environment) -> Typed | NoValue | None:
        """What is bound, in one environment; None where the caller has none, or where it was reported."""
        bound = self._bound.names[self._module.name].inputs.get(ref.id)
        match bound:
            case None:
                return None
            case ir.Attr(root):
                slot = here.slot(bound)
                if slot is not None and not slot.optional and root != "signal":
                    return _asked(ref, bound, slot.type)
                return None if slot is None and root in {"token", "subject"} else _why_not(ref, bound, slot, here)
            case TagRead():
                tag = here.tag(bound)
                return _no_value(ref, _missing(here), _NARROW) if tag is None else tag
            case Fixed(value, type_):
                return _asked(ref, ir.Const(value), type_)
            case ir.Now():
                return _asked(ref, bound, Scalar.TIME)
            case Parameter() | NetworkEntry() | RoleEntry():
                return _no_value(ref, "it is no value", "bind an input of the call")
            case _:
                assert_never(bound)


def _is_no_text(type_: Type) -> bool:
    return type_ is Scalar.BOOL or isinstance(type_, IntType | SetType)


_NARROW = "narrow `on` to endpoints that have it, or bind what all of them have"


def _asked(ref: tree.Ref, operand: ir.Operand, type_: Type) -> Typed | NoValue:
    if asks_of(type_):
        return Typed(operand, type_)
    why = f"a `{type_}` is a number here and a text in Casbin"
    return _no_value(ref, why, "compare times by a rule beside the block")


def _why_not(ref: tree.Ref, attr: ir.Attr, slot: Slot | None, here: Environment) -> NoValue:
    """Why an input cannot be bound."""
    if attr.root == "signal":
        return _no_value(ref, "a signal may be unknown", "ask for it by a rule beside the block")
    if slot is None:
        return _no_value(ref, _missing(here), _NARROW)
    others = () if slot.declared is None else (Label(slot.declared, "declared optional here"),)
    whose = f" for {here.caller}" if attr.root in {"token", "subject"} else _on(here)
    return _no_value(ref, f"it may be missing{whose}", "bind what is always there, or declare it as required", others)


def _missing(here: Environment) -> str:
    return f"it is not there{_on(here)}"


def _on(here: Environment) -> str:
    return "" if here.endpoint is None else f" on `{here.endpoint.endpoint.id}`"


def _no_value(ref: tree.Ref, why: str, remedy: str, others: tuple[Label, ...] = ()) -> NoValue:
    return NoValue(span=ref.span, name=dotted(ref), why=why, remedy=remedy, others=others)
