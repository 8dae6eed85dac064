"""Where the demo keeps its files, beside those of the service in the same state folder, and how it writes them.

Every file is written beside its place, with mode 0600, and then moved there: `$(cat FILE)` in another terminal reads
the old bytes or the new ones, never half of them.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct


class Stage(Struct, frozen=True):
    """The places in one state folder that are the demo's own."""

    state: Path

    @property
    def config(self) -> Path:
        return self.state / "pdp.toml"

    @property
    def issuer(self) -> Path:
        return self.state / "issuer"

    @property
    def key_set(self) -> Path:
        return self.issuer / "jwks.json"

    @property
    def tokens(self) -> Path:
        return self.state / "tokens"

    @property
    def envoy_config(self) -> Path:
        return self.state / "envoy.json"

    @property
    def access_log(self) -> Path:
        return self.state / "access.log"

    @property
    def ports(self) -> Path:
        """Written when everything answers, removed at the end: who started the demo may wait for it."""
        return self.state / "ports.json"


def make_folders(stage: Stage) -> None:
    """Create what is missing, for the owner alone."""
    stage.state.parent.mkdir(parents=True, exist_ok=True)
    for folder in (stage.state, stage.issuer, stage.tokens):
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole, readable by the owner alone."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)
