"""Links alike but for their conditions: the same member, role and domain.

In go the links of a role definition, out come those of which only the last one holds, and the others without them.
Source: language.md 6.4; measured on pycasbin 2.8, whose manager keeps one condition for a member, a role and a domain.

Decision (2026-11-21): strict refuses them (E609), whichever of the two is wider: either reading of two rows is meant by
somebody. In compat the last one holds, as in Casbin, with a warning; `_, _` is a condition like others. Rows stay what
they are: when the last one is removed, the one before it holds, as if the rows had been read so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy_lang.ir.tables import Link


def last_conditions(links: tuple[Link, ...]) -> tuple[Link, ...]:
    """The links without those in whose place a later one holds; the same tuple where there are none."""
    last = {_named(link): link.condition for link in links}
    kept = tuple(link for link in links if link.condition == last[_named(link)])
    return links if len(kept) == len(links) else kept


def clashes(links: Iterable[Link]) -> Iterator[tuple[Link, Link]]:
    """Each link under another condition than the one before it that is alike; both."""
    last: dict[tuple[str, str, str], Link] = {}
    for link in links:
        before = last.setdefault(_named(link), link)
        if before.condition != link.condition:
            yield link, before
        last[_named(link)] = link


def clashes_with(there: Iterable[Link], more: Iterable[Link]) -> Iterator[Link]:
    """Each of some more links under another condition than the last one that is there and alike."""
    last = {_named(link): link for link in there}
    for link in more:
        if last.get(_named(link), link).condition != link.condition:
            yield link


def _named(link: Link) -> tuple[str, str, str]:
    return link.member, link.role, link.domain
