"""Order and circles of a graph, compared with what walking every way finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policy_lang.declared.cycles import in_order, shown

GRAPHS = st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 8), max_size=4), max_size=8)


def reached(graph: dict[int, list[int]], start: int) -> set[int]:
    """What a node leads to, in one step or more."""
    found: set[int] = set()
    todo = list(graph.get(start, ()))
    while todo:
        node = todo.pop()
        if node in graph and node not in found:
            found.add(node)
            todo += graph[node]
    return found


@given(GRAPHS)
def test_circles_are_the_nodes_that_lead_to_themselves(graph: dict[int, list[int]]) -> None:
    """Members of circles = {n: n leads to n}; of one circle, all lead to each other."""
    cycles = in_order(graph).cycles
    assert {node for cycle in cycles for node in cycle.members} == {n for n in graph if n in reached(graph, n)}
    for cycle in cycles:
        assert all(cycle.members <= reached(graph, node) for node in cycle.members)


@given(GRAPHS)
def test_a_way_is_a_circle_of_real_steps_within_its_members(graph: dict[int, list[int]]) -> None:
    for cycle in in_order(graph).cycles:
        assert cycle.way[0] == cycle.way[-1]
        assert len(set(cycle.way)) == len(cycle.way) - 1
        assert set(cycle.way) <= cycle.members
        assert all(after in graph[before] for before, after in zip(cycle.way, cycle.way[1:], strict=False))
        assert cycle.way[0] == min(cycle.members, key=list(graph).index)


@given(GRAPHS)
def test_the_rest_stands_after_what_it_leads_to(graph: dict[int, list[int]]) -> None:
    ordered = in_order(graph)
    places = {node: place for place, node in enumerate(ordered.nodes)}
    round_about = {node for cycle in ordered.cycles for node in cycle.members}
    assert set(places) | round_about == set(graph)
    assert not set(places) & round_about
    for node, place in places.items():
        assert all(places.get(other, -1) < place for other in graph[node])


def test_an_empty_graph_has_neither_order_nor_circles() -> None:
    assert (in_order({}).nodes, in_order({}).cycles) == ((), ())


def test_a_line_of_many_is_walked_without_recursion() -> None:
    graph = {node: (node + 1,) for node in range(50_000)}
    assert in_order(graph).nodes[0] == 49_999


def test_a_long_way_is_shown_by_its_ends() -> None:
    assert shown(["a", "b", "a"]) == "`a` -> `b` -> `a`"
    assert shown([*map(str, range(20)), "0"]) == "`0` -> `1` -> `2` -> `3` -> `4` -> `5` -> … -> `0`"
