"""Tokens in place of the caller's own: made after the record, stated in the log, and no allow without one."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pdp.answers import check_code, headers_to_set
from pdp.config_identity import MintingConfig
from pdp.evaluate import Evaluation, Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.issuing import Issuing
from pdp.metrics import Metrics
from pdp.model import EXT_AUTHZ, Decision, Inquiry, Minted, Principal
from pdp.runtime.bundle import bundle_of
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.service import NO_TOKENS, DecisionService, Receipts, Tokens
from pdp.transports import forward_auth
from tests.support.issuing import ISSUER
from tests.support.memory_log import MemoryLog
from tests.support.scoped import PDP, POLICY, claims_of

NOW_S = int(time.time())
"""PyJWT, which stands for a service here, has no other clock than the host's."""
NOW_US = NOW_S * 1_000_000
ENDS_S = NOW_S + 3600
ANN = {"iss": ISSUER, "sub": "ann", "aud": "orders", "email": "ann@shop.example", "scope": "orders:read orders:write"}


@cache
def engine() -> Engine:
    return engine_of(bundle_of({"scoped.pol": POLICY.encode()}), planned=True)


def asked(path: str = "/orders/1", **changes: Any) -> Inquiry:
    principal = Principal("token", "user", ANN, expires_at=ENDS_S, credential=b"c" * 32)
    base = Inquiry(
        service="orders",
        method="GET",
        path=path,
        host="orders.example",
        headers=(),
        gateway="edge",
        capabilities=EXT_AUTHZ,
        principal=principal,
    )
    return replace(base, **changes)


def as_caller(**claims: Any) -> Principal:
    """Ann, with other claims; None takes one away."""
    merged = {name: value for name, value in {**ANN, **claims}.items() if value is not None}
    return Principal("token", "user", merged, expires_at=ENDS_S, credential=b"c" * 32)


class Clock:
    """A clock that is set."""

    now_us = NOW_US

    def us(self) -> int:
        return self.now_us

    def s(self) -> float:
        return self.now_us / 1_000_000


@contextmanager
def issuing(folder: Path, clock: Clock | None = None) -> Iterator[Issuing]:
    clock = clock or Clock()
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    made = Issuing(PDP, MintingConfig(url=PDP), keys, clock_us=clock.us, monotonic=clock.s, entropy=os.urandom)
    with closing(made):
        yield made


def run(
    ask: Callable[[DecisionService], Awaitable[Any]], tokens: Tokens, *, mints: bool = True, **faults: bool
) -> tuple[Any, MemoryLog]:
    async def within() -> tuple[Any, MemoryLog]:
        receipts = Receipts(asyncio.get_running_loop())
        log = MemoryLog(receipts.settled, **faults)  # type: ignore[arg-type]  # its faults
        evaluator = Evaluator(
            engine, Identity(Verifier([])), service_from_host=False, issues_tokens=mints, compare_every=1
        )
        service = DecisionService(
            evaluator, log, receipts, Metrics(), strict_methods=frozenset(), monotonic=Clock().s, tokens=tokens
        )
        return await ask(service), log

    return asyncio.run(within())


def decided(tokens: Tokens, inquiry: Inquiry | None = None, **options: bool) -> tuple[Decision, MemoryLog]:
    decision, log = run(lambda service: service.decide(inquiry or asked(), NOW_US, 1.0), tokens, **options)
    assert isinstance(decision, Decision)
    return decision, log


