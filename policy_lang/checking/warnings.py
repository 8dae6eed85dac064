"""What is legal but hardly meant, or will not stay: warnings about the checked bundle as a whole.

Checked rules and the inventory go in, warnings come out. The day is an argument; without one, what depends on it is
not said.
Source: language.md 4.5, 4.6, points G, J.

Decision: 2026-11-21. A service in observation is warned of also where the day is not known: until it is over, the
policy refuses nobody there.
Decision: 2026-11-21. `audience none` is no news of a service that accepts subjects, nor of one that an allow opens to
workloads: those are whom it is for. A service without a host is reached by actions alone, so only calls with a path
miss one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from policy_lang import ir, tree
from policy_lang.checking.out_of_reach import out_of_reach
from policy_lang.checking.personal import personal_claims
from policy_lang.checking.rules import CheckedRule
from policy_lang.declared.endpoints import EndpointEntry, ServiceEntry
from policy_lang.declared.entries import Inventory
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.rules import (
    EndsSoon,
    HopefulFallback,
    NoAudience,
    Observed,
    OldShadow,
    OpenToAnyone,
    UnreachableEndpoint,
    UnreachableService,
)
from policy_lang.typesystem import EnumType

DAY_MS = 86_400_000
SOON_DAYS = 14
"""How long before its end a rule is warned of (W807)."""

OLD_DAYS = 30
"""How long a rule may be a shadow (W814)."""

SENSITIVITY = "sensitivity"
"""The tag that W808 looks at."""


def warnings(
    inventory: Inventory, rules: Sequence[CheckedRule], today_ms: int | None, written_ms: Mapping[str, int]
) -> Iterator[Diagnostic]:
    """The warnings; `today_ms` and `written_ms` (by rule id: when it was written) in Unix milliseconds."""
    yield from _unreached(inventory, rules)
    yield from out_of_reach(inventory, rules)
    yield from personal_claims(inventory.kinds)
    sensitive = {
        index: lowest for index, entry in enumerate(inventory.endpoints) if (lowest := _lowest_below(entry)) is not None
    }
    meshed = _meshed(inventory, rules)
    for service in inventory.services:
        yield from _of_service(service, today_ms, meshed=service.service.id in meshed)
    fallbacks = {signal.id: signal for signal in inventory.signals if signal.fallback is not None}
    for rule in rules:
        yield from _of_rule(rule, today_ms, written_ms)
        yield from _open(rule, sensitive, inventory)
        if rule.rule.effect == "deny" and not rule.rule.shadow:
            for signal in rule.signals:
                if signal in fallbacks:
                    name = rule.decl.name
                    yield HopefulFallback(span=name.span, name=name.text, signal=signal.rpartition(".")[2])


def _unreached(inventory: Inventory, rules: Sequence[CheckedRule]) -> Iterator[Diagnostic]:
    placed = [each for rule in rules if rule.rule.effect == "allow" and not rule.rule.shadow for each in rule.placed]
    # Rules of one target share the tuple of its endpoints: a thousand that reach all are asked once.
    reached = set[int]().union(*{id(each.endpoints): each.endpoints for each in placed}.values())
    for index, entry in enumerate(inventory.endpoints):
        if index not in reached and not entry.endpoint.closed:
            yield UnreachableEndpoint(span=entry.decl.name.span, endpoint=entry.endpoint.id)


def _meshed(inventory: Inventory, rules: Sequence[CheckedRule]) -> frozenset[str]:
    """The services that some allow opens to workloads, by id."""
    opened = {
        id(placed.endpoints): placed.endpoints
        for rule in rules
        if rule.rule.effect == "allow" and not rule.rule.shadow and _is_for_workloads(rule.decl)
        for placed in rule.placed
        if None in placed.kinds
    }
    indices = set[int]().union(*opened.values())
    return frozenset(inventory.endpoints[index].endpoint.service for index in indices)


def _is_for_workloads(rule: tree.Rule) -> bool:
    """Whether a rule says by which workload a call comes."""
    return any(
        clause.via or any(isinstance(subject, tree.OfWorkload) for subject in clause.subjects)
        for clause in rule.clauses
        if isinstance(clause, tree.ForClause)
    )


def _of_service(entry: ServiceEntry, today_ms: int | None, *, meshed: bool) -> Iterator[Diagnostic]:
    name, service = entry.decl.name, entry.service
    if not service.audiences and not service.accepts and not meshed:
        yield NoAudience(span=name.span, name=name.text)
    acts = entry.endpoints and all(isinstance(each.endpoint.route, ir.Action) for each in entry.endpoints.values())
    if not service.hosts and not acts:
        yield UnreachableService(span=name.span, name=name.text, what="host")
    if not entry.decl.endpoints:
        yield UnreachableService(span=name.span, name=name.text, what="endpoint")
    until = service.observe_until_ms
    if until is not None and entry.decl.observe_until is not None and (today_ms is None or today_ms < until):
        yield Observed(span=entry.decl.observe_until.span, name=name.text, until=day(until))


def _of_rule(rule: CheckedRule, today_ms: int | None, written_ms: Mapping[str, int]) -> Iterator[Diagnostic]:
    if today_ms is None:
        return
    name = rule.decl.name
    for clause in rule.decl.clauses:
        if isinstance(clause, tree.UntilClause):
            left_ms = clause.at.milliseconds - today_ms
            if left_ms <= 0:
                yield EndsSoon(span=clause.span, name=name.text, ends="has ended")
            elif left_ms <= SOON_DAYS * DAY_MS:
                yield EndsSoon(span=clause.span, name=name.text, ends=f"ends on {day(clause.at.milliseconds)}")
    written = written_ms.get(rule.rule.id)
    if rule.rule.shadow and written is not None and today_ms - written > OLD_DAYS * DAY_MS:
        yield OldShadow(span=name.span, name=name.text, days=(today_ms - written) // DAY_MS)


def _open(rule: CheckedRule, sensitive: Mapping[int, str], inventory: Inventory) -> Iterator[Diagnostic]:
    """The warning of an allow for anyone on a sensitive endpoint, the first; `sensitive` are all, with the lowest."""
    anyone = any(
        isinstance(subject, tree.Anyone)
        for clause in rule.decl.clauses
        if isinstance(clause, tree.ForClause)
        for subject in clause.subjects
    )
    if not sensitive or rule.rule.effect != "allow" or rule.rule.shadow or not anyone:
        return
    open_to_anyone = [each.endpoints for each in rule.placed if None in each.kinds]
    first = min((index for each in open_to_anyone for index in each if index in sensitive), default=None)
    if first is None:
        return
    entry = inventory.endpoints[first]
    tag = entry.tags[SENSITIVITY]
    yield OpenToAnyone(
        span=rule.decl.name.span,
        name=rule.decl.name.text,
        endpoint=entry.endpoint.id,
        sensitivity=tag.value,
        lowest=sensitive[first],
        others=(Label(tag.declared, "tagged here"),),
    )


def _lowest_below(entry: EndpointEntry) -> str | None:
    """The lowest sensitivity there is, where an endpoint's is higher; None where it has none or the lowest."""
    tag = entry.tags.get(SENSITIVITY)
    if tag is None or not isinstance(tag.type, EnumType) or not tag.type.ordered:
        return None
    lowest = tag.type.values[0]
    return None if tag.value == lowest else lowest


def day(at_ms: int) -> str:
    """The day of an instant, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
