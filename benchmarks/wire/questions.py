"""What every contestant is asked, and what the policy says to it by an expectation of its own.

The policy, in whatever language: of each endpoint `GET /accounts/{account}/r<n>` an owner of the account is allowed,
and who holds the role of the endpoint. So many rules are half as many endpoints.
"""

from __future__ import annotations

import random

from msgspec import Struct

SIZES = (10, 1_000, 10_000)
RULES_OF_ENDPOINT = 2
ROLES = 9
SEED = 20261122
MIXED = 16
"""Questions of each sort that the load is made of."""


class Question(Struct, frozen=True):
    """One call of one caller; the endpoint by its number, which may be none of the policy's."""

    sort: str
    method: str
    account: str
    endpoint: int
    accounts: tuple[str, ...]
    roles: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path of the call."""
        return f"/accounts/{self.account}/r{self.endpoint}"


def role_of(endpoint: int) -> str:
    """The role that an endpoint is for."""
    return f"role{endpoint % ROLES}"


def endpoints_of(rules: int) -> int:
    """How many endpoints so many rules are spread over."""
    return rules // RULES_OF_ENDPOINT


def expected(question: Question, rules: int) -> bool:
    """Whether it is to be allowed."""
    if question.method != "GET" or question.endpoint >= endpoints_of(rules):
        return False
    return question.account in question.accounts or role_of(question.endpoint) in question.roles


def mix(rules: int) -> list[Question]:
    """What the load is made of: as many of an owner, of who holds the role, and of who may not."""
    drawn = random.Random(SEED + rules)  # noqa: S311 - no secret is drawn
    found = []
    for number in range(MIXED):
        for sort in ("owner", "holder", "neither"):
            endpoint = drawn.randrange(endpoints_of(rules))
            account = f"a{drawn.randrange(10_000):04}"
            others = (f"b{number:04}", f"c{number:04}")
            held, other = role_of(endpoint), role_of(endpoint + 1 + drawn.randrange(ROLES - 1))
            accounts = (account, *others) if sort == "owner" else others
            found.append(Question(sort, "GET", account, endpoint, accounts, (held if sort == "holder" else other,)))
    return found


def asked_first(rules: int) -> list[Question]:
    """What is asked of each contestant before anything is timed: the mix, and what else could be answered wrongly."""
    last = endpoints_of(rules) - 1
    both = (role_of(last), role_of(last + 1))
    return [
        *mix(rules),
        Question("both", "GET", "a1", last, ("a1",), both),
        Question("another method", "POST", "a1", last, ("a1",), both),
        Question("no such endpoint", "GET", "a1", last + 1, ("a1",), both),
        Question("no such role", "GET", "a1", last, ("a2",), ("role", "role10")),
        Question("part of an account's name", "GET", "a1", last, ("a", "a11"), (role_of(last + 1),)),
        Question("role as account", "GET", role_of(last), last, ("a1",), (role_of(last + 1),)),
    ]
