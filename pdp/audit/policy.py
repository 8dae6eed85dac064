"""Which logs and witnesses are trusted, and how many witnesses are enough: the tlog-policy file.

The bytes of a file come in, a `Policy` goes out; with it, logs and what witnesses cosigned are judged.

    log <vkey> [<url>]                        group <name> all|any|<k> <name>...
    witness <name> <vkey> [<url>]             quorum <name>|none

INVARIANT: a file that is cut short, or says anything that is not understood, is no policy.
INVARIANT: one witness counts once: no key stands twice, no name is a member of two groups.
Specification: C2SP tlog-policy.

Decision: 2026-11-21. The last line ends in a newline like any other (the specification says so of each line): a file
    that was cut within its last line is refused instead of read as a weaker policy.
Decision: 2026-11-21. At most 256 logs, 256 witnesses and 256 groups are read; the specification asks for 32 of each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct, field

from pdp.audit.checkpoint import CheckpointError, Verifier, parse_vkey
from pdp.audit.cosignature import Cosignature, WitnessKey, find_cosignatures, parse_witness_key
from pdp.audit.manifest import Succession
from pdp.audit.rotation import SKEW_S, Signed, counted, open_signed
from pdp.errors import PdpError

MOST_BYTES = 256 * 1024
MOST_OF_A_KIND = 256

_FOREIGN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_BLANK = re.compile(rb"[ \t]+")
_COUNT = re.compile(rb"[1-9][0-9]{0,3}\Z")
_NONE = b"none"


class TrustPolicyError(PdpError):
    """A file that is no policy. Code: A640."""


class TrustedLog(Struct, frozen=True):
    """A log: its key, under its origin, and where it may be reached."""

    verifier: Verifier
    url: str | None


class TrustedWitness(Struct, frozen=True):
    """A witness: its name within the file, its key, and the prefix of its address."""

    name: bytes
    key: WitnessKey
    url: str | None


class Group(Struct, frozen=True):
    """Witnesses and groups, by name, of which `least` must have witnessed a checkpoint."""

    name: bytes
    least: int
    members: tuple[bytes, ...]


class Witnessed(Struct, frozen=True):
    """A checkpoint of a log, all cosignatures of trusted witnesses over it, and `met_since` of those that count."""

    signed: Signed
    cosignatures: tuple[Cosignature, ...]
    since_s: int | None


class Policy(Struct, frozen=True):
    """A policy; `groups` stand behind what they name. `quorum` is None where no witness is wanted."""

    logs: tuple[TrustedLog, ...]
    witnesses: tuple[TrustedWitness, ...]
    groups: tuple[Group, ...]
    quorum: bytes | None


def parse_policy(data: bytes) -> Policy:
    """Read a policy file. Errors: TrustPolicyError A640, with the number of the line."""
    if len(data) > MOST_BYTES:
        raise TrustPolicyError("A640", f"the policy has {len(data)} bytes, at most {MOST_BYTES} are read")
    lines = data.split(b"\n")
    if lines.pop() != b"":
        raise TrustPolicyError("A640", "the last line of the policy does not end in a newline: it may have been cut")
    draft = _Draft()
    for number, line in enumerate(lines, 1):
        try:
            _take(draft, line)
        except (CheckpointError, TrustPolicyError) as error:
            raise TrustPolicyError("A640", f"line {number} of the policy: {error.detail}") from error
    if not draft.has_quorum:
        raise TrustPolicyError("A640", "the policy has no line `quorum`: say `quorum none` where no witness is wanted")
    return Policy(tuple(draft.logs), tuple(draft.witnesses), tuple(draft.groups), draft.quorum)


def read_policy(path: Path) -> Policy:
    """The policy in a file. Errors: TrustPolicyError A640; OSError."""
    with path.open("rb") as file:
        return parse_policy(file.read(MOST_BYTES + 1))


def is_met(policy: Policy, cosigners: Collection[WitnessKey]) -> bool:
    """Whether these witnesses are enough; with `quorum none` even nobody is."""
    if policy.quorum is None:
        return True
    met = {witness.name for witness in policy.witnesses if witness.key in cosigners}
    for group in policy.groups:
        if sum(member in met for member in group.members) >= group.least:
            met.add(group.name)
    return policy.quorum in met


def met_since(policy: Policy, cosignatures: Sequence[Cosignature]) -> int | None:
    """The latest instant (Unix seconds) from which on the cosignatures made suffice; None where all do not.

    So old ones do not pass for fresh: of a quorum of two, the older one counts. With `quorum none` it is that of the
    newest cosignature.
    """
    newest_first = sorted(cosignatures, key=lambda each: each.time_s, reverse=True)
    for count, each in enumerate(newest_first, 1):
        if is_met(policy, {known.key for known in newest_first[:count]}):
            return each.time_s
    return None


def trusts(policy: Policy, anchor: Verifier) -> bool:
    """Whether the log of that anchor is one of the policy's; a policy that names no log leaves that to others."""
    return not policy.logs or any(each.verifier == anchor for each in policy.logs)


