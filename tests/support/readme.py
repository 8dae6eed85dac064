"""The blocks of a Markdown document, and the console blocks among them run and held to their output.

A fenced block may have a comment on the line before it, which says what becomes of it:

    <!-- file: PATH -->            it is the file
    <!-- append: PATH -->          it stands at the end of the file, behind a blank line
    <!-- instead: PATH: START -->  it stands in place of the paragraph, up to a blank line, that begins with START
    <!-- edit: PATH: OLD -> NEW --> of a console block: the file is changed so for this block alone
    <!-- WORD -->                  a test asks for it (`demo`, `envoy`)

In a console block, a line `$ …` is run and what follows is its output; `…` stands for anything, also for whole lines.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from pdp.cli import main

_BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]*) -->\n)?^```(?P<kind>[a-z]*)\n(?P<text>.*?)^```$|^#+ (?P<heading>[^\n]*)$",
    re.MULTILINE | re.DOTALL,
)
_PLAIN = re.compile(r"[^|&;<>$`\\*?\[\]{}~!#()\n]*")
"""A line of which a shell would make no more than words."""

WRITING = ("file", "append", "instead")
"""The notes that say where a block is written."""


class Block(Struct, frozen=True):
    """`section` is the heading above it."""

    kind: str
    note: str
    text: str
    section: str = ""

    @property
    def verb(self) -> str:
        return self.note.partition(": ")[0]

    @property
    def rest(self) -> str:
        return self.note.partition(": ")[2]


class Command(Struct, frozen=True):
    """One command of a console block and the output it must have."""

    line: str
    output: str


def blocks(document: Path) -> Iterator[Block]:
    section = ""
    for found in _BLOCK.finditer(document.read_text()):
        if found["heading"] is not None:
            section = found["heading"]
        else:
            yield Block(found["kind"], found["note"] or "", found["text"], section)


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)


def matches(wanted: str, got: str) -> bool:
    """Whether `got` is `wanted`, with `…` for anything and blank lines at the ends passed over."""
    pieces = [re.escape(piece) for piece in wanted.strip().split("…")]
    return re.fullmatch(".*?".join(pieces), got.strip(), re.DOTALL) is not None


def run(line: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a command prints, standard output and errors together. One of `pdp` alone, which asks nothing of a shell, is
    run in this process: a document has many.
    """
    words = shlex.split(line) if _PLAIN.fullmatch(line) else []
    if words[:1] == ["pdp"] and words[1:2] != ["serve"]:
        return _run_here(words[1:], folder, environment)
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def _run_here(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    printed = io.StringIO()
    before = {name: os.environ.get(name) for name in environment}
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        os.environ.update(environment)
        try:
            with contextlib.suppress(SystemExit):
                main(arguments)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    return printed.getvalue()


def replay_document(
    document: Path,
    folder: Path,
    environment: Mapping[str, str],
    *,
    skip: frozenset[str],
    settled: Callable[[Path], None] = lambda _: None,
) -> int:
    """Write every block that is a file or a part of one, run every console block that is not to be skipped; how many
    commands ran. What a section writes belongs together: `settled` is told of each policy file at the section's end,
    and before anything is run.
    """
    ran = 0
    fresh: dict[Path, None] = {}
    section = ""
    for block in blocks(document):
        if block.note in skip:
            continue
        if block.kind == "console" or block.section != section:
            _settle(fresh, settled)
        section = block.section
        if block.verb in WRITING:
            path = write(block, folder)
            fresh |= {path: None} if path.suffix == ".pol" else {}
        elif block.kind == "console":
            restore = _edit(folder, block.rest) if block.verb == "edit" else None
            for command in commands(block):
                got = run(command.line, folder, environment)
                assert matches(command.output, got), f"$ {command.line}\n--- wanted\n{command.output}\n--- got\n{got}"
                ran += 1
            if restore is not None:
                restore[0].write_text(restore[1])
    _settle(fresh, settled)
    return ran


def _settle(fresh: dict[Path, None], settled: Callable[[Path], None]) -> None:
    for path in fresh:
        settled(path)
    fresh.clear()


def write(block: Block, folder: Path) -> Path:
    """The file that the block is, or is a part of, written."""
    name, _, start = block.rest.partition(": ")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    match block.verb:
        case "file":
            path.write_text(block.text)
        case "append":
            path.write_text(f"{path.read_text()}\n{block.text}")
        case verb:
            assert verb == "instead", block.note
            text = path.read_text()
            found = re.findall(rf"^{re.escape(start)}.*?(?=^\n|\Z)", text, re.MULTILINE | re.DOTALL)
            assert len(found) == 1, f"{name} has {len(found)} paragraphs that begin with {start}"
            path.write_text(text.replace(found[0], block.text))
    return path


def _edit(folder: Path, instruction: str) -> tuple[Path, str]:
    name, _, change = instruction.partition(": ")
    old, _, new = change.partition(" -> ")
    path = folder / name
    text = path.read_text()
    assert text.count(old) == 1, f"{name} has {text.count(old)} times {old}"
    path.write_text(text.replace(old, new))
    return path, text
