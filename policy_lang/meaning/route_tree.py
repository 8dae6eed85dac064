"""The patterns of a service as a tree of segments: which of them a path fits, without asking each.

A tree is built once from patterns; `fitting` walks it along the segments of a path and finds every pattern that fits,
`has_literal` whether an index of the path stands where a pattern has that literal. What remains of routing (slashes at
the end, methods, which pattern is the most specific) is in `routing`.
INVARIANT: the work grows with the nodes that the path leads to, at most one a pattern and segment, not with patterns.
Source: language.md 6.2 (2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, assert_never

from policy_lang.ir import AnySegment, Capture, CaptureType, Fixed, Rest, Segment
from policy_lang.meaning.patterns import capture_value

T = TypeVar("T")

_ANY_TEXT: frozenset[CaptureType] = frozenset(("string", "opaque"))


@dataclass(slots=True)
class Node(Generic[T]):
    """Where some first segments lead: further segments, the patterns that end here, those that go on by `**`."""

    literals: dict[str, Node[T]] = field(default_factory=dict)
    captures: dict[CaptureType, Node[T]] = field(default_factory=dict)
    anything: Node[T] | None = None
    ends: list[T] = field(default_factory=list)
    open_ends: list[T] = field(default_factory=list)
    plain: bool = True
    """Only a literal leads on from here."""
    only: Node[T] | None = None
    """Where every segment leads that is no literal here; None where that depends on the segment, or is several."""


def tree_of(patterns: Iterable[tuple[Sequence[Segment], T]]) -> Node[T]:
    """The tree of some patterns, each with what stands for it."""
    root = Node[T]()
    for segments, item in patterns:
        node = root
        for segment in segments:
            match segment:
                case Fixed(text):
                    node = node.literals.setdefault(text, Node())
                case Capture(_, kind):
                    node = node.captures.setdefault(kind, Node())
                case AnySegment():
                    node.anything = node = node.anything or Node()
                case Rest():
                    break
                case _:
                    assert_never(segment)
        (node.open_ends if segments and isinstance(segments[-1], Rest) else node.ends).append(item)
    _settle(root)
    return root


def _settle(root: Node[T]) -> None:
    """Say of each node what leads on from it."""
    todo = [root]
    while todo:
        node = todo.pop()
        others = [*node.captures.values(), *(() if node.anything is None else (node.anything,))]
        node.plain = not others and not node.open_ends
        takes_all = len(others) == 1 and not node.open_ends and node.captures.keys() <= _ANY_TEXT
        node.only = others[0] if takes_all else None
        todo += [*node.literals.values(), *others]


def fitting(root: Node[T], segments: Sequence[str]) -> list[T]:
    """Every pattern whose segments the path has; not to be changed."""
    node = root
    for place, segment in enumerate(segments):
        child = node.literals.get(segment)
        if not node.plain:
            if child is not None or node.only is None:
                return _branching(node, segments, place)
            child = node.only
        if child is None:
            return []
        node = child
    return [*node.ends, *node.open_ends] if node.open_ends else node.ends


def _branching(root: Node[T], segments: Sequence[str], place: int) -> list[T]:
    """The same from a node on where a segment may lead to several."""
    found: list[T] = []
    here = [root]
    for segment in segments[place:]:
        below: list[Node[T]] = []
        for node in here:
            found += node.open_ends
            _step(node, segment, below)
        if not below:
            return found
        here = below
    for node in here:
        found += node.ends
        found += node.open_ends
    return found


def has_literal(root: Node[T], segments: Sequence[str], places: frozenset[int]) -> bool:
    """Whether a segment at one of these places is the literal of a pattern that the segments before it lead to."""
    here = [root]
    for place, segment in enumerate(segments):
        if place in places and any(segment in node.literals for node in here):
            return True
        below: list[Node[T]] = []
        for node in here:
            _step(node, segment, below)
        here = below
    return False


def _step(node: Node[T], segment: str, below: list[Node[T]]) -> None:
    """Add the nodes that a segment leads to."""
    child = node.literals.get(segment)
    if child is not None:
        below.append(child)
    for kind, further in node.captures.items():
        if kind in _ANY_TEXT or capture_value(kind, segment) is not None:
            below.append(further)
    if node.anything is not None:
        below.append(node.anything)
