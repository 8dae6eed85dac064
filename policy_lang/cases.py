"""A `test` block with its names resolved: one value a `call` line, ready to be asked and compared.

`lower` writes them, `testing` runs them; overrides (`with`) are already applied to the claims, which stand in the JSON
form a token would hold, so that a test takes the way of a real token through the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policy_lang.ir import LogDuty, Place
from policy_lang.verdict import Facts, Json, Outcome

DEFAULT_NOW_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, the instant of a test that gives none (language.md 5.7)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """`by` are rule ids (`module.name`) or one word of the closed list, empty where the test does not say."""

    outcome: Outcome
    by: tuple[str, ...]
    challenge: str | None
    log: LogDuty | None


@dataclass(frozen=True, slots=True)
class TestCase:
    """`kind` None is the anonymous caller. `facts` holds every declared relation, most of them empty."""

    title: str
    place: Place
    text: str
    kind: str | None
    claims: Mapping[str, Json]
    facts: Facts
    now_ms: int
    service: str
    method: str
    target: str
    expected: Expected

    __test__ = False  # not a pytest class
