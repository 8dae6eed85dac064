"""Who leads to whom: an order in which everything comes after what it leads to, and the circles that have none.

A graph goes in as a mapping from each node to what it leads to; nodes that are no key of it are passed over. Time is
linear in nodes and edges, without recursion, and the outcome depends on the order of the mapping alone, so that a
mistake reads the same on every run.
Source: Tarjan, "Depth-first search and linear graph algorithms" (1972).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

Node = TypeVar("Node", bound=Hashable)

MOST_SHOWN = 8
"""Steps of a circle that a message shows."""


class Cycle(Struct, Generic[Node], frozen=True):
    """Nodes that all lead to each other; `way` is one shortest circle through the first of them, which ends it too."""

    members: frozenset[Node]
    way: tuple[Node, ...]


class Ordered(Struct, Generic[Node], frozen=True):
    """`nodes` on no circle, each after those it leads to; `cycles` in the order of their first members."""

    nodes: tuple[Node, ...]
    cycles: tuple[Cycle[Node], ...]


def in_order(graph: Mapping[Node, Sequence[Node]]) -> Ordered[Node]:
    """The order of a graph, and its circles."""
    places = {node: place for place, node in enumerate(graph)}
    nodes: list[Node] = []
    cycles: list[Cycle[Node]] = []
    for component in _components(graph):
        if len(component) == 1 and component[0] not in graph[component[0]]:
            nodes.append(component[0])
        else:
            members = frozenset(component)
            cycles.append(Cycle(members, _way(graph, min(component, key=places.__getitem__), members)))
    cycles.sort(key=lambda cycle: places[cycle.way[0]])
    return Ordered(tuple(nodes), tuple(cycles))


def shown(names: Sequence[str]) -> str:
    """A circle as a message shows it: names joined by arrows, the middle of a long one left out."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > MOST_SHOWN:
        quoted = [*quoted[: MOST_SHOWN - 2], "…", quoted[-1]]
    return " -> ".join(quoted)


def _components(graph: Mapping[Node, Sequence[Node]]) -> Iterator[list[Node]]:
    """The strongly connected components, each after those it leads to."""
    found: dict[Node, int] = {}
    lowest: dict[Node, int] = {}
    done: set[Node] = set()
    stack: list[Node] = []
    for root in graph:
        if root in found:
            continue
        todo: list[tuple[Node, Iterator[Node]]] = []
        entered: Node | None = root
        while entered is not None or todo:
            if entered is not None:
                found[entered] = lowest[entered] = len(found)
                stack.append(entered)
                todo.append((entered, iter(graph[entered])))
            node, ahead = todo[-1]
            entered = None
            for other in ahead:
                if other not in graph or other in done:
                    continue
                if other not in found:
                    entered = other
                    break
                lowest[node] = min(lowest[node], found[other])
            if entered is None:
                todo.pop()
                if todo:
                    lowest[todo[-1][0]] = min(lowest[todo[-1][0]], lowest[node])
                if lowest[node] == found[node]:
                    yield _cut(stack, node, done)


def _cut(stack: list[Node], root: Node, done: set[Node]) -> list[Node]:
    """Take the component of `root` off the stack."""
    component: list[Node] = []
    while not component or component[-1] != root:
        component.append(stack.pop())
    done.update(component)
    return component


def _way(graph: Mapping[Node, Sequence[Node]], start: Node, members: frozenset[Node]) -> tuple[Node, ...]:
    """One shortest way from a member round to itself."""
    before: dict[Node, Node] = {}
    reached = [start]
    for node in reached:
        for other in graph[node]:
            if other == start:
                way = [start, node]
                while way[-1] != start:
                    way.append(before[way[-1]])
                return tuple(reversed(way))
            if other in members and other not in before:
                before[other] = node
                reached.append(other)
    raise ValueError("the members are on no circle")
