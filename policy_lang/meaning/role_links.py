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
Decision (2026-11-21): a name that a pattern leaves open (`Pattern.leaves_open`) has the links of that pattern in doubt,
whether or not their conditions hold, and a link to the pattern leads to the name in doubt. A name of a link that the
function leaves open (open_names.py) has those of all members so, and each pattern, and what the name begins with, leads
to it. Whoever reaches no such name is as sure of what he has not as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang.ir.tables import FunctionName, Link, Mode
from policy_lang.meaning.key_patterns import Pattern
from policy_lang.meaning.linear_regex import LONGEST_NAME
from policy_lang.meaning.name_patterns import PatternsByStem, names_fitting, names_left_open
from policy_lang.meaning.open_names import is_left_open
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN
from policy_lang.verdict import Truth3

Condition = tuple[str, ...]

IN_DOUBT: Condition = ("?",)
"""A condition of which nobody knows whether it holds: one value is none that `timeMatch` could be asked."""

Held = TypeVar("Held")

LONGEST_KEPT = 512
"""Names longer than this, in code points, are asked anew each time."""

A_NAME = 32
"""So many code points of a name that was asked about weigh as much as a name found."""


class Matching(Struct, frozen=True):
    """The matching function of a graph, if it has one, and the mode in which it reads names."""

    function: FunctionName | None
    mode: Mode


class Kept(Struct, Generic[Held], eq=False):
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


class Step(Struct, frozen=True):
    """A link under a condition, seen from its member."""

    role: str
    condition: Condition


class DomainLinks(Struct, frozen=True, eq=False):
    """The links that were written for one domain.

    `always` and `at_times` hold, by member, the roles of the links without and with a condition. `patterns` are the
    members that are patterns; `names`, sorted, all members and roles that patterns are asked about; both empty in a
    graph without a matching function. `doubts` are the links in doubt (see above), from each role that is a pattern to
    itself. `odd` are the members and roles that the function leaves open; `is_uneven`: some of them are patterns that
    leave names open. `key` stands for all that the roles of a role depend on: links with the same key agree there.
    """

    always: Mapping[str, tuple[str, ...]]
    at_times: Mapping[str, tuple[Step, ...]]
    doubts: Mapping[str, tuple[Step, ...]]
    patterns: PatternsByStem
    names: tuple[str, ...]
    odd: frozenset[str]
    key: object
    is_uneven: bool

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
        if matching.function is None:
            return cls(always, at_times, {}, NO_PATTERNS, (), frozenset(), key, is_uneven=False)
        members = {*always, *at_times}
        roles = set[str]().union(*always.values(), *({step.role for step in steps} for steps in at_times.values()))
        doubtful = roles & patterns.keys() if matching.mode == "compat" else set[str]()
        doubts = {role: (Step(role, IN_DOUBT),) for role in doubtful}
        index = PatternsByStem.of(patterns[member] for member in members | doubtful if member in patterns)
        names = members | roles
        is_uneven = any(patterns[name].is_uneven for name in names if name in patterns)
        odd = frozenset(name for name in names if is_left_open(matching.function, name))
        return cls(always, at_times, doubts, index, askable(names), odd, key, is_uneven)

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


