"""Step-ups that can never succeed (W811): what a require needs of callers who cannot have it, and an allow lets in.

Checked rules and the inventory go in, warnings come out: one for each need and kind of caller, with the first endpoint
and the first allow that lead there. Who calls without a token may come back with one, so of them nothing is said; nor
of a challenge that has a name of its own, which another kind of token may meet.
Source: language.md 4.5 (W811), 5.2.

Decision: 2026-11-21. An allow and a require whose conditions exclude each other in so many words never meet. At most
`MOST_TRIED` pairs of rules are held against each other: what is not looked at is not warned of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from policy_lang import ir, tree
from policy_lang.checking.guards import Every, Leaf, every
from policy_lang.checking.rules import CheckedRule, Placed, Variant
from policy_lang.declared.entries import Inventory
from policy_lang.declared.targets import listed
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.rules import FactorOutOfReach

MOST_TRIED = 100_000
"""Pairs of an allow and a require that are held against each other: a tenth of a second."""


def out_of_reach(
    inventory: Inventory, rules: Sequence[CheckedRule], most_tried: int = MOST_TRIED
) -> Iterator[Diagnostic]:
    """The warnings of every require, need by need and kind by kind."""
    proving = {kind.kind.id: frozenset(kind.factors) for kind in inventory.kinds}
    search = _Search(inventory, rules, most_tried)
    for rule in rules:
        if rule.rule.effect != "require" or rule.rule.shadow:
            continue
        needs = [clause.need for clause in rule.decl.clauses if isinstance(clause, tree.NeedsClause)]
        for number, need in enumerate(needs):
            if isinstance(need, tree.FactorNeed):
                found = list(search.admitted(rule, number, need.name))
                yield from found or _of_all(rule, need.name, proving)


def _of_all(rule: CheckedRule, factor: tree.Name, proving: Mapping[str, frozenset[str]]) -> Iterator[Diagnostic]:
    """The warning of a factor that no kind has which the rule is for, whoever lets them in."""
    kinds = {kind for placed in rule.placed for kind in placed.kinds}
    if kinds and not any(factor.text in proving[kind] for kind in kinds if kind is not None):
        said = f"no caller of this rule can have the factor `{factor.text}`"
        remedy = "narrow `for`, or declare the factor for a kind of caller"
        yield FactorOutOfReach(span=factor.span, said=said, remedy=remedy)


class _Search:
    """The allows of a bundle by the kinds that they let in, and how many pairs may still be tried."""

    def __init__(self, inventory: Inventory, rules: Sequence[CheckedRule], most_tried: int) -> None:
        self._inventory = inventory
        self._left = most_tried
        self._sets: dict[int, frozenset[int]] = {}
        self._allows: dict[str, list[tuple[CheckedRule, Placed]]] = {}
        for rule in rules:
            if rule.rule.effect == "allow" and not rule.rule.shadow:
                for placed in rule.placed:
                    for kind in placed.kinds:
                        if kind is not None:
                            self._allows.setdefault(kind, []).append((rule, placed))

    def admitted(self, rule: CheckedRule, number: int, factor: tree.Name) -> Iterator[Diagnostic]:
        """The warnings of one need, by its number: a kind that lacks the factor, and who lets that kind in."""
        told: set[str] = set()
        for placed in rule.placed:
            if placed.variant.needs[number].formula is not False:
                continue
            for kind in placed.kinds:
                met = None if kind is None or kind in told else self._meets(kind, placed)
                if kind is not None and met is not None:
                    told.add(kind)
                    yield _warning(rule, factor, kind, *met)

    def _meets(self, kind: str, asked: Placed) -> tuple[CheckedRule, str] | None:
        """The first allow that lets a kind in where something is asked of it, and where, in words."""
        for rule, placed in self._allows.get(kind, ()):
            if self._left == 0:
                return None
            self._left -= 1
            common = self._set(placed.endpoints) & self._set(asked.endpoints)
            if common and not _exclude(placed.variant, asked.variant):
                first = self._inventory.endpoints[min(common)].endpoint.id
                return rule, listed([first], len(common) - 1)
        return None

    def _set(self, endpoints: tuple[int, ...]) -> frozenset[int]:
        """Endpoints as a set; rules of one target share the tuple, which lives as long as they do."""
        if id(endpoints) not in self._sets:
            self._sets[id(endpoints)] = frozenset(endpoints)
        return self._sets[id(endpoints)]


def _warning(rule: CheckedRule, factor: tree.Name, kind: str, allow: CheckedRule, where: str) -> Diagnostic:
    asking, letting = rule.decl.name.text, allow.decl.name
    said = f"no `{kind}` can have the factor `{factor.text}`, which `{asking}` asks for on {where}"
    return FactorOutOfReach(
        span=factor.span,
        said=f"{said}, where `{letting.text}` lets them in",
        remedy=f"declare the factor for `{kind}`, or narrow one of the two rules",
        others=(Label(letting.span, "lets them in"),),
    )


# ---------------------------------------------------------------- rules that never meet


def _exclude(one: Variant, other: Variant) -> bool:
    """Whether the conditions of two rules cannot both hold, since one has what the other denies."""
    whole = every(tuple(clause.formula for variant in (one, other) for clause in variant.clauses))
    if not isinstance(whole, Every):
        return whole is False
    leaves = {_plain(part.atom, negated=part.negated) for part in whole.parts if isinstance(part, Leaf)}
    return any(_plain(leaf.atom, negated=not leaf.negated) in leaves for leaf in leaves)


def _plain(atom: ir.Atom, *, negated: bool) -> Leaf:
    """A literal, an order never negated: `not a < b` is `b <= a`."""
    match atom:
        case ir.Compare("lt", left, right) if negated:
            return Leaf(ir.Compare("le", right, left))
        case ir.Compare("le", left, right) if negated:
            return Leaf(ir.Compare("lt", right, left))
        case _:
            return Leaf(atom, negated)
