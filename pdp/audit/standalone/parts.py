"""The parts of a receipt: a ZIP file in, its members out, each checked against the list in receipt.json.

    receipt.json       format, id of the record, SHA-256 of every other part
    leaf.json          the record                      proof.tlog-proof   that it is in the log
    checkpoint         the signed state of the log     log.vkey           its key, for convenience
    correction.*       the record that corrects it, if one does, and its proof
    inputs.json        what the box of the record holds, as disclosed; inputs.random: the 32 bytes hashed before it
    bundle.json        the files of the policy, by hash, and policy/…, those that are disclosed
    ir.json            what they compiled to; activated.*: the record that put it in force, and its proof
    manifest           the later keys of the log, where it has any; verify.py: this program

The list guards against accidents; what cannot be forged is bound to the checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping

from pdp.audit.standalone.reading import INCOMPLETE, ReceiptError, canonical_json, items, read_json, shown, texts

FORMAT = 1
LANGUAGE = 1
MOST_BYTES = 512 * 1024 * 1024
MOST_JSON_BYTES = 64 * 1024 * 1024
SMALL_BYTES = 256 * 1024
STATED, LEAF, PROOF, CHECKPOINT = "receipt.json", "leaf.json", "proof.tlog-proof", "checkpoint"
CORRECTION, CORRECTION_PROOF = "correction.json", "correction.tlog-proof"
INPUTS, RANDOM, BUNDLE, IR = "inputs.json", "inputs.random", "bundle.json", "ir.json"
ACTIVATED, ACTIVATED_PROOF = "activated.json", "activated.tlog-proof"
POLICY, VKEY, MANIFEST, VERIFY = "policy/", "log.vkey", "manifest", "verify.py"


def is_too_large(part: zipfile.ZipInfo) -> bool:
    """Whether a part is larger than one of its name can be: a few bytes, unpacked and read as JSON, fill a memory."""
    if part.filename.startswith(POLICY) or part.filename == VERIFY:
        return part.file_size > MOST_BYTES
    return part.file_size > (MOST_JSON_BYTES if part.filename in {IR, BUNDLE, MANIFEST} else SMALL_BYTES)


def read_parts(data: bytes) -> dict[str, bytes]:
    """The parts of a receipt, which must be those that receipt.json lists. Errors: ReceiptError."""
    if not data.startswith(b"PK"):
        raise ReceiptError("this is no receipt: it is no ZIP file")
    broken = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            plain = {each.compress_type for each in listed} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
            large = sum(each.file_size for each in listed) > MOST_BYTES or any(map(is_too_large, listed))
            if not plain or large or not data.startswith(b"PK\x03\x04"):
                raise ReceiptError("the receipt is larger than one can be, or packed in another way")
            parts = {each.filename: archive.read(each) for each in listed}
    except broken as error:
        raise ReceiptError(f"the receipt cannot be read: {shown(error.__class__.__name__)}: {shown(error)}") from error
    if len(parts) != len(listed):
        raise ReceiptError("a part of the receipt stands twice")
    if STATED not in parts:
        raise ReceiptError(f"{STATED} is missing: it was taken out, or this is a ZIP file and no receipt", INCOMPLETE)
    stated = read_json(parts[STATED], STATED)
    members = stated.get("members")
    known = stated.get("format") == FORMAT and stated.keys() == {"format", "id", "members"}
    if not known or not isinstance(members, dict) or canonical_json(stated) != parts[STATED]:
        raise ReceiptError(f"{STATED} is not that of a receipt of format {FORMAT}")
    if missing := sorted({*members, LEAF, PROOF, CHECKPOINT} - parts.keys()):
        raise ReceiptError(f"{shown(missing[0])} is missing", INCOMPLETE)
    for name, part in parts.items():
        if name != STATED and members.get(name) != hashlib.sha256(part).hexdigest():
            raise ReceiptError(f"{shown(name)} is not what {STATED} lists")
    if read_json(parts[LEAF], LEAF).get("id") != stated["id"]:
        raise ReceiptError(f"{LEAF} is another record than {STATED} names")
    return parts


def read_bundle(parts: Mapping[str, bytes], digest: str) -> tuple[int, int]:
    """How many policy files are here, and how many are named by hash alone. Errors: ReceiptError."""
    if hashlib.sha256(parts[BUNDLE]).hexdigest() != digest:
        raise ReceiptError("bundle.json does not have the policy digest that the record names")
    stated = read_json(parts[BUNDLE], BUNDLE)
    listed = dict(map(texts, items(stated.get("files"))))
    if stated.get("language") != LANGUAGE:
        raise ReceiptError("the policy is of another version of the language than this program knows")
    here = [name for name in parts if name.startswith(POLICY)]
    for name in here:
        if listed.get(name.removeprefix(POLICY)) != hashlib.sha256(parts[name]).hexdigest():
            raise ReceiptError(f"{shown(name)} is no file of the policy that decided")
    return len(here), len(listed) - len(here)
