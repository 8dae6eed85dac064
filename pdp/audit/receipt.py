"""One record as one file that proves it to a stranger.

The places of a log and the id of a record come in; out come the bytes of a ZIP file, the same for the same log, whose
parts pdp/audit/standalone/parts.py lists. It proves that the record is in the log under a signed checkpoint. Where it
is to disclose, it also holds the opened inputs, the policy and its compiled form, so that `verify.py`, which it
carries, derives the answer again.

INVARIANT: without `disclosed` nothing leaves that the checkpoint and the clear part of the leaf do not say already.
INVARIANT: of facts nothing leaves but the rows that the decision looked up, of settings nothing but those in force.
INVARIANT: what is handed out was examined before as whoever gets it will; a log that does not prove its own record
    gives no receipt.
Design: audit.md 3.1, 4.4 (5); contracts.md "Bundles, places, configuration". Specification: C2SP tlog-proof.

Decision: 2026-11-21. A record that was corrected (`answer.changed`) is never handed out without its correction.
Decision: 2026-11-21. A record says which policy decided, not in which compiled form. That is the form which the last
`policy.activated` of that policy before it states. Where this version compiles to another, the form is left out: then
nothing can be derived from the receipt, and it says so.
Decision: 2026-11-21. The compiled form is compiled anew, not stored: of the same version it is the same. Models and
rows of Casbin belong to the policy and are disclosed with it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files as resources
from pathlib import Path, PurePosixPath

from msgspec import Struct

from pdp.audit.checkpoint import unproved_checkpoint
from pdp.audit.corrections import correction_of
from pdp.audit.disk import Files
from pdp.audit.leaf import Leaf, parse
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, seal_notes
from pdp.audit.opened import Opened, found_record
from pdp.audit.proof import encode_proof, prove_record
from pdp.audit.reader import Found, log_files, read_bundle, read_checkpoint, tree_size
from pdp.audit.standalone import parts as of
from pdp.audit.standalone.joined import joined
from pdp.audit.standalone.signed_log import read_key
from pdp.audit.standalone.verify import Outcome, examine
from pdp.audit.tiles import ENTRIES, refs_from_the_end
from pdp.errors import StateError
from pdp.runtime.bundle import LANGUAGE_VERSION, ZIP_EPOCH, Bundle
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.ir import codec as ir_codec

ACTIVATED_KIND = "policy.activated"


class Disclosed(Struct, frozen=True):
    """What is shown beyond the log: the opened box, None where the record has none; the policy that decided, None where
    none was asked, and what `compiled_form` makes of it.
    """

    opened: Opened | None
    bundle: Bundle | None
    compiled: bytes | None


class Receipt(Struct, frozen=True):
    """The bytes of a receipt, and what whoever examines them finds."""

    data: bytes
    outcome: Outcome


def make_receipt(log: Path, wal: Path, vkey: str, record_id: str, disclosed: Disclosed | None = None) -> Receipt | None:
    """The receipt of a record; None where there is no such record. `vkey` is the key of the log.

    Errors: StateError S120 for no id or no log; S151 where no checkpoint covers the record yet; S152 where the log does
        not prove its own record. As `pdp.audit.reader.find` besides.
    """
    found = found_record(log, wal, record_id)
    if found is None:
        return None
    folder = log_files(log)
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        raise StateError("S151", f"the log has no checkpoint yet: `pdp serve` signs one within a second of {record_id}")
    leaf = parse(found.leaf)
    members = {of.CHECKPOINT: checkpoint, of.VKEY: f"{vkey}\n".encode(), of.VERIFY: verifier().encode()}
    manifest = folder.read(MANIFEST, MOST_MANIFEST_BYTES)
    if manifest is not None:
        members[of.MANIFEST] = manifest
    signed = (*seal_notes(manifest), checkpoint)
    members |= _proved(folder, signed, found, of.LEAF, of.PROOF)
    corrected = correction_of(log, wal, leaf.id)
    if corrected is not None and (other := found_record(log, wal, corrected.id)) is not None:
        members |= _proved(folder, signed, other, of.CORRECTION, of.CORRECTION_PROOF)
    if disclosed is not None:
        members |= _disclosed(folder, signed, found, disclosed)
    data = pack_receipt(members, leaf.id)
    outcome = examine(data, read_key(vkey))
    if outcome.code and outcome.agrees is None:
        detail = f"the log does not prove its record {leaf.id}: {outcome.lines[-1]}; run `pdp audit verify`"
        raise StateError("S152", detail)
    return Receipt(data, outcome)


def pack_receipt(members: Mapping[str, bytes], record_id: str) -> bytes:
    """The file that holds these parts and the list of them: the same bytes for the same parts."""
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    stated = {"format": of.FORMAT, "id": record_id, "members": listed}
    whole = {of.STATED: json.dumps(stated, sort_keys=True, separators=(",", ":")).encode(), **members}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(whole):
            info = zipfile.ZipInfo(name, ZIP_EPOCH)
            info.create_system = 3  # else it depends on where the file was written
            archive.writestr(info, whole[name], zipfile.ZIP_DEFLATED)
    return out.getvalue()


def verifier() -> str:
    """The program that a receipt carries."""
    folder = resources("pdp.audit.standalone")
    return joined(lambda name: folder.joinpath(f"{name}.py").read_text())


def compiled_form(bundle: Bundle) -> bytes | None:
    """What the files of a bundle compile to, serialised; None where this version takes them for no policy."""
    try:
        return ir_codec.dump(compile_policy(bundle.files, bundle.settings).program)
    except CompileError:
        return None


def policy_text(bundle: Bundle) -> bytes:
    """The list of files whose SHA-256 is the digest of a bundle. Errors: ValueError where it is not."""
    listed = [[path, hashlib.sha256(bundle.files[path]).hexdigest()] for path in sorted(bundle.files)]
    stated = {"files": listed, "language": LANGUAGE_VERSION, "settings": bundle.settings or ""}
    text = json.dumps(stated, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    if hashlib.sha256(text).hexdigest() != bundle.digest:
        raise ValueError("the digest of a bundle is that of another list than is written here")
    return text


def _proved(folder: Files, signed: Sequence[bytes], found: Found, leaf: str, proof: str) -> dict[str, bytes]:
    """A record and its proof, under the names of their parts.

    Shapes: `signed` the seals of the log and its checkpoint, oldest first: what is sealed is proved by the key of its
        time, and no later one has to be believed for it.
    """
    index = found.where
    for note in signed:
        if index != "wal" and index < unproved_checkpoint(note).size:
            return {leaf: found.leaf, proof: encode_proof(prove_record(folder, index, note))}
    raise StateError("S151", "no checkpoint covers the record yet: ask again, `pdp serve` signs one each second")


def _disclosed(folder: Files, signed: Sequence[bytes], found: Found, disclosed: Disclosed) -> dict[str, bytes]:
    """The parts that show inputs and policy."""
    members: dict[str, bytes] = {}
    if disclosed.opened is not None:
        members[of.INPUTS] = disclosed.opened.inputs
        members[of.RANDOM] = f"{disclosed.opened.random.hex()}\n".encode()
    bundle = disclosed.bundle
    if bundle is None:
        return members
    members[of.BUNDLE] = policy_text(bundle)
    shown = {path: data for path, data in bundle.files.items() if not _withheld(path, bundle.settings)}
    members |= {of.POLICY + path: data for path, data in shown.items()}
    activated = None if disclosed.compiled is None else _activation(folder, found, bundle.digest)
    if disclosed.compiled is None or activated is None:
        return members
    if parse(activated.leaf).clear.get("ir") != hashlib.sha256(disclosed.compiled).hexdigest():
        return members
    return members | {of.IR: disclosed.compiled} | _proved(folder, signed, activated, of.ACTIVATED, of.ACTIVATED_PROOF)


def _withheld(path: str, settings: str | None) -> bool:
    """Whether a file of a bundle stays behind: facts, and the settings of other environments."""
    place = PurePosixPath(path)
    if place.suffix == ".pol":
        return False
    if place.parts[0] == "facts":
        return place.suffix in {".csv", ".json"}
    return place.parts[0] == "settings" and place.suffix == ".toml" and place.stem != settings


def _activation(folder: Files, found: Found, digest: str) -> Found | None:
    """The last record before this one that put the policy in force; else the first one after it."""
    after: Found | None = None
    for other in _newest_first(folder):
        leaf = _activates(other.leaf, digest)
        if leaf is None:
            continue
        if isinstance(found.where, int) and isinstance(other.where, int) and other.where < found.where:
            return other
        after = other
    return after


def _newest_first(folder: Files) -> Iterator[Found]:
    """Every record of the tree."""
    for ref in refs_from_the_end(ENTRIES, tree_size(folder)):
        entries = read_bundle(folder, ref)
        for offset in reversed(range(len(entries))):
            yield Found(entries[offset], ref.records[0] + offset, None)


def _activates(entry: bytes, digest: str) -> Leaf | None:
    """The record, where it puts that policy in force; its bytes are searched before it is parsed."""
    if digest.encode() not in entry or ACTIVATED_KIND.encode() not in entry:
        return None
    leaf = parse(entry)
    return leaf if leaf.kind == ACTIVATED_KIND and leaf.clear.get("pb") == digest else None
