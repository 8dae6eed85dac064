"""pdp.audit.cosignature: what a known witness signed, when, and nothing else."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import CheckpointError, parse_vkey, sign_checkpoint, split_note
from pdp.audit.cosignature import find_cosignatures, parse_witness_key
from tests.support import second_tlog as tlog
from tests.support.logs import KEY, ORIGIN, VKEY

NAME = "witness.example/w1"
SEED = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
WITNESS_VKEY = tlog.vkey(NAME, 4, SEED.public_key().public_bytes_raw())
WITNESS = parse_witness_key(WITNESS_VKEY)
CHECKPOINT = sign_checkpoint(ORIGIN, 9, bytes(range(32)), KEY)
TEXT = CHECKPOINT.partition(b"\n\n")[0] + b"\n"
T_S = 1_780_000_000
LINE = tlog.cosignature(TEXT, NAME, SEED, T_S)


def test_a_cosignature_of_another_implementation_is_found_with_its_time() -> None:
    (found,) = find_cosignatures(split_note(CHECKPOINT + LINE), [WITNESS])
    assert (found.key, found.time_s) == (WITNESS, T_S)
    assert f"{found.signature}\n".encode() == LINE


PEER_KEY = "witness.example/go+47faef02+BO4x+DyIpxIZpvz5vuDam8ImIFiPWhWmFFVTUE35ZJ5c"
PEER_NOTE = (
    "test.example/log\n1234\n30j31XGpObMR44bsyNB73FjTnO7ujtc99yJ4epVDpn0=\n\n"
    "\u2014 witness.example/go R/rvAgAAAABrAi9YwOVYia79Y/a3EjAOCI9DZF3/dbtY5WExcg4gSNwgA4svjF5pRFXuv48Xrefu8ZGdpXGkbvjt"
    "ptCOCIdAKmFHCw==\n"
)
"""SOURCE: made once by the cosigner of github.com/transparency-dev/formats v0.1.1 (Go) over a checkpoint of ours."""


def test_a_cosignature_made_by_a_program_of_others() -> None:
    (found,) = find_cosignatures(split_note(PEER_NOTE.encode()), [parse_witness_key(PEER_KEY)])
    assert found.time_s == 0x6B022F58
    with pytest.raises(CheckpointError, match="A604"):
        find_cosignatures(split_note(PEER_NOTE.replace("1234", "1235").encode()), [parse_witness_key(PEER_KEY)])


def test_the_key_reads_back() -> None:
    assert WITNESS.vkey == WITNESS_VKEY
    assert WITNESS.verifier.name == NAME


def test_signatures_of_others_are_passed_over() -> None:
    other = tlog.cosignature(TEXT, NAME, KEY, T_S)
    assert find_cosignatures(split_note(CHECKPOINT + other), [WITNESS]) == ()
    assert find_cosignatures(split_note(CHECKPOINT), [WITNESS]) == ()
    assert find_cosignatures(split_note(CHECKPOINT + LINE), []) == ()


def line_of(signed: bytes, key_id: bytes = WITNESS.verifier.key_id) -> bytes:
    return f"\u2014 {NAME} {base64.b64encode(key_id + signed).decode()}\n".encode()


STAMP = T_S.to_bytes(8, "big")
TOO_LATE = 1 << 63
SIGNED = SEED.sign(b"cosignature/v1\ntime %d\n%s" % (T_S, TEXT))
REFUSED = {
    "the signature over another text": (tlog.cosignature(TEXT + b"x\n", NAME, SEED, T_S), "A604"),
    "another time than the one signed": (line_of((T_S + 1).to_bytes(8, "big") + SIGNED), "A604"),
    "a plain signature, without a time": (line_of(SEED.sign(TEXT)), "A604"),
    "a signature over the bare text, with a time before it": (line_of(STAMP + SEED.sign(TEXT)), "A604"),
    "a time of 2^63": (tlog.cosignature(TEXT, NAME, SEED, TOO_LATE), "A604"),
    "a byte too many": (line_of(STAMP + SIGNED + b"\0"), "A604"),
    "a byte too few": (line_of(STAMP + SIGNED[:-1]), "A604"),
    "two by one key": (LINE + tlog.cosignature(TEXT, NAME, SEED, T_S + 1), "A603"),
}


def test_the_lines_made_by_hand_are_else_those_of_the_witness() -> None:
    assert line_of(STAMP + SIGNED) == LINE


@pytest.mark.parametrize("name", REFUSED)
def test_a_known_witness_that_does_not_fit_refuses_the_note(name: str) -> None:
    lines, code = REFUSED[name]
    with pytest.raises(CheckpointError, match=code):
        find_cosignatures(split_note(CHECKPOINT + lines), [WITNESS])


def test_no_key_of_one_kind_passes_for_the_other() -> None:
    with pytest.raises(CheckpointError, match="A601"):
        parse_witness_key(VKEY)
    with pytest.raises(CheckpointError, match="A601"):
        parse_vkey(WITNESS_VKEY)


@pytest.mark.parametrize("kind", [0x01, 0x02, 0x05, 0x06])
def test_keys_of_other_types_are_no_witness_keys(kind: int) -> None:
    with pytest.raises(CheckpointError, match="A601"):
        parse_witness_key(tlog.vkey(NAME, kind, SEED.public_key().public_bytes_raw()))
