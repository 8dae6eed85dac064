"""The rule that held, told by a record and its policy: when it is, and when it is not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from pdp.audit.clauses import rule_that_held, trace_that_held
from pdp.audit.leaf import Leaf
from pdp.model import Inquiry, Json
from policy_lang.meaning.values import TRUE
from tests.support.replays import POLICY, asks, engine, recorded

DENYING = POLICY + 'deny nights for any user on orders.write when path.id == "7" because "closed"\n'
ASKING = POLICY + 'require device for any user on orders needs token has level else challenge "d" because "m"\n'
OBSERVED = DENYING.replace('host "orders.example"', 'host "orders.example"\n  observe until 2099-01-01')


def _leaf(inquiry: Inquiry, policy: str = POLICY) -> Leaf:
    entry = recorded(inquiry, engine(policy))
    return Leaf(entry.kind, "0" * 32, json.loads(json.dumps(entry.clear)), None)


HELD: dict[str, tuple[Inquiry, str, str, list[str]]] = {
    "an allow": (asks(), POLICY, "shop.own", ["for", "when 1"]),
    "an allow by the second rule of a cell": (asks("/orders/9", team="ops"), POLICY, "shop.teams", ["for", "when 1"]),
    "a deny": (asks("/orders/7", "POST"), DENYING, "shop.nights", ["for", "when 1"]),
}


@pytest.mark.parametrize(("inquiry", "policy", "rule", "labels"), HELD.values(), ids=HELD.keys())
def test_the_policy_tells_the_clauses_of(inquiry: Inquiry, policy: str, rule: str, labels: list[str]) -> None:
    leaf = _leaf(inquiry, policy)
    assert "rl" not in leaf.clear
    trace = trace_that_held(leaf, engine(policy).program)
    assert trace is not None
    assert (trace.id, rule_that_held(leaf), trace.applies) == (rule, rule, True)
    assert [clause.label for clause in trace.clauses] == labels
    assert {clause.truth for clause in trace.clauses} == {TRUE}


SAYS_NOTHING: dict[str, Callable[[], Leaf]] = {
    "a refusal by no rule": lambda: _leaf(asks("/orders/9")),
    "a path that is refused": lambda: _leaf(asks("/orders/../1")),
    "stronger authentication, whose needs are told": lambda: _leaf(asks(), ASKING),
    "a record of another kind": lambda: Leaf("context", "0" * 32, {"by": ["shop.own"], "d": "allow"}, None),
    "nothing at all": lambda: Leaf("decision", "0" * 32, {}, None),
    "who decided in no list": lambda: Leaf("decision", "0" * 32, {"by": "shop.own", "d": "allow"}, None),
    "who decided in an empty list": lambda: Leaf("decision", "0" * 32, {"by": [], "d": "allow"}, None),
    "who decided as a number": lambda: Leaf("decision", "0" * 32, {"by": [7], "d": "allow"}, None),
}


@pytest.mark.parametrize("made", SAYS_NOTHING.values(), ids=SAYS_NOTHING.keys())
def test_no_rule_is_said_to_have_held_by(made: Callable[[], Leaf]) -> None:
    leaf = made()
    assert rule_that_held(leaf) is None
    assert trace_that_held(leaf, engine().program) is None


FIELDS: dict[str, dict[str, Json]] = {
    "how its clauses came out": {"rl": [["shop.own", ["for", "F"]]]},
    "that not all was looked at": {"nx": 1},
    "a level by which nothing is said": {"ll": "minimal"},
    "a level by which all is": {"ll": "full"},
    "that what it said was cut": {"ct": ["rl"]},
}


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS.keys())
def test_nothing_is_concluded_where_a_record_says(fields: dict[str, Json]) -> None:
    leaf = _leaf(asks())
    assert rule_that_held(replace(leaf, clear={**leaf.clear, **fields})) is None


ELSEWHERE: dict[str, dict[str, Json]] = {
    "another endpoint": {"ep": "archive.open_file"},
    "no endpoint": {"ep": "orders.nothing"},
    "another kind of caller": {"pk": "employee"},
    "a rule of that name that denies": {"d": "deny"},
    "an outcome that is none": {"d": "perhaps"},
    "an outcome in a list": {"d": []},
    "a rule of another policy": {"by": ["shop.other"]},
}


@pytest.mark.parametrize("fields", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_rule_is_looked_for_where_the_record_places_it(fields: dict[str, Json]) -> None:
    leaf = _leaf(asks())
    assert trace_that_held(replace(leaf, clear={**leaf.clear, **fields}), engine().program) is None


def test_of_an_observed_call_it_is_the_rule_that_would_have_refused() -> None:
    leaf = _leaf(asks("/orders/7", "POST"), OBSERVED)
    assert leaf.clear["by"] == ["observe"]
    trace = trace_that_held(leaf, engine(OBSERVED).program)
    assert trace is not None
    assert (trace.id, trace.effect) == ("shop.nights", "deny")
