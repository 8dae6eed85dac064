"""One of several workers, as a process: `python -m pdp.worker_main --channel N`.

The number of a connected socket comes in; over it the supervisor (pdp/supervisor.py) says what to do (`Order`), and is
told what came of it. What the worker does is in pdp/worker.py.

    asked: begin, ready, failed, metrics, counted      answered: state, metrics, verb, stated, end

INVARIANT: with its supervisor gone the process ends at once, as if it were killed: nobody would tell it of the log, of
the other workers, or to end.
SIGTERM ends it as the supervisor's `end` does; SIGINT and SIGHUP are the supervisor's business.
Exit codes: 0 ended as asked; 3 the supervisor is gone, or a fault of ours; else that of the error that was told.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from socket import socket

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pdp.admin import Asker
from pdp.channel import Channel, Said
from pdp.clock import SteadyClock
from pdp.config import Config
from pdp.errors import AuditError, PdpError
from pdp.gateways import Gateways
from pdp.listening import Gather, Listeners
from pdp.metrics import Family, Metrics
from pdp.model import Json
from pdp.process import run_loop
from pdp.server import source_in
from pdp.state import State
from pdp.transports.tls import ReadFile
from pdp.worker import Administration, Answering, Host, Others, Prepared, Seams, Worker

ASKED_WITHIN_S = 30.0
GATHERED_WITHIN_S = 5.0
FAULT = 3


class Told(Struct, frozen=True):
    """What the supervisor knows: why the log is not extended (None: it is), whether the sequencer runs, the others."""

    refused: str | None
    sequencer: bool
    others: Others


class Order(Struct, frozen=True):
    """What a worker is to do. `sockets` are those for HTTP, by the address in the configuration; the addresses of gRPC
    in `config` are those that all workers share. `told` is what is known when it begins.
    """

    config: Config
    number: int
    sockets: Mapping[str, int]
    development: bool
    quiet: bool
    told: Told


class Own(Struct, frozen=True):
    """What a worker says of itself: whether it decides and records, what an operator should know, and the digest of the
    policy by which it decides.
    """

    ready: bool
    warnings: Sequence[str]
    policy: str = ""


def written(value: object) -> Json:
    """A value as it goes over a channel: JSON, with paths as text."""
    plain: Json = msgspec.to_builtins(value, enc_hook=_plain)
    return plain


def said_of(value: Struct) -> Said:
    """A value as a question or an answer of its own."""
    return _object(written(value))


def _object(value: Json) -> Said:
    if not isinstance(value, dict):
        raise TypeError("what goes over a channel is an object")
    return value


def order_of(said: Said) -> Order:
    """The order that was `written`."""
    return msgspec.convert(said, Order, dec_hook=_special)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no form for {type(value).__name__}")


def _special(kind: type, value: object) -> object:
    if issubclass(kind, Path):
        return Path(str(value))
    raise TypeError(f"no {kind.__name__}")


AnsweringOf = Callable[[Config, Gateways, ReadFile, Mapping[str, socket]], Answering]
"""What makes the listeners of a worker; the sockets are those of HTTP that it shares, by address."""


class Process:
    """The worker of this process, as its supervisor sees it. What is asked of it is in the table above."""

    def __init__(self, answering: AnsweringOf) -> None:
        self.stop = asyncio.Event()
        self._answering = answering
        self._drains = False
        self._prepared: Prepared | None = None
        self._worker: Worker | None = None
        self._channel: Channel | None = None

    async def run(self, end: socket) -> int:
        """Do what the supervisor says, to the end; the exit code."""
        answers = {
            "state": self._state,
            "metrics": self._metrics,
            "verb": self._verb,
            "stated": self._stated,
            "end": self._end,
        }
        channel = self._channel = await Channel.over(end, answers)
        talking = asyncio.get_running_loop().create_task(channel.run())
        talking.add_done_callback(_gone)
        try:
            order = order_of(await channel.ask("begin", {}, ASKED_WITHIN_S))
            _log_as(order)
            try:
                await self._work(order, channel)
            except PdpError as error:
                failed: Said = {"code": error.code, "detail": error.detail, "exit": error.exit_code}
                await channel.ask("failed", failed, ASKED_WITHIN_S)
                return error.exit_code
        finally:
            talking.remove_done_callback(_gone)
            talking.cancel()
        return 0

    async def _work(self, order: Order, channel: Channel) -> None:
        config, seams, self._told = order.config, Seams(), order.told
        state = State(config.state)
        clock = SteadyClock(seams.clock_us, seams.monotonic, state.clock)
        seams = replace(seams, clock_us=clock.now_us)
        gateways = Gateways.of(config.gateways)
        sockets = {address: socket(fileno=number) for address, number in order.sockets.items()}
        listeners = self._answering(config, gateways, seams.read_certificate, sockets)
        host = Host(
            config,
            source_in(config),
            state,
            clock,
            lambda: self._told.refused,
            lambda: self._told.sequencer,
            lambda: self._told.others,
            partial(_gathering, channel),
        )
        self._worker = Worker(host, order.number, listeners, gateways, seams, development=order.development)
        async with self._worker.prepared(self.stop) as prepared:
            if prepared is None:
                return
            self._prepared = prepared
            async with prepared.serving() as drain:
                await channel.ask("ready", {}, ASKED_WITHIN_S)
                await self.stop.wait()
                if self._drains:
                    await drain()
            await channel.ask("counted", await self._metrics({}), ASKED_WITHIN_S)

    def _administration(self) -> Administration:
        if self._prepared is None:
            raise AuditError("audit.closed", "the worker has not begun")
        return self._prepared.administration

    async def _state(self, said: Said) -> Said:
        self._told = msgspec.convert(said, Told)
        prepared = self._prepared
        own = (
            Own(ready=False, warnings=())
            if prepared is None
            else Own(prepared.ready(), prepared.warnings(), prepared.policy())
        )
        return said_of(own)

    async def _metrics(self, _: Said) -> Said:
        return {"families": [] if self._worker is None else written(self._worker.metrics.families())}

    async def _verb(self, said: Said) -> Said:
        verb = self._administration().verbs[str(said["verb"])]
        return await verb.do(_object(said["request"]))

    async def _stated(self, said: Said) -> Said:
        asker, request = msgspec.convert(said["asker"], Asker), _object(said["request"])
        try:
            return {"record": await self._administration().stated(str(said["verb"]), asker, request)}
        except TimeoutError as error:
            raise AuditError("audit.unavailable", "the record of it was not durable in time") from error

    async def _end(self, said: Said) -> Said:
        self._drains = said["drain"] is True
        self.stop.set()
        return {}


def _gathering(channel: Channel, metrics: Metrics) -> Gather:
    """What brings `metrics` up to those of all workers."""

    async def gather() -> None:
        answer = await channel.ask("metrics", {"families": written(metrics.families())}, GATHERED_WITHIN_S)
        metrics.show(msgspec.convert(answer["families"], list[Family]))

    return gather


def _gone(_: asyncio.Task[None]) -> None:
    os._exit(FAULT)


def _log_as(order: Order) -> None:
    level = logging.WARNING if order.quiet else logging.INFO
    logging.basicConfig(level=level, format=f"%(asctime)s %(levelname)s worker {order.number}: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every look at an issuer's keys


async def _run(descriptor: int) -> int:
    process = Process(Listeners)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.stop.set)
    return await process.run(socket(fileno=descriptor))


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until told to end; the exit code."""
    parser = argparse.ArgumentParser(prog="pdp.worker_main", description="one of several workers of `pdp serve`")
    parser.add_argument("--channel", type=int, required=True, help="a connected socket, to the supervisor")
    given = parser.parse_args(arguments)
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(name, signal.SIG_IGN)
    return run_loop(_run(given.channel))


if __name__ == "__main__":
    sys.exit(main())
