"""The policy that `pdp check` and `pdp test` take, and the environments that they take it in.

A path of the command line, or none, comes in; the folder of a policy goes out, and the names of its environments.

Decision: 2026-11-21. A built policy is not checked or tested: it was, when it was built, and its `test` blocks and
sources are those of the folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pdp.cli.options import configured, shown_path
from pdp.errors import PolicyError
from pdp.runtime.built import STATED
from pdp.runtime.bundle import Bundle
from policy_lang.diagnostics import printable

ALL = "all"
"""What `--settings` says for every environment there is."""

_SETTINGS = re.compile(r"settings/([^/]+)\.toml")
_HEAD = b"PK\x03\x04"
_NAME_AT = 30
"""Where the name of its first member stands in a ZIP file."""


def given_folder(given: Path | None) -> Path:
    """The folder that is named, or that of `pdp.toml`, or the current one.

    Errors: PolicyError P101 for a file, P135 for a built policy.
    """
    folder = given or configured(None).policies or Path()
    if not folder.is_file():
        return folder
    if _is_built(folder):
        why = "`check` and `test` take the folder it was built from, `serve` and `decide` take it by its digest"
        raise PolicyError("P135", f"{shown_path(folder)} is a built policy: {why}")
    why = f"{shown_path(folder)} is a file: a policy is checked and tested whole"
    raise PolicyError("P101", f"{why}, so name its folder: {shown_path(folder.parent)}")


def _is_built(file: Path) -> bool:
    """Whether a file begins as one that `pdp check --build` wrote."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_NAME_AT + len(STATED))
    except OSError:
        return False
    return head.startswith(_HEAD) and head[_NAME_AT:] == STATED.encode()


def environments(bundle: Bundle, settings: str | None) -> Sequence[str | None]:
    """The environments to take a policy in; `all` of a policy without any is the policy without one."""
    if settings != ALL:
        return [settings]
    return sorted(found[1] for path in bundle.files if (found := _SETTINGS.fullmatch(path))) or [None]


def named(folder: Path, environment: str | None) -> str:
    """A policy in an environment, as a terminal may print it."""
    name = shown_path(folder)
    return name if environment is None else f"{name} (settings {printable(environment)})"
