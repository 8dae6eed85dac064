"""The key that a log is checked against: from the command line or from the state's own folder of keys.

SECURITY: never one that stands beside a log: a log that brings its own key proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

MOST_GIVEN_BYTES = 64 * 1024
"""So much is read of a key or of a remembered head: they are smaller."""

KEY_HELP = "The verifier key, or a file that holds it.  [default: keys/log.vkey of the state]"


def given_key(given: str | None, own: Path) -> str:
    """The verifier key that was given (itself, or the file that holds it), else that of the state.

    Errors: UsageError where there is none.
    """
    path = own if given is None else Path(given)
    if stands(path.is_file):
        return given_bytes(path, "the key").decode("ascii", "replace")
    if given is None:
        raise click.UsageError(f"no key to check against: there is no {path}, name one with --key")
    return given


def given_bytes(path: Path, what: str) -> bytes:
    """The content of a small file that was named. Errors: UsageError."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_GIVEN_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{what}: {path} cannot be read: {error.strerror}") from error


def stands(asked: Callable[[], bool]) -> bool:
    """The answer of the disk; False where it will not look, as at a name too long for it."""
    try:
        return asked()
    except (OSError, ValueError):
        return False
