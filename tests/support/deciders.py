"""Deciders in memory: they keep what they were asked, and answer, hang or break as they are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from msgspec import Struct, field

from pdp.model import Decision, Inquiry
from pdp.transports.messages import CheckRequest

ID = "0000000100000000002a0123456789ab"
ALLOW = Decision("allow", ("orders.own",), "rule", id=ID, authenticated=True)

Behaviour = Callable[[], Awaitable[Decision]]


class Exiting(BaseException):
    """What is no Exception, as an exit or an interrupt is none."""


async def allow() -> Decision:
    return ALLOW


class MemoryDecider(Struct):
    """A Decider that keeps what it was asked, and answers by `behaviour`."""

    behaviour: Behaviour = allow
    asked: list[tuple[Inquiry, int, float | None]] = field(default_factory=list)
    refused: list[tuple[str, str, int]] = field(default_factory=list)
    late: list[Decision] = field(default_factory=list)

    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        self.asked.append((inquiry, now_us, budget_s))
        return await self.behaviour()

    def overtaken(self, decision: Decision) -> None:
        self.late.append(decision)

    async def refuse(self, reason: str, gateway: str, now_us: int, budget_s: float | None) -> Decision:
        self.refused.append((reason, gateway, now_us))
        return Decision("deny", ("internal",), reason, id=ID)


def raising(error: BaseException) -> Behaviour:
    async def behave() -> Decision:
        raise error

    return behave


def returning(thing: object) -> Behaviour:
    async def behave() -> Decision:
        return thing  # type: ignore[return-value]

    return behave


async def hang() -> Decision:
    await asyncio.Event().wait()
    raise AssertionError


async def never_give_up() -> Decision:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return ALLOW


def request(path: str = "/a") -> bytes:
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = "GET", path, "orders.example"
    return bytes(message.SerializeToString())
