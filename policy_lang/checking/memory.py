"""What one check of a bundle has worked out and meets again, and how many steps it may still take.

A condition may be used by a thousand rules, and a rule may meet a thousand kinds of call: what was worked out once is
kept here. Nothing here says what a policy means: without it the same comes out, later.
INVARIANT: what is kept depends on nothing but its key.
Source: language.md 4.2.

Decision: 2026-11-21. A step is a part of an expression looked at in one environment; an environment costs three by
itself. Rules as people write them take one step for forty to a hundred characters of the policy. What multiplies
(rules that read something else on each of a thousand endpoints, for each of a hundred kinds) is refused (E802) once it
takes one step for two characters and `MOST_STEPS` besides, so that the time of a check is bounded by the length of what
is checked.
"""

from __future__ import annotations

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.checking.guards import Formula
from policy_lang.declared.entries import ConditionEntry, KindEntry, TagRead
from policy_lang.declared.literals_typed import Typed
from policy_lang.typesystem import Type

ConditionKey = tuple[str, tree.NodeId]
"""A condition by its module and its declaration."""


class Mentions(Struct, frozen=True):
    """What one expression mentions itself: inputs, tags, factors, kinds (also by their roles), and conditions."""

    attrs: tuple[ir.Attr, ...]
    tags: tuple[TagRead, ...]
    factors: frozenset[str]
    kinds: frozenset[str]
    conditions: tuple[ConditionEntry, ...]


class Reads(Struct, frozen=True):
    """What expressions read. `singled_out` are the kinds that one of them asks for by name, role or factor."""

    of_kind: tuple[ir.Attr, ...]
    of_endpoint: tuple[ir.Attr, ...]
    tags: tuple[TagRead, ...]
    signals: tuple[str, ...]
    singled_out: frozenset[str]


ExpansionKey = tuple[ConditionKey, object, object, frozenset[ir.Attr]]
"""A condition, what it reads as it is declared where it is used, its arguments, and the inputs proved present."""


class Expansion(Struct, frozen=True):
    """A condition expanded: what it came to and proves by its outcome, of how many parts it is, and how deep they nest.

    `refused`: an expression in it had a mistake, which was reported.
    """

    formula: Formula
    when_true: frozenset[ir.Attr] | None
    when_false: frozenset[ir.Attr] | None
    refused: bool
    parts: int
    depth: int


EndpointsKey = tuple[int, tuple[ir.Attr, ...], tuple[TagRead, ...]]
PlacesKey = tuple[int, bool, bool]
KindsKey = tuple[int, tuple[ir.Attr, ...]]
"""What a rule reads of some endpoints, and of some callers, whose tuple it is that has this id."""

Indices = tuple[int, ...]
Callers = tuple[KindEntry | None, ...]

MOST_STEPS = 30_000
"""Steps of the smallest policy: a fifth of a second."""

CHARACTERS_A_STEP = 2
"""For so many characters a policy may take one step more."""

ENVIRONMENT_STEPS = 3
"""Steps of an environment by itself."""

PARTS_A_STEP = 4
"""Parts of a condition met again that are one step: they are not looked at, but stand in one more formula."""

PLACES_A_STEP, ENDPOINTS_A_STEP, CALLERS_A_STEP = 50, 50, 25
"""Endpoints that no rule reached together before, endpoints and callers that none parted as this one does."""

ATTRS_A_STEP = 5
"""Inputs that a rule or a condition reads, with the conditions it calls."""


class Heaviest(Struct, frozen=True):
    """The rule or proof that took the most steps so far: its name, and how many environments it met."""

    name: tree.Name | tree.Text
    steps: int
    met: int


class Memory:
    """What is kept, for `characters` of policy.

    `mentions` are those of conditions' bodies, `below` with those of the conditions they call, `reads` what they read
    so; `expansions` are conditions as they came out; `sets` those that are the same everywhere, None where they have a
    mistake; `too_large` the conditions in which an expression grew past its limit, which was reported and costs its
    time once; `numbers` tell endpoints apart by who calls them, their having a path, and their methods. `endpoints`,
    `places`, `kinds` and `callers` are groups of those that are alike to a rule; what has its id in a key is kept by
    it, or lives as long as the bundle, so that the id stays its own. `steps` are those left; `stopped`: they were used
    up, as was said.
    `written` are the words of formulas that are one condition to whoever wrote them (policy_lang/checking/written.py).
    """

    def __init__(self, characters: int) -> None:
        self.most_steps = MOST_STEPS + characters // CHARACTERS_A_STEP
        self.steps = self.most_steps
        self.stopped = False
        self.heaviest: Heaviest | None = None
        self.mentions: dict[ConditionKey, Mentions] = {}
        self.below: dict[ConditionKey, Mentions] = {}
        self.reads: dict[ConditionKey, Reads] = {}
        self.expansions: dict[ExpansionKey, Expansion] = {}
        self.written: dict[Formula, str] = {}
        self.too_large: set[ConditionKey] = set()
        self.endpoints: dict[EndpointsKey, tuple[Indices, tuple[Indices, ...]]] = {}
        self.numbers: dict[tuple[bool, bool], list[int]] = {}
        self.places: dict[PlacesKey, tuple[Indices, tuple[Indices, ...]]] = {}
        self.kinds: dict[KindsKey, tuple[Callers, ...]] = {}
        self.callers: dict[tuple[int, tuple[ir.Attr, ...], frozenset[str]], tuple[Callers, ...]] = {}
        self.sets: dict[tuple[str, tree.NodeId, Type | None], Typed | None] = {}
