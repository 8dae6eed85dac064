"""The sequencer as a supervised child: started, watched, started again when it ends, ended with its parent.

It learns of its parent's end by a pipe that closes, whatever ended the parent; so a killed service leaves no orphan,
and what it had acknowledged is still brought into the tree.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path

RESTART_AFTER_S = 1.0
END_WITHIN_S = 15.0

log = logging.getLogger(__name__)


class SequencerProcess:
    """One sequencer for one state folder."""

    def __init__(self, state: Path, interval_ms: int) -> None:
        self._state = state
        self._interval_ms = interval_ms
        self._child: asyncio.subprocess.Process | None = None
        self._pipe: int | None = None

    @property
    def running(self) -> bool:
        """Whether the child is there now."""
        return self._child is not None and self._child.returncode is None

    async def run(self) -> None:
        """Keep one running, until cancelled; then close its pipe and wait for it to end."""
        try:
            while True:
                try:
                    child = await self._start()
                except OSError as error:
                    log.error("the sequencer could not be started: %s; trying again", error)
                else:
                    log.error("the sequencer ended with %s; starting it again", await child.wait())
                self._close_pipe()
                await asyncio.sleep(RESTART_AFTER_S)
        finally:
            await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        read_end, self._pipe = os.pipe()
        try:
            self._child = child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing is imported from the folder that the service was started in
                "-m",
                "pdp.audit.sequencer_main",
                "--state",
                str(self._state),
                "--parent-fd",
                str(read_end),
                "--interval-ms",
                str(self._interval_ms),
                pass_fds=(read_end,),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at a terminal is the parent's to handle
            )
        finally:
            os.close(read_end)
        return child

    async def _end(self) -> None:
        self._close_pipe()
        child = self._child
        if child is None or child.returncode is not None:
            return
        try:
            await asyncio.wait_for(child.wait(), END_WITHIN_S)
        except TimeoutError:
            log.error("the sequencer did not end in time; the next start brings the rest into the tree")
            with contextlib.suppress(ProcessLookupError):
                child.kill()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
