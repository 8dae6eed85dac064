"""Signed checkpoints: one spelling, one key, nothing believed before it is proved."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import (
    Checkpoint,
    CheckpointError,
    Verifier,
    format_vkey,
    join_note,
    open_checkpoint,
    open_note,
    parse_signatures,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    split_note,
    unproved_checkpoint,
    verifier_of,
)
from tests.support.logs import KEY, ORIGIN, OTHER_KEY, VKEY

ROOT = bytes(range(32))
SIGNED = sign_checkpoint(ORIGIN, 1234, ROOT, KEY)
OURS = parse_vkey(VKEY)

PEER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PEER_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""SOURCE: the example of the package documentation of golang.org/x/mod/sumdb/note: a key and a note of others."""


def signed_text(text: str, key_name: str = ORIGIN) -> bytes:
    """Any text under a good signature."""
    blob = base64.b64encode(OURS.key_id + KEY.sign(text.encode())).decode()
    return f"{text}\n\u2014 {key_name} {blob}\n".encode()


def test_a_checkpoint_opens_to_what_was_signed() -> None:
    assert open_checkpoint(SIGNED, OURS) == Checkpoint(ORIGIN, 1234, ROOT)
    assert unproved_checkpoint(SIGNED) == Checkpoint(ORIGIN, 1234, ROOT)


