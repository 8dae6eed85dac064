"""`.proto` sources to a serialised FileDescriptorSet, by the protoc that comes with grpcio-tools.

Paths go in, bytes come out, or AuthoringError with what protoc says. Imports are read from the given folders and from
the well-known types that come with protoc, from nowhere else; no network. protoc runs as a process of its own, since a
compiler of hostile sources has no business in ours.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pdp.authoring.model import AuthoringError

TIMEOUT_S = 60
LONGEST_MESSAGE = 4000

_NO_ANNOTATIONS = "google/api/"


def descriptors_of(files: Sequence[Path], folders: Sequence[Path]) -> tuple[bytes, frozenset[str]]:
    """The descriptor set of the sources with all they import, and the names of the sources in it.

    Errors: AuthoringError I121 grpcio-tools is not installed, I122 protoc refuses, I123 a source is below no
        folder, or has a name that protoc reads otherwise.
    """
    if importlib.util.find_spec("grpc_tools") is None:
        why = "pip install grpcio-tools, or run protoc --include_imports -o FILE and give --descriptor-set FILE"
        raise AuthoringError("I121", f".proto sources take grpcio-tools: {why}")
    roots = [folder.resolve() for folder in folders] or list(dict.fromkeys(file.resolve().parent for file in files))
    for root in roots:
        mark = next((each for each in ":=" if each in str(root)), None)
        if mark is not None:
            why = f"has a `{mark}`, where protoc divides it: rename it"
            raise AuthoringError("I123", f"the name of the folder {root} {why}")
    names = [_name_below(file, roots) for file in files]
    with tempfile.TemporaryDirectory(prefix="pdp-import-") as folder:
        out = Path(folder) / "set.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{root}" for root in roots)]
        command += ["--include_imports", f"--descriptor_set_out={out}", *names]
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter, no shell
                command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise AuthoringError("I122", f"protoc did not end within {TIMEOUT_S} s: give fewer sources") from None
        if done.returncode != 0 or not out.is_file():
            said = done.stderr.strip()[:LONGEST_MESSAGE] or f"it ended with {done.returncode}"
            why = f"protoc refuses the sources (imports are looked for below -I DIR):\n{_advised(said)}"
            raise AuthoringError("I122", why)
        return out.read_bytes(), frozenset(names)


def _advised(said: str) -> str:
    """What protoc says, with where to find the files of Google's annotations, which do not come with it."""
    if _NO_ANNOTATIONS not in said or "File not found" not in said:
        return said
    where = "the folder that holds `google`, of a copy of it or of the Python package googleapis-common-protos"
    return f"{said}\n`google/api` is part of googleapis: name by -I {where}"


def _name_below(file: Path, roots: Sequence[Path]) -> str:
    """The name of a source as protoc knows it: its path below the first folder that holds it."""
    path = file.resolve()
    for root in roots:
        if path.is_relative_to(root):
            name = path.relative_to(root).as_posix()
            if name.startswith(("-", "@")):
                raise AuthoringError("I123", f"{file}: protoc takes the name for an option: rename the file")
            return name
    raise AuthoringError("I123", f"{file} is below none of the folders given by -I: add the one that holds it")
