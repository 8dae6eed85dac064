"""The decision cases of tests/golden/decisions, and the parts they are run with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, assert_never

import yaml
from msgspec import Struct
from msgspec.structs import replace

from pdp.model import EXT_AUTHZ, Asserted, Body, Capability, Inquiry, capabilities_named
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

PathName = Literal["ext_authz", "envoy", "authzen", "nginx", "native"]

MEMBERS = {
    "name", "service", "call", "kind", "issuer", "claims", "verified", "authorization", "headers", "peer", "signals",
    "body", "can", "subject", "action", "resource", "want", "record", "paths",
}  # fmt: skip
DECIDED = {"d": "decision", "by": "by", "rc": "reason"}
"""Clear fields of a record, and the members of `want` that they repeat."""
EDGE = "spiffe://example/edge"
"""The identity of the gateway that asks."""


class Difference(Struct, frozen=True):
    """How one path differs, and why in words.

    It cannot carry the case (`stands`), or the gateway answers by itself and nothing is recorded (`answers`), or these
    members of `want` and `record` are others.
    """

    why: str
    stands: bool = True
    answers: int | None = None
    want: Mapping[str, Any] | None = None
    record: Mapping[str, Any] | None = None


class Case(Struct, frozen=True):
    """One document: what is asked, what must be decided and answered, and the clear fields its record must have.

    `can` None: what gateways that pass calls on can do. `answers`: what the gateway answers without asking.
    """

    name: str
    service: str | None
    method: str | None
    host: str | None
    path: str | None
    issuer: str
    claims: Mapping[str, Any] | None
    verified: bool
    authorization: str | None
    headers: Mapping[str, str]
    peer: str | None
    signals: Mapping[str, Any]
    body: Body | None
    can: frozenset[Capability] | None
    subject: Asserted | None
    action: str | None
    resource: Mapping[str, Any] | None
    want: Mapping[str, Any]
    record: Mapping[str, Any]
    paths: Mapping[PathName, Difference]
    answers: int | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        return EXT_AUTHZ if self.can is None else self.can

    def on(self, path: PathName) -> Case:
        """The case as this path has it."""
        other = self.paths.get(path)
        if other is None:
            return self
        want, record = {**self.want, **(other.want or {})}, {**self.record, **(other.record or {})}
        return replace(self, want=want, record=record, answers=other.answers)


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


@cache
def cases() -> tuple[Case, ...]:
    """The cases of every file; read once, since half a dozen modules of tests ask for them when they are imported."""
    paths = sorted(DECISIONS.glob("*.yaml"))
    return tuple(_case(path, document) for path in paths for document in yaml.safe_load_all(path.read_text()))


def cannot_carry(path: PathName, case: Case) -> str | None:
    """Why this path cannot carry a case; None where it can."""
    other = case.paths.get(path)
    if other is not None and not other.stands:
        return other.why
    match path:
        case "ext_authz" | "envoy" | "nginx":
            return _gateway_cannot(path, case)
        case "authzen":
            if case.action is None or case.subject is None:
                return "AuthZEN asks what a subject may do to a resource"
        case "native":
            if case.verified or case.body is not None:
                return "a program verifies no tokens for us, and says nothing of bodies"
        case _:
            assert_never(path)
    return None


def _gateway_cannot(path: PathName, case: Case) -> str | None:
    if case.action is not None or case.subject is not None:
        return "a gateway asks about calls over HTTP, and asserts no subject"
    if case.can is not None:
        return "what a gateway can do is its configuration's to say"
    if path == "nginx" and (case.peer is not None or case.signals):
        return "forward-auth says nothing of the client's certificate, and gives no readings"
    if path == "nginx" and (case.verified or case.body is not None):
        return "forward-auth hands on no claims, and says nothing of bodies"
    return None


def _case(path: Path, document: Mapping[str, Any]) -> Case:
    assert set(document) <= MEMBERS, f"{path.name}: {set(document) - MEMBERS}"
    call, can = document.get("call"), document.get("can")
    method, host, target = (None, None, None) if call is None else call.split(" ", 2)
    return Case(
        name=f"{path.stem}: {document['name']}",
        service=document.get("service"),
        method=method,
        host=host,
        path=target,
        issuer=document.get("issuer", ISSUERS[document.get("kind", "user")]),
        claims=document.get("claims"),
        verified=document.get("verified", False),
        authorization=document.get("authorization"),
        headers=document.get("headers", {}),
        peer=document.get("peer"),
        signals=document.get("signals", {}),
        body=Body(**document["body"]) if "body" in document else None,
        can=None if can is None else capabilities_named(can),
        subject=_subject(document["subject"]) if "subject" in document else None,
        action=document.get("action"),
        resource=document.get("resource"),
        want=document["want"],
        record=document["record"],
        paths={name: Difference(**said) for name, said in document.get("paths", {}).items()},
    )


def _subject(said: Mapping[str, Any]) -> Asserted:
    """A subject; an employee where its type is not said."""
    properties = {name: value for name, value in said.items() if name not in {"type", "id"}}
    return Asserted(said.get("type", "employee"), said["id"], properties)


def claims_at(case: Case, now: int) -> dict[str, Any]:
    """The claims of a case at an instant: relative seconds made absolute."""
    claims = {k: v + now if k in INSTANTS and v is not None else v for k, v in (case.claims or {}).items()}
    if claims.get("exp", now + 1) <= now:
        claims["iat"] = claims["exp"] - 60
    return claims


def authorization(case: Case, now: int) -> str | None:
    """The header of a case: its own text, or a token minted for it."""
    if case.claims is None:
        return case.authorization
    minter = next(each for each in issuers() if each.url == case.issuer)
    return f"Bearer {minter.mint(claims_at(case, now), now)}"


def verified_claims(case: Case, now: int) -> dict[str, Any] | None:
    """What a gateway hands on of the token of a case that it verified and took away."""
    if not case.verified:
        return None
    whole = {"iss": case.issuer, "iat": now, "exp": now + 3600, **claims_at(case, now)}
    return {name: value for name, value in whole.items() if value is not None}


def headers_at(case: Case, now: int) -> dict[str, str]:
    """The headers of the call, with the credential unless the gateway took it away."""
    header = None if case.verified else authorization(case, now)
    return {**case.headers, **({} if header is None else {"authorization": header})}


def inquiry(case: Case, now: int) -> Inquiry:
    return Inquiry(
        service=case.service,
        method=case.method,
        path=case.path,
        host=case.host,
        headers=tuple(headers_at(case, now).items()),
        gateway="edge",
        identity=EDGE,
        capabilities=case.capabilities,
        ip="203.0.113.7",
        peer=case.peer,
        signals=case.signals,
        asserted=case.subject,
        verified=verified_claims(case, now),
        body=case.body,
        action=case.action,
        resource=case.resource,
    )


def check_want(case: Case, got: Mapping[str, Any]) -> None:
    """Every member that the case wants is what was got; a member the way of asking does not show is passed over."""
    for member, wanted in case.want.items():
        if member in got:
            assert _same(member, got[member], wanted), f"{case.name}: {member} is {got[member]!r}, wanted {wanted!r}"


def check_record(case: Case, clear: Mapping[str, Any]) -> None:
    """The record says what was decided, by what and why, and has every other clear field that the case wants; null
    means that it has not.
    """
    decided = {field: case.want[member] for field, member in DECIDED.items() if member in case.want}
    for field, wanted in {**decided, **case.record}.items():
        found = clear.get(field)
        assert _same(field, found, wanted), f"{case.name}: {field} is {found!r}, wanted {wanted!r}"


def _same(member: str, got: Any, wanted: Any) -> bool:
    """Equal; of the rules that decided the primary one, which a compiled plan names alone."""
    return bool(got == wanted or (member == "by" and got == wanted[:1]))
