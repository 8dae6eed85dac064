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
from pdp.audit.checkpoint import CheckpointError, format_vkey, unproved_checkpoint
from pdp.audit.disk import Folder, MemberError
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, ManifestError, parse_manifest
from pdp.audit.mirror import EVIDENCE
from pdp.audit.mirror_folder import MARK
from pdp.audit.policy import Policy, TrustPolicyError, read_policy, trusts
from pdp.audit.reader import read_checkpoint
from pdp.audit.report import FORK, INCOMPLETE, INVALID, OUR_FAULT, SOUND, STALE, Finding, Report
from pdp.audit.rotation import RotationError, open_signed
from pdp.audit.verify import Progress, verify_log
from pdp.audit.verify_trust import Wanted
from pdp.cli.audit_verify_file import checked_file
from pdp.cli.audit_verify_text import as_text, to_json
from pdp.cli.log_keys import KEY_HELP, GivenKey, claimed_name, given_bytes, given_key, other_key, stands
from pdp.cli.options import config_option, configured, json_option, path_type, shown_path, state_option
from pdp.cli.record_bar import RecordBar
from pdp.errors import PolicyError
from pdp.runtime.store import BundleStore
from pdp.state import State


class _Log(Struct, frozen=True):
    """One log that is to be verified: its folder, the state it belongs to (None: it stands elsewhere), and its key."""

    folder: Path
    state: State | None
    key: GivenKey


class _Asked(Struct, frozen=True):
    """What a log is held to, and the files that were named for it: a checkpoint, and one of heads."""

    wanted: Wanted
    known_head: Path | None
    heads: Path | None


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
            reports = [checked_file(record, keys[0] if keys else None, own_key)]
        else:
            witnesses = witnesses or (None if folders else config.log.witness_policy)
            wanted = Wanted(
                known_head=None if known_head is None else _known_head(known_head),
                policy=None if witnesses is None else _policy(witnesses),
                max_age_s=max_age,
                now_us=time.time_ns() // 1000,
            )
            if heads is not None and stands(heads.is_dir):
                raise click.UsageError(f"--heads: {shown_path(heads)} is a folder: name the file of heads")
            logs = _logs(place, folders, [given_key(key, own_key) for key in keys or (None,)])
            reports = [_checked(log, _Asked(wanted, known_head, heads), bar.show) for log in logs]
    except OSError as error:
        click.echo(f"error: the log cannot be read: {error}", err=True)
        ctx.exit(OUR_FAULT)
    finally:
        bar.close()
    click.echo(to_json(reports) if as_json else "\n\n".join(map(as_text, reports)))
    ctx.exit(max(report.exit_code for report in reports))


def _known_head(path: Path) -> bytes:
    """The checkpoint in a file that was named. Errors: UsageError for what is none."""
    data = given_bytes(path, "--known-head")
    try:
        unproved_checkpoint(data)
    except CheckpointError as error:
        detail = f"--known-head: {shown_path(path)} is no checkpoint: {error.detail}"
        raise click.UsageError(f"{detail}; a file of heads is named with --heads") from error
    return data


def _policy(path: Path) -> Policy:
    """The policy of witnesses in a file that was named. Errors: UsageError; TrustPolicyError A640."""
    try:
        return read_policy(path)
    except TrustPolicyError as error:
        raise TrustPolicyError(error.code, f"{shown_path(path)}: {error.detail}") from error
    except OSError as error:
        detail = f"the policy of witnesses {shown_path(path)} cannot be read: {error.strerror}"
        raise click.UsageError(f"{detail}; name another with --witnesses") from error


def _logs(place: State, folders: Sequence[Path], keys: Sequence[GivenKey]) -> Iterator[_Log]:
    """The logs that are asked for, each with the key that has its name; a single key is that of every one."""
    for folder in folders or (place.log,):
        if not stands(folder.is_dir):
            raise click.UsageError(f"there is no log folder {folder}: name one with --state or --log")
        key = keys[0]
        if len(keys) > 1:
            named = [each for each in keys if each.verifier.name == claimed_name(Folder(folder))]
            if len(named) != 1:
                raise click.UsageError(f"not one of the keys is that of the log in {folder}: name one --key for each")
            key = named[0]
        yield _Log(folder, None if folders else place, key)


