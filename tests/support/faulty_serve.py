"""`pdp serve` with a fault in it: `python -m tests.support.faulty_serve FAULT CONFIG`.

raise   every decision raises inside the service, past its own net
stall   writes to the log hang while the file `stall` stands beside the configuration
full    writes to the log fail with ENOSPC while the file `full` stands beside the configuration
differ  the compiled plans of every policy allow every call that is admitted
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from pdp.audit.files import LogFile, open_log_file
from pdp.config import load_config
from pdp.model import Decider, Decision, Inquiry
from pdp.runtime.engine import Engine
from pdp.server import InForce, Seams, serve
from policy_lang.meaning.admission import Call, Refused
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Question, Verdict


class _Raising:
    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        raise RuntimeError("a fault in the service")

    def overtaken(self, decision: Decision) -> None:
        raise RuntimeError("a fault in the service")

    async def refuse(self, reason: str, gateway: str, now_us: int, budget_s: float | None) -> Decision:
        raise RuntimeError("a fault in the service")


class _Hindered:
    """A log file whose writes are hindered first."""

    def __init__(self, file: LogFile, hinder: Callable[[], None]) -> None:
        self._file = file
        self._hinder = hinder

    def write(self, data: bytes) -> int:
        self._hinder()
        return self._file.write(data)

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.close()


def _raising(_: Decider) -> Decider:
    return _Raising()


class _Lenient(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        verdict = super().judge(question, call)
        return (
            verdict if isinstance(call, Refused) else replace(verdict, outcome="allow", by=("a.rule",), reason="rule")
        )


def _differing(in_force: InForce) -> InForce:
    made: dict[str, Engine] = {}

    def current() -> Engine | None:
        engine = in_force()
        if engine is None:
            return None
        if engine.ir_digest not in made:
            made[engine.ir_digest] = replace(engine, plans=_Lenient.of(engine.program))
        return made[engine.ir_digest]

    return current


def _seams(fault: str, flag: Path) -> Seams:
    def stall() -> None:
        while flag.exists():
            time.sleep(0.01)

    def full() -> None:
        if flag.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if fault == "raise":
        return Seams(decider=_raising)
    if fault == "differ":
        return Seams(in_force=_differing)
    hinder = {"stall": stall, "full": full}[fault]
    return Seams(open_file=lambda path: _Hindered(open_log_file(path), hinder))


if __name__ == "__main__":
    config = Path(sys.argv[2])
    asyncio.run(serve(load_config(config), seams=_seams(sys.argv[1], config.parent / sys.argv[1])))
