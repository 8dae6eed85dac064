"""What a call may cost: which rules an index finds, and how the worst call is counted."""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy
from policy_lang.cost import Cost, costs

HEAD = """module m
network office = 192.0.2.0/24
workload edge = "spiffe://prod/edge"
token user { issuer "https://id.example"
  claim sub: string
  claim tenant: string
  claim n: int
  claim flag: bool
  claim groups: set of string
}
roles for user from token.groups { role reader role writer includes reader }
relation member (who: string, as: role)
service s { audience "s" host "s.example" endpoint one GET /one/{a} endpoint two GET /two }
"""

WHOLE = 'allow all for any user on s because "-"\n'


def cost_of(rules: str) -> Cost:
    """The cost of `s.one`, whose rules are these."""
    return costs(compile_policy({"m.pol": (HEAD + WHOLE + rules).encode()}).program)[0]


def deny(condition: str, name: str = "r") -> str:
    return f'deny {name} for any user on s.one when {condition} because "-"\n'


INDEXABLE = {
    "equality with a constant": 'token.sub == "x"',
    "an attribute among constants": 'token.sub in ["x", "y"]',
    "a constant in a set": '"x" in token.groups',
    "an overlap with constants": 'token.groups overlaps ["x"]',
    "a role": "role reader",
    "a network": "request.ip in office",
    "one of several constants": 'token.sub == "x" or token.sub in ["y", "z"]',
    "beside anything else": 'token.n > 3 and token.sub == "x"',
}
NOT_INDEXABLE = {
    "order": "token.n > 3",
    "inputs compared": "token.sub == path.a",
    "a pattern": 'token.sub like "x*"',
    "a truth": "token.flag",
    "the opposite": 'token.sub != "x"',
    "a row": "member(token.sub, writer)",
    "one of several inputs": 'token.sub == "x" or token.tenant == "y"',
    "a set of inputs": "token.sub in token.groups",
    "outside a network": "request.ip not in office",
    "one of several, not all found": 'token.sub == "x" or token.n > 3',
}


@pytest.mark.parametrize("name", INDEXABLE)
def test_an_index_finds(name: str) -> None:
    assert cost_of(deny(INDEXABLE[name])).unindexable == ()


@pytest.mark.parametrize("name", NOT_INDEXABLE)
def test_no_index_finds(name: str) -> None:
    assert len(cost_of(deny(NOT_INDEXABLE[name])).unindexable) == 1


def test_a_rule_without_conditions_costs_nothing() -> None:
    assert cost_of("") == Cost(0, ())


def test_rules_told_apart_by_a_constant_cost_what_one_costs() -> None:
    rules = "".join(deny(f'token.tenant == "t{n}" and token.n > {n}', f"r{n}") for n in range(50))
    assert cost_of(rules) == Cost(2, ())


def test_rules_that_share_a_constant_are_found_together() -> None:
    rules = "".join(deny(f'token.tenant == "t" and token.n > {n}', f"r{n}") for n in range(50))
    assert cost_of(rules) == Cost(51, ())


def test_the_way_that_leaves_the_fewest_is_taken() -> None:
    rules = "".join(deny(f'token.tenant == "t" and token.sub == "s{n}"', f"r{n}") for n in range(50))
    assert cost_of(rules) == Cost(2, ())


def test_each_condition_is_looked_at_once() -> None:
    rules = "".join(deny(f"token.n > 3 and token.n < {n}", f"r{n}") for n in range(10))
    assert cost_of(rules).atoms == 11


def test_needs_are_looked_at_too() -> None:
    assert cost_of('require r for any user on s.one needs token.flag else challenge "x"').atoms == 1


def test_shadow_rules_cost_too() -> None:
    assert len(cost_of("shadow " + deny("token.n > 3")).unindexable) == 1


def test_costs_are_by_endpoint_and_of_its_worst_kind() -> None:
    program = compile_policy({"m.pol": (HEAD + WHOLE + deny("token.n > 3")).encode()}).program
    assert [(endpoint.id, cost.atoms) for endpoint, cost in zip(program.endpoints, costs(program), strict=True)] == [
        ("s.one", 1),
        ("s.two", 0),
    ]