def test_an_allow_carries_a_token_for_its_service_in_place_of_the_callers(tmp_path: Path) -> None:
    with issuing(tmp_path) as tokens:
        decision, log = decided(tokens)
        key_set = json.loads(tokens.published().jwks)
    assert (decision.outcome, check_code(decision)) == ("allow", 0)
    headers = headers_to_set(decision, EXT_AUTHZ)
    claims = claims_of(headers["authorization"], key_set, "orders", leeway_s=3600)  # the module may have waited
    assert {name: claims[name] for name in ("iss", "aud", "client_id", "scope", "iat", "exp")} == {
        "iss": PDP,
        "aud": "orders",
        "client_id": "portcullis",
        "scope": "orders:read",
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    assert set(claims) == {"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope"}
    assert "ann" not in json.dumps(claims)
    stated = log.leaves[-1]
    assert (stated.kind, stated.clear["of"]) == ("minted", decision.id)
    assert {name: stated.clear[name] for name in ("jti", "aud", "exp")} == {
        "jti": claims["jti"],
        "aud": "orders",
        "exp": NOW_S + 60,
    }


def test_no_token_is_shown_by_what_prints_a_decision(tmp_path: Path) -> None:
    with issuing(tmp_path) as tokens:
        decision, log = decided(tokens)
    assert decision.minted is not None
    assert decision.minted.token not in f"{decision!r} {decision} {decision.minted!r}"
    assert all(decision.minted.token not in json.dumps(leaf.clear) for leaf in log.leaves)
    assert all(decision.minted.token.encode() not in (leaf.inputs or b"") for leaf in log.leaves)


def test_a_token_is_handed_out_again_and_stated_once(tmp_path: Path) -> None:
    async def twice(service: DecisionService) -> tuple[Decision, Decision, Decision]:
        first = await service.decide(asked(), NOW_US, 1.0)
        again = await service.decide(asked(), NOW_US + 1, 1.0)
        other = await service.decide(asked(principal=as_caller(sub="bob")), NOW_US + 2, 1.0)
        return first, again, other

    with issuing(tmp_path) as tokens:
        (first, again, other), log = run(twice, tokens)
    assert first.minted is not None
    assert again.minted is first.minted
    assert first.id != again.id
    assert other.minted is not None
    assert other.minted.token != first.minted.token
    assert [leaf.clear["of"] for leaf in log.leaves if leaf.kind == "minted"] == [first.id, other.id]


def test_calls_at_once_do_not_take_a_token_that_is_not_yet_stated(tmp_path: Path) -> None:
    async def at_once(service: DecisionService) -> list[Decision]:
        return await asyncio.gather(*(service.decide(asked(), NOW_US, 1.0) for _ in range(20)))

    with issuing(tmp_path) as tokens:
        decisions, log = run(at_once, tokens)
    stated = {leaf.clear["jti"] for leaf in log.leaves if leaf.kind == "minted"}
    assert {each.minted.jti for each in decisions} <= stated


NEEDS_NONE: dict[str, tuple[str, Principal]] = {
    "an endpoint that asks for no token": ("/own", as_caller()),
    "an endpoint for anybody": ("/public", Principal("anonymous")),
}


@pytest.mark.parametrize(("path", "principal"), NEEDS_NONE.values(), ids=NEEDS_NONE.keys())
def test_where_no_rule_asks_for_a_token_none_is_made(path: str, principal: Principal, tmp_path: Path) -> None:
    with issuing(tmp_path) as tokens:
        decision, log = decided(tokens, asked(path, principal=principal))
    assert (decision.outcome, decision.minted) == ("allow", None)
    assert "authorization" not in headers_to_set(decision, EXT_AUTHZ)
    assert [leaf.kind for leaf in log.leaves if leaf.kind != "context"] == ["decision"]


CAPABLE: dict[str, tuple[dict[str, Any], bool]] = {
    "a service without [minting]": ({}, False),
    "a gateway that cannot": ({"capabilities": EXT_AUTHZ - {"issue_token"}}, True),
    "a gateway whose files do not take the credential from us": ({"carries": frozenset({"x-user"})}, True),
}


@pytest.mark.parametrize(("changes", "mints"), CAPABLE.values(), ids=CAPABLE.keys())
def test_the_callers_own_token_never_goes_on_in_its_place(changes: dict[str, Any], mints: bool, tmp_path: Path) -> None:
    with issuing(tmp_path) as tokens:
        decision, log = decided(tokens, asked(**changes), mints=mints)
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("capability",), "capability.issue_token")
    assert not any(leaf.kind == "minted" for leaf in log.leaves)


class Broken:
    """Gives no token, for this reason."""

    def __init__(self, answer: Minted | str) -> None:
        self.answer = answer
        self.dropped: list[Minted] = []

    def token(self, decision: Decision, evaluation: Evaluation, now_us: int) -> Minted | str:
        del evaluation, now_us
        if isinstance(self.answer, str):
            return self.answer
        return Minted("t", "j", "k", "orders", NOW_S + 60, decision.id or "")

    def keep(self, minted: Minted) -> None:
        raise AssertionError(minted)

    def drop(self, minted: Minted) -> None:
        self.dropped.append(minted)


