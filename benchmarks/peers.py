"""Other decision points: installed at pinned versions under build/peers/, started on free loopback ports, asked.

    OPA     built by `go install`; its decision log on the console, where whatever collects logs reads it, or sent to a
            service in batches, as often as it can be told to
    OPA with its Envoy plugin, built from a module that requires it, since its own cannot be installed everywhere
    Cerbos  the binary of its npm package; its audit log in a file
    pycasbin, cedarpy and OPA's library, in an environment of their own

Nothing is installed that stands there already. What cannot be installed is `MissingError` with the reason; who compares
leaves it out, by name.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.ports import free_port
from tests.support.process import ROOT

PEERS = ROOT / "build" / "peers"
OPA_VERSION = "1.22.2"
CERBOS_VERSION = "0.55.0"
OPA_ENVOY = "github.com/open-policy-agent/opa-envoy-plugin/cmd/opa-envoy-plugin"
OPA_ENVOY_VERSION = "latest"
LIBRARIES = ("pycasbin==2.8.0", "cedarpy==4.12.2", "matplotlib==3.11.2", "msgspec>=0.22")
OPA_LIBRARY = "opa-golib-python-bindings==0.4.4"
GO_FOLDER = "/usr/local/go/bin"
INSTALL_S = 1_800
READY_S = 20.0

REGO = """package app

default allow := false

allow if {
\tinput.method == "GET"
\tinput.owner == input.user
}
"""
OPA_LOGGED = "openpolicyagent.org/decision_logs"
OPA_ASKED = {"input": {"method": "GET", "owner": "u1", "user": "u1"}}

CERBOS_POLICY = {
    "apiVersion": "api.cerbos.dev/v1",
    "resourcePolicy": {
        "version": "default",
        "resource": "account",
        "rules": [
            {
                "actions": ["view"],
                "effect": "EFFECT_ALLOW",
                "roles": ["user"],
                "condition": {"match": {"expr": "R.attr.owner == P.id"}},
            }
        ],
    },
}
CERBOS_ASKED = {
    "principal": {"id": "u1", "roles": ["user"]},
    "resources": [{"actions": ["view"], "resource": {"kind": "account", "id": "a1", "attr": {"owner": "u1"}}}],
}


class MissingError(Exception):
    """A peer that is not to be had here, and why."""


@cache
def opa_binary() -> Path:
    """OPA, built where it is not there yet. Errors: MissingError."""
    binary = PEERS / f"opa-{OPA_VERSION}" / "opa"
    if not binary.exists():
        module = f"github.com/open-policy-agent/opa@v{OPA_VERSION}"
        _install([_go(), "install", module], os.environ | {"GOBIN": str(binary.parent)})
    return binary


def opa_envoy_binary() -> Path:
    """OPA with its Envoy plugin, built where it is not there yet. Errors: MissingError."""
    folder = PEERS / f"opa-envoy-plugin-{OPA_ENVOY_VERSION}"
    binary = folder / "opa-envoy-plugin"
    if not binary.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        environment = os.environ | {"GOFLAGS": "-buildvcs=false"}
        _install([_go(), "mod", "init", "peers"], environment, folder)
        _install([_go(), "get", f"{OPA_ENVOY}@{OPA_ENVOY_VERSION}"], environment, folder)
        _install([_go(), "build", "-o", str(binary), OPA_ENVOY], environment, folder)
    return binary


def _go() -> str:
    go = shutil.which("go") or shutil.which("go", path=GO_FOLDER)
    if go is None:
        raise MissingError("it is built with Go, which is not here")
    return go


@cache
def cerbos_binary() -> Path:
    """Cerbos, fetched where it is not there yet. Errors: MissingError."""
    folder = PEERS / f"cerbos-{CERBOS_VERSION}"
    binary = folder / "node_modules" / "@cerbos" / "cerbos-linux-x64" / "cerbos-linux-x64"
    if not binary.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise MissingError("it comes from npm, which is not here")
        folder.mkdir(parents=True, exist_ok=True)
        package = f"@cerbos/cerbos-linux-x64@{CERBOS_VERSION}"
        _install([npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), package], dict(os.environ))
    return binary


@cache
def libraries_python() -> Path:
    """A Python with the peers that are libraries, and what asks and draws. Errors: MissingError."""
    folder = PEERS / "libraries"
    stamp, wanted = folder / "packages", "\n".join((*LIBRARIES, OPA_LIBRARY))
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        install = [str(python), "-m", "pip", "install", "-q"]
        _install([sys.executable, "-m", "venv", "--clear", str(folder)], dict(os.environ))
        _install([*install, *LIBRARIES], dict(os.environ))
        # It says that it needs a newer Python than it does.
        _install([*install, "--ignore-requires-python", OPA_LIBRARY], dict(os.environ))
        stamp.write_text(wanted)
    return python


@cache
def h2load_binary() -> str:
    """The load generator, installed from Debian where that can be and it is not there. Errors: MissingError."""
    found = shutil.which("h2load")
    apt = shutil.which("apt-get")
    if found is None and apt is not None and os.geteuid() == 0:
        _install([apt, "update", "-q"], dict(os.environ))
        _install([apt, "install", "-q", "-y", "--no-install-recommends", "nghttp2-client"], dict(os.environ))
        found = shutil.which("h2load")
    if found is None:
        raise MissingError("no `h2load`: install it, on Debian by `apt-get install nghttp2-client` as root")
    return found


def _install(command: list[str], environment: dict[str, str], folder: Path = ROOT) -> None:
    try:
        subprocess.run(
            command, env=environment, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_S
        )
    except subprocess.CalledProcessError as error:
        said = re.sub(r"https?://\S+", "…", error.stderr.strip())[-300:]
        raise MissingError(f"`{_shown(command)}` failed: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"`{_shown(command)}` took longer than {INSTALL_S} s") from error


def _shown(command: list[str]) -> str:
    """A command for a report that others read: without the folders of this machine."""
    return " ".join([Path(command[0]).name, *command[1:]]).replace(f"{ROOT}/", "")


class JsonClient:
    """One connection over which one question is asked again and again."""

    def __init__(self, port: int, path: str, question: object, id_member: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=2)
        self._path, self._body, self._id_member = path, json.dumps(question).encode(), id_member

    def ask(self) -> str | None:
        """The id that came with one answer; None where there was no whole answer."""
        try:
            self._connection.request("POST", self._path, self._body, {"content-type": "application/json"})
            said = json.loads(self._connection.getresponse().read())
        except (OSError, ValueError, HTTPException):
            self._connection.close()
            return None
        found = said.get(self._id_member)
        return found if isinstance(found, str) else None

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class Server:
    """One process with its output in a file of its folder; start it, kill it, start it again."""

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        self._command, self._port = command, port
        self.output = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens. SystemExit where it does not."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        until = time.monotonic() + READY_S
        while not _listens(self._port):
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit(f"not ready:\n{self.output.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class OpaConsole(Server):
    """OPA that writes decisions to its console, which is a file here."""

    name = f"OPA {OPA_VERSION}"
    log = "console"

    def __init__(self, folder: Path, *settings: str) -> None:
        """`settings` are of OPA's own configuration; without any the log goes to the console."""
        (folder / "policy.rego").write_text(REGO)
        self.port = free_port()
        given = [part for each in settings or ("decision_logs.console=true",) for part in ("--set", each)]
        listening = ["--server", "--addr", f"127.0.0.1:{self.port}", "--disable-telemetry", "--log-format", "json"]
        super().__init__(folder, [str(opa_binary()), "run", *listening, *given, str(folder / "policy.rego")], self.port)

    def client(self) -> JsonClient:
        """A client with a connection of its own."""
        return JsonClient(self.port, "/v1/data/app/allow", OPA_ASKED, "decision_id")

    def found(self) -> set[str]:
        """The ids of the decisions that the log holds."""
        return {line["decision_id"] for line in _lines(self.output) if line.get("type") == OPA_LOGGED}

    def close(self) -> None:
        """Nothing is left to end."""


