"""`pdp audit mirror`: a second copy of another host's log, each record of it proved before it counts.

Exit codes: 0 the mirror is where the log is; 2 asked wrongly, or a folder that is none of ours; 3 the disk failed; and
those of `audit verify`: 20 something is missing or does not answer, 30 a fork, 40 what is served was not signed.
Design: contracts.md "Command line"; audit.md 4.4.

Decision: 2026-11-21. With --follow what is missing or does not answer is said, and asked for again: a host is down at
    times. A fork, or what is not what was signed, ends it.
Decision: 2026-11-22. A folder becomes the mirror of a key once something is there that this key signed: a SOURCE that
    was mistyped must not bind it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
from msgspec.structs import replace

from pdp.audit.checkpoint import MOST_BYTES, CheckpointError, format_vkey
from pdp.audit.disk import MemberError
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, ManifestError, parse_manifest
from pdp.audit.merkle import EMPTY_ROOT
from pdp.audit.mirror import Pulled, pull
from pdp.audit.mirror_folder import MARK, Sparing, held_mirror
from pdp.audit.mirror_source import Served, SourceError, opened_source, source_folder
from pdp.audit.report import FORK, INCOMPLETE, INVALID, OUR_FAULT, SOUND
from pdp.audit.rotation import RotationError, open_signed
from pdp.audit.tiles import CHECKPOINT
from pdp.cli.log_keys import KEY_HELP, GivenKey, given_key, other_key, stands
from pdp.cli.options import config_option, configured, json_option, path_type, state_option
from pdp.cli.record_bar import RecordBar
from pdp.errors import printable_lines
from pdp.state import State

LOOK_S = 2.0
"""Between two looks for what came."""

_RESULTS = {SOUND: "pulled", INCOMPLETE: "incomplete", FORK: "fork", INVALID: "invalid"}


@click.command(short_help="Keep a proved copy of another host's log.")
@click.argument("source")
@click.argument("folder", metavar="DIR", type=path_type)
@click.option("--key", "given", help=KEY_HELP)
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@config_option
@state_option
@json_option
@click.pass_context
def mirror(
    ctx: click.Context,
    source: str,
    folder: Path,
    given: str | None,
    *,
    follow: bool,
    config_path: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Pull the log that SOURCE serves into DIR, and prove every record against what its key signed.

    SOURCE is an https URL, an http one of this machine, a file URL or a folder: where any server of static files serves
    the `log` folder of a state. DIR is new, empty, or a mirror already; `pdp audit log` and `pdp audit verify` read it.

    Ends 0, 20 where something is missing or does not answer, 30 where the log does not continue what is here (both
    checkpoints are then in DIR/fork), 40 where what is served is not what was signed.
    """
    key = given_key(given, State(state or configured(config_path).state).keys / "log.vkey")
    _check_apart(source, folder)
    bar = RecordBar(time.monotonic)
    try:
        vkey = format_vkey(key.verifier.name, key.verifier.public)
        with opened_source(source) as served:
            outcome = None if stands((folder / MARK).exists) else _unsigned(served, key)
            _say(outcome, as_json=as_json)
            while follow and outcome is not None and outcome.exit_code == INCOMPLETE:
                time.sleep(LOOK_S)
                before, outcome = outcome, _unsigned(served, key)
                _say(outcome, as_json=as_json, before=before)
            if outcome is not None:
                ctx.exit(outcome.exit_code)
            with held_mirror(folder, vkey) as disk:
                outcome = _pulled(served, disk, key, bar, as_json=as_json)
                while follow and outcome.exit_code in {SOUND, INCOMPLETE}:
                    time.sleep(LOOK_S)
                    outcome = _pulled(served, disk, key, bar, as_json=as_json, before=outcome)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        click.echo(f"error: the log cannot be copied: {error}", err=True)
        ctx.exit(OUR_FAULT)
    finally:
        bar.close()
    ctx.exit(outcome.exit_code)


def _pulled(
    served: Served, disk: Sparing, key: GivenKey, bar: RecordBar, *, as_json: bool, before: Pulled | None = None
) -> Pulled:
    """Pull once, and say what came of it."""
    outcome = pull(served, disk, key.verifier, bar.show)
    bar.close()
    if outcome.exit_code == INVALID:
        outcome = replace(outcome, text=_with_key(outcome.text, served, key))
    _say(outcome, as_json=as_json, before=before)
    return outcome


def _unsigned(served: Served, key: GivenKey) -> Pulled | None:
    """Why nothing can be mirrored from there under that key; None where its checkpoint is signed by it."""
    code, text = INVALID, "what is served is not sound"
    try:
        note = served.read(CHECKPOINT, MOST_BYTES)
        if note is not None:
            open_signed(note, parse_manifest(served.read(MANIFEST, MOST_MANIFEST_BYTES), key.verifier))
            return None
        code, text = INCOMPLETE, "there is no `checkpoint`: name the folder that holds it, the `log` of a state folder"
    except SourceError as error:
        code, text = INCOMPLETE, error.detail
    except (CheckpointError, ManifestError, MemberError, RotationError) as error:
        text = _with_key(f"{text}: {error.detail}", served, key)
    return Pulled(code, key.verifier.name, 0, EMPTY_ROOT, 0, text)


def _with_key(text: str, served: Served, key: GivenKey) -> str:
    """What is wrong, and the key that was perhaps meant."""
    meant = other_key(served, key)
    return text if meant is None else f"{text}; {meant}"


def _say(outcome: Pulled | None, *, as_json: bool, before: Pulled | None = None) -> None:
    """Say what came of it, unless nothing did and it was said `before`."""
    if outcome is None:
        return
    news = before is None or outcome.added or (outcome.exit_code, outcome.text) != (before.exit_code, before.text)
    if as_json and news:
        click.echo(_json(outcome))
    elif news:
        click.echo(_line(outcome), err=outcome.exit_code != SOUND)


def _line(outcome: Pulled) -> str:
    held = f"{outcome.origin}: {outcome.size:,} records, root {outcome.root.hex()}"
    if outcome.exit_code == SOUND:
        return printable_lines(f"{held}; {f'{outcome.added:,} new' if outcome.added else 'nothing new'}")
    kept = f"; kept in {', '.join(outcome.evidence)}" if outcome.evidence else ""
    return printable_lines(
        f"{_RESULTS[outcome.exit_code]}: {outcome.text}{kept}; the mirror holds {outcome.size:,} records"
    )


def _json(outcome: Pulled) -> str:
    stated = {
        "result": _RESULTS[outcome.exit_code],
        "exit_code": outcome.exit_code,
        "origin": outcome.origin,
        "size": outcome.size,
        "root": outcome.root.hex(),
        "added": outcome.added,
        "text": outcome.text,
        "evidence": list(outcome.evidence),
    }
    return json.dumps(stated, sort_keys=True, separators=(",", ":"))


def _check_apart(source: str, folder: Path) -> None:
    given = source_folder(source)
    if given is not None and stands(lambda: given.samefile(folder)):
        raise click.UsageError("SOURCE and DIR are one folder: name another DIR")