def open_witnessed(data: bytes, succession: Succession, policy: Policy, now_s: int) -> Witnessed:
    """A checkpoint with its cosignatures, proved to be the log's, and since when they suffice.

    Cosignatures made while the log's key was not good do not count, nor those of a time that is still to come.
    Errors: CheckpointError, also for a cosignature of a trusted witness that does not fit; RotationError A642.
    """
    signed = open_signed(data, succession)
    found = find_cosignatures(signed.note, (each.key for each in policy.witnesses))
    good = tuple(each for each in counted(signed.period, found) if each.time_s <= now_s + SKEW_S)
    return Witnessed(signed, found, met_since(policy, good))


class _Draft(Struct):
    """A policy as far as it was read. `defined` are the names, `taken` those that are members of a group."""

    logs: list[TrustedLog] = field(default_factory=list)
    witnesses: list[TrustedWitness] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    quorum: bytes | None = None
    has_quorum: bool = False
    defined: set[bytes] = field(default_factory=lambda: {_NONE})
    taken: set[bytes] = field(default_factory=set)


def _take(draft: _Draft, line: bytes) -> None:
    if _FOREIGN.search(line):
        raise TrustPolicyError("A640", "it has a control character")
    words = [word for word in _BLANK.split(line) if word]
    if not words or words[0].startswith(b"#"):
        return
    match words:
        case [b"log", vkey]:
            _add_log(draft, vkey, None)
        case [b"log", vkey, url]:
            _add_log(draft, vkey, url)
        case [b"witness", name, vkey]:
            _add_witness(draft, name, vkey, None)
        case [b"witness", name, vkey, url]:
            _add_witness(draft, name, vkey, url)
        case [b"group", name, least, *members] if members:
            _add_group(draft, name, least, members)
        case [b"quorum", name]:
            _set_quorum(draft, name)
        case _:
            wanted = "`log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME all|any|K NAME...` or `quorum NAME`"
            raise TrustPolicyError("A640", f"it should read {wanted}")


def _add_log(draft: _Draft, vkey: bytes, url: bytes | None) -> None:
    verifier = parse_vkey(_text(vkey))
    if any(verifier.public == each.verifier.public for each in draft.logs):
        raise TrustPolicyError("A640", "its key stands in an earlier line `log`")
    _check_room(len(draft.logs))
    draft.logs.append(TrustedLog(verifier, None if url is None else _text(url)))


def _add_witness(draft: _Draft, name: bytes, vkey: bytes, url: bytes | None) -> None:
    key = parse_witness_key(_text(vkey))
    if any(key.verifier.public == each.key.verifier.public for each in draft.witnesses):
        raise TrustPolicyError("A640", "its key stands in an earlier line `witness`")
    _check_room(len(draft.witnesses))
    _define(draft, name)
    draft.witnesses.append(TrustedWitness(name, key, None if url is None else _text(url)))


def _add_group(draft: _Draft, name: bytes, least: bytes, members: Sequence[bytes]) -> None:
    _check_room(len(draft.groups))
    for member in members:
        _check_defined(draft, member)
        if member in draft.taken:
            raise TrustPolicyError("A640", f"{_text(member)!r} is a member already: it would count twice")
        draft.taken.add(member)
    _define(draft, name)
    draft.groups.append(Group(name, _least(least, len(members)), tuple(members)))


def _least(word: bytes, members: int) -> int:
    match word:
        case b"all":
            return members
        case b"any":
            return 1
        case _:
            if _COUNT.match(word) is None or int(word) > members:
                raise TrustPolicyError("A640", f"it wants `all`, `any`, or a number from 1 to {members}")
            return int(word)


def _set_quorum(draft: _Draft, name: bytes) -> None:
    if draft.has_quorum:
        raise TrustPolicyError("A640", "there is a line `quorum` already")
    if name != _NONE:
        _check_defined(draft, name)
        draft.quorum = name
    draft.has_quorum = True


def _define(draft: _Draft, name: bytes) -> None:
    if name in draft.defined:
        raise TrustPolicyError("A640", f"{_text(name)!r} is a name already")
    draft.defined.add(name)


def _check_defined(draft: _Draft, name: bytes) -> None:
    if name == _NONE or name not in draft.defined:
        raise TrustPolicyError("A640", f"{_text(name)!r} is no witness or group of an earlier line")


def _check_room(count: int) -> None:
    if count >= MOST_OF_A_KIND:
        raise TrustPolicyError("A640", f"it is one more than the {MOST_OF_A_KIND} of a kind that are read")


def _text(word: bytes) -> str:
    """What is shown, and what keys and addresses are read from; bytes that are no UTF-8 make neither."""
    return word.decode("utf-8", "backslashreplace")
