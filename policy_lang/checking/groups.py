"""Which environments of a rule are alike: what it reads goes in, groups of endpoints and kinds come out.

Two environments are of one group where everything that the rule reads, in its conditions too, is declared alike, so
that checking one has checked the other; the work then grows with the number of differences, not of endpoints.
INVARIANT: whatever `check_expr`, `check_for` and `check_duties` look up in an environment is in a signature here.
Source: language.md 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policy_lang import ir, tree
from policy_lang.checking.environment import (
    PLACE_READS,
    Bound,
    ConditionKey,
    Environment,
    Mentions,
    endpoint_tag,
    kind_slot,
)
from policy_lang.checking.operands import MOST_NESTED
from policy_lang.declared.endpoints import EndpointEntry
from policy_lang.declared.entries import ConditionEntry, KindEntry, Names, TagRead
from policy_lang.declared.walking import walk
from policy_lang.typesystem import Type

METHOD = ir.Attr("request", "method")

Declared = tuple[Type, bool] | None
"""The type of an input and whether it is optional; None where there is none."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a rule's expressions read. `singled_out` are the kinds that one of them asks for by name, role or factor."""

    of_kind: tuple[ir.Attr, ...]
    of_endpoint: tuple[ir.Attr, ...]
    tags: tuple[TagRead, ...]
    signals: tuple[str, ...]
    singled_out: frozenset[str]

    @classmethod
    def of(
        cls,
        module: str,
        exprs: Iterable[tree.Expr],
        for_: tree.ForClause | None,
        factors: Iterable[str],
        bound: Bound,
    ) -> Reads:
        """What the expressions of a rule, its `for` clause and the factors it needs read."""
        attrs: dict[ir.Attr, None] = {}
        tags: dict[TagRead, None] = {}
        kinds = set(_kinds_of(module, for_, bound))
        wanted = set(factors)
        for mentions in _mentioned(module, exprs, bound):
            attrs.update(dict.fromkeys(mentions.attrs))
            tags.update(dict.fromkeys(mentions.tags))
            kinds |= mentions.kinds
            wanted |= mentions.factors
        if wanted:
            kinds |= {kind.kind.id for kind in bound.inventory.kinds if not wanted.isdisjoint(kind.factors)}
        return cls(
            of_kind=tuple(attr for attr in attrs if attr.root in {"token", "subject"}),
            of_endpoint=tuple(attr for attr in attrs if _differs(attr)),
            tags=tuple(tags),
            signals=tuple(attr.name for attr in attrs if attr.root == "signal"),
            singled_out=frozenset(kinds),
        )


def _differs(attr: ir.Attr) -> bool:
    return attr.root in {"path", "query", "header", "resource"} or attr in PLACE_READS


def _kinds_of(module: str, for_: tree.ForClause | None, bound: Bound) -> Iterator[str]:
    names = bound.names[module]
    for subject in () if for_ is None else for_.subjects:
        if isinstance(subject, tree.AnyOfKind) and (kind := names.kinds.get(subject.id)) is not None:
            yield kind
        elif isinstance(subject, tree.OfRole):
            yield from (role.kind for each in subject.roles if (role := names.roles.get(each.id)) is not None)


def _mentioned(module: str, exprs: Iterable[tree.Expr], bound: Bound) -> Iterator[Mentions]:
    """What the expressions mention, and what the conditions do that they call."""
    first = _mentions(bound.names[module], exprs)
    yield first
    for condition in first.conditions:
        key = (condition.module, condition.decl.id)
        known = bound.memory.below.get(key)
        if known is None:
            known = bound.memory.below[key] = _joined(_below(condition, bound))
        yield known


def _below(condition: ConditionEntry, bound: Bound) -> Iterator[Mentions]:
    """What a condition mentions, and what those do that it calls, as deep as an expression may nest."""
    level = [condition]
    seen: set[ConditionKey] = set()
    for _ in range(MOST_NESTED):
        below: list[ConditionEntry] = []
        for each in level:
            key = (each.module, each.decl.id)
            if key in seen:
                continue
            seen.add(key)
            known = bound.memory.mentions.get(key)
            if known is None:
                known = bound.memory.mentions[key] = _mentions(bound.names[each.module], (each.decl.body,))
            yield known
            below += known.conditions
        level = below