class OpaService(OpaConsole):
    """OPA that sends decisions to a service, as soon as its configuration lets it."""

    log = "sent to a service every 1 to 2 s"

    def __init__(self, folder: Path) -> None:
        self._sink = Sink()
        sent = ("min_delay_seconds=1", "max_delay_seconds=2")
        super().__init__(
            folder,
            f"services.sink.url=http://127.0.0.1:{self._sink.port}",
            "decision_logs.service=sink",
            *(f"decision_logs.reporting.{each}" for each in sent),
        )

    def found(self) -> set[str]:
        """The ids of the decisions that the service was sent."""
        return set(self._sink.ids)

    def close(self) -> None:
        """End the service."""
        self._sink.close()


class Cerbos(Server):
    """Cerbos that writes its audit log to a file."""

    name = f"Cerbos {CERBOS_VERSION}"
    log = "file"

    def __init__(self, folder: Path) -> None:
        policies = folder / "policies"
        policies.mkdir()
        (policies / "account.json").write_text(json.dumps(CERBOS_POLICY))
        self.port, self._audit = free_port(), folder / "audit.log"
        configuration = {
            "server": {"httpListenAddr": f"127.0.0.1:{self.port}", "grpcListenAddr": f"127.0.0.1:{free_port()}"},
            "storage": {"driver": "disk", "disk": {"directory": str(policies), "watchForChanges": False}},
            "telemetry": {"disabled": True},
            "audit": {
                "enabled": True,
                "accessLogsEnabled": False,
                "decisionLogsEnabled": True,
                "backend": "file",
                "file": {"path": str(self._audit)},
            },
        }
        (folder / "cerbos.json").write_text(json.dumps(configuration))
        super().__init__(folder, [str(cerbos_binary()), "server", f"--config={folder / 'cerbos.json'}"], self.port)

    def client(self) -> JsonClient:
        """A client with a connection of its own."""
        return JsonClient(self.port, "/api/check/resources", CERBOS_ASKED, "cerbosCallId")

    def found(self) -> set[str]:
        """The ids of the decisions that the log holds."""
        return {line["callId"] for line in _lines(self._audit) if line.get("log.kind") == "decision"}

    def close(self) -> None:
        """Nothing is left to end."""


def _lines(path: Path) -> list[dict[str, str]]:
    """The whole lines of JSON in a file; a torn one is none."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            found.append(said)
    return found


class Sink:
    """A service that takes what OPA sends, and remembers the ids."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        ids = self.ids

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
                ids.extend(each["decision_id"] for each in json.loads(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
