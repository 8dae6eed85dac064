"""The client for threads: one channel, which any number of threads may share.

Design: proto/portcullis/v1/decisions.proto; pdp/client/connection.py for what is made again.
INVARIANT: whatever happens, nothing but a reply of the service that says so is an allow.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Self

import grpc

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


class Client:
    """Asks one service for decisions. Errors of every method: ClientError by its kinds, ValueError for a bad argument.

    `address`: `127.0.0.1:9191`, `unix:/run/pdp.sock`, with `tls` any `host:port`. `timeout_s`: how long a call may
    take, waiting and trying again included. Nothing connects before the first call. A client must not be used on both
    sides of a fork.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: Tls | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries | None = None,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        options = options_of(address, tls)
        self._timeout_s = checked_timeout(timeout_s)
        self._retries = retries or Retries()
        self._jitter = jitter
        self._sleep = sleep
        self._monotonic = monotonic
        if tls is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, tls.credentials(), options)
        self._decide = self._channel.unary_unary(f"/{SERVICE}/Decide", bytes, bytes)
        self._decide_batch = self._channel.unary_unary(f"/{SERVICE}/DecideBatch", bytes, bytes)
        self._explain = self._channel.unary_unary(f"/{SERVICE}/Explain", bytes, bytes)

    def decide(self, inquiry: Inquiry, *, timeout_s: float | None = None) -> Decision:
        """May this be done?"""
        return decision_in(self._called(self._decide, request(inquiry), timeout_s), inquiry)

    def decide_or_refuse(self, inquiry: Inquiry, *, timeout_s: float | None = None) -> Decision:
        """As `decide`, with a refusal in place of every ClientError, which is its `cause`."""
        try:
            return self.decide(inquiry, timeout_s=timeout_s)
        except ClientError as error:
            return refused(error)

    def decide_batch(self, inquiries: Sequence[Inquiry], *, timeout_s: float | None = None) -> tuple[Decision, ...]:
        """One decision for each of 1 to 100 inquiries, in their order."""
        data = batch_request(inquiries)
        return decisions_in(self._called(self._decide_batch, data, timeout_s), inquiries)

    def decide_batch_or_refuse(
        self, inquiries: Sequence[Inquiry], *, timeout_s: float | None = None
    ) -> tuple[Decision, ...]:
        """As `decide_batch`, with refusals in place of every ClientError, which is their `cause`."""
        try:
            return self.decide_batch(inquiries, timeout_s=timeout_s)
        except ClientError as error:
            return tuple(refused(error) for _ in inquiries)

    def explain(self, inquiry: Inquiry, *, timeout_s: float | None = None) -> Explained:
        """As `decide`, and why; only for who the service lets ask that."""
        return explained_in(self._called(self._explain, request(inquiry), timeout_s), inquiry)

    def close(self) -> None:
        """End the connection. Calls under way end with EndedError, and so does every later one."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _called(
        self, method: grpc.UnaryUnaryMultiCallable[bytes, bytes], data: bytes, timeout_s: float | None
    ) -> bytes:
        """The reply to `data`, after as many attempts as the deadline and the retries allow."""
        ends = self._monotonic() + (self._timeout_s if timeout_s is None else checked_timeout(timeout_s))
        attempt = 0
        while True:
            try:
                return method(data, timeout=max(0.0, ends - self._monotonic()))
            except grpc.RpcError as error:
                code, details = _status(error)
                attempt += 1
                pause_s = None
                if was_never_sent(code, details):
                    pause_s = self._retries.pause_s(attempt, ends - self._monotonic(), self._jitter)
                if pause_s is None:
                    raise error_of(code, details) from error
            except ValueError as error:  # what gRPC says of a closed channel; `data` is bytes
                raise EndedError("the client was closed") from error
            self._sleep(pause_s)


def _status(error: grpc.RpcError) -> tuple[grpc.StatusCode | None, str | None]:
    """How a call ended; None where it does not say."""
    call: object = error
    return (call.code(), call.details()) if isinstance(call, grpc.Call) else (None, None)