def _checked(log: _Log, asked: _Asked, progress: Progress) -> Report:
    """The report on one log, with what there is to know besides; what is sound is remembered in the file of heads."""
    anchor = log.key.verifier
    vkey, wanted = format_vkey(anchor.name, anchor.public), asked.wanted
    if wanted.policy is not None and not trusts(wanted.policy, anchor):
        raise TrustPolicyError("A640", f"--witnesses names other logs and not {anchor.name!a}: see its `log` lines")
    if log.state is not None:
        wanted = replace(wanted, wrong_with=_Bundles(log.state).wrong_with)
    if asked.heads is not None:
        wanted = replace(wanted, remembered=known.known_head(asked.heads, anchor.name, vkey))
    asked = replace(asked, wanted=wanted)
    wal = None if log.state is None else log.state.wal
    try:
        report = verify_log(log.folder, wal, vkey, progress, wanted)
    except CheckpointError as error:
        named = [shown_path(each) for each in (asked.known_head, asked.heads) if each is not None]
        detail = f"of {' or '.join(named)}: {error.detail}" if named else error.detail
        raise CheckpointError(error.code, detail) from error
    if asked.heads is not None:
        report = _remembered(log, report, asked.heads, vkey)
    return replace(report, notes=(*report.notes, *_told(log, report, asked)))


def _told(log: _Log, report: Report, asked: _Asked) -> Iterator[str]:
    """What is no finding, and good to know: the heads it was held to, the key that was meant, what a mirror kept."""
    if report.exit_code in {SOUND, STALE}:
        for path, head in ((asked.known_head, asked.wanted.known_head), (asked.heads, asked.wanted.remembered)):
            if path is not None and head is not None:
                yield f"it continues the {unproved_checkpoint(head).size:,} records of the head in {shown_path(path)}"
    if report.exit_code == SOUND and asked.heads is not None and asked.wanted.remembered is None:
        anchor = log.key.verifier
        began = known.known_head(asked.heads, anchor.name, format_vkey(anchor.name, anchor.public)) is not None
        then = "begins with this one" if began else "does not begin yet, since the log went on meanwhile: ask again"
        yield f"no head was known: {shown_path(asked.heads)} {then}"
    if report.exit_code == INVALID and (meant := other_key(Folder(log.folder), log.key)) is not None:
        yield meant
    if stands((log.folder / MARK).is_file) and Folder(log.folder).names(EVIDENCE):
        yield f"what contradicted this mirror is kept in {shown_path(log.folder / EVIDENCE)}"


def _remembered(log: _Log, report: Report, heads: Path, vkey: str) -> Report:
    """The report with what the file of heads makes of it."""
    is_fork = any(each.code == FORK for each in report.findings)
    seen = read_checkpoint(Folder(log.folder)) if report.exit_code == SOUND or is_fork else None
    if report.exit_code == SOUND and seen is not None and _is_verified(log, seen, report):
        try:
            known.remember(heads, vkey, seen)
        except known.ForkError as error:
            finding = Finding(FORK, "checkpoint", error.detail)
            report, is_fork = replace(report, exit_code=FORK, findings=(*report.findings, finding)), True
    if is_fork and seen is not None:
        return _with_evidence(report, heads, vkey, seen)
    return report


def _is_verified(log: _Log, seen: bytes, report: Report) -> bool:
    """Whether a checkpoint, read again, is the one that was verified: a folder may change meanwhile."""
    try:
        manifest = Folder(log.folder).read(MANIFEST, MOST_MANIFEST_BYTES)
        checkpoint = open_signed(seen, parse_manifest(manifest, log.key.verifier)).checkpoint
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
