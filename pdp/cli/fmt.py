"""`pdp fmt`: policy files to their canonical layout.

In go files and folders; files are rewritten, or compared only. A file is replaced as a whole: at every moment it holds
the old text or the new one.
INVARIANT: a file that cannot be read or parsed is left as it is, and the others are still done.
SECURITY: no file is read or written through a link: a folder may be anybody's.

Decision: 2026-11-21. A link below a folder that leads to a place below that folder is passed over, since what it leads
to is met under its own name; every other link is a refusal. Hidden names are passed over, as in a bundle. `--diff`
alone ends 0: it shows, `--check` judges.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import click
from msgspec import Struct

from pdp.audit.files import sync_directory
from pdp.cli.options import path_type, shown_path
from policy_lang.diagnostics import render
from policy_lang.layout.formatter import formatted
from policy_lang.source import Source
from policy_lang.syntax.parser import MOST_BYTES

Outcome = Literal["changed", "kept", "failed"]

_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class _Mode(Struct, frozen=True):
    """What was asked for."""

    check: bool
    diff: bool

    @property
    def writes(self) -> bool:
        return not (self.check or self.diff)


@click.command(short_help="Lay policy files out, all in one way.")
@click.argument("paths", metavar="PATH...", type=path_type, nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Write nothing; end 1 where a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@click.pass_context
def fmt(ctx: click.Context, paths: tuple[Path, ...], *, check: bool, diff: bool) -> None:
    """Lay policy files out: one layout for everybody, comments kept where they stand.

    Each PATH is a file, or a folder of which every .pol file is meant. `-` reads standard input and writes standard
    output.

    Ends 0 where everything is done, 1 where --check found something to change, 2 where a file cannot be read or parsed;
    the others are still done.
    """
    mode = _Mode(check, diff)
    if Path("-") not in paths:
        outcomes = Counter(_file(found, mode) for found in _files(paths))
        click.echo(_summary(outcomes, mode), err=True)
    elif len(paths) > 1:
        raise click.UsageError("`-` stands alone: name the files in a run of their own")
    else:
        outcomes = Counter([_standard_input(mode)])
    ctx.exit(2 if outcomes["failed"] else int(check and outcomes["changed"] > 0))


def _summary(outcomes: Counter[Outcome], mode: _Mode) -> str:
    changed, kept, failed = outcomes["changed"], outcomes["kept"], outcomes["failed"]
    parts = []
    if changed:
        parts.append(f"{_count(changed)} {'laid out' if mode.writes else 'to lay out'}")
    if kept:
        parts.append(f"{_count(kept)} as {'it' if kept == 1 else 'they'} should be")
    if failed:
        parts.append(f"{_count(failed)} not read")
    return ", ".join(parts)


def _count(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"


# ---------------------------------------------------------------- what is meant


def _files(paths: tuple[Path, ...]) -> Iterator[Path | click.ClickException]:
    """The files to lay out, each once, in order; and what cannot be one."""
    seen: set[Path] = set()
    for path in paths:
        found: Iterator[Path | click.ClickException] = iter([path])
        if _is(Path.is_dir, path) and not _is(Path.is_symlink, path):
            found = _below(path)
        for each in found:
            if isinstance(each, click.ClickException):
                yield each
            elif (whole := each.absolute()) not in seen:
                seen.add(whole)
                yield each


def _below(folder: Path) -> Iterator[Path | click.ClickException]:
    """Every policy file below `folder`, hidden ones left out."""
    errors: list[OSError] = []
    none = True
    root = folder.resolve()
    for here, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        policies = sorted(name for name in names if name.endswith(".pol") and not name.startswith("."))
        for path in (Path(here, name) for name in [*folders, *policies]):
            if _is(Path.is_symlink, path):
                if not Path(os.path.realpath(path)).is_relative_to(root):
                    yield click.ClickException(f"{shown_path(path)} is a link that leads out of {shown_path(folder)}")
            elif path.name in policies:
                none = False
                yield path
    yield from (click.ClickException(f"cannot list {shown_path(folder)}: {error}") for error in errors)
    if none and not errors:
        yield click.ClickException(
            f"there is no .pol file below {shown_path(folder)}: name a policy's folder or its files"
        )


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    """Whether `path` is of a kind; not so where nobody may look: reading it then says why."""
    try:
        return kind(path)
    except OSError:
        return False


# ---------------------------------------------------------------- one file


def _file(found: Path | click.ClickException, mode: _Mode) -> Outcome:
    """Lay out one file, or say why not."""
    try:
        if isinstance(found, click.ClickException):
            raise found
        data, permissions = _read(found)
        text = _laid_out(shown_path(found), data)
        if text is None:
            return "failed"
        if text.encode() == data:
            return "kept"
        if mode.diff:
            _show_difference(shown_path(found), data, text)
        else:
            click.echo(shown_path(found))
        if mode.writes:
            _replace(found, text.encode(), permissions)
    except click.ClickException as refusal:
        refusal.show()
        return "failed"
    return "changed"


def _standard_input(mode: _Mode) -> Outcome:
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    text = _laid_out("-", data)
    if text is None:
        return "failed"
    if mode.diff:
        _show_difference("-", data, text)
    if mode.writes:
        sys.stdout.buffer.write(text.encode())
    return "kept" if text.encode() == data else "changed"


def _laid_out(name: str, data: bytes) -> str | None:
    """The layout of a file; None where its mistakes, which are shown, do not let it be read."""
    result = formatted(name, data)
    if isinstance(result, str):
        return result
    source = Source(name, data.decode("utf-8", "replace").removeprefix("\ufeff"))
    click.echo(render(result, {name: source}) + "\n", err=True)
    return None


def _show_difference(name: str, data: bytes, text: str) -> None:
    """A unified difference, coloured where it goes to a terminal."""
    old, new = (whole.splitlines(keepends=True) for whole in (data.decode("utf-8"), text))
    for line in difflib.unified_diff(old, new, name, f"{name} (laid out)"):
        end = "" if line.endswith("\n") else "\n\\ no line end\n"
        headline = line.startswith(("+++ ", "--- "))
        click.echo(click.style(line + end, fg=None if headline else _COLOURS.get(line[0]), bold=headline), nl=False)


# ---------------------------------------------------------------- disk


def _read(path: Path) -> tuple[bytes, int]:
    """The bytes of a file, at most one more than a policy may have, and its permissions.

    Errors: ClickException where it is no file, is a link, or cannot be read.
    """
    if _is(Path.is_symlink, path):
        raise click.ClickException(f"{shown_path(path)} is a link: name the file or folder it leads to")
    try:
        with os.fdopen(os.open(path, _READING), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise click.ClickException(f"{shown_path(path)} is no file: name a .pol file, a folder, or `-`")
            return file.read(MOST_BYTES + 1), stat.S_IMODE(status.st_mode)
    except OSError as error:
        raise click.ClickException(f"cannot read {shown_path(path)}: {error.strerror}") from error


def _replace(path: Path, data: bytes, permissions: int) -> None:
    """Make `path` hold `data`: written beside it, synced, moved there.

    Errors: ClickException; then the file holds the old bytes, or the new ones where only the last sync failed.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=".fmt.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), permissions)
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise click.ClickException(f"cannot write {shown_path(path)}: {error.strerror}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
