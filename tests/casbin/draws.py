"""Drawings that the kinds share: names, rows, links, paths, and requests of which many hit a row.

A request that hits is made from a row: a name by walking links backwards from the row's, a path by filling the row's
pattern. The others are drawn freely, now and then with a value that no policy foresaw.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from tests.casbin.kind import Request

Row = tuple[str, ...]
Rows = tuple[Row, ...]

SUBJECTS = ("alice", "bob", "carol", "dave", "eve")
ROLES = ("admin", "editor", "viewer", "staff")
OBJECTS = ("data1", "data2", "data3")
ACTIONS = ("read", "write", "delete")
DOMAINS = ("acme", "globex", "initech")
WORDS = ("a", "b", "c1", "x-y", "42", "users", "v1")

HOSTILE = (
    "",
    " ",
    "*",
    "ALICE",
    "data1 ",
    "read ",
    "älice",
    "alice,bob",
    "admin::",
    "a\tb",
    ":id",
    "{id}",
    "(.*)",
    "_",
)
"""Strings that no policy foresaw."""

_PLACEHOLDER = re.compile(r":[^/]+|\{[^/]+?\}|\*+")


def lines(*groups: Sequence[Row]) -> tuple[str, ...]:
    """Rows as the lines of a policy; each row begins with its type."""
    return tuple(", ".join(row) for rows in groups for row in rows)


def rows(random: Random, most: int, *columns: Sequence[str], kind: str = "p") -> Rows:
    """Up to `most` different rows of a type, at least one, each column from its values."""
    count = random.randint(1, most)
    return tuple(dict.fromkeys((kind, *map(random.choice, columns)) for _ in range(count)))


def links(random: Random, most: int, members: Sequence[str], roles: Sequence[str], kind: str = "g") -> Rows:
    """Up to `most` links: members have roles, roles have roles; no name has itself."""
    drawn = [(kind, random.choice((*members, *roles)), random.choice(roles)) for _ in range(random.randint(1, most))]
    return tuple(dict.fromkeys(link for link in drawn if link[1] != link[2]))


def acyclic(random: Random, most: int, ranked: Sequence[str], kind: str = "g") -> Rows:
    """Links that lead only from what stands earlier in `ranked` to what stands later."""
    drawn = [(kind, *sorted(random.sample(ranked, 2), key=ranked.index)) for _ in range(random.randint(1, most))]
    return tuple(dict.fromkeys(drawn))


def member(random: Random, links: Rows, role: str, kind: str = "g", domain: str | None = None) -> str:
    """The role, or one that has it: some links walked backwards, in a domain where there are domains."""
    name = role
    for _ in range(random.choice((0, 1, 1, 2, 2, 3))):
        below = [link[1] for link in links if link[0] == kind and link[2] == name and domain in {None, *link[3:4]}]
        if not below:
            return name
        name = random.choice(below)
    return name


def path(random: Random, least: int = 1) -> str:
    """A path of up to four segments."""
    return "".join(f"/{random.choice(WORDS)}" for _ in range(random.randint(least, 4)))


def filled(random: Random, pattern: str) -> str:
    """A name that is likely to fit the pattern: equal placeholders mostly filled alike."""
    kept: dict[str, str] = {}

    def filling(found: re.Match[str]) -> str:
        text = found.group()
        if text.startswith("*"):
            return random.choice(("", *WORDS, *WORDS, path(random)[1:]))
        if random.random() < 0.1:
            return random.choice(WORDS)
        return kept.setdefault(text, random.choice(WORDS))

    return _PLACEHOLDER.sub(filling, pattern)


def asking(
    hit: Callable[[Random, Row], Request],
    free: Callable[[Random], Request],
    chosen: Rows,
    share: float = 0.6,
) -> Callable[[Random], Request]:
    """Requests, of which `share` are made from a row; one in twenty-five has a value that no policy foresaw."""

    def ask(random: Random) -> Request:
        request = hit(random, random.choice(chosen)) if random.random() < share else free(random)
        if random.random() < 0.04:
            places = [place for place, value in enumerate(request) if isinstance(value, str)]
            if places:
                place = random.choice(places)
                request = (*request[:place], random.choice(HOSTILE), *request[place + 1 :])
        return request

    return ask


def plain_hit(random: Random, row: Row) -> Request:
    """The row's own values, with its first three columns."""
    return row[1:4]


def plain_free(random: Random) -> Request:
    """Any subject or role, object and action."""
    return (random.choice((*SUBJECTS, *ROLES)), random.choice(OBJECTS), random.choice(ACTIONS))


def voted(random: Random, drawn: Rows, votes: Sequence[str]) -> Rows:
    """The rows with an effect each."""
    return tuple((*row, random.choice(votes)) for row in drawn)
