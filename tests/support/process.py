"""`pdp serve` as a process, for tests that kill, starve or reload it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from pdp.cli import main
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
READY_WITHIN_S = 30.0


def compilers(pid: int) -> list[int]:
    """The compilers that a service runs now."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if b"pdp.runtime.compiler" in _command_line(child)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def eventually(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    """Ask again and again until it holds; AssertionError where it never does."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class ServedPdp:
    """One state folder and configuration; start it, kill it, start it again."""

    def __init__(
        self,
        folder: Path,
        policies: Path,
        issuers: list[TestIssuer],
        *,
        extra: str = "",
        gateway: str = "",
        workers: int = 1,
    ) -> None:
        """`extra` stands above all tables of the configuration, `gateway` in that of the gateway."""
        self.folder = folder
        self.workers, self.listener = workers, "grpcio"
        self.state = folder / "state"
        self.grpc_port, self.http_port = free_port(), free_port()
        self.config = folder / "pdp.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self.output = folder / "serve.log"
        text = [
            f'state = "{self.state}"',
            f'policies = "{policies}"',
            extra,
            f'[http]\naddress = "127.0.0.1:{self.http_port}"',
            f'[[gateways]]\nname = "edge"\n{gateway}',
            f'[[listeners]]\naddress = "{self.address}"\ngateway = "edge"',
        ]
        for number, issuer in enumerate(issuers):
            keys = issuer.write_keys(folder / f"keys-{number}.json")
            pins = 'algorithms = ["ES256"]\ntypes = ["at+jwt"]'
            text.append(f'[[issuers]]\nurl = "{issuer.url}"\nkeys = "{keys}"\n{pins}')
        self.config.write_text("\n\n".join(text) + "\n")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        served = [sys.executable, "-m", "pdp", "serve", "--config", str(self.config)]
        return [*served, "--workers", str(self.workers), "--listener", self.listener]

    def start(self, command: list[str] | None = None) -> None:
        """Start it and wait until it is ready; its output says why when it is not."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command or self.command(), stdout=output, stderr=output, cwd=ROOT, start_new_session=True
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"not ready:\n{self.output.read_text()}")
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL, the service only: its sequencer learns of it by its pipe."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """SIGTERM, and wait: the exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(30)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`pdp` with `arguments`, to its end, in this process: starting another takes longer than most commands."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main(list(arguments))
            except SystemExit as end:
                code = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