REASONS = {"mint.no_key": ("internal", 13), "mint.signer": ("internal", 13), "mint.over": ("token", 16)}


@pytest.mark.parametrize("reason", REASONS)
def test_without_a_token_a_recorded_allow_becomes_a_refusal_and_the_log_says_so(reason: str) -> None:
    by, code = REASONS[reason]
    decision, log = decided(Broken(reason))
    assert (decision.outcome, decision.by, decision.reason, check_code(decision)) == ("deny", (by,), reason, code)
    assert decision.duties.headers == ()
    changed = log.leaves[-1]
    assert (changed.kind, changed.clear["d"], changed.clear["by"], changed.clear["rc"]) == (
        "answer.changed",
        "deny",
        [by],
        reason,
    )
    assert changed.clear["of"] == log.decisions()[0].receipt.id == decision.id


def test_nobody_to_make_tokens_is_a_refusal_too() -> None:
    decision, _ = decided(NO_TOKENS)
    assert (decision.outcome, decision.reason) == ("deny", "mint.no_key")


MINTED = Minted("t", "j", "k", "orders", NOW_S + 60, "")


class FullAfter(MemoryLog):
    """Takes decisions, and nothing of what is made."""

    def append(self, kind: str, *rest: Any, **more: Any) -> Any:
        self.refuses = kind == "minted"
        return super().append(kind, *rest, **more)


class StallsAfter(MemoryLog):
    """Never settles what is made."""

    def append(self, kind: str, *rest: Any, **more: Any) -> Any:
        self.stalls = kind == "minted"
        return super().append(kind, *rest, **more)


class FailsAfter(MemoryLog):
    """Fails to write what is made."""

    def append(self, kind: str, *rest: Any, **more: Any) -> Any:
        self.fails = kind == "minted"
        return super().append(kind, *rest, **more)


LOGS: dict[str, tuple[type[MemoryLog], str]] = {
    "the log is full": (FullAfter, "audit"),
    "the disk fails": (FailsAfter, "audit"),
    "the disk stalls": (StallsAfter, "deadline"),
}


@pytest.mark.parametrize(("kind", "by"), LOGS.values(), ids=LOGS.keys())
def test_a_token_that_is_not_on_record_leaves_with_nobody(kind: type[MemoryLog], by: str) -> None:
    tokens = Broken(MINTED)

    async def within() -> tuple[Decision, MemoryLog]:
        receipts = Receipts(asyncio.get_running_loop())
        log = kind(receipts.settled)
        evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False, issues_tokens=True)
        service = DecisionService(
            evaluator, log, receipts, Metrics(), strict_methods=frozenset(), monotonic=Clock().s, tokens=tokens
        )
        return await service.decide(asked(), NOW_US, 0.05), log

    decision, log = asyncio.run(within())
    assert (decision.outcome, decision.by, decision.minted) == ("deny", (by,), None)
    assert len(tokens.dropped) == 1
    assert log.leaves[-1].kind == "answer.changed"


def test_a_token_whose_caller_goes_before_it_is_on_record_is_dropped() -> None:
    tokens = Broken(MINTED)

    async def within() -> MemoryLog:
        receipts = Receipts(asyncio.get_running_loop())
        log = StallsAfter(receipts.settled)
        evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False, issues_tokens=True)
        service = DecisionService(
            evaluator, log, receipts, Metrics(), strict_methods=frozenset(), monotonic=Clock().s, tokens=tokens
        )
        task = asyncio.ensure_future(service.decide(asked(), NOW_US, None))
        await asyncio.sleep(0.01)
        assert log.leaves[-1].kind == "minted"
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
        return log

    log = asyncio.run(within())
    assert len(tokens.dropped) == 1
    assert log.leaves[-1].kind == "answer.changed"


NAMELESS: dict[str, dict[str, Any]] = {
    "no issuer": {"iss": None},
    "an issuer that is no text": {"iss": 1},
    "an empty subject": {"sub": ""},
}


@pytest.mark.parametrize("claims", NAMELESS.values(), ids=NAMELESS.keys())
def test_a_caller_whom_no_token_can_name_gets_none(claims: dict[str, Any], tmp_path: Path) -> None:
    with issuing(tmp_path) as tokens:
        decision, _ = decided(tokens, asked(principal=as_caller(**claims)))
    assert decision.outcome == "deny"
    assert decision.reason in {"mint.caller", "mint.subject"}