class LinksInForce(Struct, frozen=True, eq=False):
    """The links that hold together in a domain: its own, and those of the domains it fits.

    `patterns` are the names of the whole graph that stand for others. `conditional`: some link has a condition or may
    be in doubt; `open_ended`: for some name. `of_odd` are links in doubt to all roles, where some name is odd. `key` as
    in `DomainLinks`: that of the one domain, or the one that stands for all of theirs. `fitted` keeps which members a
    name was found to fit, and which names a role.
    """

    parts: tuple[DomainLinks, ...]
    patterns: Mapping[str, Pattern]
    conditional: bool
    open_ended: bool
    of_odd: tuple[Step, ...]
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
        open_ended = any(part.is_uneven or part.odd for part in parts)
        conditional = open_ended or any(part.at_times or part.doubts for part in parts)
        of_odd = _all_in_doubt(parts) if any(part.odd for part in parts) else ()
        return cls(parts, patterns, conditional, open_ended, of_odd, key, fitted)

    def members_for(self, name: str) -> tuple[str, ...]:
        """The members whose links the name has: itself, and each pattern that it fits."""
        if not self.patterns or len(name) > LONGEST_NAME:
            return (name,)
        key = (self.key, name)
        found = self.fitted.entries.get(key)
        if found is not None:
            return found
        patterns = {text for part in self.parts for text in part.patterns.fitting(name)}
        return self._keep(key, name, (name, *sorted(patterns - {name})))

    def members_perhaps_for(self, name: str) -> tuple[str, ...]:
        """The patterns that leave the name open, whose links and doubts it may have."""
        if len(name) > LONGEST_NAME:
            return ()
        key = (self.key, "perhaps", name)
        found = self.fitted.entries.get(key)
        if found is not None:
            return found
        patterns = {text for part in self.parts for text in part.patterns.leaving_open(name)}
        return self._keep(key, name, tuple(sorted(patterns)))

    def _keep(self, key: object, name: str, found: tuple[str, ...]) -> tuple[str, ...]:
        weight = len(found) + 1 + len(name) // A_NAME
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
        steps = [
            step
            for each in self.members_for(name)
            for part in self.parts
            for step in (*part.at_times.get(each, ()), *part.doubts.get(each, ()))
        ]
        return [*steps, *self._in_doubt(name)] if self.open_ended else steps

    def _in_doubt(self, name: str) -> Iterator[Step]:
        if any(name in part.odd for part in self.parts):
            yield from self.of_odd
            return
        for each in self.members_perhaps_for(name):
            for part in self.parts:
                for role in part.always.get(each, ()):
                    yield Step(role, IN_DOUBT)
                for step in (*part.at_times.get(each, ()), *part.doubts.get(each, ())):
                    yield Step(step.role, IN_DOUBT)

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

    def landed_perhaps(self, role: str) -> Sequence[str]:
        """The names of links that a link to this role may lead to, besides: those that it leaves open, and of those
        that the function leaves open, all for a pattern, and for another name those that begin with it.
        """
        if not self.open_ended:
            return ()
        key = (self.key, "landed perhaps", role)
        found = self.fitted.entries.get(key)
        if found is not None:
            return found
        of = self.patterns.get(role)
        names = {name for part in self.parts for name in part.odd if of is not None or name.startswith(role)}
        if of is not None:
            names.update(name for part in self.parts for name in names_left_open(of, part.names))
        return self.fitted.keep(key, tuple(sorted(names)), len(names) + 1)

    def reaches(self, role: str, name: str) -> Truth3:
        """Whether a link to the role leads to the name, which may stand in no link."""
        if role == name:
            return TRUE
        of = self.patterns.get(role)
        if of is None or len(name) > LONGEST_NAME:
            return FALSE
        return TRUE if of.fits(name) is True else UNKNOWN if of.leaves_open(name) else FALSE


def askable(names: Iterable[str]) -> tuple[str, ...]:
    """The names that patterns are asked about, sorted: those that are not too long for functions (`open_names`)."""
    return tuple(sorted(name for name in names if len(name) <= LONGEST_NAME))


def _one_key(parts: tuple[object, ...], keys: Kept[object]) -> object:
    # One small key for what may be thousands: it stands in every entry of the other caches.
    found = keys.entries.get(parts)
    return keys.keep(parts, object(), len(parts) + 1) if found is None else found


def _all_in_doubt(parts: Iterable[DomainLinks]) -> tuple[Step, ...]:
    always = {role for part in parts for roles in part.always.values() for role in roles}
    at_times = {step.role for part in parts for steps in part.at_times.values() for step in steps}
    return tuple([Step(role, IN_DOUBT) for role in sorted(always | at_times)])


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
