"""Kinds whose rows name subjects, objects and actions: access lists, roles, resource roles, domains, patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from random import Random

from policy_lang.ir.tables import FunctionName
from tests.casbin.draws import (
    ACTIONS,
    DOMAINS,
    OBJECTS,
    ROLES,
    SUBJECTS,
    WORDS,
    Row,
    Rows,
    asking,
    filled,
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
    BY_ROLE,
    SAME,
    SAME_OBJECT_AND_ACTION,
    Kind,
    Request,
    Settings,
    Trial,
    model,
)

GROUPS = ("books", "papers", "maps")
BY_BOTH_ROLES = "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act"
IN_DOMAIN = f"g(r.sub, p.sub, r.dom) && r.dom == p.dom && {SAME_OBJECT_AND_ACTION}"
CHAIN = tuple(f"level{place}" for place in range(14))
BESIDES = {"request": "sub, dom, obj, act", "policy": "sub, dom, obj, act"}


def _acl(random: Random) -> Trial:
    drawn = rows(random, 8, SUBJECTS, OBJECTS, ACTIONS)
    return Trial(model(SAME), lines(drawn), asking(plain_hit, plain_free, drawn))


def _superuser(random: Random) -> Trial:
    drawn = rows(random, 5, SUBJECTS, OBJECTS, ACTIONS)

    def free(random: Random) -> Request:
        return (random.choice(("root", *SUBJECTS)), *plain_free(random)[1:])

    return Trial(model(f'{SAME} || r.sub == "root"'), lines(drawn), asking(plain_hit, free, drawn))


def _without_users(random: Random) -> Trial:
    drawn = rows(random, 5, OBJECTS, ACTIONS)
    text = model(SAME_OBJECT_AND_ACTION, request="obj, act", policy="obj, act")
    return Trial(text, lines(drawn), asking(plain_hit, lambda random: plain_free(random)[1:], drawn))


def _without_resources(random: Random) -> Trial:
    drawn = rows(random, 5, SUBJECTS, ACTIONS)
    text = model("r.sub == p.sub && r.act == p.act", request="sub, act", policy="sub, act")

    def free(random: Random) -> Request:
        return (random.choice(SUBJECTS), random.choice(ACTIONS))

    return Trial(text, lines(drawn), asking(plain_hit, free, drawn))


def _rbac(random: Random) -> Trial:
    held = links(random, 8, SUBJECTS, ROLES)
    drawn = rows(random, 6, (*ROLES, *SUBJECTS[:2]), OBJECTS, ACTIONS)

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[1]), row[2], row[3])

    return Trial(model(BY_ROLE, roles={"g": "_, _"}), lines(drawn, held), asking(hit, plain_free, drawn))


def _long_chain(random: Random) -> Trial:
    """Links one after the other, more than Casbin follows."""
    held: Rows = tuple(("g", *pair) for pair in pairwise(CHAIN))
    held = (*held, *links(random, 3, SUBJECTS, CHAIN))
    drawn = rows(random, 4, CHAIN, OBJECTS, ACTIONS)

    def hit(random: Random, row: Row) -> Request:
        return (CHAIN[random.randint(0, CHAIN.index(row[1]))], row[2], row[3])

    return Trial(model(BY_ROLE, roles={"g": "_, _"}), lines(drawn, held), asking(hit, plain_free, drawn, 0.8))


def _resource_roles(random: Random) -> Trial:
    held = (*links(random, 6, SUBJECTS, ROLES), *links(random, 6, OBJECTS, GROUPS, "g2"))
    drawn = rows(random, 6, (*ROLES, *SUBJECTS), (*GROUPS, *OBJECTS), ACTIONS)

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[1]), member(random, held, row[2], "g2"), row[3])

    text = model(BY_BOTH_ROLES, roles={"g": "_, _", "g2": "_, _"})
    return Trial(text, lines(drawn, held), asking(hit, plain_free, drawn))


def _in_domains(random: Random, domains: tuple[str, ...]) -> Rows:
    return tuple(dict.fromkeys((*link, random.choice(domains)) for link in links(random, 8, SUBJECTS, ROLES)))


def _free_in_domain(random: Random) -> Request:
    subject, entity, action = plain_free(random)
    return (subject, random.choice((*DOMAINS, "elsewhere")), entity, action)


def _domains(random: Random) -> Trial:
    held = _in_domains(random, DOMAINS[:2])
    drawn = rows(random, 6, ROLES, DOMAINS[:2], OBJECTS, ACTIONS)

    def hit(random: Random, row: Row) -> Request:
        return (member(random, held, row[1], domain=row[2]), *row[2:5])

    text = model(IN_DOMAIN, roles={"g": "_, _, _"}, **BESIDES)
    return Trial(text, lines(drawn, held), asking(hit, _free_in_domain, drawn))


def _domain_patterns(random: Random) -> Trial:
    held = _in_domains(random, (*DOMAINS[:2], "*", "acme*", "ac*"))
    drawn = rows(random, 6, ROLES, (*DOMAINS, "acme-eu"), OBJECTS, ACTIONS)

    def hit(random: Random, row: Row) -> Request:
        domain = random.choice([link[3] for link in held] or [row[2]])
        return (member(random, held, row[1], domain=random.choice((domain, row[2]))), *row[2:5])

    text = model(IN_DOMAIN, roles={"g": "_, _, _"}, **BESIDES)
    return Trial(text, lines(drawn, held), asking(hit, _free_in_domain, drawn))


def _resource_patterns(patterns: tuple[str, ...], examples: tuple[str, ...] = ()) -> Callable[[Random], Trial]:
    """The documented use of a matching function: resources by their paths. `examples` fit regular
    expressions, which cannot be filled.
    """
    text = model(BY_BOTH_ROLES, roles={"g": "_, _", "g2": "_, _"})

    def draw(random: Random) -> Trial:
        held = (*links(random, 5, SUBJECTS, ROLES), *links(random, 5, (*patterns, "/map/42"), GROUPS, "g2"))
        drawn = rows(random, 6, (*ROLES, *SUBJECTS), (*GROUPS, "/map/42"), ACTIONS)

        def entity(random: Random, pattern: str) -> str:
            if not examples:
                return filled(random, pattern)
            fitting = [each for each in examples if re.match(pattern, each)]
            return random.choice((*fitting, *fitting, random.choice(examples), pattern))

        def hit(random: Random, row: Row) -> Request:
            name = entity(random, member(random, held, row[2], "g2"))
            return (member(random, held, row[1]), name, row[3])

        def free(random: Random) -> Request:
            return (random.choice(SUBJECTS), entity(random, random.choice(patterns)), random.choice(ACTIONS))

        return Trial(text, lines(drawn, held), asking(hit, free, drawn))

    return draw


def _name_patterns(random: Random, own: str = "g(r.sub, p.sub)") -> Trial:
    """Patterns on both sides of a link: members that fit, roles that fit; rows that deny where `own` is negated."""
    people = ("u-1", "u-2", "u-a-1", "w-1", "w-2")
    held = links(random, 6, (*people, "u-*", "u-a-*", "w-*", "*"), ("team-1", "team-2", "team-*", "staff"))
    drawn = rows(random, 5, ("team-1", "team-2", "staff", "team-*", "u-1"), OBJECTS, ACTIONS)

    def hit(random: Random, row: Row) -> Request:
        subject = member(random, held, row[1]) if own in BY_ROLE else random.choice((*people, "team-2", row[1]))
        return (filled(random, subject), row[2], row[3])

    def free(random: Random) -> Request:
        return (random.choice((*people, "team-1", "team-3")), *plain_free(random)[1:])

    votes = ("allow",) if own in BY_ROLE else ("allow", "allow", "deny")
    text = model(
        f"{own} && {SAME_OBJECT_AND_ACTION}", policy="sub, obj, act, eft", effect=ALLOW_AND_DENY, roles={"g": "_, _"}
    )
    return Trial(text, lines(voted(random, drawn, votes), held), asking(hit, free, drawn))


def _everything(random: Random) -> Trial:
    """Domains, patterns of names and of domains, resource roles, denies, a superuser."""
    held = tuple((*link[:2], link[2], random.choice((*DOMAINS[:2], "*"))) for link in links(random, 8, SUBJECTS, ROLES))
    grouped = links(random, 5, ("/book/:id", "/pen/*", "/map/42"), GROUPS, "g2")
    drawn = rows(random, 6, ROLES, DOMAINS[:2], (*GROUPS, "/map/42"), ACTIONS)
    drawn = voted(random, drawn, ("allow", "allow", "allow", "deny"))

    def hit(random: Random, row: Row) -> Request:
        subject = member(random, held, row[1], domain=random.choice((row[2], "*")))
        return (subject, row[2], filled(random, member(random, grouped, row[3], "g2")), row[4])

    def free(random: Random) -> Request:
        entity = f"/{random.choice(('book', 'pen', 'map'))}/{random.choice(WORDS)}"
        return (random.choice(("root", *SUBJECTS)), random.choice(DOMAINS), entity, random.choice(ACTIONS))

    text = model(
        'g(r.sub, p.sub, r.dom) && r.dom == p.dom && g2(r.obj, p.obj) && r.act == p.act || r.sub == "root"',
        request="sub, dom, obj, act",
        policy="sub, dom, obj, act, eft",
        effect=ALLOW_AND_DENY,
        roles={"g": "_, _, _", "g2": "_, _"},
    )
    return Trial(text, lines(drawn, held, grouped), asking(hit, free, drawn))


BY_FUNCTION: Mapping[FunctionName, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "keyMatch2": (("/book/:id", "/book/:id/page/:page", "/pen/*"), ()),
    "keyMatch3": (("/book/{id}", "/book/{id}/page/{page}", "/pen/*"), ()),
    "keyMatch4": (("/book/{id}", "/book/{id}/page/{id}", "/pen/*"), ()),
    "keyMatch5": (("/book/{id}", "/book/{id}/page/{page}", "/pen/*"), ()),
    "globMatch": (("/book/*", "/book/*/page/*", "/pen/**"), ()),
    "regexMatch": ((r"^/book/\d+$", "^/book/[^/]+/page/.*$", "^/pen"), ("/book/7", "/book/7/page/x", "/pen/a", "/pe")),
}
"""Patterns for each matching function, and names that fit."""

CLASSES = (
    (r"^/book/\d+$", r"^/book/\w+/page/\S+$", r"^/pen\b", r"^/\W"),
    (
        "/book/7",
        "/book/\u0663",
        "/book/7/page/x",
        "/book/é/page/x",
        "/book/a/page/\xa0",
        "/pen",
        "/pené",
        "/pen a",
        "/é",
        "/-",
    ),
)

NAMES = (
    Kind("acl", _acl),
    Kind("acl with a superuser", _superuser),
    Kind("acl without users", _without_users),
    Kind("acl without resources", _without_resources),
    Kind("rbac", _rbac),
    Kind("rbac with long chains", _long_chain),
    Kind("rbac with resource roles", _resource_roles),
    Kind("rbac with domains", _domains),
    Kind("rbac with patterns of domains", _domain_patterns, settings=Settings(domain_matching={"g": "keyMatch"})),
    *(
        Kind(f"rbac with resources by {function}", _resource_patterns(*given), settings=Settings({"g2": function}))
        for function, given in BY_FUNCTION.items()
    ),
    Kind("rbac with resources of classes", _resource_patterns(*CLASSES), settings=Settings({"g2": "regexMatch"})),
    Kind("rbac with patterns of names", _name_patterns, settings=Settings(matching={"g": "keyMatch"})),
    Kind(
        "rbac with patterns of names, negated",
        lambda random: _name_patterns(random, "!g(r.sub, p.sub)"),
        settings=Settings(matching={"g": "keyMatch"}),
        allowed=0.1,
    ),
    Kind(
        "rbac with everything",
        _everything,
        settings=Settings(matching={"g": "keyMatch", "g2": "keyMatch2"}, domain_matching={"g": "keyMatch"}),
    ),
)
