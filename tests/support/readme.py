"""The blocks of a Markdown document, and the console blocks among them run and held to their output.

A fenced block may have a comment on the line before it: `<!-- file: PATH -->` (write it there),
`<!-- edit: PATH: OLD -> NEW -->` (for this block alone), or a word that a test asks for (`demo`, `envoy`). In a console
block, a line `$ …` is run and what follows is its output; `…` stands for anything, also for whole lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]*) -->\n)?^```(?P<kind>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    kind: str
    note: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command of a console block and the output it must have."""

    line: str
    output: str


def blocks(document: Path) -> Iterator[Block]:
    for found in _BLOCK.finditer(document.read_text()):
        yield Block(found["kind"], found["note"] or "", found["text"])


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)


def matches(wanted: str, got: str) -> bool:
    """Whether `got` is `wanted`, with `…` for anything and blank lines at the ends passed over."""
    pieces = [re.escape(piece) for piece in wanted.strip().split("…")]
    return re.fullmatch(".*?".join(pieces), got.strip(), re.DOTALL) is not None


def run(line: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a command prints, standard output and errors together."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def replay_document(document: Path, folder: Path, environment: Mapping[str, str], *, skip: frozenset[str]) -> int:
    """Write every file block, run every console block that is not to be skipped; how many commands ran."""
    ran = 0
    for block in blocks(document):
        if block.note in skip:
            continue
        verb, _, rest = block.note.partition(": ")
        if verb == "file":
            _write(folder / rest, block.text)
        elif block.kind == "console":
            restore = _edit(folder, rest) if verb == "edit" else None
            for command in commands(block):
                got = run(command.line, folder, environment)
                assert matches(command.output, got), f"$ {command.line}\n--- wanted\n{command.output}\n--- got\n{got}"
                ran += 1
            if restore is not None:
                restore[0].write_text(restore[1])
    return ran


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _edit(folder: Path, instruction: str) -> tuple[Path, str]:
    name, _, change = instruction.partition(": ")
    old, _, new = change.partition(" -> ")
    path = folder / name
    text = path.read_text()
    assert old in text, f"{name} has no {old}"
    path.write_text(text.replace(old, new))
    return path, text
