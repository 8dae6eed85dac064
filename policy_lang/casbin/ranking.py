"""The order in which rows rank: by a column `priority`, by the depth of their subject, else as they are written.

In go the rows of one policy type, out come the same rows, the first one first, and what keeps them from having a rank.
Every order is stable: rows of one rank stand as they were written.
A subject's depth is the number of links of the longest chain by which names without members of their own come to it: a
user has none, and the rows of a user rank before those of its roles.
Source: Casbin's documentation, "Priority Model"; language.md 6.4, 6.6 (20, 23); measured on pycasbin 2.8.

Decision (2026-11-21): the subject is the first column, the domain the column `dom`, as Casbin takes them, whatever the
first one is called. Where both orders are asked for, the column `priority` comes first.
Decision (2026-11-21): a priority is a whole number, a smaller one first. Below nought Casbin for Python compares texts,
or fails: this is told by a warning.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from policy_lang.casbin.definitions import Definition, EffectDefinition, Model
from policy_lang.casbin.findings import Findings
from policy_lang.casbin.rows import PolicyRows
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.ir.tables import Link, Mode, Row
from policy_lang.mistakes.casbin_rows import (
    ConditionsAsDomains,
    DomainsApart,
    DomainsApartPassed,
    NegativePriority,
    NoNumber,
    NoRoles,
    RoleCycle,
)

PRIORITY_COLUMN = "priority"
DOMAIN_COLUMN = "dom"
SUBJECT_ROLES = "g"

MOST_DIGITS = 18

_MOST_LINKS_NAMED = 5

_NOTHING: tuple[Diagnostic, ...] = ()

_NUMBER = re.compile(rf"-?[0-9]{{1,{MOST_DIGITS}}}", re.ASCII)


def ranked(
    model: Model, rows: PolicyRows, policy: Definition, effect: EffectDefinition, *, mode: Mode, found: Findings
) -> tuple[tuple[Row, ...], tuple[Diagnostic, ...]]:
    """The rows of the type `policy` in their order; what is wrong with a row goes to `found`, what is wrong with the
    model comes back. With an error the order says nothing.
    """
    order, said = rows.rows[policy.name], _NOTHING
    if effect.by_subject:
        order, said = _by_subject(model, rows, policy, effect, mode, found)
    if PRIORITY_COLUMN in policy.tokens:
        order = _by_priority(order, policy, rows, found)
    return order, said


def _by_priority(order: Sequence[Row], policy: Definition, rows: PolicyRows, found: Findings) -> tuple[Row, ...]:
    at = policy.tokens.index(PRIORITY_COLUMN)
    warned = False
    for row in order:
        value = row.values[at]
        if not _NUMBER.fullmatch(value):
            if found.wants("error"):
                place = rows.place(policy.name, row.line, row.values, at)
                found.add(NoNumber(span=place, value=value, most=MOST_DIGITS))
        elif value[0] == "-" and not warned:
            warned = True
            found.note(NegativePriority(span=rows.place(policy.name, row.line, row.values, at), value=value))
    return tuple(sorted(order, key=lambda row: _number(row.values[at])))


def _number(value: str) -> int:
    return int(value) if _NUMBER.fullmatch(value) else 0


# ---------------------------------------------------------------- by subject


def _by_subject(
    model: Model, rows: PolicyRows, policy: Definition, effect: EffectDefinition, mode: Mode, found: Findings
) -> tuple[tuple[Row, ...], tuple[Diagnostic, ...]]:
    order = rows.rows[policy.name]
    roles = model.roles.get(SUBJECT_ROLES)
    if roles is None:
        return order, (NoRoles(span=effect.span),)
    if roles.conditions:
        return order, (ConditionsAsDomains(span=roles.span, name=roles.name),)
    domain = policy.tokens.index(DOMAIN_COLUMN) if DOMAIN_COLUMN in policy.tokens else None
    said = _NOTHING
    if roles.domains != (domain is not None):
        which = roles.name if roles.domains else policy.name
        made = DomainsApart if mode == "strict" else DomainsApartPassed
        said = (made(span=policy.span, others=(Label(roles.span, "the other one"),), which=which),)
    links = rows.links[SUBJECT_ROLES]
    levels, cycle = depths(links)
    if cycle:
        places = [rows.line_place(link.line) for link in cycle]
        others = tuple(Label(place, "and so on to it") for place in places[1:_MOST_LINKS_NAMED])
        found.note(RoleCycle(span=places[0], others=others, name=cycle[0].member))
        return order, said

    def depth(row: Row) -> int:
        return levels.get(("" if domain is None else row.values[domain], row.values[0]), 0)

    return tuple(sorted(order, key=depth)), said


def depths(links: Sequence[Link]) -> tuple[Mapping[tuple[str, str], int], tuple[Link, ...]]:
    """The depth of each (domain, name) that links name; or the links of a cycle, each leading to the next, the first
    of the policy in front.
    """
    above: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    below: dict[tuple[str, str], int] = {}
    for link in links:
        member, role = (link.domain, link.member), (link.domain, link.role)
        above[member].append(role)
        below.setdefault(member, 0)
        below[role] = below.get(role, 0) + 1
    levels = {name: 0 for name, count in below.items() if not count}
    ready = deque(levels)
    while ready:
        name = ready.popleft()
        for role in above.get(name, ()):
            levels[role] = max(levels.get(role, 0), levels[name] + 1)
            below[role] -= 1
            if not below[role]:
                ready.append(role)
    stuck = {name for name, count in below.items() if count}
    return levels, _cycle(links, stuck)


def _cycle(links: Sequence[Link], stuck: set[tuple[str, str]]) -> tuple[Link, ...]:
    """One cycle among the names that have no depth: each of them has a member of them."""
    below: dict[tuple[str, str], Link] = {}
    for link in links:
        if (link.domain, link.member) in stuck and (link.domain, link.role) in stuck:
            below.setdefault((link.domain, link.role), link)
    if not below:
        return ()
    at = next(iter(below))
    passed: dict[tuple[str, str], Link] = {}
    while at not in passed:
        passed[at] = below[at]
        at = (below[at].domain, below[at].member)
    downwards = list(passed.values())[list(passed).index(at) :]
    cycle = downwards[::-1]
    first = cycle.index(min(cycle, key=lambda link: link.line))
    return tuple(cycle[first:] + cycle[:first])
