"""The patterns of a service as a tree of segments: which of them a path fits, without asking each.

A tree is built once from patterns; `fitting` walks it along the segments of a path and finds every pattern that fits,
`has_literal` whether an index of the path stands where a pattern has that literal, `has_lookalike` whether one looks
like such a literal and is none. What remains of routing (slashes at the end, methods, which pattern is the most
specific) is in `routing`, which writes into `Node.direct` what it can say beforehand.
INVARIANT: the work grows with the nodes that the path leads to, at most one a pattern and segment, not with patterns.
Source: language.md 6.2 (2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, assert_never

from msgspec import Struct, field

from policy_lang.ir import AnySegment, Capture, CaptureType, Fixed, Rest, Segment
from policy_lang.meaning.lookalikes import folded, spellings
from policy_lang.meaning.patterns import capture_value

T = TypeVar("T")

_ANY_TEXT: frozenset[CaptureType] = frozenset(("string", "opaque"))


class Node(Struct, Generic[T]):
    """Where some first segments lead: further segments, the patterns that end here, those that go on by `**`."""

    literals: dict[str, Node[T]] = field(default_factory=dict)
    alike: frozenset[str] = frozenset()
    """The literals, folded (lookalikes.py)."""
    captures: dict[CaptureType, Node[T]] = field(default_factory=dict)
    anything: Node[T] | None = None
    ends: list[T] = field(default_factory=list)
    open_ends: list[T] = field(default_factory=list)
    only: Node[T] | None = None
    """The one place where segments lead that are no literal here; None where there is none or are several."""
    direct: Mapping[str, T] = field(default_factory=dict)
    """The most specific of the patterns that end here for a method, as far as it is known beforehand."""


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
    for each in nodes(root):
        others = [*each.captures.values(), *(() if each.anything is None else (each.anything,))]
        each.only = others[0] if len(others) == 1 else None
        each.alike = frozenset(map(folded, each.literals))
    return root


def nodes(root: Node[T]) -> Iterator[Node[T]]:
    """Every node of a tree."""
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo += [*node.literals.values(), *node.captures.values()]
        if node.anything is not None:
            todo.append(node.anything)


def unrivalled(root: Node[T]) -> Iterator[Node[T]]:
    """The nodes that paths reach by literals where there are some, and by nothing that has literals besides: a segment
    that looks like a literal at its place does so at the node that `only` and `literals` lead to, or at none.
    """
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        others = [*node.captures.values(), *(() if node.anything is None else (node.anything,))]
        if not any(each.literals for other in others for each in nodes(other)):
            todo += node.literals.values()
        if node.only is not None:
            todo.append(node.only)


def fitting(root: Node[T], segments: Sequence[str]) -> list[T]:
    """Every pattern whose segments the path has."""
    found: list[T] = []
    here = [root]
    for segment in segments:
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


def looks_alike(node: Node[T], segment: str) -> bool:
    """Whether a segment is no literal here, and looks like one."""
    return bool(node.alike) and segment not in node.literals and not node.alike.isdisjoint(spellings(segment))


def has_lookalike(root: Node[T], segments: Sequence[str]) -> bool:
    """Whether a segment looks like the literal of a pattern that the segments before it lead to, and is none there."""
    here = [root]
    for segment in segments:
        if any(looks_alike(node, segment) for node in here):
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
