"""What a supervisor and a worker say to each other: questions and answers, a JSON line each, over a pair of sockets.

    {"n": 7, "ask": "verb", "said": {…}}      {"n": 7, "answer": {…}}      {"n": 7, "code": "…", "detail": "…"}

Each end asks and answers, several at a time. The other end is one of our own processes, started by us or having started
us: what it says is believed.
INVARIANT: every question is answered, or fails: by its time, or with the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from socket import socket

import msgspec

from pdp.errors import PdpError
from pdp.model import Json

LONGEST_LINE = 64 * 1024 * 1024

Said = Mapping[str, Json]
Answers = Mapping[str, Callable[[Said], Awaitable[Said]]]
"""What is done at each question."""

log = logging.getLogger(__name__)


class Channel:
    """One end of it, once `run` runs. Belongs to one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Answers) -> None:
        self._reader = reader
        self._writer = writer
        self._answers = answers
        self._waiting: dict[int, asyncio.Future[Said]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = 0
        self._ended = False

    @classmethod
    async def over(cls, end: socket, answers: Answers) -> Channel:
        """The channel over a connected socket, which is its own from now on."""
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=LONGEST_LINE)
        return cls(reader, writer, answers)

    async def run(self) -> None:
        """Listen until the other end is gone; whoever waits for an answer then learns of that."""
        try:
            while line := await self._reader.readline():
                said = _line(line)
                if "ask" in said:
                    task = asyncio.get_running_loop().create_task(self._answer(said))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                else:
                    self._settle(said)
        except (OSError, ValueError) as error:  # it ended in the midst of a line
            log.debug("a channel ended: %s", error)
        finally:
            self._ended = True
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError("the other process is gone"))
            self._writer.close()

    async def ask(self, what: str, said: Said, within_s: float) -> Said:
        """The answer to a question.

        Errors: TimeoutError after `within_s` seconds; ConnectionError the other process is gone; PdpError it says why.
        """
        if self._ended:
            raise ConnectionError("the other process is gone")
        self._asked += 1
        number, future = self._asked, asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(within_s):
                await self._send({"n": number, "ask": what, "said": dict(said)})
                answer: Said = await future
                return answer
        finally:
            del self._waiting[number]

    async def _answer(self, said: Said) -> None:
        number, what, given = said["n"], said["ask"], said["said"]
        try:
            answer = await self._answers[str(what)](given if isinstance(given, dict) else {})
            reply: Said = {"n": number, "answer": dict(answer)}
        except PdpError as error:
            reply = {"n": number, "code": error.code, "detail": error.detail}
        except Exception as error:
            log.exception("a question of another process was not answered")
            reply = {"n": number, "code": "internal", "detail": f"a fault in pdp: {type(error).__name__}"}
        with contextlib.suppress(OSError):  # nobody waits for it
            await self._send(reply)

    def _settle(self, said: Said) -> None:
        number, answer = said["n"], said.get("answer")
        waiting = self._waiting.get(number) if isinstance(number, int) else None
        if waiting is None or waiting.done():
            return
        if isinstance(answer, dict):
            waiting.set_result(answer)
        else:
            waiting.set_exception(PdpError(str(said.get("code")), str(said.get("detail"))))

    async def _send(self, said: Said) -> None:
        self._writer.write(msgspec.json.encode(said) + b"\n")
        await self._writer.drain()


def _line(line: bytes) -> Said:
    """Errors: ValueError where it is not whole."""
    said: Json = msgspec.json.decode(line)
    if not isinstance(said, dict):
        raise ValueError("a line of a channel is no object")  # noqa: TRY004 - it is what was read that is wrong
    return said