def test_a_token_ends_with_the_callers_own(tmp_path: Path) -> None:
    soon = replace(as_caller(), expires_at=NOW_S + 10)
    over = replace(as_caller(), expires_at=NOW_S)
    with issuing(tmp_path) as tokens:
        short, _ = decided(tokens, asked(principal=soon))
        late, _ = decided(tokens, asked(principal=over))
    assert short.minted is not None
    assert short.minted.expires_at == NOW_S + 10
    assert (late.outcome, late.by, late.reason) == ("deny", ("token",), "mint.over")


def test_no_scope_goes_on_that_the_caller_does_not_have(tmp_path: Path) -> None:
    with issuing(tmp_path) as tokens:
        decision, _ = decided(tokens, asked("/own", principal=as_caller(sub="bare", scope="orders:write")))
        held, _ = decided(tokens, asked("/own", principal=as_caller(sub="bare")))
    assert decision.by == ("conflict",)
    assert held.minted is not None
    assert held.duties.token_scopes == ("orders:read",)


def test_keys_that_nobody_can_use_are_said_and_nothing_is_minted(tmp_path: Path) -> None:
    with issuing(tmp_path) as tokens:
        assert tokens.misgivings() == []
        assert tokens.seconds_left() is not None
    for path in (tmp_path / "keys" / "minting").glob("*.key"):
        path.write_text("rubbish")
    with issuing(tmp_path) as tokens:
        said = tokens.misgivings()
        decision, _ = decided(tokens)
        assert tokens.seconds_left() is None
    assert said[0] == "no key signs tokens now: calls that need one are refused"
    assert "does not hold a minting key" in said[1]
    assert (decision.outcome, decision.reason) == ("deny", "mint.no_key")


def test_a_key_that_is_over_signs_no_more(tmp_path: Path) -> None:
    clock = Clock()
    with issuing(tmp_path, clock) as tokens:
        clock.now_us = NOW_US + 100 * 86_400 * 1_000_000
        made = tokens.token(
            Decision("allow", ("a.b",), "rule", id="1"),
            Evaluation(Decision("allow", (), ""), _evidence(), engine()),
            clock.now_us,
        )
        assert made == "mint.caller"  # no scopes were asked for
        decision = Decision("allow", ("a.b",), "rule", id="1", service="orders", duties=_duties())
        assert tokens.token(decision, Evaluation(decision, _evidence(), engine()), clock.now_us) == "mint.no_key"


def test_a_fault_gives_no_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with issuing(tmp_path) as tokens:
        assert tokens.token(None, None, NOW_US) == "mint.error"  # type: ignore[arg-type]  # on purpose
    assert "a token could not be made" in caplog.text


def _evidence() -> Any:
    evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False, issues_tokens=True)
    return evaluator.evaluate(asked(), NOW_US).evidence


def _duties() -> Any:
    evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False, issues_tokens=True)
    return evaluator.evaluate(asked(), NOW_US).decision.duties


FORWARDED: dict[str, tuple[dict[str, Any], str | None]] = {
    "a token that was made": ({"minted": MINTED}, "Bearer t"),
    "else the caller's own": ({}, "Bearer own"),
}


@pytest.mark.parametrize(("changes", "expected"), FORWARDED.values(), ids=FORWARDED.keys())
def test_over_forward_auth_the_answer_says_which_credential_goes_on(
    changes: dict[str, Any], expected: str | None
) -> None:
    inquiry = asked(headers=(("authorization", "Bearer own"),), carries=frozenset({"authorization"}), principal=None)
    decision = Decision("allow", ("a.b",), "rule", id="1", authenticated=True, **changes)
    told = dict(forward_auth.write(decision, inquiry, {}).headers)
    assert told.get("authorization") == expected
    silent = dict(forward_auth.write(decision, replace(inquiry, carries=None), {}).headers)
    assert silent.get("authorization") == (expected if changes else None)
    refused = forward_auth.write(Decision("deny", ("default",), "default.no_rule", id="1"), inquiry, {})
    assert "authorization" not in dict(refused.headers)
