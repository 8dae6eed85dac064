"""What role graphs say: whether a name has a role in a domain at an instant.

A graph goes in; `linked` is the definition, by walking from link to link, and `held` gives at once all the roles of a
name that are ever asked about, which is what an index over rows looks up. Total: what is no string is UNKNOWN.
    linked(member, role) is TRUE     where links lead from one to the other, `longest` at the most, and each holds
                         is UNKNOWN  where none of such ways is known to hold, and one may; also where a matching
                                     function says nothing of a name (open_names.py), or a pattern of domains leaves
                                     the domain open
                         is FALSE    elsewhere
INVARIANT: for each wanted name r: r is in held(m) where linked(m, r) is TRUE, in doubted(m) where it is UNKNOWN, and
in neither where it is FALSE. Nothing changes once made: safe from many threads. Names asked about are remembered only
in caches of a fixed size.
INVARIANT: all versions of a graph share what was worked out, by the keys of their domains. Of two versions in which a
domain has one key, whichever was made of which, both have the same roles (names to which any link of any domain leads),
and in that domain the same links from these roles; with a matching function, the same links in all. `changed` keeps a
key only where its one step does, so every row of steps does.
Source: language.md 6.4, 6.6 points 5, 6 and 25; ir/tables.py `RoleGraph`; Casbin's documentation, "RBAC" and after.

Decision (2026-11-21): a condition without a value (no time, no such zone) leaves its link in doubt. Casbin raises.
Decision (2026-11-21): two links alike but for their conditions are two links, and either will do. Casbin keeps the
condition of the last; the front end leaves no two of them (casbin/conditions.py).
Decision (2026-11-21): a link under a condition is under it also for the names that fit its member, and a name that fits
a role does not thereby have that role. Casbin asks no condition of the first, and grants the second where a definition
has conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir.tables import Link, Mode, RoleGraph
from policy_lang.meaning.key_patterns import Pattern
from policy_lang.meaning.linear_regex import LONGEST_NAME
from policy_lang.meaning.local_time import LocalTime, Times, times
from policy_lang.meaning.name_patterns import PatternsByStem, read
from policy_lang.meaning.object_values import is_text
from policy_lang.meaning.open_names import is_left_open
from policy_lang.meaning.role_closures import Closures
from policy_lang.meaning.role_links import LONGEST_KEPT, Condition, DomainLinks, Kept, LinksInForce, Matching
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN
from policy_lang.verdict import Truth3

MOST_FITTED_KEPT = 65_536
MOST_DOMAINS_KEPT = 4_096
A_DOMAIN = 64
"""What a domain that was asked about weighs besides the domains that it fits."""
MOST_KEYS_KEPT = 262_144
"""Domains in the sets of domains that hold together; some 2 MB."""


class Roles(Struct, frozen=True, eq=False):
    """A role graph, ready to be asked. `domains` are those that links were written for. `patterns` and
    `domain_patterns` are the names of links, and the domains, that stand for others. `times` are the conditions that
    can be read; one that is not there is in doubt. `keys` has one key for each set of keys of domains.
    """

    graph: RoleGraph
    mode: Mode
    domains: Mapping[str, DomainLinks]
    patterns: Mapping[str, Pattern]
    domain_patterns: Mapping[str, Pattern]
    domains_by_stem: PatternsByStem
    times: Mapping[Condition, Times]
    closures: Closures
    fitted: Kept[tuple[str, ...]]
    keys: Kept[object]
    in_force: Kept[LinksInForce]

    @classmethod
    def of(cls, graph: RoleGraph, wanted: frozenset[str] | None = None, *, mode: Mode) -> Roles:
        """The graph, indexed. `wanted`: the names ever asked about as a role; None where they are not known beforehand:
        then those of the links, and the member itself.
        """
        patterns = read(_names(graph.links), graph.matching, mode)
        written = _by_domain(graph, graph.links)
        matching = _matching(graph, mode)
        domains = {name: DomainLinks.of(links, patterns, matching) for name, links in written.items()}
        among = read(domains, graph.domain_matching, mode)
        return cls(
            graph,
            mode,
            domains,
            patterns,
            among,
            PatternsByStem.of(among.values()),
            _times(graph.links, {}),
            Closures.of(wanted, graph.longest),
            Kept(MOST_FITTED_KEPT),
            Kept(MOST_KEYS_KEPT),
            _nothing_in_force(),
        )

    # ---------------------------------------------------------------- asking

    def linked(self, member: object, role: object, domain: object = "", *, now: LocalTime) -> Truth3:
        """Whether the member is the role or has it, in the domain, at the instant. `domain` is of no account in a graph
        without domains.
        """
        if not (is_text(member) and is_text(role) and is_text(domain)):
            return UNKNOWN
        # A subclass may compare otherwise, or raise; the text it holds does neither.
        member, role, domain = str.__str__(member), str.__str__(role), str.__str__(domain)
        if member == role:
            return TRUE
        found = self._walked(member, role, domain, now)
        open_ended = self._is_left_open(member, domain) or is_left_open(self.graph.matching, role)
        return UNKNOWN if found is FALSE and open_ended else found

    def _walked(self, member: str, role: str, domain: str, now: LocalTime) -> Truth3:
        links, truth_of = self._links(domain), self._truths(now)
        found, best, level = FALSE, {member: TRUE}, {member: TRUE}
        left = self.graph.longest
        while level and found is not TRUE and (left is None or left > 0):
            left = None if left is None else left - 1
            arrived: dict[str, Truth3] = {}
            for name, truth in level.items():
                for onward, condition in self._onward(links, name):
                    there = _both(truth, truth_of(condition))
                    found = _better(found, _both(there, links.reaches(onward, role)))
                    for landed in links.landed(onward):
                        arrived[landed] = _better(arrived.get(landed, FALSE), there)
                    for landed in links.landed_perhaps(onward):
                        arrived[landed] = _better(arrived.get(landed, FALSE), _both(there, UNKNOWN))
            level = {name: truth for name, truth in arrived.items() if _RANK[truth] > _RANK[best.get(name, FALSE)]}
            best |= level
        return found

    def held(self, member: str, domain: str, *, now: LocalTime) -> frozenset[str]:
        """The wanted names of which `linked` says TRUE. A set shared with others: about a microsecond."""
        links = self._links(domain)
        if not links.conditional:
            return self.closures.held(links, member, _never)
        return self.closures.held(links, member, self._asked(now, TRUE))

    def doubted(self, member: str, domain: str, *, now: LocalTime) -> frozenset[str]:
        """The wanted names of which `linked` says UNKNOWN: none where no link has a condition or may be in doubt, and
        no name is one of `open_names`.
        """
        if self._is_left_open(member, domain):
            return self.closures.asked_about(self.graph, member) - self.held(member, domain, now=now)
        links, open_ended = self._links(domain), self._open_ended()
        if not links.conditional and not open_ended:
            return frozenset()
        perhaps = self.closures.held(links, member, self._asked(now, TRUE, UNKNOWN))
        return (perhaps | open_ended) - self.held(member, domain, now=now)

    def _is_left_open(self, member: str, domain: str) -> bool:
        """Whether a matching function says nothing of the member, or perhaps nothing of the domain."""
        if is_left_open(self.graph.matching, member):
            return True
        if not self.graph.domains:
            return False
        return is_left_open(self.graph.domain_matching, domain) or bool(self.domains_by_stem.leaving_open(domain))

    def _open_ended(self) -> frozenset[str]:
        """The wanted names of which the matching function says nothing."""
        odd = self.closures.odd
        return frozenset(name for name in odd if is_left_open(self.graph.matching, name))

    def _links(self, domain: str) -> LinksInForce:
        asked = domain if self.graph.domains else ""
        return self.in_force.entries.get(asked) or self._gathered(asked)

    def _gathered(self, asked: str) -> LinksInForce:
        others = set(self.domains_by_stem.fitting(asked)) if len(asked) <= LONGEST_NAME else set[str]()
        parts = tuple(self.domains[name] for name in sorted(others | {asked}) if name in self.domains)
        links = LinksInForce.of(parts, self.patterns, self.fitted, self.keys)
        if not parts or len(asked) > LONGEST_KEPT:
            return links
        return self.in_force.keep(asked, links, A_DOMAIN + len(parts))

    def _onward(self, links: LinksInForce, name: str) -> Iterable[tuple[str, Condition]]:
        yield from ((role, ()) for role in links.always(name))
        yield from ((step.role, step.condition) for step in links.at_times(name))

    def _truths(self, now: LocalTime) -> Callable[[Condition], Truth3]:
        """Whether a condition holds; the clock is read once, and only where there are conditions."""
        shown = now.shown() if self.times else None

        def truth(condition: Condition) -> Truth3:
            if not condition:
                return TRUE
            asked = self.times.get(condition)
            if shown is None or asked is None:
                return UNKNOWN
            return TRUE if asked.has(shown) else FALSE

        return truth

    def _asked(self, now: LocalTime, *accepted: Truth3) -> Callable[[Condition], bool]:
        """Whether a condition comes out as one of these."""
        truth_of = self._truths(now)
        return lambda condition: truth_of(condition) in accepted

    # ---------------------------------------------------------------- changing

    def changed(self, add: Sequence[Link], remove: Sequence[Link]) -> Roles:
        """The graph without the links to remove, whatever their lines and however often they stand there, and then with
        those to add; this one stays as it is. What was worked out stays for the domains without a change, and for
        the others where the links are of names that are no role in any domain and there is no matching function. It
        stays for no domain where the change makes a role of a name or takes the last link to one.
        """
        graph = self._changed_graph(add, remove)
        patterns = self._changed_patterns(graph, add)
        roles = _roles(graph)
        same_roles = roles == _roles(self.graph)
        of_no_role = roles.isdisjoint(link.member for link in (*add, *remove))
        same_key = same_roles and of_no_role and graph.matching is None
        domains = dict(self.domains) if same_roles else {name: of.anew() for name, of in self.domains.items()}
        to_add, to_remove = _by_domain(graph, add), _by_domain(graph, remove)
        for name in {**to_add, **to_remove}:
            changed = domains.get(name, _NOTHING).changed(
                to_add.get(name, ()),
                to_remove.get(name, ()),
                patterns,
                _matching(graph, self.mode),
                same_key=same_key and name in domains,
            )
            if changed.always or changed.at_times:
                domains[name] = changed
            else:
                domains.pop(name, None)
        among = {name: of for name, of in self.domain_patterns.items() if name in domains}
        among |= read(domains.keys() - self.domains.keys(), graph.domain_matching, self.mode)
        return replace(
            self,
            graph=graph,
            domains=domains,
            patterns=patterns,
            domain_patterns=among,
            domains_by_stem=PatternsByStem.of(among.values()),
            times=_times(graph.links, self.times),
            in_force=_nothing_in_force(),
        )

    def wanting(self, wanted: frozenset[str] | None) -> Roles:
        """The same graph, asked about other roles."""
        return replace(self, closures=Closures.of(wanted, self.graph.longest))

    def _changed_graph(self, add: Sequence[Link], remove: Sequence[Link]) -> RoleGraph:
        gone = {replace(link, line=0) for link in remove}
        members = {link.member for link in remove}
        stay = self.graph.links
        if gone:
            stay = tuple(link for link in stay if link.member not in members or replace(link, line=0) not in gone)
        return replace(self.graph, links=(*stay, *add))

    def _changed_patterns(self, graph: RoleGraph, add: Sequence[Link]) -> Mapping[str, Pattern]:
        if graph.matching is None:
            return self.patterns
        present = _names(graph.links)
        stay = {name: of for name, of in self.patterns.items() if name in present}
        return stay | read(_names(add) - stay.keys(), graph.matching, self.mode)


_RANK = {FALSE: 0, UNKNOWN: 1, TRUE: 2}

_NOTHING = DomainLinks.of((), {}, Matching(None, "strict"))


def _matching(graph: RoleGraph, mode: Mode) -> Matching:
    return Matching(graph.matching, mode)


def _roles(graph: RoleGraph) -> set[str]:
    return {link.role for link in graph.links}


def _times(links: Iterable[Link], read_before: Mapping[Condition, Times]) -> Mapping[Condition, Times]:
    """The conditions of the links, but for those that are no two times."""
    found: dict[Condition, Times] = {}
    for condition in {link.condition for link in links if len(link.condition) == 2}:
        asked = read_before.get(condition) or times(*condition)
        if asked is not None:
            found[condition] = asked
    return found


def _nothing_in_force() -> Kept[LinksInForce]:
    return Kept(MOST_DOMAINS_KEPT * (A_DOMAIN + 1))


def _names(links: Iterable[Link]) -> set[str]:
    return {name for link in links for name in (link.member, link.role)}


def _by_domain(graph: RoleGraph, links: Iterable[Link]) -> dict[str, list[Link]]:
    found: dict[str, list[Link]] = {}
    for link in links:
        found.setdefault(link.domain if graph.domains else "", []).append(link)
    return found


def _both(left: Truth3, right: Truth3) -> Truth3:
    return left if _RANK[left] <= _RANK[right] else right


def _better(left: Truth3, right: Truth3) -> Truth3:
    return left if _RANK[left] >= _RANK[right] else right


def _never(_: Condition) -> bool:
    return False
