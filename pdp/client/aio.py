"""The client for asyncio: one channel, which any number of tasks of one loop may share.

Design: proto/portcullis/v1/decisions.proto; pdp/client/connection.py for what is made again.
INVARIANT: whatever happens, nothing but a reply of the service that says so is an allow. The cancellation of the task
that asks stays a cancellation.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import grpc
import grpc.aio

from pdp.client.connection import (
    DEFAULT_TIMEOUT_S,
    Retries,
    Tls,
    checked_timeout,
    options_of,
    was_never_sent,
)
from pdp.client.errors import ClientError, EndedError, error_of
from pdp.client.model import Decision, Explained, Inquiry, refused
from pdp.client.wire import SERVICE, batch_request, decision_in, decisions_in, explained_in, request


class AsyncClient:
    """`pdp.client.Client` for asyncio, to be made on the loop that uses it; see there for all that is not said here."""

    def __init__(
        self,
        address: str,
        *,
        tls: Tls | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries | None = None,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        options = options_of(address, tls)
        self._timeout_s = checked_timeout(timeout_s)
        self._retries = retries or Retries()
        self._jitter = jitter
        self._sleep = sleep
        if tls is None:
            self._channel = grpc.aio.insecure_channel(address, options)
        else:
            self._channel = grpc.aio.secure_channel(address, tls.credentials(), options)
        self._decide = self._channel.unary_unary(f"/{SERVICE}/Decide", bytes, bytes)
        self._decide_batch = self._channel.unary_unary(f"/{SERVICE}/DecideBatch", bytes, bytes)
        self._explain = self._channel.unary_unary(f"/{SERVICE}/Explain", bytes, bytes)

    async def decide(self, inquiry: Inquiry, *, timeout_s: float | None = None) -> Decision:
        """May this be done?"""
        return decision_in(await self._called(self._decide, request(inquiry), timeout_s), inquiry)

    async def decide_or_refuse(self, inquiry: Inquiry, *, timeout_s: float | None = None) -> Decision:
        """As `decide`, with a refusal in place of every ClientError, which is its `cause`."""
        try:
            return await self.decide(inquiry, timeout_s=timeout_s)
        except ClientError as error:
            return refused(error)

    async def decide_batch(
        self, inquiries: Sequence[Inquiry], *, timeout_s: float | None = None
    ) -> tuple[Decision, ...]:
        """One decision for each of 1 to 100 inquiries, in their order."""
        data = batch_request(inquiries)
        return decisions_in(await self._called(self._decide_batch, data, timeout_s), inquiries)

    async def decide_batch_or_refuse(
        self, inquiries: Sequence[Inquiry], *, timeout_s: float | None = None
    ) -> tuple[Decision, ...]:
        """As `decide_batch`, with refusals in place of every ClientError, which is their `cause`."""
        try:
            return await self.decide_batch(inquiries, timeout_s=timeout_s)
        except ClientError as error:
            return tuple(refused(error) for _ in inquiries)

    async def explain(self, inquiry: Inquiry, *, timeout_s: float | None = None) -> Explained:
        """As `decide`, and why; only for who the service lets ask that."""
        return explained_in(await self._called(self._explain, request(inquiry), timeout_s), inquiry)

    async def close(self) -> None:
        """End the connection. Calls under way end with EndedError, and so does every later one."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _called(
        self, method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], data: bytes, timeout_s: float | None
    ) -> bytes:
        """The reply to `data`, after as many attempts as the deadline and the retries allow."""
        now = asyncio.get_running_loop().time
        ends = now() + (self._timeout_s if timeout_s is None else checked_timeout(timeout_s))
        attempt = 0
        while True:
            try:
                return await method(data, timeout=max(0.0, ends - now()))
            except grpc.aio.AioRpcError as error:
                code, details = error.code(), error.details()
                attempt += 1
                pause_s = None
                if was_never_sent(code, details):
                    pause_s = self._retries.pause_s(attempt, ends - now(), self._jitter)
                if pause_s is None:
                    raise error_of(code, details) from error
            except grpc.aio.UsageError as error:
                raise EndedError("the client was closed") from error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                raise EndedError("the client was closed") from error
            await self._sleep(pause_s)
