"""Which environments of a rule are alike: what it reads goes in, groups of endpoints and kinds come out.

Two environments are of one group where everything that the rule reads, in its conditions too, is declared alike, so
that checking one has checked the other; the work then grows with the number of differences, not of endpoints.
INVARIANT: whatever checking an expression, a `for` clause or a duty looks up in an environment is read here.
Source: language.md 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.checking.alike import alike_callers, alike_endpoints
from policy_lang.checking.environment import PLACE_READS, Bound
from policy_lang.checking.memory import ATTRS_A_STEP, CALLERS_A_STEP, Callers, ConditionKey, Indices, Mentions, Reads
from policy_lang.declared.entries import ConditionEntry, Names, RoleEntry, TagRead
from policy_lang.declared.walking import walk


def reads_of(
    module: str, exprs: Iterable[tree.Expr], for_: tree.ForClause | None, factors: Iterable[str], bound: Bound
) -> Reads:
    """What the expressions of a rule, its `for` clause and the factors it needs read."""
    own = _mentions(bound.names[module], exprs)
    whole = _joined([own, *(_below(condition, bound) for condition in own.conditions)])
    attrs = whole.attrs
    bound.memory.steps -= len(attrs) // ATTRS_A_STEP
    kinds = {*whole.kinds, *_kinds_of(module, for_, bound)}
    for factor in whole.factors.union(factors):
        kinds.update(bound.proving.get(factor, ()))
    return Reads(
        of_kind=tuple(attr for attr in attrs if attr.root in {"token", "subject"}),
        of_endpoint=tuple(attr for attr in attrs if _differs(attr)),
        tags=whole.tags,
        signals=tuple(attr.name for attr in attrs if attr.root == "signal"),
        singled_out=frozenset(kinds),
    )


def reads_of_condition(condition: ConditionEntry, bound: Bound) -> Reads:
    """What a condition reads, with those it calls, but for its arguments."""
    key = (condition.module, condition.decl.id)
    known = bound.memory.reads.get(key)
    if known is None:
        known = bound.memory.reads[key] = reads_of(condition.module, (condition.decl.body,), None, (), bound)
    return known


def _differs(attr: ir.Attr) -> bool:
    return attr.root in {"path", "query", "header", "resource"} or attr in PLACE_READS


def _kinds_of(module: str, for_: tree.ForClause | None, bound: Bound) -> Iterator[str]:
    names = bound.names[module]
    for subject in () if for_ is None else for_.subjects:
        if isinstance(subject, tree.AnyOfKind) and (kind := names.kinds.get(subject.id)) is not None:
            yield kind
        elif isinstance(subject, tree.OfRole):
            yield from (role.kind for each in subject.roles if (role := names.roles.get(each.id)) is not None)


def _below(condition: ConditionEntry, bound: Bound) -> Mentions:
    """What a condition mentions, with those it calls, which call each other in no circle."""
    memory = bound.memory
    todo = [condition]
    while todo:
        each = todo[-1]
        key = _key(each)
        if key in memory.below:
            todo.pop()
            continue
        own = memory.mentions.get(key)
        if own is None:
            own = memory.mentions[key] = _mentions(bound.names[each.module], (each.decl.body,))
        waiting = [called for called in own.conditions if _key(called) not in memory.below]
        todo += waiting
        if not waiting:
            memory.below[key] = _joined([own, *(memory.below[_key(called)] for called in own.conditions)])
            memory.steps -= len(memory.below[key].attrs) // ATTRS_A_STEP
    return memory.below[_key(condition)]


def _key(condition: ConditionEntry) -> ConditionKey:
    return condition.module, condition.decl.id


def _joined(parts: Sequence[Mentions]) -> Mentions:
    """The mentions of several, but for the conditions."""
    attrs: dict[ir.Attr, None] = {}
    tags: dict[TagRead, None] = {}
    for part in {id(part): part for part in parts}.values():
        attrs.update(dict.fromkeys(part.attrs))
        tags.update(dict.fromkeys(part.tags))
    factors = frozenset[str]().union(*(part.factors for part in parts))
    kinds = frozenset[str]().union(*(part.kinds for part in parts))
    return Mentions(tuple(attrs), tuple(tags), factors, kinds, ())


def _mentions(names: Names, exprs: Iterable[tree.Expr]) -> Mentions:
    attrs: dict[ir.Attr, None] = {}
    tags: dict[TagRead, None] = {}
    factors: set[str] = set()
    kinds: set[str] = set()
    conditions: dict[ConditionKey, ConditionEntry] = {}
    for node in (node for expr in exprs for node in walk(expr)):
        read = names.inputs.get(node.id)
        if isinstance(read, ir.Attr):
            attrs[read] = None
        elif isinstance(read, TagRead):
            tags[read] = None
        elif isinstance(read, RoleEntry):
            kinds.add(read.kind)
        if isinstance(node, tree.HasFactor):
            factors.add(node.name.text)
        elif isinstance(node, tree.HasRole) and (role := names.roles.get(node.name.id)) is not None:
            kinds.add(role.kind)
        elif isinstance(node, tree.IsKind) and (kind := names.kinds.get(node.id)) is not None:
            kinds.add(kind)
        elif isinstance(callee := names.calls.get(node.id), ConditionEntry):
            conditions.setdefault(_key(callee), callee)
    return Mentions(tuple(attrs), tuple(tags), frozenset(factors), frozenset(kinds), tuple(conditions.values()))


# ---------------------------------------------------------------- groups


class Group(Struct, frozen=True):
    """Environments that are alike: every one of these endpoints with every one of these kinds."""

    endpoints: Indices
    kinds: Callers


def groups(endpoints: Indices, reads: Reads, bound: Bound) -> Iterator[Group]:
    """The environments of some endpoints, each in one group, in the order of endpoints and kinds."""
    for found in alike_endpoints(endpoints, reads, bound):
        for each in alike_callers(bound.callers[found[0]], reads, bound):
            bound.memory.steps -= len(each) // CALLERS_A_STEP
            yield Group(found, each)
