"""`pdp import`: endpoints of a policy from an OpenAPI document or from protobuf services."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from pdp.authoring.document import MOST_BYTES as MOST_DOCUMENT_BYTES
from pdp.authoring.merge import Merged, Report, Wishes, merged
from pdp.authoring.model import AuthoringError, Finding, Imported, printable
from pdp.authoring.openapi import read_openapi
from pdp.authoring.proto import read_descriptors
from pdp.authoring.protoc import descriptors_of
from pdp.cli.options import path_type
from policy_lang.syntax.parser import MOST_BYTES as MOST_POLICY_BYTES

MOST_SHOWN = 100
"""Lines of one group of the report; the rest is counted."""

STDOUT = "the policy"
"""What the output is called where it has no file."""

Command = TypeVar("Command", bound=Callable[..., None])


_SHARED = (
    click.option(
        "--service",
        default=None,
        metavar="NAME",
        help="The service; else that of --output, or one named for the title (OpenAPI) or the first service (proto).",
    ),
    click.option("--module", default=None, metavar="NAME", help="The module of a new file; else its service's name."),
    click.option("--audience", default=None, metavar="TEXT", help="The audience of a new service; else its name."),
    click.option("--output", type=path_type, default=None, metavar="FILE", help="Write FILE, or bring it up to date."),
)


def _shared(command: Command) -> Command:
    """The options that all imports have."""
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.group(name="import", short_help="Write endpoints from documents you have.")
def import_() -> None:
    """Write endpoints from documents you have.

    Every new endpoint is `closed`: nobody passes until you write an allow, and take the word away.
    """


@import_.command(short_help="Write a service from an OpenAPI document.")
@click.argument("file", type=path_type)
@_shared
@click.pass_context
def openapi(
    ctx: click.Context,
    file: Path,
    *,
    service: str | None,
    module: str | None,
    audience: str | None,
    output: Path | None,
) -> None:
    """Write a service from an OpenAPI document (3.0, 3.1, 3.2, Swagger 2.0; JSON or YAML).

    With --output an edited file is brought up to date: what you changed stays. Without it the text goes to stdout.

    Ends 0 where all was said, 1 where something was left out (the report names it), 2 where the document cannot be
    read; nothing is written then.
    """
    imported = read_openapi(_read(file, MOST_DOCUMENT_BYTES), file.name)
    ctx.exit(_deliver(imported, output, Wishes(service, module, audience)))


@import_.command(short_help="Write a service from protobuf services.")
@click.argument("files", type=path_type, nargs=-1)
@click.option("--descriptor-set", type=path_type, default=None, metavar="FILE", help="What protoc -o wrote.")
@click.option(
    "-I", "folders", type=path_type, multiple=True, metavar="DIR", help="Where .proto imports are looked for."
)
@_shared
@click.pass_context
def proto(
    ctx: click.Context,
    files: tuple[Path, ...],
    *,
    descriptor_set: Path | None,
    folders: tuple[Path, ...],
    service: str | None,
    module: str | None,
    audience: str | None,
    output: Path | None,
) -> None:
    """Write a service from protobuf services: .proto FILES, or a descriptor set.

    All methods become endpoints of one service; `google.api.http` bindings too. Sources need the extra `import`.
    Output and exit codes are those of `pdp import openapi`.
    """
    if bool(files) == (descriptor_set is not None):
        raise click.UsageError("give .proto FILES or --descriptor-set FILE, one of the two")
    if descriptor_set is not None:
        imported = read_descriptors(_read(descriptor_set, MOST_DOCUMENT_BYTES), descriptor_set.name, None)
    else:
        for file in files:
            _read(file, MOST_DOCUMENT_BYTES)
        data, names = descriptors_of(files, folders)
        imported = read_descriptors(data, " ".join(file.name for file in files), names)
    ctx.exit(_deliver(imported, output, Wishes(service, module, audience)))


# ---------------------------------------------------------------- files


def _read(path: Path, most: int) -> bytes:
    """The file's content; of a larger one only so much that its reader sees that it is."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise AuthoringError("I100", f"cannot read {path}: {error.strerror or error}") from None


def _deliver(imported: Imported, output: Path | None, wishes: Wishes) -> int:
    """Write the result and its report; the exit code."""
    if output is None:
        result = merged(None, STDOUT, imported, wishes)
        sys.stdout.write(result.text)
    else:
        existing = _existing(output)
        result = merged(existing, output.name, imported, wishes)
        if result.text != existing:
            _write(output, result.text.encode())
    _show(output, result)
    return 1 if any(finding.left_out for finding in result.report.findings) else 0


def _existing(path: Path) -> str | None:
    if not path.exists():
        return None
    data = _read(path, MOST_POLICY_BYTES)
    if len(data) > MOST_POLICY_BYTES:
        raise AuthoringError("I201", f"{path} is larger than a policy file may be: see `pdp check`, and mend it first")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise AuthoringError("I201", f"{path} is not UTF-8: see `pdp check`, and mend it first") from None


def _write(path: Path, data: bytes) -> None:
    """Put `data` in the file's place, whole or not at all; its mode stays, and a link keeps pointing at it."""
    target = path.resolve()
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644)
        temporary.replace(target)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise AuthoringError("I207", f"cannot write {path}: {error.strerror or error}") from error


# ---------------------------------------------------------------- the report


def _show(output: Path | None, result: Merged) -> None:
    report = result.report
    counts = (("new", report.new), ("changed", report.changed), ("kept", report.kept), ("vanished", report.vanished))
    said = ", ".join(f"{len(names)} {word}" for word, names in counts)
    total = sum(len(names) for _, names in counts)
    click.echo(f"{output or 'on standard output'}: {total} endpoint{'' if total == 1 else 's'} ({said})", err=True)
    rows = _rows(report)
    if not rows:
        return
    if sys.stderr.isatty():
        _table(rows)
    else:
        for what, place, message in rows:
            click.echo(f"{what:<9}{place}  {message}" if place else f"{what:<9}{message}", err=True)


def _rows(report: Report) -> list[tuple[str, str, str]]:
    """What, where, and words for it."""
    left_out = [each for each in report.findings if each.left_out]
    notes = [each for each in report.findings if not each.left_out]
    rows = _some("changed", [("", line) for line in report.changed])
    rows += _some("vanished", [("", line) for line in report.vanished])
    rows += _some("left out", [_place_and_words(each) for each in left_out])
    return rows + _some("note", [_place_and_words(each) for each in notes])


def _place_and_words(finding: Finding) -> tuple[str, str]:
    return finding.place, finding.message


def _some(what: str, lines: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    shown = [(what, _one_line(place), _one_line(words)) for place, words in lines[:MOST_SHOWN]]
    more = len(lines) - len(shown)
    return [*shown, (what, "", f"{more} more not shown")] if more > 0 else shown


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _table(rows: list[tuple[str, str, str]]) -> None:
    table = Table("", "where", "what", show_edge=False, pad_edge=False)
    for what, place, words in rows:
        table.add_row(what, place, words)
    Console(stderr=True, markup=False, highlight=False, width=shutil.get_terminal_size().columns).print(table)
