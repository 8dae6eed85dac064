"""The demo through a real Envoy: every printed line gives what is printed beside it, keys change meanwhile and every
token stays good; Ctrl-C ends all of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from pdp.demo.cast import SERVICES, STAFF_TOKEN
from pdp.demo.files import Stage
from pdp.demo.lines import Line, Setting, lines
from pdp.demo.ports import Ports
from tests.support.envoy import envoy_binary
from tests.support.process import ROOT
from tests.support.readme import Command, blocks, commands, matches

READY_WITHIN_S = 60.0
ROTATE_EVERY_S = 8
PORTS = ("gateway", "grpc", "http", "upstream", "issuer")


class _Demo:
    """The running demo, and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder / "demo")
        self.printed = folder / "printed.txt"
        ports = [word for name in PORTS for word in (f"--{name}-port", "0")]
        command = [sys.executable, "-m", "pdp.demo", "--state", str(self.stage.state), "--envoy", str(envoy_binary())]
        command += ["--rotate-every", str(ROTATE_EVERY_S)]
        with self.printed.open("w") as output:
            self.process = subprocess.Popen(
                [*command, *ports], cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )

    def setting(self) -> Setting:
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.stage.ports.exists():
            assert self.process.poll() is None, self.printed.read_text()
            assert time.monotonic() < deadline, self.printed.read_text()
            time.sleep(0.1)
        ports = Ports(**json.loads(self.stage.ports.read_text()))
        pdp = self.stage.state / "pdp"
        pdp.write_text(f'#!/bin/sh\nexec {sys.executable} -m pdp "$@"\n')
        pdp.chmod(0o755)
        return Setting(self.stage, ports, pdp)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Demo]:
    running = _Demo(tmp_path_factory.mktemp("demo"))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def _run(line: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def _hold(line: Line) -> None:
    done = _run(line.command)
    shown = f"{line.title}\n{line.command}\n{done.stdout}{done.stderr}"
    assert done.returncode == line.exit_code, shown
    for mark in line.holds:
        assert mark.lower() in done.stdout.lower(), f"no {mark!r}: {shown}"


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def _hold_across_a_change_of_keys(setting: Setting) -> None:
    """A token of before the change, by hand, and one of after it: both pass."""
    path = setting.stage.tokens / STAFF_TOKEN
    earlier = path.read_text()
    deadline = time.monotonic() + 4 * ROTATE_EVERY_S
    while _kid(path.read_text()) == _kid(earlier):
        assert time.monotonic() < deadline, "the staff's issuer does not change its keys"
        time.sleep(0.1)
    for token in (path.read_text(), earlier):
        url = f"http://127.0.0.1:{setting.ports.gateway}/accounts/a-1001/orders"
        headers = {"Host": SERVICES["orders"], "Authorization": f"Bearer {token}"}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            assert answer.status == 200
            assert b"at orders: taken" in answer.read()


def _of_this_demo(command: Command, setting: Setting) -> str:
    """A command of the README with this demo's port, state folder and `pdp`."""
    return (
        command.line.replace("127.0.0.1:8080", f"127.0.0.1:{setting.ports.gateway}")
        .replace("build/venv/bin/pdp", str(setting.pdp))
        .replace("build/demo", str(setting.stage.state))
    )


def test_the_demo_from_its_first_line_to_its_end(demo: _Demo) -> None:
    setting = demo.setting()
    printed = lines(setting, gateway=True)
    assert len(printed) == 25
    for line in printed:
        _hold(line)
    _hold_across_a_change_of_keys(setting)
    for block in blocks(ROOT / "README.md"):
        if block.note == "demo":
            for command in commands(block):
                done = _run(_of_this_demo(command, setting))
                assert matches(command.output, done.stdout), f"$ {command.line}\n{done.stdout}{done.stderr}"
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0, demo.printed.read_text()
    assert "Traceback" not in demo.printed.read_text() + (setting.stage.state / "pdp.log").read_text()
    verified = _run(f"{setting.pdp} audit verify --state {setting.stage.state}")
    assert verified.returncode == 0, verified.stdout
