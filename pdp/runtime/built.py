"""A built policy: one file with the files of a bundle and its compiled form, served without compiling anything.

    built.json   {"format": 1, "ir": SHA-256 of ir.json, "policy": digest of the bundle, "settings": its environment}
    ir.json      the program (policy_lang/ir/codec.py)
    files/…      the files of the bundle, each at its path

It is a ZIP file with its members in that order and sorted, without dates: the same bytes for the same policy. Its
digest is the SHA-256 of the whole file, so that it names the compiled form as well as the files.
INVARIANT: nothing in a file is looked at before the file as a whole has the digest it must have. What is then not
exactly such an archive is refused: a member twice, a link, a path that leads out, one that is part of no bundle, more
bytes than a bundle may have, a program or a bundle of another digest.
Design: contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. The digest that is asked for is that of the file, not of the policy: a digest of the files alone
would let whoever writes the file put any program beside them.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from msgspec import Struct

from pdp.audit.files import sync_directory
from pdp.errors import PolicyError
from pdp.runtime.bundle import MOST_BYTES, MOST_FILES, ZIP_EPOCH, Bundle, bundle_of, strays
from policy_lang.ir import Program
from policy_lang.ir import codec as ir_codec

FORMAT = 1
STATED = "built.json"
COMPILED = "ir.json"
FILES = "files/"
MOST_STATED_BYTES = 4_096
MOST_COMPILED_BYTES = 1024 * 1024 * 1024
MOST_FILE_BYTES = MOST_BYTES + MOST_COMPILED_BYTES
_FILE_MODE = 0o100644 << 16


class Built(Struct, frozen=True):
    """A built policy: its bundle, its program as serialised IR, and the digest of the file (hex)."""

    bundle: Bundle
    compiled: bytes
    digest: str


def write_built(path: Path, bundle: Bundle, program: Program, settings: str | None) -> str:
    """Write what the files of `bundle` compiled to in the environment `settings`; the digest of the file.

    On return it is on the disk. A file that stands at `path` is replaced whole, so that who reads it meanwhile, or
    after a crash, finds the old one or the new; a link is followed.
    Errors: PolicyError P130 when the place does not take it; then the old file stands, or, where only the last sync
        failed, the new one; and for a file whose name `read_built` refuses: then nothing is written.
    """
    named = bundle_of(bundle.files, settings)
    strange = strays(named.files)
    for name in named.files:
        if not _is_placed(FILES + name) or name in strange:
            raise PolicyError("P130", f"a built policy cannot hold `{name}`: rename the file, without a backslash")
    compiled = ir_codec.dump(program)
    stated = {
        "format": FORMAT,
        "ir": hashlib.sha256(compiled).hexdigest(),
        "policy": named.digest,
        "settings": settings or "",
    }
    members = {STATED: json.dumps(stated, sort_keys=True).encode(), COMPILED: compiled}
    members |= {FILES + name: named.files[name] for name in sorted(named.files)}
    data = _packed(members)
    try:
        if path.exists() and not path.is_file():
            raise PolicyError("P130", f"cannot write the built policy to {path}: it is no file that can be replaced")
        _put(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise PolicyError("P130", f"cannot write the built policy to {path}: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest()


def _put(path: Path, data: bytes) -> None:
    """Write a file beside its place, in a folder of its own, and move it there; its mode is what any new file has."""
    with tempfile.TemporaryDirectory(prefix=".pdp-build.", dir=path.parent) as folder:
        draft = Path(folder) / "built"
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    sync_directory(path.parent)


def _packed(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, ZIP_EPOCH)
            info.external_attr = _FILE_MODE
            info.create_system = 3  # what the attributes mean; else it depends on where the file was written
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def read_built(path: Path, digest: str) -> Built:
    """The built policy in a file, which must have this digest.

    Errors: PolicyError P131 when the file cannot be read or is too large, P132 when it has another digest, P133 when it
        is no built policy of this version.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise PolicyError("P131", f"cannot read the built policy {path}: {error.strerror}") from error
    if len(data) > MOST_FILE_BYTES:
        raise PolicyError("P131", f"{path} has more than {MOST_FILE_BYTES} bytes: it is no built policy")
    found = hashlib.sha256(data).hexdigest()
    if not hmac.compare_digest(found, digest):
        detail = f"{path} has the digest {found}, and `bundle_digest` asks for {digest}"
        raise PolicyError("P132", f"{detail}: put the right file there, or its digest into pdp.toml")
    try:
        return _unpacked(data, digest)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, KeyError, NotImplementedError) as error:
        raise PolicyError("P133", f"{path} is no built policy of this version: {error}; build it again") from error


def _unpacked(data: bytes, digest: str) -> Built:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_members(archive.infolist())
        stated = json.loads(archive.read(STATED))
        compiled = archive.read(COMPILED)
        files = {
            info.filename.removeprefix(FILES): archive.read(info)
            for info in archive.infolist()
            if info.filename.startswith(FILES)
        }
    if not isinstance(stated, dict) or stated.get("format") != FORMAT or not isinstance(stated.get("settings"), str):
        raise ValueError(f"{STATED} states no format {FORMAT}")
    others = strays(files)
    if others:
        raise ValueError(f"{FILES}{others[0]!a} is no part of a policy")
    bundle = bundle_of(files, stated["settings"] or None)
    if bundle.digest != stated.get("policy"):
        raise ValueError("it holds other files than it states")
    if hashlib.sha256(compiled).hexdigest() != stated.get("ir"):
        raise ValueError("it holds another program than it states")
    return Built(bundle, compiled, digest)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Errors: ValueError unless there is each part, once, and nothing else."""
    if len(members) > MOST_FILES + 2:
        raise ValueError(f"it holds more than {MOST_FILES} files")
    names = [info.filename for info in members]
    if len(set(names)) != len(names):
        raise ValueError("a member stands twice")
    for info in members:
        if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
            raise ValueError(f"{info.filename!a} is no file")
        if info.filename not in {STATED, COMPILED} and not _is_placed(info.filename):
            raise ValueError(f"{info.filename!a} is no part of a built policy")
    sizes = {info.filename: info.file_size for info in members}
    inside = sum(size for name, size in sizes.items() if name.startswith(FILES))
    too_large = sizes[STATED] > MOST_STATED_BYTES or sizes[COMPILED] > MOST_COMPILED_BYTES or inside > MOST_BYTES
    if too_large:
        raise ValueError("a part of it is larger than it may be")


def _is_placed(name: str) -> bool:
    """Whether a member is a file at a place below the folder of a bundle, where one may be."""
    if not name.startswith(FILES) or "\\" in name or "\0" in name:
        return False
    relative = PurePosixPath(name.removeprefix(FILES))
    plain = relative.as_posix() == name.removeprefix(FILES) and not relative.is_absolute()
    hidden = any(part.startswith(".") for part in relative.parts)
    return plain and bool(relative.parts) and not hidden
