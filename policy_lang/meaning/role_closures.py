"""The roles that names hold, worked out once for each role and put together for each name.

In come the links in force in a domain, and which conditions hold; out comes, for a name, the set of the roles that it
reaches, of the roles that are ever asked about. Equal to `Roles.linked` asked of each (tests/properties).
INVARIANT: what is kept is by role, or by the roles of a name's links, and never by a name asked about, so that no
traffic fills it; it depends on nothing but its key: the links, the roles, and which of the conditions behind them hold.
Source: language.md 6.4 "role closure", 6.6 points 5 and 6.

Decision (2026-11-21): what a role reaches is found breadth first from that role, and not by joining what its own roles
reach: under a bound on the links, what is near by one way may be too far by another.
Decision (2026-11-21): links under a condition are part of the closures, one closure for each outcome of the conditions
that stand behind a role. Few do, so a decision asks those few and looks up the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from policy_lang.ir.tables import RoleGraph
from policy_lang.meaning.linear_regex import LONGEST_NAME
from policy_lang.meaning.name_patterns import names_fitting, names_left_open
from policy_lang.meaning.role_links import IN_DOUBT, Condition, Kept, LinksInForce, askable

MOST_NAMES_KEPT = 400_000
"""Names in the closures that are kept, of roles and, as many again, put together for names that have several roles;
each set counts for a few more. Some 25 MB each.
"""

A_SET = 8


class Closure(Struct, frozen=True):
    """What a link to a role leads to. `conditions` are those of the links behind it, and then `names` is empty: it
    depends on them.
    """

    conditions: tuple[Condition, ...]
    names: frozenset[str]


class Closures(Struct, frozen=True):
    """The closures of one graph. `wanted`: the names ever asked about as a role, and sorted those that patterns are
    asked about; None: all of the links'. `longest` as in `RoleGraph`. `odd`: the wanted names that are too long or have
    a line break.
    """

    wanted: frozenset[str] | None
    wanted_sorted: tuple[str, ...]
    longest: int | None
    odd: frozenset[str]
    kept: Kept[Closure]
    together: Kept[frozenset[str]]

    @classmethod
    def of(cls, wanted: frozenset[str] | None, longest: int | None) -> Closures:
        """Nothing worked out yet."""
        odd = frozenset(name for name in wanted or () if "\n" in name or len(name) > LONGEST_NAME)
        return cls(wanted, askable(wanted or ()), longest, odd, Kept(MOST_NAMES_KEPT), Kept(MOST_NAMES_KEPT))

    def asked_about(self, graph: RoleGraph, member: str) -> frozenset[str]:
        """The wanted names; those of the links and the member where none are named."""
        if self.wanted is not None:
            return self.wanted
        return frozenset({member, *(name for link in graph.links for name in (link.member, link.role))})

    def held(self, links: LinksInForce, name: str, holds: Callable[[Condition], bool]) -> frozenset[str]:
        """The wanted names that the name is or reaches, by links of which each has no condition or one that holds."""
        if self.longest is not None and self.longest <= 0:
            found = _NOBODY
        elif links.conditional:
            onward = [*links.always(name), *(step.role for step in links.at_times(name) if holds(step.condition))]
            found = _NOBODY.union(*(self._now(links, role, holds) for role in onward))
        else:
            found = self._together(links, tuple(links.always(name)))
        asked_about = self.wanted is None or name in self.wanted
        return found | {name} if asked_about and name not in found else found

    def _together(self, links: LinksInForce, roles: tuple[str, ...]) -> frozenset[str]:
        """What links to the roles lead to, where no link has a condition."""
        if len(roles) == 1:
            return (self.kept.entries.get((links.key, roles[0])) or self._close(links, roles[0])).names
        if not roles:
            return _NOBODY
        key = (links.key, roles)
        found = self.together.entries.get(key)
        if found is None:
            found = _NOBODY.union(*(self._together(links, (role,)) for role in roles))
            self.together.keep(key, found, len(found) + len(roles) + A_SET)
        return found

    def _now(self, links: LinksInForce, role: str, holds: Callable[[Condition], bool]) -> frozenset[str]:
        """What a link to the role leads to, by links of which each has no condition or one that holds."""
        closure = self.kept.entries.get((links.key, role)) or self._close(links, role)
        if not closure.conditions:
            return closure.names
        key = (links.key, role, frozenset(each for each in closure.conditions if holds(each)))
        found = self.kept.entries.get(key)
        if found is None:
            names, _ = self._reached(links, role, key[2])
            found = self.kept.keep(key, Closure((), names), len(names) + len(key[2]) + A_SET)
        return found.names

    def _close(self, links: LinksInForce, role: str) -> Closure:
        names, conditions = self._reached(links, role, None)
        closure = Closure(conditions, frozenset() if conditions else names)
        return self.kept.keep((links.key, role), closure, len(closure.names) + len(conditions) + A_SET)

    def _reached(
        self, links: LinksInForce, role: str, holding: frozenset[Condition] | None
    ) -> tuple[frozenset[str], tuple[Condition, ...]]:
        """The wanted names behind a link to the role, and the conditions on the way; `holding` None: all hold."""
        roles, names, conditions = {role}, set[str](), set[Condition]()
        level, left = {role}, None if self.longest is None else self.longest - 1
        doubted = holding is None or IN_DOUBT in holding
        while level:
            arrived = {name for each in level for name in links.landed(each)} - names
            perhaps = {name for each in level for name in links.landed_perhaps(each)}
            if perhaps:
                conditions.add(IN_DOUBT)
                arrived |= perhaps - names if doubted else set()
            names |= arrived
            if left == 0:
                break
            left = None if left is None else left - 1
            level = set()
            for name in arrived:
                level.update(links.always(name))
                for step in links.at_times(name):
                    conditions.add(step.condition)
                    if holding is None or step.condition in holding:
                        level.add(step.role)
            level -= roles
            roles |= level
        found = self._asked_about(links, roles, names)
        perhaps = {name for each in roles for name in self._left_open(links, each)} - found
        if perhaps:
            conditions.add(IN_DOUBT)
        return found | perhaps if doubted else found, tuple(sorted(conditions))

    def _asked_about(self, links: LinksInForce, roles: Iterable[str], names: set[str]) -> frozenset[str]:
        """Of the names, the wanted ones; and those that stand in no link and fit a role."""
        if self.wanted is None:
            return frozenset(names)
        found = self.wanted & names
        patterns = [links.patterns[role] for role in roles if role in links.patterns]
        return found.union(*(names_fitting(each, self.wanted_sorted) for each in patterns))

    def _left_open(self, links: LinksInForce, role: str) -> Iterable[str]:
        """The wanted names that the role leaves open."""
        of = links.patterns.get(role) if links.open_ended else None
        return () if of is None else names_left_open(of, self.wanted_sorted)


_NOBODY: frozenset[str] = frozenset()
