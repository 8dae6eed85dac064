"""Where the policy comes from: a folder that is compiled, or a built file whose digest the configuration names.

A place and the configuration's conditions come in; a source reads a `Bundle` and makes an `Engine` of one. `kept` is
the way from a bundle that was stored by an earlier run.
Design: contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. A built file is read again only when its inode, size or date changed: its bytes are known by their
digest, and a change can only be a file of another digest, which is refused.
Decision: 2026-11-21. The environment of a built file was chosen when it was built, and its digest names it too, so that
`settings` may be left out; where given, it must be the same one.
Decision: 2026-11-21. A file without a digest, and a digest beside a folder, are refused when the place is read, as all
else that stands there is: the refusal is in the log, and one that comes to stand there later is refused as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pdp.errors import PolicyError
from pdp.runtime.acceptance import Conditions
from pdp.runtime.built import Built, read_built
from pdp.runtime.bundle import Bundle, read_folder
from pdp.runtime.compiling import compile_beside
from pdp.runtime.engine import Engine
from pdp.runtime.loading import load_beside


class Source(Protocol):
    """`pinned`: the digest by which the configuration names what stands there, so that nothing else may stand there and
    nothing vanishes from it by accident; "" where it names none. `settings`: the environment that the configuration
    names.

    `read` and `leads_to` wait for the disk. Errors of `read` and `engine`: PolicyError.
    """

    place: Path
    settings: str | None
    pinned: str

    def read(self) -> Bundle:
        """The bundle that stands there now."""
        ...

    def leads_to(self) -> str:
        """What the place leads to where it is a symbolic link, "" where it is none. OSError where that is not known."""
        ...

    async def engine(self, bundle: Bundle) -> tuple[Engine, str]:
        """The engine of a bundle that was read here, and the rendered warnings ("" without any)."""
        ...

    async def kept(self, bundle: Bundle) -> tuple[Engine, str]:
        """The same for a bundle that an earlier run stored."""
        ...


class FolderSource:
    """A policy folder, in one environment."""

    pinned = ""

    def __init__(self, place: Path, settings: str | None, conditions: Conditions) -> None:
        self.place = place
        self.settings = settings
        self._conditions = conditions

    def read(self) -> Bundle:
        """The files of the folder (see `Source`). Errors: PolicyError P101 to P104, P135 for a file in its place."""
        if self.place.is_file():
            detail = f"{self.place} is a file, and a built policy is served only by its digest"
            raise PolicyError("P135", f"{detail}: write `bundle_digest` in pdp.toml as `pdp check --build` says it")
        return read_folder(self.place, self.settings)

    def leads_to(self) -> str:
        """What the folder leads to (see `Source`)."""
        return str(self.place.readlink()) if self.place.is_symlink() else ""

    async def engine(self, bundle: Bundle) -> tuple[Engine, str]:
        """The bundle compiled in a child process (see `Source`)."""
        return await compile_beside(bundle, self._conditions)

    async def kept(self, bundle: Bundle) -> tuple[Engine, str]:
        """The same (see `Source`)."""
        return await compile_beside(bundle, self._conditions)


class BuiltSource:
    """A built file. State: what was read of it last."""

    def __init__(self, place: Path, digest: str, settings: str | None, conditions: Conditions) -> None:
        self.place = place
        self.settings = settings
        self.pinned = digest
        self._conditions = conditions
        self._read: tuple[tuple[int, int, int], Built] | None = None

    def read(self) -> Bundle:
        """The bundle in the file (see `Source`). Errors: PolicyError P131 to P135, the last for a folder."""
        mark = self._mark()
        if self._read is None or self._read[0] != mark:
            self._read = (mark, read_built(self.place, self.pinned))
        bundle = self._read[1].bundle
        if self.settings is not None and self.settings != bundle.settings:
            had = f"the environment `{bundle.settings}`" if bundle.settings else "no environment"
            raise PolicyError("P134", f"{self.place} was built for {had}, and `settings` names `{self.settings}`")
        return bundle

    def _mark(self) -> tuple[int, int, int]:
        if self.place.is_dir():
            detail = f"`bundle_digest` names a built policy, and {self.place} is a folder"
            raise PolicyError("P135", f"{detail}: name the file that `pdp check --build` wrote, or remove the digest")
        try:
            about = self.place.stat()
        except OSError as error:
            raise PolicyError("P131", f"cannot read the built policy {self.place}: {error.strerror}") from error
        return about.st_ino, about.st_size, about.st_mtime_ns

    def leads_to(self) -> str:
        """A file is known by its digest, not by the way to it (see `Source`)."""
        return ""

    async def engine(self, bundle: Bundle) -> tuple[Engine, str]:
        """The program in the file (see `Source`)."""
        if self._read is None or self._read[1].bundle.digest != bundle.digest:
            return await self.kept(bundle)
        return await load_beside(bundle, self._read[1].compiled, self._conditions), ""

    async def kept(self, bundle: Bundle) -> tuple[Engine, str]:
        """The files compiled in a child process (see `Source`)."""
        return await compile_beside(bundle, self._conditions)


def source_of(place: Path, digest: str | None, settings: str | None, conditions: Conditions) -> Source:
    """The source at a place: of a built file where `digest` names one, else of a folder. Nothing is read yet."""
    if digest is not None:
        return BuiltSource(place, digest, settings, conditions)
    return FolderSource(place, settings, conditions)
