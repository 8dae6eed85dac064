"""The holder of the engine in force, and the folder of bundles that were.

A decision reads `current()` once and keeps what it got; a swap is one assignment. Bundles are kept for ever beside the
log, by digest, so that any record can be explained and replayed by the very policy that made it.
"""

from __future__ import annotations

from pathlib import Path

from pdp.audit.files import atomic_write
from pdp.errors import PolicyError
from pdp.runtime.bundle import Bundle, pack, unpack
from pdp.runtime.engine import Engine


class EngineHolder:
    """The engine in force; None until the first is."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def current(self) -> Engine | None:
        """The engine in force now."""
        return self._engine

    def swap(self, engine: Engine) -> None:
        """Put `engine` in force, whole, for every decision that begins from now on."""
        self._engine = engine


class BundleStore:
    """The bundles of a state folder: `bundles/<digest>.zip`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, bundle: Bundle) -> None:
        """Store a bundle; on return it is on disk. OSError when the disk does not take it."""
        path = self._path(bundle.digest)
        if not path.exists():
            atomic_write(path, pack(bundle))

    def load(self, digest: str) -> Bundle:
        """The bundle of that digest. Errors: PolicyError P106 when there is none, P105 when it is damaged."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PolicyError("P106", f"no stored bundle {digest} at {path}: {error}") from error
        return unpack(data, digest)

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise PolicyError("P106", f"not a policy digest: {digest!r}")
        return self._folder / f"{digest}.zip"
