"""Kinds whose rows hold patterns: the key functions, globs, regular expressions, networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from random import Random

from casbin.util import key_match3

from tests.casbin.draws import ACTIONS, OBJECTS, SUBJECTS, WORDS, Row, asking, filled, lines, path, rows, voted
from tests.casbin.kind import ALLOW_AND_DENY, ALLOW_OVERRIDE, Kind, Request, Trial, model

CLEAN: dict[str, tuple[str, ...]] = {
    "keyMatch": ("/a/*", "/a/b", "/users/42/*", "/*", "*", "/v1/users/*"),
    "keyMatch2": ("/users/:id", "/users/:id/a/:other", "/a/*", "/v1/:id/*", "/*", "*", "/a/b"),
    "keyMatch3": ("/users/{id}", "/users/{id}/a/{other}", "/a/*", "/v1/{id}/*", "/*", "/a/b"),
    "keyMatch4": ("/users/{id}/a/{id}", "/users/{id}/a/{other}", "/{x}/{y}/{x}", "/a/*", "/a/b"),
    "keyMatch5": ("/users/{id}", "/users/{id}/a/{other}", "/a/*", "/v1/{id}/*", "/a/b"),
    "globMatch": ("/a/*", "/users/*/a", "/a/**", "/v1/**/b", "/a/b", "/users/4?", "/**"),
}
"""Patterns that mean what they look like."""

DIRTY: dict[str, tuple[str, ...]] = {
    "keyMatch": ("/a/*/b", "/users/*/a/*"),
    "keyMatch2": ("/v1.0/:id", "/a*", "/users/:id.json", "/(a|b)/:id", "/a+/b", "/users/:a-:b"),
    "keyMatch3": ("/v1.0/{id}", "/a*", "/users/{id}.json", "/(a|b)/{id}", "/users/{a}-{b}", "*", "/x{}y"),
    "keyMatch4": ("/v1.0/{id}", "/a*/{id}", "/users/{id}-{id}", "/(a|b)/{id}", "/x{}y"),
    "keyMatch5": ("/v1.0/{id}", "/a*", "/users/{a}-{b}", "/(a|b)/{id}", "/a/b?x=1"),
    "globMatch": ("*/a", "/[ab]/x", "/a*", "*", "/users/***", "/!a", "/a/[!b]", "*/42", "/a**"),
}
"""Patterns that mean something else than they look, or raise."""


def _patterns(random: Random, function: str) -> Sequence[str]:
    return CLEAN[function] if random.random() < 0.5 else (*CLEAN[function], *DIRTY[function], *DIRTY[function])


def _fit(random: Random, pattern: str, query: float = 0.0) -> str:
    """A path that is likely to fit, sometimes not quite; with a query, at times."""
    name = filled(random, pattern)
    if random.random() < 0.15:
        longer = (f"{name}/", f"{name}/x", f"{name}\n", f"x{name}")
        name = random.choice((*longer, name[:-1], name.replace("/", "//", 1), name.replace(".", "0")))
    return name + random.choice(("?x=1", "?", "?a=/b")) if random.random() < query else name


def _by_key(function: str, query: float = 0.0, *, denies: bool = False) -> Callable[[Random], Trial]:
    """With `denies`, rows that deny, and at times a pattern that is not to be met."""

    def draw(random: Random) -> Trial:
        asked = random.choice(("", "", "!")) if denies else ""
        text = model(
            f"r.sub == p.sub && {asked}{function}(r.obj, p.obj) && r.act == p.act",
            policy="sub, obj, act, eft",
            effect=ALLOW_AND_DENY,
        )
        drawn = rows(random, 5, SUBJECTS[:3], _patterns(random, function), ACTIONS[:2])
        drawn = voted(random, drawn, ("allow", "allow", "deny") if denies else ("allow",))

        def hit(random: Random, row: Row) -> Request:
            return (row[1], _fit(random, row[2], query), row[3])

        def free(random: Random) -> Request:
            return (random.choice(SUBJECTS), path(random), random.choice(ACTIONS))

        return Trial(text, lines(drawn), asking(hit, free, drawn, 0.75))

    return draw


def _by_part(function: str, matcher: str, patterns: Sequence[str]) -> Callable[[Random], Trial]:
    """Requests about the part of the path that a `keyGet` function gives, which is the subject."""
    text = model(matcher, policy="obj, act")

    def draw(random: Random) -> Trial:
        drawn = rows(random, 5, patterns, ACTIONS[:2])

        def hit(random: Random, row: Row) -> Request:
            part = random.choice(WORDS)
            name = row[1].replace(":id", part).replace("{id}", part).replace("*", part)
            return (random.choice((part, part, part, random.choice(WORDS), "")), filled(random, name), row[2])

        def free(random: Random) -> Request:
            return (random.choice((*WORDS, "")), path(random), random.choice(ACTIONS))

        return Trial(text, lines(drawn), asking(hit, free, drawn, 0.75))

    return draw


METHODS = ("GET", "POST", "PUT", "DELETE", "GETX", "get")
EXPRESSIONS = ("GET", "(GET)|(POST)", "^(GET|PUT)$", ".*", "P.*T", "[A-Z]+", "^$", "(?i)get", "^DEL")


def _restful(random: Random) -> Trial:
    patterns = ("/alice/*", "/users/:id", "/users/:id/posts/:post", "/a/b", "/v1/*")
    drawn = rows(random, 6, SUBJECTS[:3], patterns, EXPRESSIONS)

    def hit(random: Random, row: Row) -> Request:
        return (row[1], _fit(random, row[2]), random.choice(METHODS))

    def free(random: Random) -> Request:
        return (random.choice(SUBJECTS), path(random), random.choice(METHODS))

    text = model("r.sub == p.sub && keyMatch2(r.obj, p.obj) && regexMatch(r.act, p.act)")
    return Trial(text, lines(drawn), asking(hit, free, drawn, 0.8))


def _regex(random: Random) -> Trial:
    clean = (r"/users/\d+", "^/a/[^/]+$", "/v1/(users|posts)", "/a|/b", r"/\w+/42", "^/users/4[0-9]*$")
    dirty = (r"(?=/a)/a", r"(/a)\1")
    drawn = rows(random, 5, SUBJECTS[:3], clean if random.random() < 0.7 else (*clean, *dirty), ACTIONS[:2])
    examples = ("/users/42", "/users/x", "/a/b", "/a/b/c", "/v1/users", "/v1/posts/42", "/a", "/b", "/x/42", "/users/4")

    def hit(random: Random, row: Row) -> Request:
        met = [each for each in examples if re.match(row[2], each)]
        return (row[1], random.choice((*met, *met, random.choice(examples))), row[3])

    def free(random: Random) -> Request:
        return (random.choice(SUBJECTS), path(random), random.choice(ACTIONS))

    text = model("r.sub == p.sub && regexMatch(r.obj, p.obj) && r.act == p.act")
    return Trial(text, lines(drawn), asking(hit, free, drawn, 0.8))


CLASSES = (
    *(r"^/users/\d+$", r"^/\w+/\w+$", r"^/a\s*$", r"^/a/\S+$", r"^/a\b", r"^/[^\d/]+$", r"^/\D+$", r"^/\W$"),
    *("^/a", r"^/[\w-]+/[\d\s]+$", ".*"),
)
OF_CLASSES = (
    *(
        "/users/42",
        "/users/\u0663",
        "/a",
        "/a ",
        "/a\x0b",
        "/a\xa0",
        "/a\x1c",
        "/aé",
        "/a-",
        "/é",
        "/-",
        "/\u2192",
        "/x/y",
    ),
    *("/x/\u0664", "/a/é", "/a/b c", "/users/é", "/\u0663\u0663/4"),
)


def _regex_classes(random: Random, votes: Sequence[str] = ()) -> Trial:
    """Classes of characters, and names with characters that are of them in some engines only."""
    drawn = rows(random, 4, SUBJECTS[:3], CLASSES, ACTIONS[:2])
    asked = random.choice(("", "", "!")) if votes else ""

    def hit(random: Random, row: Row) -> Request:
        met = [each for each in OF_CLASSES if bool(re.match(row[2], each)) is (asked == "")]
        plain = [each for each in met if each.isascii() and each.isprintable()]
        return (row[1], random.choice((*met, *plain, *plain, random.choice(OF_CLASSES))), row[3])

    def free(random: Random) -> Request:
        return (random.choice(SUBJECTS), random.choice((path(random), *OF_CLASSES)), random.choice(ACTIONS))

    text = model(
        f"r.sub == p.sub && {asked}regexMatch(r.obj, p.obj) && r.act == p.act",
        policy="sub, obj, act, eft",
        effect=ALLOW_AND_DENY,
    )
    return Trial(text, lines(voted(random, drawn, votes or ("allow",))), asking(hit, free, drawn, 0.9))


def _key_classes(function: str) -> Callable[[Random], Trial]:
    """The same under a function for paths, which leaves what it does not know to the expression."""
    patterns = (
        (r"/users/\d*", r"/\w*/x", r"/\S*/\w", "/a/*") if function == "keyMatch2" else (r"/\w+/\d+", r"/\w", "/a/*")
    )

    def draw(random: Random) -> Trial:
        drawn = voted(random, rows(random, 4, patterns, ACTIONS[:2]), ("allow", "allow", "allow", "deny"))
        names = ("/users/42", "/users/\u0663", "/é/x", "/b/x", "/a/x", "/é/3", "/b/3", "/é", "/b", "/a/\u0663", "/a/4")

        def hit(random: Random, row: Row) -> Request:
            met = [each for each in names if key_match3(each, row[1])]
            return (random.choice((*met, *met, random.choice(names))), row[2])

        def free(random: Random) -> Request:
            return (random.choice(names), random.choice(ACTIONS))

        text = model(
            f"{function}(r.obj, p.obj) && r.act == p.act",
            request="obj, act",
            policy="obj, act, eft",
            effect=ALLOW_AND_DENY,
        )
        return Trial(text, lines(drawn), asking(hit, free, drawn, 0.95))

    return draw


def _regex_of_the_request(random: Random) -> Trial:
    """The pattern comes with the request."""
    drawn = rows(random, 4, SUBJECTS[:3], OBJECTS, ACTIONS[:2])

    def hit(random: Random, row: Row) -> Request:
        return (row[1], random.choice(("data.", "data[12]", row[2], ".*", "^data", "x")), row[3])

    def free(random: Random) -> Request:
        return (random.choice(SUBJECTS), random.choice(OBJECTS), random.choice(ACTIONS))

    text = model("r.sub == p.sub && regexMatch(p.obj, r.obj) && r.act == p.act")
    return Trial(text, lines(drawn), asking(hit, free, drawn, 0.9))


NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "192.168.2.0/24", "192.168.2.7", "2001:db8::/32", "::1", "0.0.0.0/0")
ADDRESSES = (
    "10.0.0.1", "10.1.2.3", "192.168.2.7", "192.168.2.123", "192.168.3.1", "2001:db8::1", "2001:db9::1", "::1",
    "127.0.0.1",
)  # fmt: skip


MAPPED = ("::ffff:10.0.0.1", "::ffff:7f00:1", "::FFFF:192.168.2.7", "0:0:0:0:0:ffff:a01:203", "::ffff:c0a8:27b")
ODD_NETWORKS = (
    "192.168.2.77/24", "::ffff:10.0.0.0/104", "::ffff:0:0/96", "::/0", "::/90", "::ffff:10.0.0.1", "::ffff:a00:0/120",
    "10.0.0.0/255.0.0.0",
)  # fmt: skip


def _networks(random: Random, votes: Sequence[str] = ()) -> Trial:
    networks = (*NETWORKS, *(ODD_NETWORKS if random.random() < 0.4 else ()))
    drawn = rows(random, 5, networks, OBJECTS[:2], ACTIONS[:2])

    def hit(random: Random, row: Row) -> Request:
        if random.random() < 0.2:
            return (random.choice(MAPPED), row[2], row[3])
        within = ip_network(row[1], strict=False)
        met = [each for each in ADDRESSES if ip_address(each) in within]
        return (random.choice((*met, *met, random.choice(ADDRESSES))), row[2], row[3])

    def free(random: Random) -> Request:
        address = random.choice((*ADDRESSES, *ADDRESSES, "10.0.0.256", "localhost"))
        return (address, random.choice(OBJECTS), random.choice(ACTIONS))

    asked = random.choice(("ipMatch(r.sub, p.sub)", "!ipMatch(r.sub, p.sub)")) if votes else "ipMatch(r.sub, p.sub)"
    text = model(
        f"r.obj == p.obj && r.act == p.act && {asked}",
        policy="sub, obj, act, eft" if votes else "sub, obj, act",
        effect=ALLOW_AND_DENY if votes else ALLOW_OVERRIDE,
    )
    return Trial(text, lines(voted(random, drawn, votes) if votes else drawn), asking(hit, free, drawn, 0.9))


_DIRTY = frozenset({"E610"})

PATHS = (
    Kind("keyMatch", _by_key("keyMatch")),
    *(Kind(name, _by_key(name), "either", _DIRTY, raised=0.15) for name in ("keyMatch2", "keyMatch3", "keyMatch4")),
    Kind("keyMatch5", _by_key("keyMatch5", 0.4), "either", _DIRTY),
    Kind("globMatch", _by_key("globMatch"), "either", _DIRTY),
    *(
        Kind(f"{name} with denies", _by_key(name, 0.2, denies=True), "either", _DIRTY, allowed=0.15, raised=0.3)
        for name in ("keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "globMatch")
    ),
    Kind("keyGet", _by_part("keyGet", "keyGet(r.obj, p.obj) == r.sub && r.act == p.act", ("/a/*", "/users/*", "/a/b"))),
    Kind(
        "keyGet2",
        _by_part(
            "keyGet2",
            "keyGet2(r.obj, p.obj, 'id') == r.sub && r.act == p.act",
            ("/users/:id", "/a/:other/b/:id", "/:id/*", "/a/:other"),
        ),
    ),
    Kind(
        "keyGet3",
        _by_part(
            "keyGet3",
            "keyGet3(r.obj, p.obj, 'id') == r.sub && r.act == p.act",
            ("/users/{id}", "/a/{other}/b/{id}", "/{id}/*", "/p_{id}_x/{other}"),
        ),
    ),
    Kind("restful", _restful),
    Kind("regexMatch", _regex, "either", _DIRTY),
    Kind("regexMatch of classes", _regex_classes),
    Kind(
        "regexMatch of classes with denies", lambda random: _regex_classes(random, ("allow", "allow", "allow", "deny"))
    ),
    *(
        Kind(f"{name} of classes", _key_classes(name), "either", _DIRTY)
        for name in ("keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5")
    ),
    Kind("regexMatch of the request", _regex_of_the_request, "refuses", frozenset({"E620"}), raised=0.05),
    Kind("ipMatch", _networks, "either", _DIRTY, raised=0.05),
    Kind(
        "ipMatch with denies",
        lambda random: _networks(random, ("allow", "allow", "deny")),
        "either",
        _DIRTY,
        raised=0.05,
    ),
)
