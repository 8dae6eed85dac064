"""A bundle: the files of one policy folder, their digest, and the archive that is kept beside the log.

A folder goes in (or an archive), `Bundle` comes out: relative paths with `/`, bytes, the environment chosen, and the
digest that names exactly these. Policy files, `settings/*.toml`, fact files, and the models and policies that `casbin`
blocks name are part of one; what is not (a README, hidden files) is left out, so that it changes no digest.
INVARIANT: nothing outside the folder is read, and nothing of it is left out in silence: a policy without the file that
denies is another policy. A link that leads out, a folder that is a link, a folder that cannot be listed and a name that
is no file are refusals, never skipped. What is looked at and what is read are the same file: a link or a pipe put in
its place in between is refused.
Design: contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. Hidden names (leading dot) are no part of a bundle: mounted folders keep their generations there.
Decision: 2026-11-21. The settings of every environment are part of a bundle, and the chosen one of its digest. The name
of it stands in the archive as its comment, so that an archive without settings is what it always was.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath

from msgspec import Struct

from pdp.errors import PolicyError
from policy_lang.attached import attached

LANGUAGE_VERSION = 1
MOST_FILES = 10_000
MOST_BYTES = 256 * 1024 * 1024
"""Bytes of a whole bundle, facts included: beyond it, memory and reload time are no longer a policy's."""

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of everything in an archive, so that it has the same bytes each time."""


class Bundle(Struct, frozen=True):
    """The files of one policy by relative path, the SHA-256 (hex) that names them, and the environment that its
    settings are of, None for none.
    """

    files: Mapping[str, bytes]
    digest: str
    settings: str | None = None


def bundle_of(files: Mapping[str, bytes], settings: str | None = None) -> Bundle:
    """The bundle of these files, whatever they hold, in one environment."""
    listed = [[path, hashlib.sha256(files[path]).hexdigest()] for path in sorted(files)]
    stated = {"files": listed, "language": LANGUAGE_VERSION, "settings": settings or ""}
    text = json.dumps(stated, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Bundle(dict(files), hashlib.sha256(text.encode()).hexdigest(), settings)


def read_folder(folder: Path, settings: str | None = None, named_by: str = "with --policies") -> Bundle:
    """Read every policy, settings and facts file below `folder`, and what the policy files name; `named_by` is how the
    command that asks takes one. A file that is named and is not there is left to the compiler to miss.

    Errors: PolicyError P101 no such folder, P102 a link that is not followed, P103 too large, P104 unreadable.
    """
    root = Path(os.path.realpath(folder))
    if not root.is_dir():
        raise PolicyError("P101", f"no policy folder at {folder}: name one {named_by} or in pdp.toml")
    files: dict[str, bytes] = {}
    left = MOST_BYTES
    try:
        for relative, place in chain(_members(root), _attached(root, files)):
            data = read_member(root, place, left) if len(files) < MOST_FILES else None
            if data is None:
                raise PolicyError("P103", f"{folder} holds more than {MOST_FILES} files or {MOST_BYTES} bytes")
            left -= len(data)
            files[relative] = data
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise PolicyError("P104", f"cannot read the policy folder {folder}: {error}") from error
    return bundle_of(files, settings)


def _members(root: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """The files of a bundle below `root`, folder by folder: the name of each, and where it really stands, both relative
    to `root`. Hidden names and what is no bundle file are left out.
    """
    for folder, folders, names in os.walk(root, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        for name in folders:
            if (here / name).is_symlink():
                raise PolicyError("P102", f"{here / name} is a link to a folder: put the folder itself there")
        for name in sorted(names):
            path = here / name
            relative = PurePosixPath(path.relative_to(root).as_posix())
            if not name.startswith(".") and belongs(relative):
                yield str(relative), _checked(root, path, relative)


def _attached(root: Path, files: Mapping[str, bytes]) -> Iterator[tuple[str, PurePosixPath]]:
    """The same of the files that policy files name, and that are not among `files`: begun once these are all read."""
    for relative in sorted(attached(files) - files.keys()):
        path = root / relative
        if os.path.lexists(path):
            yield relative, _checked(root, path, PurePosixPath(relative))


def _raise(error: OSError) -> None:
    raise error


def _checked(root: Path, path: Path, relative: PurePosixPath) -> PurePosixPath:
    """Where a member really stands: a file within the folder, whose name can be written down."""
    try:
        str(relative).encode("utf-8")
    except UnicodeEncodeError as error:
        raise PolicyError("P104", f"the name of {str(path)!a} is not UTF-8: rename the file") from error
    place = path.resolve()
    if not place.is_relative_to(root):
        raise PolicyError("P102", f"{path} leads out of the policy folder: copy the file into it")
    if not path.is_file():
        raise PolicyError("P104", f"{path} is no file that can be read: remove it, or mend the link")
    return PurePosixPath(place.relative_to(root).as_posix())


def read_member(root: Path, place: PurePosixPath, most: int) -> bytes | None:
    """The bytes of the file at `place` below the folder `root`; None where it has more than `most`.

    No link on the way from `root` is followed and nothing but a file is waited for, whatever was put there since it was
    looked at. Errors: PolicyError P104 where it is no file, OSError where it cannot be opened.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in place.parts[:-1]:
            within = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = within
        opened = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(opened, "rb") as file:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode):
            raise PolicyError("P104", f"{root / place} is no file that can be read: remove it, or mend the link")
        if about.st_size > most:
            return None
        data = file.read(most + 1)
    return data if len(data) <= most else None


def belongs(relative: PurePosixPath) -> bool:
    """Whether a file at this place below the folder is part of the bundle, whatever policy files name."""
    match relative.parts:
        case ("settings", _):
            return relative.suffix in {".toml", ".pol"}
        case ("facts", *_):
            return relative.suffix in {".csv", ".json", ".pol"}
        case _:
            return relative.suffix == ".pol"


def strays(files: Mapping[str, bytes]) -> list[str]:
    """Those of some files that are part of no bundle: by their place, or since a policy file among them names them."""
    others = sorted(name for name in files if not belongs(PurePosixPath(name)))
    named = attached(files) if others else ()
    return [name for name in others if name not in named]


def vanished(before: Iterable[str], files: Mapping[str, bytes]) -> list[str]:
    """The files of an earlier bundle that are not among `files`, sorted. A model or a policy that no policy file names
    any more was left out on purpose.
    """
    gone = sorted(set(before) - files.keys())
    named = attached(files) if gone else ()
    return [name for name in gone if belongs(PurePosixPath(name)) or name in named]


def pack(bundle: Bundle) -> bytes:
    """The archive of a bundle: a ZIP file, the same bytes for the same bundle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(bundle.files):
            archive.writestr(zipfile.ZipInfo(path, ZIP_EPOCH), bundle.files[path], zipfile.ZIP_DEFLATED)
        archive.comment = (bundle.settings or "").encode()
    return out.getvalue()


def unpack(data: bytes, digest: str) -> Bundle:
    """The bundle in an archive. Errors: PolicyError P105 when it is damaged or is not the one `digest` names."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
                raise PolicyError("P105", f"the stored bundle {digest} is larger than a bundle may be")
            files = {info.filename: archive.read(info) for info in archive.infolist()}
            settings = archive.comment.decode() or None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise PolicyError("P105", f"the stored bundle {digest} is damaged: {error}") from error
    bundle = bundle_of(files, settings)
    if bundle.digest != digest:
        raise PolicyError("P105", f"the stored bundle {digest} holds other files than its name says")
    return bundle
