"""What a log is held to from outside its records: its keys, heads remembered elsewhere, its witnesses.

`read_claims` says, before the walk through the tree, what is claimed and at which sizes the root must be known; after
the walk `check_claims` compares. Findings:

    invalid     the checkpoint or a change of keys is not signed, announced or dated as it must be; the tree has another
                root than the one that a change of keys sealed
    fork        a known head, or what witnesses cosigned, covers more, or another history
    stale       no quorum of witnesses cosigned, or they did so too long ago

INVARIANT: nothing of the log is believed but what a key of its own signed, and those keys lead to the anchor, which
    comes from the caller (pdp.audit.manifest).
Design: audit.md 4.4 (4, 6, 7); contracts.md "Exit codes of `audit verify`".

Decision: 2026-11-21. What witnesses cosigned is read before the checkpoint, and the manifest after it: a log at work
    writes them in the other order, and must not look rolled back or signed by a stranger.
Decision: 2026-11-21. A head whose key the manifest ends before it is a fork, not a mistake of the caller: somebody
    signed on with a key that the log says was destroyed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from pdp.audit.checkpoint import MOST_BYTES, Checkpoint, CheckpointError, Verifier
from pdp.audit.disk import Files, MemberError
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, ManifestError, Succession, parse_manifest
from pdp.audit.policy import Policy, Witnessed, open_witnessed
from pdp.audit.reader import read_checkpoint
from pdp.audit.report import FORK, INCOMPLETE, INVALID, STALE, Findings
from pdp.audit.rotation import SKEW_S, Announced, RotationError, Signed, check_announced, check_time, open_signed, seals
from pdp.audit.tiles import CHECKPOINT, WITNESSED

WITNESS_BEHIND_S = 900
"""So old the newest quorum may be where the caller states no age (audit.md 4.6)."""


class Wanted(Struct, frozen=True):
    """What is asked beyond the log itself: remembered heads (checkpoints), witnesses, how old it may be; and, where
    stored policies are to be looked at, what is wrong with that of a digest: an exit code and a text, None for nothing.
    """

    known_head: bytes | None = None
    remembered: bytes | None = None
    policy: Policy | None = None
    wrong_with: Callable[[str], tuple[int, str] | None] | None = None
    max_age_s: int | None = None
    now_us: int = 0


class Claims(Struct, frozen=True):
    """What is claimed of a log: its checkpoint, who its keys are, and what others know of it."""

    signed: Signed
    succession: Succession
    heads: tuple[Checkpoint, ...]
    witnessed: Witnessed | None

    @property
    def checkpoint(self) -> Checkpoint:
        """How large the log is."""
        return self.signed.checkpoint

    @property
    def marks(self) -> tuple[int, ...]:
        """The sizes within the tree at which its root is to be known, in order."""
        others = () if self.witnessed is None else (self.witnessed.signed.checkpoint,)
        known = (*seals(self.succession), *self.heads, *others)
        return tuple(sorted({each.size for each in known if each.size <= self.checkpoint.size}))


def read_claims(log: Files, anchor: Verifier, wanted: Wanted, findings: Findings) -> Claims | None:
    """What is claimed, as far as it is signed; None, and a finding, where the checkpoint is not.

    Errors: CheckpointError for a remembered head that is no checkpoint of this log; OSError.
    """
    witnessed = None if wanted.policy is None else _read(log, WITNESSED, MOST_BYTES, findings)
    data = _checkpoint(log, findings)
    if data is None:
        return None
    try:
        succession = parse_manifest(log.read(MANIFEST, MOST_MANIFEST_BYTES), anchor)
    except (ManifestError, CheckpointError, RotationError) as error:
        findings.add(INVALID, MANIFEST, str(error))
        return None
    except MemberError as error:
        findings.add(INVALID, error.path, error.text)
        return None
    heads = tuple(
        head
        for given in (wanted.known_head, wanted.remembered)
        if given is not None and (head := _head(given, succession, findings)) is not None
    )
    try:
        signed = open_signed(data, succession)
    except (CheckpointError, RotationError) as error:
        findings.add(INVALID, CHECKPOINT, str(error))
        return None
    sealed = max((each.size for each in seals(succession)), default=0)
    if sealed > signed.checkpoint.size and _checkpoint(log, findings) == data:  # else its keys changed just now
        text = f"it covers {signed.checkpoint.size} records, a change of keys sealed {sealed}: the log was rolled back"
        findings.add(FORK, CHECKPOINT, text)
    return Claims(signed, succession, heads, _witnessed(witnessed, succession, wanted, findings))


def check_claims(
    claims: Claims,
    roots: Mapping[int, Sequence[bytes]],
    announced: Sequence[Announced] | None,
    newest_us: int | None,
    wanted: Wanted,
    findings: Findings,
) -> None:
    """Compare what is claimed with the tree.

    Shapes: `roots` those derived at each of `Claims.marks`, none where nothing could be derived; `announced` every
        record of that kind, None where not every record was read; `newest_us` as in the report.
    """
    for seal in seals(claims.succession):
        derived = roots.get(seal.size, ())
        if derived and seal.root not in derived:
            text = f"at {seal.size} records its root is another than the one that a change of keys sealed"
            findings.add(INVALID, MANIFEST, text)
    for head in claims.heads:
        _check_growth(claims.checkpoint, head, "the known head", roots, findings)
    if wanted.policy is not None:
        _check_witnesses(claims, roots, wanted, findings)
    try:
        check_time(claims.signed, (), newest_us)
        if announced is not None:
            check_announced(claims.succession, announced, claims.checkpoint.size, newest_us)
    except RotationError as error:
        findings.add(INVALID, MANIFEST, str(error))
    _check_age(newest_us, wanted, findings)


def check_policies(digests: Mapping[str, int], wanted: Wanted, findings: Findings) -> None:
    """Look at the stored policy of every digest that a record of the tree put in force, by index of the record."""
    if wanted.wrong_with is None:
        return
    for digest, index in digests.items():
        wrong = wanted.wrong_with(digest)
        if wrong is not None:
            findings.add(wrong[0], f"record {index}", f"of the policy that it put in force: {wrong[1]}")


def _checkpoint(log: Files, findings: Findings) -> bytes | None:
    try:
        data = read_checkpoint(log)
    except MemberError as error:
        findings.add(INVALID, error.path, error.text)
        return None
    if data is None:
        findings.add(INCOMPLETE, CHECKPOINT, "there is none: nothing in this folder is signed")
    return data


def _read(log: Files, path: str, most: int, findings: Findings) -> bytes | None:
    try:
        return log.read(path, most)
    except MemberError as error:
        findings.add(INVALID, error.path, error.text)
        return None


def _head(data: bytes, succession: Succession, findings: Findings) -> Checkpoint | None:
    try:
        return open_signed(data, succession).checkpoint
    except RotationError as error:
        findings.add(FORK, CHECKPOINT, f"the known head does not fit the keys of the log: {error.detail}")
        return None


def _witnessed(data: bytes | None, succession: Succession, wanted: Wanted, findings: Findings) -> Witnessed | None:
    if data is None or wanted.policy is None:
        return None
    try:
        found = open_witnessed(data, succession, wanted.policy, wanted.now_us // 1_000_000)
        if found.cosignatures:
            check_time(found.signed, found.cosignatures, None)
    except (CheckpointError, RotationError) as error:
        findings.add(INVALID, WITNESSED, str(error))
        return None
    return found


def _check_growth(
    checkpoint: Checkpoint, known: Checkpoint, named: str, roots: Mapping[int, Sequence[bytes]], findings: Findings
) -> None:
    derived = roots.get(known.size, ())
    if known.size > checkpoint.size:
        text = f"it covers {checkpoint.size} records, {named} covers {known.size}: the log was rolled back"
        findings.add(FORK, CHECKPOINT, text)
    elif derived and known.root not in derived:
        text = f"at {known.size} records its root is another than that of {named}: it is another history"
        findings.add(FORK, CHECKPOINT, text)


def _check_witnesses(claims: Claims, roots: Mapping[int, Sequence[bytes]], wanted: Wanted, findings: Findings) -> None:
    found = claims.witnessed
    if found is None:
        findings.add(STALE, WITNESSED, "no quorum of witnesses cosigned a checkpoint of this log")
        return
    _check_growth(claims.checkpoint, found.signed.checkpoint, "what witnesses cosigned", roots, findings)
    allowed_s = WITNESS_BEHIND_S if wanted.max_age_s is None else wanted.max_age_s
    if found.since_s is None:
        findings.add(STALE, WITNESSED, "too few of the witnesses that are asked for cosigned it")
    elif (age_s := wanted.now_us // 1_000_000 - found.since_s) > allowed_s:
        findings.add(STALE, WITNESSED, f"witnesses cosigned last {age_s} s ago, {allowed_s} s are allowed")


def _check_age(newest_us: int | None, wanted: Wanted, findings: Findings) -> None:
    if wanted.max_age_s is None:
        return
    if newest_us is None:
        findings.add(STALE, CHECKPOINT, "no record under it states a time")
    elif (age_s := (wanted.now_us - newest_us) // 1_000_000) < -SKEW_S:
        findings.add(STALE, CHECKPOINT, f"a record under it states a time {-age_s} s ahead: how old it is is not known")
    elif age_s > wanted.max_age_s:
        findings.add(
            STALE, CHECKPOINT, f"the newest record under it is {age_s} s old, {wanted.max_age_s} s are allowed"
        )
