"""A service inside Envoy, as a process of the tests, which ends when they do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.support.hosted_service import Place, Told
from tests.support.process import ROOT

ENDS_WITHIN_S = 40.0


class HostedService:
    """What runs: the process that has started Envoy, and the folder in which the service writes."""

    def __init__(self, places: tuple[Place, ...], folder: Path, host: Path, service: str, grace_s: float) -> None:
        argument = msgspec.json.encode(Told(places, str(folder))).decode()
        self.places = places
        self.folder = folder
        self.output = folder / "output"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.hosted_main", argument, str(host), service, str(grace_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    @property
    def envoy(self) -> int:
        """The process of Envoy."""
        word, _, pid = self.said.partition(" ")
        assert word == "ready", self.said + self.output.read_text()
        return int(pid)

    def asked(self) -> list[str]:
        """What the decider wrote down since the last time."""
        file = self.folder / "asked"
        lines = file.read_text().splitlines()
        file.write_text("")
        return lines

    def begin_to_end(self) -> None:
        """Ask it to end, and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> int:
        """Ask it to end, and wait; the exit code."""
        self.begin_to_end()
        return self.process.wait(ENDS_WITHIN_S)


@contextlib.contextmanager
def hosting(*places: Place, service: str = "service", grace_s: float = 1.0) -> Iterator[HostedService]:
    """A service at these places, until the context ends."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as host:
        running = HostedService(places, Path(folder), Path(host), service, grace_s)
        try:
            yield running
        finally:
            running.end()
            assert running.process.stdout is not None
            running.process.stdout.close()
