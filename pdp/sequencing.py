"""The sequencer as a supervised child: started, watched, started again when it ends, ended with its parent.

It learns of its parent's end by a pipe that closes, whatever ended the parent; so a killed service leaves no orphan,
and what it had acknowledged is still brought into the tree.

Decision: 2026-11-21. A sequencer that ends by itself (a log of another key, a damaged checkpoint, a witness that knows
    more, a full disk) is tried again, and the service is not ready meanwhile: records stay in the
    write-ahead logs, so nothing is lost, and nothing of it is signed either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from pathlib import Path

from pdp.config_tables import LogConfig

RESTART_AFTER_S = 1.0
END_WITHIN_S = 15.0
STEADY_AFTER_S = 12.0
"""Longer than it waits for the lock of the log."""

log = logging.getLogger(__name__)


class SequencerProcess:
    """One sequencer for one state folder."""

    def __init__(self, state: Path, config: LogConfig) -> None:
        self._state = state
        self._config = config
        self._child: asyncio.subprocess.Process | None = None
        self._pipe: int | None = None
        self._began = 0.0
        self._refused = False

    @property
    def running(self) -> bool:
        """Whether the child is there now."""
        return self._child is not None and self._child.returncode is None

    def misgiving(self) -> str | None:
        """What is wrong with the log, where the sequencer will not extend it."""
        is_steady = self.running and time.monotonic() - self._began >= STEADY_AFTER_S
        if not self._refused or is_steady:
            return None
        place = self._state / "log"
        return f"the log in {place} is not extended and not signed: see what the sequencer said, and `pdp audit verify`"

    async def run(self) -> None:
        """Keep one running, until cancelled; then close its pipe and wait for it to end."""
        try:
            while True:
                try:
                    child = await self._start()
                except OSError as error:
                    log.error("the sequencer could not be started: %s; trying again", error)
                else:
                    code = await child.wait()
                    self._refused = True
                    log.error("the sequencer ended with %s; starting it again", code)
                self._close_pipe()
                await asyncio.sleep(RESTART_AFTER_S)
        finally:
            await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        read_end, self._pipe = os.pipe()
        self._began = time.monotonic()
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
                *_settings(self._config),
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


def _settings(config: LogConfig) -> list[str]:
    """What the sequencer is told of the configuration."""
    told = ["--interval-ms", str(config.checkpoint_interval_ms), "--key-days", str(config.key_days)]
    told += ["--raw-segments", str(config.raw_segments)]
    if config.witness_policy is not None:
        told += ["--witness-policy", str(config.witness_policy), "--witness-seconds", str(config.witness_seconds)]
        told += [f"--witness-host={host}" for host in config.witness_hosts]
    return told
