"""Files that policy files name besides themselves: the models and policies of `casbin` blocks.

The files of a folder go in, the paths that they name come out, before anything is parsed: whoever reads a folder has to
know what belongs to it. Pure; linear in the texts.
INVARIANT: a file that a block names, in a text that the parser reads, is among them. Others may be too (a word in a
place where the grammar has none); they are read, and no more.
Design: contracts.md "Bundles, places, configuration".

Decision (2026-11-21): a path is relative to the folder of the file that names it, as contracts.md has it, in the form
that paths of a bundle have: parts of it are joined by `/`, none is empty, hidden, `.` or `..`. It is written without an
escape, so that it can be found by whoever looks for it in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

_NAMING = re.compile(
    r'#[^\n]*|"(?:[^"\\\n]|\\[^\n])*"?'  # one that does not end is passed over too, or each quote in it were tried
    r'|(?<![A-Za-z0-9_])(?:model|policy)(?:[ \t\r\n]|#[^\n]*\n)*+"(?P<path>[^"\\\n]*)"'
)
_WORD = b"casbin"


def attached(files: Mapping[str, bytes]) -> frozenset[str]:
    """The paths that the policy files among `files` name."""
    found = (path for name, data in files.items() if name.endswith(".pol") for path in named_in(name, data))
    return frozenset(found)


def named_in(name: str, data: bytes) -> Iterator[str]:
    """The paths that one policy file of this name names; nothing of one that is not UTF-8."""
    if _WORD not in data:
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    for match in _NAMING.finditer(text):
        written = match["path"]
        path = None if written is None else beside(name, written)
        if path is not None:
            yield path


def beside(name: str, written: str) -> str | None:
    """The path within the bundle of what the file `name` calls `written`; None where that can be none."""
    parts = written.split("/")
    plain = written.isprintable() and "\\" not in written
    if not plain or any(not part or part.startswith(".") for part in parts):
        return None
    return str(PurePosixPath(name).parent.joinpath(*parts))
