"""The state folder: what the service keeps between runs, and who may use it.

    wal/      write-ahead logs, one a writer and start       log/   the tree: checkpoint, tiles
    bundles/  every policy that was in force, by digest      keys/  signing, sealing and id keys
    issuers/  the last keys of issuers that are asked for over a network
    shared.db, shared.gen   what is revoked and when sessions were used, for all workers
    clock     the time, as it was last known
    serve.lock, admin.sock

INVARIANT: the folder is ours (mode 0700, owned by us); one service uses it at a time.
Design: contracts.md "Bundles, places, configuration".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from pdp.errors import StateError


class State(Struct, frozen=True):
    """The places in one state folder."""

    root: Path

    @property
    def wal(self) -> Path:
        return self.root / "wal"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def issuers(self) -> Path:
        return self.root / "issuers"

    @property
    def clock(self) -> Path:
        return self.root / "clock"

    @property
    def admin_socket(self) -> Path:
        return self.root / "admin.sock"


def prepare_state(root: Path) -> State:
    """The state folder at `root`, created where it is missing.

    Errors: StateError S101 when it cannot be created, is not ours, or others may enter it.
    """
    state = State(root)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = root.stat()
        if about.st_uid != os.geteuid():
            raise StateError("S101", f"the state folder {root} belongs to another user: name another with --state")
        if about.st_mode & 0o077:
            raise StateError("S101", f"others may enter the state folder {root}: run chmod 700 {root}")
        for folder in (state.wal, state.log, state.bundles, state.keys):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StateError("S101", f"the state folder {root} is not usable: {error}") from error
    return state


@contextlib.contextmanager
def sole_use(state: State) -> Iterator[None]:
    """Hold the folder for one service.

    Errors: StateError S101 when nothing can be written in it, S102 when another one runs on it.
    """
    try:
        held = (state.root / "serve.lock").open("w")
    except OSError as error:
        raise StateError("S101", f"the state folder {state.root} is not usable: {error}") from error
    with held as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            detail = f"another `pdp serve` runs on the state folder {state.root}: stop it, or name another with --state"
            raise StateError("S102", detail) from error
        yield
