"""A real Envoy with the demo's configuration, in front of a real upstream, for one test."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pdp.demo.envoy import configuration, render
from pdp.demo.ports import Ports
from tests.support.ports import free_port
from tests.support.process import ROOT
from tests.support.upstream import RecordingUpstream

READY_WITHIN_S = 20.0
LEDGER = {"ledger": "ledger.example"}


def envoy_binary() -> Path:
    """The Envoy that the Makefile installed, or the one PORTCULLIS_ENVOY names."""
    named = os.environ.get("PORTCULLIS_ENVOY")
    if named:
        return Path(named)
    found = sorted((ROOT / "build" / "envoy").glob("lib/python*/site-packages/envoy/_bin/envoy"))
    assert found, "no Envoy under build/envoy: run the tests with `make test`, which installs it"
    return found[0]


class EnvoyGateway:
    """Envoy on a free port, asking the PDP at `grpc_port` for `services` by host; `received` is what passed."""

    def __init__(
        self, folder: Path, grpc_port: int, *, failure_mode_allow: bool, services: Mapping[str, str] = LEDGER
    ) -> None:
        self._services = services
        self.port = free_port()
        self._folder = folder
        self._grpc_port = grpc_port
        self._failure_mode_allow = failure_mode_allow
        self.upstream = RecordingUpstream()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.upstream.start()
        ports = Ports(gateway=self.port, grpc=self._grpc_port, http=0, upstream=self.upstream.port)
        value = configuration(
            ports,
            self._services,
            self._folder / "access.log",
            failure_mode_allow=self._failure_mode_allow,
        )
        path = self._folder / "envoy.json"
        path.write_text(render(value))
        with (self._folder / "envoy.log").open("wb") as output:
            self._process = subprocess.Popen(
                [envoy_binary(), "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"],
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._listens():
            assert self._process.poll() is None, (self._folder / "envoy.log").read_text()
            assert time.monotonic() < deadline, "Envoy does not listen"
            time.sleep(0.05)
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.upstream.stop()