def _joined(parts: Iterable[Mentions]) -> Mentions:
    """The mentions of several, but for the conditions."""
    attrs: dict[ir.Attr, None] = {}
    tags: dict[TagRead, None] = {}
    factors: set[str] = set()
    kinds: set[str] = set()
    for part in parts:
        attrs.update(dict.fromkeys(part.attrs))
        tags.update(dict.fromkeys(part.tags))
        factors |= part.factors
        kinds |= part.kinds
    return Mentions(tuple(attrs), tuple(tags), frozenset(factors), frozenset(kinds), ())


def _mentions(names: Names, exprs: Iterable[tree.Expr]) -> Mentions:
    attrs: dict[ir.Attr, None] = {}
    tags: dict[TagRead, None] = {}
    factors: set[str] = set()
    kinds: set[str] = set()
    conditions: list[ConditionEntry] = []
    for node in (node for expr in exprs for node in walk(expr)):
        read = names.inputs.get(node.id)
        if isinstance(read, ir.Attr):
            attrs[read] = None
        elif isinstance(read, TagRead):
            tags[read] = None
        if isinstance(node, tree.HasFactor):
            factors.add(node.name.text)
        elif isinstance(node, tree.HasRole) and (role := names.roles.get(node.name.id)) is not None:
            kinds.add(role.kind)
        elif isinstance(node, tree.IsKind) and (kind := names.kinds.get(node.id)) is not None:
            kinds.add(kind)
        elif isinstance(callee := names.calls.get(node.id), ConditionEntry):
            conditions.append(callee)
    return Mentions(tuple(attrs), tuple(tags), frozenset(factors), frozenset(kinds), tuple(conditions))


# ---------------------------------------------------------------- groups


@dataclass(frozen=True, slots=True)
class Group:
    """Environments that are alike: every one of these endpoints with every one of these kinds."""

    endpoints: tuple[int, ...]
    kinds: tuple[KindEntry | None, ...]


def groups(endpoints: tuple[int, ...], reads: Reads, bound: Bound) -> Iterator[Group]:
    """The environments of some endpoints, each in one group, in the order of endpoints and kinds."""
    for found in _alike_endpoints(endpoints, reads, bound):
        for each in _alike_kinds(bound.callers[found[0]], reads, bound):
            yield Group(found, each)


def _alike_endpoints(endpoints: tuple[int, ...], reads: Reads, bound: Bound) -> tuple[tuple[int, ...], ...]:
    """The endpoints, in groups; rules of one target that read the same of it share them."""
    key = (endpoints, reads.of_endpoint, reads.tags)
    known = bound.memory.endpoints.get(key)
    if known is None:
        alike: dict[object, list[int]] = {}
        fixed = not (reads.of_endpoint or reads.tags)
        for index in endpoints:
            # Tuples of callers are shared by the endpoints that have the same, and live as long as `bound`.
            callers = id(bound.callers[index])
            each: object = callers if fixed else (callers, _endpoint_signature(bound.inventory.endpoints[index], reads))
            alike.setdefault(each, []).append(index)
        known = bound.memory.endpoints[key] = tuple(tuple(found) for found in alike.values())
    return known


def _alike_kinds(
    callers: tuple[KindEntry | None, ...], reads: Reads, bound: Bound
) -> tuple[tuple[KindEntry | None, ...], ...]:
    """The callers of some endpoints, in groups."""
    key = (id(callers), reads.of_kind, reads.singled_out)
    known = bound.memory.kinds.get(key)
    if known is None:
        alike: dict[object, list[KindEntry | None]] = {}
        for kind in callers:
            alike.setdefault(_kind_signature(kind, reads), []).append(kind)
        known = bound.memory.kinds[key] = tuple(tuple(found) for found in alike.values())
    return known


def _endpoint_signature(entry: EndpointEntry, reads: Reads) -> object:
    environment = Environment(None, entry)
    slots = tuple(_declared(environment, attr) for attr in reads.of_endpoint)
    tags = tuple(None if (tag := endpoint_tag(entry, read)) is None else (tag.operand, tag.type) for read in reads.tags)
    methods = (entry.methods, entry.follows) if METHOD in reads.of_endpoint else None
    return slots, tags, methods


def _declared(environment: Environment, attr: ir.Attr) -> Declared:
    slot = environment.slot(attr)
    return None if slot is None else (slot.type, slot.optional)


def _kind_signature(kind: KindEntry | None, reads: Reads) -> object:
    """Nobody is like a kind that has none of what is read."""
    if kind is not None and kind.kind.id in reads.singled_out:
        return kind.kind.id
    slots = (kind_slot(kind, attr) for attr in reads.of_kind)
    return tuple(None if slot is None else (slot.type, slot.optional) for slot in slots)
