"""Requests that the rows of a Casbin table speak of, drawn from a seeded `Random`.

In goes a table; out come requests that are made to fit a row, and others of values that several rows name. Nothing says
which of them are allowed.
INVARIANT: a request has a value for each parameter of the table; one seed gives one sequence of requests.
Source: language.md 6.4; Casbin's documentation, "Functions".

Decision (2026-11-21): half of what is drawn is made to fit one row, value by value, since values that are drawn apart
meet a row of a large policy almost never; the other half mixes rows, and every eighth value is one that nobody names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from random import Random

from msgspec import Struct

from pdp.authoring.casbin_sites import Site, sites_of
from policy_lang.ir.tables import FunctionName, RoleGraph, Row, Table

STRANGERS = ("nobody", "", "/", "/nobody/at/all")
"""Values that no policy is likely to name."""

_STRANGE_ONE_IN = 8
_WILD = re.compile(r":[^/]+|\{[^/{}]+\}|\*+")
_WORD = re.compile(r"[\w/.-]+")
_FILLINGS = ("1", "x", "a-b", "report.txt")

_Key = tuple[int, tuple[str, ...]]
_Rows = Callable[[], Row | None]


class Drawer(Struct, frozen=True):
    """Draws requests of one table. `members` are those of each graph by role, `domains` those of its links."""

    table: Table
    sites: Mapping[_Key, tuple[Site, ...]]
    members: tuple[Mapping[str, tuple[str, ...]], ...]
    domains: tuple[str, ...]

    @classmethod
    def of(cls, table: Table) -> Drawer:
        """The drawer for a table."""
        sites: dict[_Key, list[Site]] = {}
        for site in sites_of(table):
            sites.setdefault((site.place, site.fields), []).append(site)
        domains = tuple(dict.fromkeys(link.domain for graph in table.graphs for link in graph.links))
        told = {
            key: tuple([each for each in found if each.column is not None] or found) for key, found in sites.items()
        }
        return cls(table, told, tuple(map(_members, table.graphs)), domains)

    def fitting(self, row: Row, random: Random) -> tuple[object, ...]:
        """A request whose values are made for one row."""
        return self._request(lambda: row, random)

    def drawn(self, random: Random) -> tuple[object, ...]:
        """A request, as often for one row as of several."""
        rows = self.table.rows
        if rows and random.random() < 0.5:
            return self.fitting(random.choice(rows), random)
        return self._request(
            lambda: random.choice(rows) if rows and random.randrange(_STRANGE_ONE_IN) else None, random
        )

    def _request(self, rows: _Rows, random: Random) -> tuple[object, ...]:
        return tuple(self._part(place, (), rows, random) for place in range(len(self.table.parameters)))

    def _part(self, place: int, fields: tuple[str, ...], rows: _Rows, random: Random) -> object:
        """The value at one place of the request: a mapping where the matcher looks into it."""
        depth = len(fields)
        below = dict.fromkeys(
            path[depth] for at, path in self.sites if at == place and len(path) > depth and path[:depth] == fields
        )
        if below:
            return {name: self._part(place, (*fields, name), rows, random) for name in below}
        row, found = rows(), self.sites.get((place, fields), ())
        if row and found:
            return self._value(random.choice(found), row, random)
        stranger = random.choice(STRANGERS)
        return [stranger] if any(site.how == "holds" for site in found) else stranger

    def _value(self, site: Site, row: Row, random: Random) -> object:
        """A value that the row, or the matcher, speaks of at one site."""
        if site.column is None:
            value = _near(random.choice(site.values or self.domains or STRANGERS), random)
            return [value] if site.how == "holds" else value
        text = row.values[site.column]
        match site.how:
            case "equal" | "other":
                return text
            case "holds":
                return [text, random.choice(STRANGERS)]
            case int() as graph:
                return random.choice((text, *self.members[graph].get(text, ())))
            case function:
                return instance(function, text, random)


def _members(graph: RoleGraph) -> Mapping[str, tuple[str, ...]]:
    """The members of each role, those of its members' included as far as three links."""
    direct: dict[str, dict[str, None]] = {}
    for link in graph.links:
        direct.setdefault(link.role, {})[link.member] = None
    found: dict[str, tuple[str, ...]] = {}
    for role, members in direct.items():
        reached, fresh = dict(members), list(members)
        for _ in range(2):
            fresh = [each for member in fresh for each in direct.get(member, ()) if each not in reached]
            reached |= dict.fromkeys(fresh)
        found[role] = tuple(reached)
    return found


def _near(value: object, random: Random) -> object:
    """A number, or one beside it; anything else as it is."""
    match value:
        case bool():
            return value
        case int() | float():
            return value + random.choice((-1, 0, 1))
        case _:
            return value


def instance(function: FunctionName, pattern: str, random: Random) -> str:
    """A name that is likely to fit a pattern."""
    match function:
        case "keyMatch" | "keyGet":
            start, star, _ = pattern.partition("*")
            return start + random.choice(_FILLINGS) if star else pattern
        case "regexMatch":
            words: list[str] = _WORD.findall(pattern)
            return random.choice(words or [pattern])
        case "ipMatch":
            return _address(pattern, random)
        case "timeMatch":
            return pattern
        case _:
            taken: dict[str, str] = {}

            def filled(found: re.Match[str]) -> str:
                return taken.setdefault(found[0], random.choice(_FILLINGS))

            return _WILD.sub(filled, pattern)


def _address(network: str, random: Random) -> str:
    try:
        block = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return network
    return str(block[random.randrange(min(block.num_addresses, 2**16))])
