"""Kinds that differ in the effect, in the order of the rows, in times, in the definitions that are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from policy_lang.ir.tables import FunctionName
from tests.casbin.draws import (
    ACTIONS,
    DOMAINS,
    OBJECTS,
    ROLES,
    SUBJECTS,
    Row,
    Rows,
    acyclic,
    asking,
    lines,
    links,
    member,
    plain_free,
    plain_hit,
    rows,
    voted,
)
from tests.casbin.kind import (
    ALLOW_AND_DENY,
    ALLOW_OVERRIDE,
    BY_ROLE,
    DENY_OVERRIDE,
    PRIORITY,
    SAME,
    SUBJECT_PRIORITY,
    Kind,
    Request,
    Settings,
    Trial,
    model,
)

VOTES = ("allow", "allow", "deny")
WITH_EFFECT = "sub, obj, act, eft"
RANKED = (*SUBJECTS, *ROLES)
"""Names in an order in which links may lead without a cycle."""


def _voting(effect: str, odd: Sequence[str] = ()) -> Callable[[Random], Trial]:
    """Rows that allow and deny; half of the trials may hold the effects of `odd`, too."""
    text = model(BY_ROLE, policy=WITH_EFFECT, effect=effect, roles={"g": "_, _"})

    def draw(random: Random) -> Trial:
        held = links(random, 5, SUBJECTS, ROLES)
        drawn = voted(random, rows(random, 8, (*ROLES, *SUBJECTS[:2]), OBJECTS[:2], ACTIONS[:2]), VOTES)
        if odd and random.random() < 0.5:
            drawn = tuple((*row[:-1], random.choice((row[-1], row[-1], random.choice(odd)))) for row in drawn)

        def hit(random: Random, row: Row) -> Request:
            return (member(random, held, row[1]), row[2], row[3])

        return Trial(text, lines(drawn, held), asking(hit, plain_free, drawn, 0.75))

    return draw


def _explicit_priority(random: Random) -> Trial:
    held = links(random, 5, SUBJECTS, ROLES)
    numbers = ("0", "1", "5", "10", "100") if random.random() < 0.9 else ("-1", "1", "2")
    drawn = voted(random, rows(random, 8, numbers, (*ROLES, *SUBJECTS[:2]), OBJECTS[:2], ACTIONS[:2]), VOTES)

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[2]), row[3], row[4])

    text = model(BY_ROLE, policy=f"priority, {WITH_EFFECT}", effect=PRIORITY, roles={"g": "_, _"})
    return Trial(text, lines(drawn, held), asking(hit, plain_free, drawn, 0.75))


def _subject_priority(random: Random) -> Trial:
    held = acyclic(random, 7, RANKED)
    drawn = voted(random, rows(random, 8, RANKED, OBJECTS[:2], ACTIONS[:2]), VOTES)

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[1]), row[2], row[3])

    text = model(BY_ROLE, policy=WITH_EFFECT, effect=SUBJECT_PRIORITY, roles={"g": "_, _"})
    return Trial(text, lines(drawn, held), asking(hit, plain_free, drawn, 0.75))


def _subject_priority_in_domains(random: Random) -> Trial:
    held: Rows = tuple((*link, random.choice(DOMAINS[:2])) for link in acyclic(random, 8, RANKED))
    drawn = voted(random, rows(random, 8, RANKED, OBJECTS[:2], DOMAINS[:2], ACTIONS[:2]), VOTES)

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[1], domain=row[3]), *row[2:5])

    def free(random: Random) -> Request:
        subject, entity, action = plain_free(random)
        return (subject, entity, random.choice(DOMAINS), action)

    text = model(
        "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
        request="sub, obj, dom, act",
        policy="sub, obj, dom, act, eft",
        effect=SUBJECT_PRIORITY,
        roles={"g": "_, _, _"},
    )
    return Trial(text, lines(drawn, held), asking(hit, free, drawn, 0.75))


def _subject_cycle(random: Random) -> Trial:
    """Casbin does not load it."""
    held: Rows = (("g", "alice", "bob"), ("g", "bob", "alice"), *links(random, 2, SUBJECTS, ROLES))
    drawn = voted(random, rows(random, 4, RANKED, OBJECTS[:2], ACTIONS[:2]), VOTES)
    text = model(BY_ROLE, policy=WITH_EFFECT, effect=SUBJECT_PRIORITY, roles={"g": "_, _"})
    return Trial(text, lines(drawn, held), plain_free)


def _empty(random: Random) -> Trial:
    """No rows at all: Casbin asks the matcher of empty columns."""
    matcher = random.choice((SAME, f'{SAME} || r.sub == "root"', BY_ROLE, 'r.sub == "root" && p.obj == ""'))
    effect = random.choice((ALLOW_OVERRIDE, ALLOW_AND_DENY, PRIORITY))
    held = links(random, 3, SUBJECTS, ROLES) if random.random() < 0.5 else ()
    text = model(matcher, policy=WITH_EFFECT, effect=effect, roles={"g": "_, _"})

    def ask(random: Random) -> Request:
        return random.choice((("root", "data1", "read"), ("", "", ""), ("alice", "", "read"), plain_free(random)))

    return Trial(text, lines(held, (("# nothing else",),)), ask)


PAST = ("1999-01-01 00:00:00", "2001-12-31 23:59:59", "_")
FUTURE = ("2999-01-01 00:00:00", "2899-02-28 12:00:00", "_")
SPANS = (
    *((start, end) for start in PAST for end in FUTURE),
    (PAST[0], PAST[1]), (FUTURE[1], FUTURE[0]), ("_", PAST[0]), (FUTURE[0], "_"),
)  # fmt: skip
ODD_SPANS = (("1999-13-01 00:00:00", "_"), ("soon", "_"), ("_", ""), ("1999-01-01", "2999-01-01"))


def _times(random: Random) -> Trial:
    drawn = tuple((*row, *random.choice(SPANS)) for row in rows(random, 6, SUBJECTS[:3], OBJECTS[:2], ACTIONS[:2]))
    text = model(f"{SAME} && timeMatch(p.start, p.end)", policy="sub, obj, act, start, end")
    return Trial(text, lines(drawn), asking(plain_hit, plain_free, drawn, 0.8))


def _odd_times(random: Random) -> Trial:
    spans = (*SPANS, *ODD_SPANS)
    drawn = tuple((*row, *random.choice(spans)) for row in rows(random, 6, SUBJECTS, OBJECTS[:2], ACTIONS[:2]))
    text = model(f"{SAME} && timeMatch(p.start, p.end)", policy="sub, obj, act, start, end")
    return Trial(text, lines(drawn), asking(plain_hit, plain_free, drawn, 0.8))


def _conditional(random: Random) -> Trial:
    held = tuple((*link, *random.choice(SPANS)) for link in links(random, 7, SUBJECTS, ROLES))
    drawn = rows(random, 6, ROLES, OBJECTS[:2], ACTIONS[:2])

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[1]), row[2], row[3])

    text = model(BY_ROLE, roles={"g": "_, _, (_, _)"})
    return Trial(text, lines(drawn, held), asking(hit, plain_free, drawn, 0.8))


def _conditional_in_domains(random: Random) -> Trial:
    drawn_links = links(random, 7, SUBJECTS, ROLES)
    held = tuple((*link, random.choice(DOMAINS[:2]), *random.choice(SPANS)) for link in drawn_links)
    drawn = rows(random, 6, ROLES, DOMAINS[:2], OBJECTS[:2], ACTIONS[:2])

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[1], domain=row[2]), *row[2:5])

    def free(random: Random) -> Request:
        subject, entity, action = plain_free(random)
        return (subject, random.choice(DOMAINS), entity, action)

    text = model(
        "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
        request="sub, dom, obj, act",
        policy="sub, dom, obj, act",
        roles={"g": "_, _, _, (_, _)"},
    )
    return Trial(text, lines(drawn, held), asking(hit, free, drawn, 0.8))


PLAIN_SUBJECTS: tuple[Mapping[str, str], ...] = (
    {"g": "_, _", "g2": "_, _, (_, _)"},
    {"g": "_, _", "g2": "_, _, (_, _)", "g3": "_, _"},
    {"g": "_, _", "g2": "_, _", "g3": "_, _, (_, _)"},
)
BESIDE = (*PLAIN_SUBJECTS, {"g": "_, _, (_, _)", "g2": "_, _"}, {"g": "_, _, _", "g2": "_, _, (_, _)"})
"""Role definitions, of which one has conditions; only `g` and `g2` are asked."""


def _conditional_beside_plain(arrangements: Sequence[Mapping[str, str]], effect: str) -> Callable[[Random], Trial]:
    """Casbin compares two names in place of the plain roles then."""

    def draw(random: Random) -> Trial:
        roles = random.choice(arrangements)

        def completed(link: Row) -> Row:
            domain = ("acme",) if roles[link[0]] == "_, _, _" else ()
            return (*link, *domain, *(random.choice(SPANS) if "(" in roles[link[0]] else ()))

        held = tuple(map(completed, acyclic(random, 5, RANKED)))
        grouped = tuple(map(completed, links(random, 5, OBJECTS, ("books", "maps"), "g2")))
        drawn = rows(random, 6, (*ROLES, *SUBJECTS), ("books", "maps", *OBJECTS), ACTIONS[:2])

        def hit(random: Random, row: Row) -> Request:
            subject = random.choice((row[1], row[1], member(random, held, row[1])))
            return (subject, random.choice((row[2], member(random, grouped, row[2], "g2"))), row[3])

        own = "g(r.sub, p.sub, 'acme')" if roles["g"] == "_, _, _" else "g(r.sub, p.sub)"
        asked = random.choice((own, own, own, f"!{own}"))
        matcher = f"{asked} && g2(r.obj, p.obj) && r.act == p.act"
        text = model(matcher, policy=WITH_EFFECT, effect=effect, roles=roles)
        drawn = voted(random, drawn, (*VOTES, "allow"))
        return Trial(text, lines(drawn, held, grouped), asking(hit, plain_free, drawn, 0.9))

    return draw


def _two_of_each(second_effect: str) -> Callable[[Random], Trial]:
    text = (
        "[request_definition]\nr = sub, obj, act\nr2 = sub, obj\n"
        "[policy_definition]\np = sub, obj, act, eft\np2 = sub, obj, eft\n[role_definition]\ng = _, _\n"
        f"[policy_effect]\ne = {ALLOW_AND_DENY}\ne2 = {second_effect}\n"
        f"[matchers]\nm = {BY_ROLE}\nm2 = g(r2.sub, p2.sub) && r2.obj == p2.obj\n"
    )

    def draw(random: Random) -> Trial:
        held = links(random, 5, SUBJECTS, ROLES)
        first = voted(random, rows(random, 4, RANKED, OBJECTS[:2], ACTIONS[:2]), VOTES)
        second = voted(random, rows(random, 5, RANKED, OBJECTS[:2], kind="p2"), (*VOTES, "allow"))

        def hit(random: Random, row: Row) -> Request:
            return (member(random, held, row[1]), row[2])

        return Trial(text, lines(first, second, held), asking(hit, lambda random: plain_free(random)[:2], second, 0.75))

    return draw


NO_MATCHING: Mapping[str, FunctionName] = {}
_CYCLE = frozenset({"E623"})
_IN_UTC = Settings(zone="UTC")
_UNKNOWN_EFFECTS = ("Allow", "DENY", "", "permit")

EFFECTS = (
    Kind("allow and deny", _voting(ALLOW_AND_DENY)),
    Kind("deny override", _voting(DENY_OVERRIDE), "refuses", frozenset({"E606"})),
    Kind("priority by order", _voting(PRIORITY)),
    Kind("explicit priority", _explicit_priority, raised=0.2),
    Kind("subject priority", _subject_priority),
    Kind("subject priority in domains", _subject_priority_in_domains),
    Kind(
        "subject priority with a cycle", _subject_cycle, "refuses", _CYCLE, _CYCLE, allowed=0, raised=1,
    ),
    Kind("unknown effects", _voting(ALLOW_AND_DENY, _UNKNOWN_EFFECTS), "either", frozenset({"E607"}), allowed=0.2),
    Kind(
        "unknown effects under deny override",
        _voting(DENY_OVERRIDE, _UNKNOWN_EFFECTS),
        "refuses",
        frozenset({"E606", "E607"}),
    ),
    Kind("empty policy", _empty),
    Kind("timeMatch", _times, settings=Settings(zone="UTC")),
    Kind("timeMatch of odd times", _odd_times, "either", frozenset({"E610"}), settings=_IN_UTC, raised=0.3),
    Kind("timeMatch without a zone", _times, "refuses", frozenset({"E621"})),
    Kind("conditional roles", _conditional, settings=Settings(zone="UTC", time_conditions=True)),
    Kind("conditional roles in domains", _conditional_in_domains, settings=Settings(zone="UTC", time_conditions=True)),
    *(
        Kind(
            f"conditional roles beside plain ones{named}",
            _conditional_beside_plain(arrangements, effect),
            "refuses",
            frozenset({"E609"}),
            settings=Settings(matching, zone="UTC", time_conditions=True),
        )
        for named, arrangements, effect, matching in (
            ("", BESIDE, ALLOW_AND_DENY, NO_MATCHING),
            (" under subject priority", PLAIN_SUBJECTS, SUBJECT_PRIORITY, NO_MATCHING),
            (" with patterns of names", PLAIN_SUBJECTS, ALLOW_AND_DENY, {"g": "keyMatch"}),
        )
    ),
    Kind("second definitions", _two_of_each(ALLOW_AND_DENY), settings=Settings(suffix="2")),
    Kind(
        "second definitions with another effect",
        _two_of_each(PRIORITY),
        "refuses",
        frozenset({"E608"}),
        settings=Settings(suffix="2"),
    ),
)  # fmt: skip
