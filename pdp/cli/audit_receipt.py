"""`pdp audit receipt`: one record as a file that proves it to a stranger."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from pdp.audit.box import BoxError
from pdp.audit.checkpoint import parse_vkey
from pdp.audit.keys import RecordKeys, load_record_keys
from pdp.audit.leaf import Leaf, parse
from pdp.audit.notice import write_durably
from pdp.audit.opened import Opened, found_record, opened_record
from pdp.audit.receipt import Disclosed, Receipt, compiled_form, make_receipt
from pdp.cli.options import config_option, configured, path_type, shown_path, state_option
from pdp.errors import StateError
from pdp.model import Json
from pdp.runtime.bundle import Bundle
from pdp.runtime.store import BundleStore
from pdp.state import State
from policy_lang.diagnostics import printable


@click.command(short_help="Write one record as a file that proves it to a stranger.")
@click.argument("record_id", metavar="ID")
@config_option
@state_option
@click.option("--out", type=path_type, help="The file to write.  [default: receipt-ID.zip]")
@click.option("--disclose", is_flag=True, help="Put the inputs and the policy in, too. This is itself recorded first.")
@click.pass_context
def receipt(
    ctx: click.Context,
    record_id: str,
    config_path: Path | None,
    state: Path | None,
    out: Path | None,
    *,
    disclose: bool,
) -> None:
    """Write a receipt of the record ID: one file that proves that it is in the log.

    `pdp audit verify FILE` reads it, and so does the verify.py within it, which needs Python alone. With --disclose it
    also shows what was decided on and by which policy, so that the answer can be derived again. Ends 0; 1 where there
    is no such record, or the policy gives another answer than the record states.
    """
    place = State(state or configured(config_path).state)
    found = found_record(place.log, place.wal, record_id)
    if found is None:
        click.echo(printable(f"no record {record_id} in {place.root}"), err=True)
        ctx.exit(1)
    target = out or Path(f"receipt-{record_id}.zip")
    if target.exists() or target.is_symlink():
        raise StateError("S153", f"there is something at {shown_path(target)} already: name another file with --out")
    leaf = parse(found.leaf)
    if leaf.id != record_id:
        click.echo(f"by its number it stands in the aggregate {leaf.id}, of which this is the receipt", err=True)
    vkey = _vkey(place)
    disclosed = _disclosed(place, load_record_keys(place.keys), leaf) if disclose else None
    made = make_receipt(place.log, place.wal, vkey, record_id, disclosed)
    if made is None:
        raise StateError("S152", f"the record {record_id} is gone: run `pdp audit verify`")
    _write(target, made)
    for line in made.outcome.lines:
        click.echo(line)
    click.echo(f"written to {shown_path(target)}; the key to check it against, to be handed on by another way:")
    click.echo(vkey)
    ctx.exit(1 if made.outcome.agrees is False else 0)


def _vkey(place: State) -> str:
    """The key of the log, which is public: a receipt that discloses nothing needs no other."""
    path = place.keys / "log.vkey"
    try:
        vkey = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise StateError("S132", f"the key of the log is not readable at {path}: {error}") from error
    parse_vkey(vkey)
    return vkey


def _disclosed(place: State, keys: RecordKeys, leaf: Leaf) -> Disclosed:
    """What is shown of a record; that it is shown is on record before."""
    try:
        opened: Opened | None = None if leaf.sealed is None else opened_record(place.log, place.wal, keys, leaf)
    except BoxError as error:
        raise StateError("S154", f"the inputs cannot be disclosed: {error}") from error
    bundle = _bundle(place, leaf)
    clear: dict[str, Json] = {"t": time.time_ns() // 1_000, "of": leaf.id, "user": os.geteuid()}
    write_durably(place.root, keys, "audit.reidentify", clear)
    return Disclosed(opened, bundle, None if bundle is None else compiled_form(bundle))


def _bundle(place: State, leaf: Leaf) -> Bundle | None:
    """The policy that a record names. Errors: PolicyError P105, P106."""
    digest = leaf.clear.get("pb")
    return BundleStore(place.bundles).load(digest) if isinstance(digest, str) and digest else None


def _write(target: Path, made: Receipt) -> None:
    """Write the file where there is none, for us alone: what it discloses is ours to hand on."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(made.data)
        except OSError:
            target.unlink()
            raise
    except OSError as error:
        raise StateError("S153", f"the receipt cannot be written to {shown_path(target)}: {error.strerror}") from error
