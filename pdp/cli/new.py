"""`pdp new`: a folder with a first policy, its tests, its facts and a CI file."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from pdp.authoring.model import AuthoringError
from pdp.authoring.scaffold import bundle_files, service_name
from pdp.cli.options import path_type


@click.command(short_help="Write a first policy into an empty folder.")
@click.argument("folder", type=path_type)
@click.option("--service", default=None, metavar="NAME", help="The name of its service, in place of the folder's.")
def new(folder: Path, service: str | None) -> None:
    """Write a first policy into FOLDER, which must be empty or not exist.

    It checks and its tests pass; its README says where to begin.
    """
    name = service_name(service, folder.resolve().name)
    _write(folder, name)
    click.echo(f"{folder}: a policy for the service `{name}`")
    named = shlex.quote(str(folder))
    click.echo(f"next: pdp check {named}, pdp test {named}, then read {shlex.quote(str(folder / 'README.md'))}")


def _write(folder: Path, service: str) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise AuthoringError("I301", f"{folder} is there and not an empty folder: name another one, or empty it")
        for name, text in bundle_files(service).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
    except OSError as error:
        raise AuthoringError("I302", f"cannot write {folder}: {error}") from error
