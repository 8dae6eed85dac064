"""Chains of roles that are longer than Casbin follows them.

In go the links of a role definition, out comes one pair of names of which one has the other as a role only by more than
so many links. Linear where there is none; where there may be one, the work is bounded, and a chain may be missed: it
costs a warning. Links that only matching functions join are not followed.
Source: language.md 6.6, 5.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from msgspec import Struct

from policy_lang.ir.tables import Link

CASBIN_FOLLOWS = 9
CASBIN_FOLLOWS_CONDITIONS = 10
"""Links, of a definition without conditions and of one with them."""

_MOST_STEPS = 500_000

_Name = tuple[str, str]
"""Domain and name."""


class Chain(Struct, frozen=True):
    """`member` has `role` by more links than asked for; `link` is its first one."""

    member: str
    role: str
    link: Link


def longer_than(links: Sequence[Link], most: int) -> Chain | None:
    """A shortest way from one name to another of `most` + 1 links, if there is any."""
    above: dict[_Name, list[_Name]] = defaultdict(list)
    first: dict[_Name, Link] = {}
    for link in links:
        member = (link.domain, link.member)
        above[member].append((link.domain, link.role))
        first.setdefault(member, link)
    steps = _MOST_STEPS
    for member in _far(above, most):
        role, steps = _at_distance(above, member, most + 1, steps)
        if role is not None:
            return Chain(member[1], role[1], first[member])
        if steps <= 0:
            return None
    return None


def _far(above: Mapping[_Name, Sequence[_Name]], most: int) -> list[_Name]:
    """The members from which some chain is longer, and those that lead into a cycle; the farthest first."""
    members: dict[_Name, list[_Name]] = defaultdict(list)
    left: dict[_Name, int] = {}
    for member, roles in above.items():
        left[member] = len(roles)
        for role in roles:
            members[role].append(member)
    heights = {role: 0 for role in members if role not in left}
    ready = deque(heights)
    while ready:
        role = ready.popleft()
        for member in members.get(role, ()):
            heights[member] = max(heights.get(member, 0), heights[role] + 1)
            left[member] -= 1
            if not left[member]:
                ready.append(member)
    far = [name for name in above if left[name] or heights[name] > most]
    return sorted(far, key=lambda name: -heights.get(name, 0))


def _at_distance(
    above: Mapping[_Name, Sequence[_Name]], start: _Name, distance: int, steps: int
) -> tuple[_Name | None, int]:
    """A name that is so many links away at the least, and how many of the steps are left."""
    seen = {start}
    edge = [start]
    for _ in range(distance):
        following: dict[_Name, None] = {}
        for name in edge:
            roles = above.get(name, ())
            steps -= len(roles)
            following.update((role, None) for role in roles if role not in seen)
        seen.update(following)
        edge = list(following)
        if not edge or steps <= 0:
            return None, steps
    return edge[0], steps
