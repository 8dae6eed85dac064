"""What a kind of Casbin model is for the differential tests: a name, a drawing of trials, what strict says of them.

A trial is a model text, the lines of a policy and a way to draw requests. Everything is drawn from a `random.Random`:
a seed names a trial for good. Source: Casbin's documentation, "Supported Models", "Syntax for Models".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Literal

from msgspec import Struct, field

from policy_lang.ir.tables import FunctionName

Request = tuple[object, ...]

Taking = Literal["takes", "refuses", "either"]
"""Whether strict takes every trial of a kind, none, or some: then both must happen."""


class Settings(Struct, frozen=True):
    """What is set beside the texts. `time_conditions`: every conditional link asks timeMatch. `suffix` chooses the
    definitions: "" for `r`, `p`, `e`, `m`, "2" for `r2`, `p2`, `e2`, `m2`.
    """

    matching: Mapping[str, FunctionName] = field(default_factory=dict)
    domain_matching: Mapping[str, FunctionName] = field(default_factory=dict)
    zone: str | None = None
    time_conditions: bool = False
    suffix: str = ""


class Trial(Struct, frozen=True):
    """One model with one policy, and requests about it."""

    model: str
    lines: tuple[str, ...]
    ask: Callable[[Random], Request]

    @property
    def policy(self) -> str:
        """The text of the policy."""
        return "\n".join(self.lines) + "\n"


class Kind(Struct, frozen=True):
    """`codes` are those with which strict may refuse, `unread` those with which compat may, too. `allowed` is the least
    share of requests that Casbin allows, and `raised` the greatest of those at which it raises.
    """

    name: str
    draw: Callable[[Random], Trial]
    strict: Taking = "takes"
    codes: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    settings: Settings = Settings()
    allowed: float = 0.25
    raised: float = 0.02


ALLOW_OVERRIDE = "some(where (p.eft == allow))"
ALLOW_AND_DENY = "some(where (p.eft == allow)) && !some(where (p.eft == deny))"
DENY_OVERRIDE = "!some(where (p.eft == deny))"
PRIORITY = "priority(p.eft) || deny"
SUBJECT_PRIORITY = "subjectPriority(p.eft) || deny"

SAME_OBJECT_AND_ACTION = "r.obj == p.obj && r.act == p.act"
SAME = f"r.sub == p.sub && {SAME_OBJECT_AND_ACTION}"
BY_ROLE = f"g(r.sub, p.sub) && {SAME_OBJECT_AND_ACTION}"


def model(
    matcher: str,
    *,
    request: str = "sub, obj, act",
    policy: str = "sub, obj, act",
    effect: str = ALLOW_OVERRIDE,
    roles: Mapping[str, str] | None = None,
) -> str:
    """The text of a model with one definition of each sort, and any number of roles."""
    graphs = "".join(f"{name} = {value}\n" for name, value in (roles or {}).items())
    return (
        f"[request_definition]\nr = {request}\n\n[policy_definition]\np = {policy}\n\n"
        f"{'[role_definition]' if graphs else ''}\n{graphs}\n"
        f"[policy_effect]\ne = {effect}\n\n[matchers]\nm = {matcher}\n"
    )
