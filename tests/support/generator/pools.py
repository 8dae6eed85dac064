"""The few values that generated policies and questions are made of, and how each is written in a policy.

A type goes in, a literal of it comes out. Pools are small on purpose: a claim and a constant drawn apart from each
other meet often, so that rules hit.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from policy_lang.typesystem import INT_MAX, INT_MIN, EnumType, IntType, RoleType, Scalar, ScalarType, SetType, Type
from policy_lang.verdict import Json

NOW_MS = 1_772_366_400_000
"""2026-03-01T12:00:00Z: generated policies and questions lie around it."""

STRINGS = ("a1", "a2", "a3", "u1", "u2", "acme", "café")
UUIDS = (
    "6f1c7c1e-3f0e-4a57-9d5f-0d6c8c7c2b11",
    "00000000-0000-4000-8000-000000000001",
    "00000000-0000-4000-8000-000000000002",
)
ADDRESSES = ("10.20.3.4", "10.20.255.9", "192.0.2.7", "203.0.113.70", "2001:db8:20::7", "2001:db8:ff::1")
NETWORKS = ("10.20.0.0/16", "10.0.0.0/8", "192.0.2.0/24", "203.0.113.64/26", "2001:db8:20::/48", "2001:db8::/32")
WORKLOADS: Mapping[str, str] = {
    "edge": "spiffe://prod/ns/edge/sa/gateway",
    "helpdesk": "spiffe://prod/ns/care/sa/helpdesk",
    "batch": "spiffe://prod/ns/jobs/sa/batch",
}
STRANGER = "spiffe://prod/ns/other/sa/stranger"
DURATIONS: Mapping[str, int] = {"30s": 30_000, "5m": 300_000, "1h30m": 5_400_000, "8h": 28_800_000, "250ms": 250}
OFFSETS_S = (-86_400, -28_800, -5_400, -600, -300, -299, -60, 0, 20, 45, 600)
"""Instants beside `NOW_MS`, in seconds."""

LIKE_PATTERNS = ("a*", "u*", "*1", "*c*", "acme*", "*2", "acm*")
SCOPES = ("orders.read", "orders.write", "admin")
MODES = ("otp", "hwk", "pwd", "face")
GROUPS = ("customer", "support", "lead", "Auditors", "admin", "other")


def instant_text(ms: int) -> str:
    """A whole second as a policy writes an instant."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quoted(texts: Iterable[str]) -> str:
    """Texts as a policy lists them."""
    return ", ".join(f'"{text}"' for text in texts)


def int_of(rng: random.Random, type_: IntType) -> int:
    """An integer of the range, small where the range allows."""
    lowest, highest = type_.lowest, type_.highest
    if lowest is None or highest is None:
        return rng.choice([-1, 0, 1, 2, 3, 5]) if rng.random() < 0.97 else rng.choice([INT_MIN, INT_MAX])
    if rng.random() < 0.15:
        return rng.choice([lowest, highest])
    return rng.randint(lowest, min(highest, lowest + 5)) if highest - lowest < 50 else rng.choice([lowest, 10, 50, 60])


def literal(rng: random.Random, type_: ScalarType, workloads: Sequence[str] = tuple(WORKLOADS)) -> str:
    """A constant of a scalar type; of a workload and an enum that is a name, which must be in scope."""
    match type_:
        case Scalar.BOOL:
            return rng.choice(["true", "false"])
        case Scalar.STRING:
            return f'"{rng.choice(STRINGS)}"'
        case Scalar.UUID:
            return f'"{rng.choice(UUIDS)}"'
        case Scalar.IP:
            return rng.choice(ADDRESSES)
        case Scalar.WORKLOAD:
            return rng.choice(workloads)
        case Scalar.DURATION:
            return rng.choice(list(DURATIONS))
        case Scalar.TIME:
            return instant_text(NOW_MS + rng.choice(OFFSETS_S) * 1000) if rng.random() < 0.9 else "2026-03-01"
        case IntType():
            return str(int_of(rng, type_))
        case EnumType(values=values):
            return rng.choice(values)
        case RoleType(names=names):
            return rng.choice(names)


def set_literal(rng: random.Random, type_: ScalarType, workloads: Sequence[str] = tuple(WORKLOADS)) -> str:
    """A set of constants in brackets, seldom empty."""
    if rng.random() < 0.03:
        return "[]"
    members = {literal(rng, type_, workloads) for _ in range(rng.choice([1, 2, 2, 3]))}
    return f"[{', '.join(sorted(members))}]"


def element_of(type_: Type) -> ScalarType:
    """The type of a set's members, or the scalar type itself."""
    return type_.element if isinstance(type_, SetType) else type_


def json_value(rng: random.Random, type_: Type) -> Json:
    """A value of the type as the JSON of a token holds it; `facts` and texts are written from the same."""
    match type_:
        case SetType(element):
            return [json_value(rng, element) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
        case Scalar.BOOL:
            return rng.random() < 0.5
        case Scalar.STRING:
            return rng.choice(STRINGS)
        case Scalar.UUID:
            return rng.choice(UUIDS)
        case Scalar.IP:
            return rng.choice(ADDRESSES)
        case Scalar.WORKLOAD:
            return rng.choice(list(WORKLOADS.values()))
        case Scalar.DURATION:
            return rng.choice([0, 30, 299, 300, 5_400, 28_800])
        case Scalar.TIME:
            return NOW_MS // 1000 + rng.choice(OFFSETS_S)
        case IntType():
            return int_of(rng, type_)
        case EnumType(values=names) | RoleType(names=names):
            return rng.choice(names)


def text_of(value: Json) -> str:
    """A scalar as a query, a header or a CSV file holds it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
