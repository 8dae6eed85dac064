"""A `test` block with its names resolved: one value a call, ready to be asked and compared.

`lower_tests` writes them, `testing` runs them; overrides (`with`) and the columns of tables are already applied. Claims
stand in the JSON form a token would hold, and a path as it would come over the wire, so that a test takes the way of a
real call through canonical form and schema. Fixtures fail closed: what a test does not give is absent or unknown.
Source: language.md 5.7.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from policy_lang.ir import Alert, Answer, IssueToken, LogDuty, Operand, Place, Redact, RemoveHeader, Value
from policy_lang.verdict import ActionCall, Caller, Facts, Origin, Outcome

DEFAULT_NOW_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, the instant of a test that gives none (language.md 5.7)."""

DEFAULT_IP = "203.0.113.1"
"""Where a call of a test comes from that does not say (language.md 5.7)."""


FixedDuty = LogDuty | RemoveHeader | Redact | IssueToken | Alert | Answer
"""An obligation that reads nothing of the call."""


class ExpectedHeader(Struct, frozen=True):
    """A header that is to be set: its lower-case name, and a value that the call's own inputs may make.

    `instant` tells a time from other integers (policy_lang/meaning/obligations.py).
    """

    name: str
    value: Operand
    instant: bool


class Expected(Struct, frozen=True):
    """`by` are rule ids (`module.name`) or one word of the closed list, empty where the test does not say.

    `headers` and `obligations` are to be among what the gateway must or should do, what is logged and what a refusal is
    answered with. `text` is all of it, as the test says it.
    """

    outcome: Outcome
    by: tuple[str, ...]
    challenge: str | None
    headers: tuple[ExpectedHeader, ...]
    obligations: tuple[FixedDuty, ...]
    text: str


class WireCall(Struct, frozen=True):
    """A request as it comes: `target` is not canonical yet. `host` None is the first host of the service."""

    method: str
    target: str
    host: str | None = None
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class TestCase(Struct, frozen=True):
    """`facts` holds every declared relation, most of them empty; `signals` those that are not unknown."""

    title: str
    place: Place
    text: str
    service: str
    call: WireCall | ActionCall
    caller: Caller
    origin: Origin
    facts: Facts
    signals: Mapping[str, Value]
    now_ms: int
    expected: Expected

    __test__ = False  # not a pytest class
