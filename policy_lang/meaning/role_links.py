"""The links of a role graph, by member, and those that hold together in one domain.

In come links and the patterns among their names; out come, for a name, the roles of its links, and for the role of a
link, the names it stands for. Links are a set here: their order, their lines and their repetition are gone.
INVARIANT: nothing here changes once made; what `Kept` holds could be worked out again.
Source: language.md 6.4; ir/tables.py `RoleGraph`; Casbin's documentation, "RBAC", "RBAC with domains", "RBAC with
pattern".

Decision (2026-11-21): a role that is a pattern has, besides the names asked about, the names of the links that hold in
the domain: a name that stands nowhere leads nowhere. Casbin also has names that it was asked about before.
Decision (2026-11-21): whoever has a role that is a pattern has the names that fit it; the pattern itself, asked about
as if it were somebody, has only the roles of its links. In Casbin this depends on the order of the links, and so does
whether names that fit such a role have each other. In compat these ways are in doubt: not to have such a role would
allow under `!g(…)`, or pass a row over that denies.
Decision (2026-11-21): a link that a name has because it fits a pattern is one link, and so is one to a name that fits
the role. Casbin counts two where the name is older than the link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

from policy_lang.ir.tables import Link
from policy_lang.meaning.key_patterns import Pattern
from policy_lang.meaning.linear_regex import LONGEST_NAME
from policy_lang.meaning.name_patterns import PatternsByStem, names_fitting

Condition = tuple[str, ...]

IN_DOUBT: Condition = ("?",)
"""A condition of which nobody knows whether it holds: one value is none that `timeMatch` could be asked."""

Matching = Literal["none", "strict", "compat"]
"""Whether a graph has a matching function, and the mode in which it then reads names."""

Held = TypeVar("Held")

LONGEST_KEPT = 512
"""Names longer than this, in code points, are asked anew each time."""

A_NAME = 32
"""So many code points of a name that was asked about weigh as much as a name found."""


@dataclass(slots=True, eq=False)
class Kept(Generic[Held]):
    """What was worked out, by what it depends on; emptied when its weight would pass `limit`.

    Safe from many threads without a lock: an entry that is lost is worked out again, and a weight that is added wrongly
    moves the limit by that entry.
    """

    limit: int
    entries: dict[object, Held] = field(default_factory=dict)
    weight: int = 0

    def keep(self, key: object, value: Held, weight: int = 1) -> Held:
        """The value, kept if it is not heavier than everything may be together."""
        if weight > self.limit:
            return value
        if self.weight + weight > self.limit:
            self.entries.clear()
            self.weight = 0
        self.entries[key] = value
        self.weight += weight
        return value


@dataclass(frozen=True, slots=True)
class Step:
    """A link under a condition, seen from its member."""

    role: str
    condition: Condition


@dataclass(frozen=True, slots=True, eq=False)
class DomainLinks:
    """The links that were written for one domain.

    `always` and `at_times` hold, by member, the roles of the links without and with a condition. `patterns` are the
    members that are patterns; `names`, sorted, all members and roles that patterns are asked about; both empty in a
    graph without a matching function. `doubts` are the links in doubt (see above), from each role that is a pattern to
    itself. `key` stands for all that the roles of a role depend on: links with the same key agree there.
    """

    always: Mapping[str, tuple[str, ...]]
    at_times: Mapping[str, tuple[Step, ...]]
    doubts: Mapping[str, tuple[Step, ...]]
    patterns: PatternsByStem
    names: tuple[str, ...]
    key: object

    @classmethod
    def of(cls, links: Iterable[Link], patterns: Mapping[str, Pattern], matching: Matching) -> DomainLinks:
        """The links by member. `patterns`: the names that stand for others, at least those of these links."""
        always: dict[str, list[str]] = {}
        at_times: dict[str, list[Step]] = {}
        for link in links:
            if link.condition:
                at_times.setdefault(link.member, []).append(Step(link.role, link.condition))
            else:
                always.setdefault(link.member, []).append(link.role)
        shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        alike = {member: _roles(roles, shared) for member, roles in always.items()}
        timed = {member: _steps(steps) for member, steps in at_times.items()}
        return cls._made(alike, timed, patterns, object(), matching)

    @classmethod
    def _made(
        cls,
        always: Mapping[str, tuple[str, ...]],
        at_times: Mapping[str, tuple[Step, ...]],
        patterns: Mapping[str, Pattern],
        key: object,
        matching: Matching,
    ) -> DomainLinks:
        if matching == "none":
            return cls(always, at_times, {}, NO_PATTERNS, (), key)
        members = {*always, *at_times}
        roles = set[str]().union(*always.values(), *({step.role for step in steps} for steps in at_times.values()))
        doubtful = roles & patterns.keys() if matching == "compat" else set[str]()
        doubts = {role: (Step(role, IN_DOUBT),) for role in doubtful}
        index = PatternsByStem.of(patterns[member] for member in members | doubtful if member in patterns)
        return cls(always, at_times, doubts, index, askable(members | roles), key)

    def anew(self) -> DomainLinks:
        """The same links under a key of their own."""
        return replace(self, key=object())

    def changed(
        self,
        add: Iterable[Link],
        remove: Iterable[Link],
        patterns: Mapping[str, Pattern],
        matching: Matching,
        *,
        same_key: bool,
    ) -> DomainLinks:
        """Without the links to remove, whatever their lines, and then with those to add."""
        always, at_times = dict(self.always), dict(self.at_times)
        for link in remove:
            if link.condition:
                gone = Step(link.role, link.condition)
                _put(at_times, link.member, tuple(each for each in at_times.get(link.member, ()) if each != gone))
            else:
                _put(always, link.member, tuple(each for each in always.get(link.member, ()) if each != link.role))
        for link in add:
            if link.condition:
                steps = [*at_times.get(link.member, ()), Step(link.role, link.condition)]
                at_times[link.member] = _steps(steps)
            else:
                always[link.member] = _roles([*always.get(link.member, ()), link.role], {})
        return self._made(always, at_times, patterns, self.key if same_key else object(), matching)


NO_PATTERNS = PatternsByStem.of(())


@dataclass(frozen=True, slots=True, eq=False)
class LinksInForce:
    """The links that hold together in a domain: its own, and those of the domains it fits.

    `patterns` are the names of the whole graph that stand for others. `conditional`: some link has a condition or is in
    doubt. `key` as in `DomainLinks`: that of the one domain, or the one that stands for all of theirs. `fitted` keeps
    which members a name was found to fit, and which names a role.
    """

    parts: tuple[DomainLinks, ...]
    patterns: Mapping[str, Pattern]
    conditional: bool
    key: object
    fitted: Kept[tuple[str, ...]]

    @classmethod
    def of(
        cls,
        parts: tuple[DomainLinks, ...],
        patterns: Mapping[str, Pattern],
        fitted: Kept[tuple[str, ...]],
        keys: Kept[object],
    ) -> LinksInForce:
        """The links of the parts, of which `keys` remembers what one key stands for all of theirs."""
        key = parts[0].key if len(parts) == 1 else _one_key(tuple(part.key for part in parts), keys)
        return cls(parts, patterns, any(part.at_times or part.doubts for part in parts), key, fitted)

    def members_for(self, name: str) -> tuple[str, ...]:
        """The members whose links the name has: itself, and each pattern that it fits."""
        if not self.patterns or len(name) > LONGEST_NAME:
            return (name,)
        key = (self.key, name)
        found = self.fitted.entries.get(key)
        if found is not None:
            return found
        patterns = {text for part in self.parts for text in part.patterns.fitting(name)}
        found = (name, *sorted(patterns - {name}))
        weight = len(found) + len(name) // A_NAME
        return found if len(name) > LONGEST_KEPT else self.fitted.keep(key, found, weight)

    def always(self, name: str) -> Sequence[str]:
        """The roles of the name's links that have no condition; one may come more than once."""
        if len(self.parts) == 1 and not self.patterns:
            return self.parts[0].always.get(name, ())
        return [role for each in self.members_for(name) for part in self.parts for role in part.always.get(each, ())]

    def at_times(self, name: str) -> Sequence[Step]:
        """The name's links that have a condition or are in doubt; one may come more than once."""
        if not self.conditional:
            return ()
        return [
            step
            for each in self.members_for(name)
            for part in self.parts
            for step in (*part.at_times.get(each, ()), *part.doubts.get(each, ()))
        ]

    def landed(self, role: str) -> Sequence[str]:
        """The names that a link to this role leads to: itself, and the names of the links that fit it."""
        of = self.patterns.get(role)
        if of is None:
            return (role,)
        key = (self.key, "landed", role)
        found = self.fitted.entries.get(key)
        if found is not None:
            return found
        names = {name for part in self.parts for name in names_fitting(of, part.names)}
        return self.fitted.keep(key, (role, *sorted(names - {role})), len(names) + 1)

    def reaches(self, role: str, name: str) -> bool:
        """Whether a link to the role leads to the name, which may stand in no link."""
        of = self.patterns.get(role)
        return role == name or (of is not None and len(name) <= LONGEST_NAME and of.fits(name) is True)


def askable(names: Iterable[str]) -> tuple[str, ...]:
    """The names that patterns are asked about, sorted: those that are not too long for functions (`final_breaks`)."""
    return tuple(sorted(name for name in names if len(name) <= LONGEST_NAME))


def _one_key(parts: tuple[object, ...], keys: Kept[object]) -> object:
    # One small key for what may be thousands: it stands in every entry of the other caches.
    found = keys.entries.get(parts)
    return keys.keep(parts, object(), len(parts) + 1) if found is None else found


def _roles(roles: list[str], shared: dict[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    each_once = tuple(roles) if len(roles) == 1 else tuple(sorted(set(roles)))
    return shared.setdefault(each_once, each_once)


def _steps(steps: list[Step]) -> tuple[Step, ...]:
    return tuple(sorted(set(steps), key=lambda step: (step.role, step.condition)))


def _put(among: dict[str, tuple[Held, ...]], member: str, left: tuple[Held, ...]) -> None:
    if left:
        among[member] = left
    else:
        among.pop(member, None)
