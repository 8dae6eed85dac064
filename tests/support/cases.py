"""The decision cases of tests/golden/decisions, and the parts they are run with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pdp.model import EXT_AUTHZ, Inquiry, Principal
from pdp.runtime.bundle import read_folder
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT

DECISIONS = ROOT / "tests" / "golden" / "decisions"
POLICY = DECISIONS / "policy"
NOW = 1_800_000_000
INSTANTS = ("exp", "nbf", "iat", "auth_time")
"""Claims that a case writes as seconds from the instant of the decision."""

MEMBERS = {
    "name", "service", "call", "kind", "issuer", "claims", "authorization", "headers", "peer", "signals", "subject",
    "action", "resource", "want", "record",
}  # fmt: skip
EDGE = "spiffe://example/edge"
"""The identity of the gateway that asks."""


@dataclass(frozen=True)
class Case:
    """One document: what is asked, what must be decided and answered, and the clear fields its record must have.

    A case with an `action` has no call, and no transport asks it yet.
    """

    name: str
    service: str | None
    method: str | None
    host: str | None
    path: str | None
    issuer: str
    claims: Mapping[str, Any] | None
    authorization: str | None
    headers: Mapping[str, str]
    peer: str | None
    signals: Mapping[str, Any]
    subject: Mapping[str, Any] | None
    action: str | None
    resource: Mapping[str, Any] | None
    want: Mapping[str, Any]
    record: Mapping[str, Any]


ISSUERS = {
    "user": "https://id.example",
    "machine": "https://machines.example",
}


@cache
def issuers() -> tuple[TestIssuer, ...]:
    """The issuers that the configuration of the cases trusts: the policy's two, and one the policy does not know."""
    return tuple(TestIssuer(url) for url in (*ISSUERS.values(), "https://stranger.example"))


@cache
def engine() -> Engine:
    return engine_of(read_folder(POLICY), planned=True)


def cases() -> Iterator[Case]:
    for path in sorted(DECISIONS.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield _case(path, document)


def _case(path: Path, document: Mapping[str, Any]) -> Case:
    assert set(document) <= MEMBERS, f"{path.name}: {set(document) - MEMBERS}"
    call = document.get("call")
    method, host, target = (None, None, None) if call is None else call.split(" ", 2)
    return Case(
        name=f"{path.stem}: {document['name']}",
        service=document.get("service"),
        method=method,
        host=host,
        path=target,
        issuer=document.get("issuer", ISSUERS[document.get("kind", "user")]),
        claims=document.get("claims"),
        authorization=document.get("authorization"),
        headers=document.get("headers", {}),
        peer=document.get("peer"),
        signals=document.get("signals", {}),
        subject=document.get("subject"),
        action=document.get("action"),
        resource=document.get("resource"),
        want=document["want"],
        record=document["record"],
    )


def claims_at(case: Case, now: int) -> dict[str, Any]:
    """The claims of a case at an instant: relative seconds made absolute."""
    return {k: v + now if k in INSTANTS and v is not None else v for k, v in (case.claims or {}).items()}


def authorization(case: Case, now: int) -> str | None:
    """The header of a case: its own text, or a token minted for it."""
    if case.claims is None:
        return case.authorization
    minter = next(each for each in issuers() if each.url == case.issuer)
    claims = claims_at(case, now)
    if claims.get("exp", now + 1) <= now:
        claims["iat"] = claims["exp"] - 60
    return f"Bearer {minter.mint(claims, now)}"


def inquiry(case: Case, now: int) -> Inquiry:
    header = authorization(case, now)
    return Inquiry(
        service=case.service,
        method=case.method,
        path=case.path,
        host=case.host,
        headers=(*case.headers.items(), *(() if header is None else (("authorization", header),))),
        gateway="edge",
        identity=EDGE,
        capabilities=EXT_AUTHZ,
        ip="203.0.113.7",
        peer=case.peer,
        signals=case.signals,
        principal=None if case.subject is None else Principal("subject", "employee", case.subject),
        action=case.action,
        resource=case.resource,
    )


def check_want(case: Case, got: Mapping[str, Any]) -> None:
    """Every member that the case wants is what was got; a member the way of asking does not show is passed over."""
    for member, wanted in case.want.items():
        if member in got:
            assert _same(member, got[member], wanted), f"{case.name}: {member} is {got[member]!r}, wanted {wanted!r}"


def check_record(case: Case, clear: Mapping[str, Any]) -> None:
    """The record has every clear field the case wants; null means that it has not."""
    for field, wanted in case.record.items():
        found = clear.get(field)
        assert _same(field, found, wanted), f"{case.name}: {field} is {found!r}, wanted {wanted!r}"


def _same(member: str, got: Any, wanted: Any) -> bool:
    """Equal; of the rules that decided the primary one, which a compiled plan names alone."""
    return bool(got == wanted or (member == "by" and got == wanted[:1]))
