"""The holder of the engine in force, and the folder of bundles that were.

A decision reads `current()` once and keeps what it got; a swap is one assignment. Bundles are kept for ever beside the
log, by digest, so that any record can be explained and replayed by the very policy that made it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from pdp.audit.files import atomic_write
from pdp.errors import PolicyError
from pdp.runtime.bundle import Bundle, pack, unpack
from pdp.runtime.engine import Engine

CURRENT = "current"

log = logging.getLogger(__name__)


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


class InForce(Struct, frozen=True):
    """Which bundle was put in force last, and what the policy folder, where it is a link, led to then ("" else).

    `built` is the digest of the built file that the bundle came from, `ir` that of the program it held; both "" for the
    bundle of a folder.
    """

    digest: str
    target: str
    built: str = ""
    ir: str = ""


class BundleStore:
    """The bundles of a state folder: `bundles/<digest>.zip`, and `bundles/current`, which says the last in force."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, bundle: Bundle) -> None:
        """Store a bundle; on return it is on disk, also where what was stored of it is damaged. OSError when the disk
        does not take it.
        """
        path = self._path(bundle.digest)
        try:
            self.load(bundle.digest)
        except PolicyError as error:
            if error.code != "P106":
                log.warning("%s; it is written anew", error.detail)
            atomic_write(path, pack(bundle))

    def load(self, digest: str) -> Bundle:
        """The bundle of that digest. Errors: PolicyError P106 when there is none, P105 when it is damaged."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PolicyError("P106", f"no stored bundle {digest} at {path}: {error}") from error
        return unpack(data, digest)

    def note(self, current: InForce) -> None:
        """State which bundle is in force; on return it is on disk. OSError when the disk does not take it."""
        atomic_write(self._folder / CURRENT, json.dumps(asdict(current)).encode())

    def current(self) -> InForce | None:
        """Which bundle was in force last; None where none was yet. Errors: PolicyError P106 when that is unreadable."""
        path = self._folder / CURRENT
        try:
            stated = json.loads(path.read_bytes())
            came_from = (str(stated.get(name, "")) for name in ("built", "ir"))
            return InForce(str(stated["digest"]), str(stated["target"]), *came_from)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            detail = f"{path} does not say which policy was in force: {error}; remove it to start with the folder's"
            raise PolicyError("P106", detail) from error

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise PolicyError("P106", f"not a policy digest: {digest!r}")
        return self._folder / f"{digest}.zip"
