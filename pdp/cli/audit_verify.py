"""`pdp audit verify`: whether a decision log, or one record of it in a file, is what was signed.

Exit codes, contracts.md: 0 sound; 2 usage, no key included; 3 our fault; 11 stale; 20 incomplete; 30 fork; 40 invalid.
SECURITY: the key comes from the command line or from the state's own `keys/log.vkey`, never from the log folder: a
log that brings its own key proves nothing.

Decision: 2026-11-21. Heads are remembered only in a file that was named: the name of a log is its operator's to choose,
    and a file kept without asking would call the second log of that name a fork.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from pdp.audit import heads as known
from pdp.audit.checkpoint import CheckpointError, Verifier, format_vkey, parse_vkey, unproved_checkpoint
from pdp.audit.disk import Folder, MemberError
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, ManifestError, parse_manifest
from pdp.audit.policy import TrustPolicyError, read_policy, trusts
from pdp.audit.proof_check import verify_proof
from pdp.audit.reader import read_checkpoint
from pdp.audit.receipt_check import is_receipt, verify_receipt
from pdp.audit.report import FORK, INCOMPLETE, INVALID, OUR_FAULT, SOUND, Finding, Report
from pdp.audit.rotation import RotationError, open_signed
from pdp.audit.verify import Progress, verify_log
from pdp.audit.verify_trust import Wanted
from pdp.cli.audit_verify_text import as_text, to_json
from pdp.cli.log_keys import KEY_HELP, given_bytes, given_key, stands
from pdp.cli.options import config_option, configured, json_option, path_type, state_option
from pdp.cli.record_bar import RecordBar
from pdp.errors import PolicyError
from pdp.runtime.store import BundleStore
from pdp.state import State

_FIRST_BYTES = 4


class _Log(Struct, frozen=True):
    """One log that is to be verified: its folder, the state it belongs to (None: it stands elsewhere), and its key."""

    folder: Path
    state: State | None
    anchor: Verifier


@click.command(short_help="Check that the log is what was signed.")
@click.argument("record", metavar="[FILE]", type=path_type, required=False)
@config_option
@state_option
@click.option("--log", "folders", type=path_type, multiple=True, help="A log or a mirror elsewhere; may be repeated.")
@click.option("--key", "keys", multiple=True, help=f"{KEY_HELP} Of several logs name each one's.")
@click.option("--known-head", type=path_type, help="A checkpoint remembered earlier, which the log must extend.")
@click.option(
    "--heads",
    type=path_type,
    help="A file of heads, made where there is none: what is sound is remembered there, and the log must extend it.",
)
@click.option(
    "--witnesses",
    type=path_type,
    help="A tlog-policy file: who must have cosigned the log.  [default: witness_policy, for the state's own log]",
)
@click.option(
    "--max-age",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How old the newest record and the witnesses' word may be, else it is stale.",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    record: Path | None,
    config_path: Path | None,
    state: Path | None,
    folders: tuple[Path, ...],
    keys: tuple[str, ...],
    known_head: Path | None,
    heads: Path | None,
    witnesses: Path | None,
    max_age: int | None,
    *,
    as_json: bool,
) -> None:
    """Check that the decision log is what was signed: every record, every hash, every writer's numbers and books.

    With FILE, a receipt or a `.tlog-proof`, check the one record in it. Ends 0 sound, 11 stale, 20 incomplete, 30 fork,
    40 invalid; 2 where it was asked wrongly, 3 where the disk fails. Whether a log was rolled back to an older state of
    its own, only --known-head, --heads or --witnesses can show.
    """
    config = configured(config_path)
    place = State(state or config.state)
    own_key = place.keys / "log.vkey"
    bar = RecordBar(time.monotonic)
    try:
        if record is not None:
            if folders or known_head or heads or witnesses or max_age is not None or len(keys) > 1:
                raise click.UsageError("with FILE only --key and --state are asked for")
            reports = [_checked_file(record, given_key(keys[0] if keys else None, own_key))]
        else:
            witnesses = witnesses or (None if folders else config.log.witness_policy)
            wanted = Wanted(
                known_head=None if known_head is None else given_bytes(known_head, "--known-head"),
                policy=None if witnesses is None else read_policy(witnesses),
                max_age_s=max_age,
                now_us=time.time_ns() // 1000,
            )
            logs = _logs(place, folders, [given_key(key, own_key) for key in keys or (None,)])
            reports = [_checked(log, wanted, heads, bar.show) for log in logs]
    except OSError as error:
        click.echo(f"error: the log cannot be read: {error}", err=True)
        ctx.exit(OUR_FAULT)
    finally:
        bar.close()
    click.echo(to_json(reports) if as_json else "\n\n".join(map(as_text, reports)))
    ctx.exit(max(report.exit_code for report in reports))


def _logs(place: State, folders: Sequence[Path], vkeys: Sequence[str]) -> Iterator[_Log]:
    """The logs that are asked for, each with the key that has its name; a single key is that of every one."""
    anchors = [parse_vkey(vkey) for vkey in vkeys]
    for folder in folders or (place.log,):
        if not stands(folder.is_dir):
            raise click.UsageError(f"there is no log folder {folder}: name one with --state or --log")
        anchor = anchors[0]
        if len(anchors) > 1:
            named = [each for each in anchors if each.name == _claimed_name(folder)]
            if len(named) != 1:
                raise click.UsageError(f"not one of the keys is that of the log in {folder}: name one --key for each")
            anchor = named[0]
        yield _Log(folder, None if folders else place, anchor)


def _claimed_name(folder: Path) -> str | None:
    """What a log calls itself: enough to choose among keys that were given, and believed for nothing else."""
    try:
        data = read_checkpoint(Folder(folder))
        return None if data is None else unproved_checkpoint(data).origin
    except (MemberError, CheckpointError):
        return None


def _checked(log: _Log, wanted: Wanted, heads: Path | None, progress: Progress) -> Report:
    """The report on one log; where `heads` is given, what it says of it counts, and what is sound is remembered."""
    vkey = format_vkey(log.anchor.name, log.anchor.public)
    if wanted.policy is not None and not trusts(wanted.policy, log.anchor):
        raise TrustPolicyError("A640", f"--witnesses names other logs and not {log.anchor.name!a}: see its `log` lines")
    if log.state is not None:
        wanted = replace(wanted, wrong_with=_Bundles(log.state).wrong_with)
    if heads is not None:
        wanted = replace(wanted, remembered=known.known_head(heads, log.anchor.name, vkey))
    wal = None if log.state is None else log.state.wal
    report = verify_log(log.folder, wal, vkey, progress, wanted)
    if heads is None:
        return report
    seen = read_checkpoint(Folder(log.folder)) if report.exit_code in {SOUND, FORK} else None
    if report.exit_code == SOUND and seen is not None and _is_verified(log, seen, report):
        try:
            known.remember(heads, vkey, seen)
        except known.ForkError as error:
            finding = Finding(FORK, "checkpoint", error.detail)
            report = replace(report, exit_code=FORK, findings=(*report.findings, finding))
    if report.exit_code == FORK and seen is not None:
        return _with_evidence(report, heads, vkey, seen)
    return report


def _is_verified(log: _Log, seen: bytes, report: Report) -> bool:
    """Whether a checkpoint, read again, is the one that was verified: a folder may change meanwhile."""
    try:
        manifest = Folder(log.folder).read(MANIFEST, MOST_MANIFEST_BYTES)
        checkpoint = open_signed(seen, parse_manifest(manifest, log.anchor)).checkpoint
    except (CheckpointError, ManifestError, RotationError, MemberError):
        return False
    return (checkpoint.size, checkpoint.root.hex()) == (report.size, report.root)


def _with_evidence(report: Report, heads: Path, vkey: str, seen: bytes) -> Report:
    """The report on a fork, with both checkpoints kept beside the file of heads."""
    head = known.known_head(heads, report.origin, vkey)
    if head is None:
        return report
    reason = next(each.text for each in report.findings if each.code == FORK)
    fork = known.Fork(report.origin, vkey, head.decode(), seen.decode("utf-8", "replace"), reason)
    path = known.write_evidence(heads.parent / "forks", fork)
    return replace(report, notes=(*report.notes, f"both checkpoints are kept in {path}"))


class _Bundles:
    """The stored policies of a state."""

    def __init__(self, state: State) -> None:
        self._store = BundleStore(state.bundles)

    def wrong_with(self, digest: str) -> tuple[int, str] | None:
        """What is wrong with the stored policy of a digest, and the exit code for it; None: nothing."""
        try:
            self._store.load(digest)
        except PolicyError as error:
            return INCOMPLETE if error.code == "P106" else INVALID, error.detail
        return None


def _checked_file(path: Path, vkey: str) -> Report:
    """The report on a receipt or a proof."""
    with path.open("rb") as file:
        first = file.read(_FIRST_BYTES)
    return verify_receipt(path, vkey) if is_receipt(first) else verify_proof(path, vkey)