def test_the_form_of_the_specification() -> None:
    lines = SIGNED.decode().split("\n")
    assert lines[:4] == [ORIGIN, "1234", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith(f"\u2014 {ORIGIN} ")
    assert lines[5:] == [""]


def test_the_key_and_the_note_of_another_implementation() -> None:
    """The signature is good; only then it is seen that the text is no checkpoint."""
    with pytest.raises(CheckpointError, match="A605"):
        open_checkpoint(PEER_NOTE.encode(), parse_vkey(PEER))
    with pytest.raises(CheckpointError, match="A604"):
        open_checkpoint(PEER_NOTE.replace("answer", "Answer").encode(), parse_vkey(PEER))


def test_a_verifier_key_reads_back() -> None:
    public = KEY.public_key().public_bytes_raw()
    assert parse_vkey(VKEY + "\n") == Verifier(ORIGIN, OURS.key_id, public)
    assert format_vkey(ORIGIN, public) == VKEY
    assert format_vkey("PeterNeumann", parse_vkey(PEER).public) == PEER


BAD_KEYS = {
    "nothing": "",
    "a name alone": "log",
    "no key": "log+00000000+",
    "an id that is not the key's": VKEY.replace(f"+{OURS.key_id.hex()}+", "+00000000+"),
    "an id in capitals": VKEY.replace(OURS.key_id.hex(), OURS.key_id.hex().upper()),
    "a name with a space": VKEY.replace("test", "te st"),
    "another algorithm": f"{ORIGIN}+{OURS.key_id.hex()}+{base64.b64encode(bytes([4]) + OURS.public).decode()}",
    "a key of 31 bytes": f"{ORIGIN}+{OURS.key_id.hex()}+{base64.b64encode(bytes([1]) + OURS.public[:-1]).decode()}",
    "an escape in the name": VKEY.replace("test", "te\x1b[2Jst"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_bad_keys(name: str) -> None:
    with pytest.raises(CheckpointError, match="A601"):
        parse_vkey(BAD_KEYS[name])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a\u202eb"])
def test_names_that_cannot_name_a_log(name: str) -> None:
    with pytest.raises(CheckpointError, match="A601"):
        format_vkey(name, bytes(32))
    with pytest.raises(CheckpointError, match="A601"):
        sign_checkpoint(name, 0, ROOT, KEY)


TEXT, SIGNATURE = SIGNED.decode().split("\n\n")
ROOT64 = base64.b64encode(ROOT).decode()
REFUSED = {
    "empty": (b"", "A602"),
    "no signature": (f"{TEXT}\n".encode(), "A602"),
    "a blank line and no signature": (f"{TEXT}\n\n".encode(), "A602"),
    "the signature without its newline": (SIGNED[:-1], "A602"),
    "a line after the signature": (SIGNED + b"more\n", "A602"),
    "carriage returns": (SIGNED.replace(b"\n", b"\r\n"), "A602"),
    "a byte that is not UTF-8": (SIGNED.replace(b"1234", b"12\xff4"), "A602"),
    "a hyphen in place of the dash": (SIGNED.replace("\u2014".encode(), b"-"), "A602"),
    "base64 with a line break": (SIGNED[:-2] + b"\n=\n", "A602"),
    "more bytes than are read": (SIGNED + b"\xe2\x80\x94 w AAAAAAAA\n" * 5000, "A602"),
    "a foreign key": (sign_checkpoint(ORIGIN, 1234, ROOT, OTHER_KEY), "A603"),
    "another name": (sign_checkpoint("other", 1234, ROOT, KEY), "A603"),
    "two signatures by the key": (SIGNED + SIGNATURE.encode(), "A603"),
    "another size": (SIGNED.replace(b"1234", b"1235"), "A604"),
    "a size with a zero before it, signed": (signed_text(f"{ORIGIN}\n01234\n{ROOT64}\n"), "A605"),
    "a negative size, signed": (signed_text(f"{ORIGIN}\n-1\n{ROOT64}\n"), "A605"),
    "an empty size, signed": (signed_text(f"{ORIGIN}\n\n{ROOT64}\n"), "A605"),
    "a size of Arabic digits, signed": (signed_text(f"{ORIGIN}\n\u0661\n{ROOT64}\n"), "A605"),
    "a root of 31 bytes, signed": (signed_text(f"{ORIGIN}\n1\n{base64.b64encode(ROOT[1:]).decode()}\n"), "A605"),
    "an extension line, signed": (signed_text(f"{ORIGIN}\n1\n{ROOT64}\nextra\n"), "A605"),
    "the checkpoint of another log under our key, signed": (signed_text(f"other\n1\n{ROOT64}\n"), "A606"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_checkpoints(name: str) -> None:
    data, code = REFUSED[name]
    with pytest.raises(CheckpointError, match=code):
        open_checkpoint(data, OURS)


def test_no_byte_of_a_checkpoint_is_idle() -> None:
    for at in range(len(SIGNED)):
        for bit in (1, 0x20, 0x80):
            changed = SIGNED[:at] + bytes([SIGNED[at] ^ bit]) + SIGNED[at + 1 :]
            with pytest.raises(CheckpointError):
                open_checkpoint(changed, OURS)


def test_a_witness_beside_our_signature_is_passed_over() -> None:
    witness = sign_checkpoint("witness.example/w", 1, ROOT, OTHER_KEY).decode().split("\n\n")[1]
    assert open_checkpoint(SIGNED + witness.encode(), OURS).size == 1234
    assert open_checkpoint(f"{TEXT}\n\n{witness}{SIGNATURE}".encode(), OURS).size == 1234


def test_a_note_taken_apart_and_put_together_is_the_same() -> None:
    witness = sign_checkpoint("witness.example/w", 1, ROOT, OTHER_KEY).split(b"\n\n")[1]
    for data in (SIGNED, SIGNED + witness, PEER_NOTE.encode(), sign_note("a\n\nb\n", "x", KEY)):
        note = split_note(data)
        assert join_note(note) == data
        assert all(f"{signature}\n".encode() in data for signature in note.signatures)


def test_a_note_that_is_no_checkpoint() -> None:
    """An empty line may stand in the text; the last one ends it."""
    note = split_note(sign_note("a\n\nb\n", ORIGIN, KEY))
    assert open_note(note, OURS) == "a\n\nb\n"
    with pytest.raises(CheckpointError, match="A603"):
        open_note(note, verifier_of(ORIGIN, OTHER_KEY))
    with pytest.raises(ValueError, match="newline"):
        sign_note("a", ORIGIN, KEY)


def test_sixteen_signatures_and_more_are_read() -> None:
    keys = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(1, 33)]
    lines = b"".join(sign_checkpoint(ORIGIN, 1234, ROOT, key).split(b"\n\n")[1] for key in keys)
    note = split_note(SIGNED + lines)
    assert len(note.signatures) == 33
    assert [open_note(note, verifier_of(ORIGIN, key)) for key in keys] == [note.text] * 32


def test_signature_lines_that_stand_alone() -> None:
    line = SIGNATURE.encode()
    assert parse_signatures(line * 2) == split_note(SIGNED).signatures * 2
    for refused in (b"", b"\n", line[:-1], b"\n" + line, line + b"\n", line + b"text\n", line + b"\xff\n", line * 5000):
        with pytest.raises(CheckpointError, match="A602"):
            parse_signatures(refused)


@pytest.mark.parametrize(("size", "root"), [(-1, ROOT), (10**18, ROOT), (1, ROOT[1:])])
def test_an_impossible_checkpoint_is_not_signed(size: int, root: bytes) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        sign_checkpoint(ORIGIN, size, root, KEY)
