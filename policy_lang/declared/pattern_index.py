"""Patterns found by the paths they may share: a trie over segments.

Patterns go in one by one; out come the numbers of those that may share a path with a given one, so that nobody compares
every pair of a large inventory.
INVARIANT: `near` leaves out no pattern that shares a path with the one asked for; it may name more, since it looks
neither at the types of captures nor at trailing slashes. Whoever asks settles that by `patterns.py`, which keeps
patterns short enough for a trie.
"""

from __future__ import annotations

from msgspec import Struct, field

from policy_lang.ir import Fixed, Rest, Segment
from policy_lang.meaning.patterns import Pattern


class _Node(Struct):
    """A place in the trie. `ends` are patterns that stop here, `open_ends` those that go on by `**`."""

    literals: dict[str, _Node] = field(default_factory=dict)
    wild: _Node | None = None
    ends: list[int] = field(default_factory=list)
    open_ends: list[int] = field(default_factory=list)

    def below(self) -> list[_Node]:
        """The places one segment further."""
        return [*self.literals.values(), *([] if self.wild is None else [self.wild])]

    def next(self, segment: Segment) -> list[_Node]:
        """The places that a segment may lead to."""
        if not isinstance(segment, Fixed):
            return self.below()
        literal = self.literals.get(segment.text)
        return [node for node in (literal, self.wild) if node is not None]


class PatternIndex:
    """Patterns under numbers of the caller's choice. `steps` are the places looked at and the numbers named so far."""

    def __init__(self) -> None:
        self._root = _Node()
        self.steps = 0

    def add(self, number: int, pattern: Pattern) -> None:
        """Take one pattern in."""
        node = self._root
        for segment in pattern.segments:
            match segment:
                case Rest():
                    node.open_ends.append(number)
                    return
                case Fixed(text):
                    node = node.literals.setdefault(text, _Node())
                case _:
                    if node.wild is None:
                        node.wild = _Node()
                    node = node.wild
        node.ends.append(number)

    def near(self, pattern: Pattern) -> list[int]:
        """The numbers of all patterns that may share a path with this one, ascending."""
        found: list[int] = []
        places = [self._root]
        for segment in pattern.segments:
            if isinstance(segment, Rest):
                found += _everything(places)
                places = []
                break
            found += (number for place in places for number in place.open_ends)
            places = [node for place in places for node in place.next(segment)]
            self.steps += len(places)
        found += (number for place in places for number in (*place.ends, *place.open_ends))
        self.steps += len(found)
        return sorted(found)


def _everything(places: list[_Node]) -> list[int]:
    """What stands at some places and below them."""
    found: list[int] = []
    todo = list(places)
    while todo:
        node = todo.pop()
        found += (*node.ends, *node.open_ends)
        todo += node.below()
    return found
