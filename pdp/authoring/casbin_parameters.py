"""What each parameter of a Casbin request is about: who asks, a path, a method, an address, or something else.

In goes a table, out comes a meaning for each of its parameters. Casbin's models do not say it; their names and the
values beside which the matcher puts them do, mostly.
INVARIANT: no meaning is given twice; nothing rests on a guess but what is then shown to a person, as policy text.
Source: Casbin's documentation, "Supported Models", "RESTful".

Decision (2026-11-21): values decide before names: a parameter whose rows all name paths is a path whatever it is
called, one whose rows all name methods of HTTP a method. Of the others the first with a usual name for a subject is who
asks, else the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pdp.authoring.casbin_sites import Site, sites_of
from pdp.authoring.pol_text import METHODS
from policy_lang.ir.tables import Table

Meaning = Literal["subject", "path", "method", "address", "other"]

SUBJECTS = frozenset(("sub", "subject", "user", "uid", "user_id", "username", "account", "principal", "who"))

ANYTHING = frozenset(("*", ".*", "", "^.*$"))
"""What rows write where any value will do."""

_WORD = re.compile(r"[A-Za-z]+")


def meanings(table: Table) -> tuple[Meaning, ...]:
    """A meaning for each parameter."""
    sites = sites_of(table)
    found: list[Meaning] = []
    for place in range(len(table.parameters)):
        here = [site for site in sites if site.place == place and not site.fields]
        guessed = _by_values(here, table)
        found.append("other" if guessed in found else guessed)
    others = [place for place, each in enumerate(found) if each == "other"]
    named = [place for place in others if table.parameters[place].lower() in SUBJECTS]
    if others:
        found[(named or others)[0]] = "subject"
    return tuple(found)


def _by_values(sites: Iterable[Site], table: Table) -> Meaning:
    texts: set[str] = set()
    for site in sites:
        if site.how == "ipMatch":
            return "address"
        if site.how == "holds":
            return "other"
        texts |= {value for value in site.values if isinstance(value, str)}
        if site.column is not None:
            texts |= {row.values[site.column] for row in table.rows}
    told = texts - ANYTHING
    if told and all(text.startswith("/") for text in told):
        return "path"
    words = [_WORD.findall(text) for text in told]
    if words and all(each and all(map(_begins_a_method, each)) for each in words):
        return "method"
    return "other"


def _begins_a_method(word: str) -> bool:
    """Whole, or as a regular expression may have the beginning of one."""
    return any(method.startswith(word) for method in METHODS)
