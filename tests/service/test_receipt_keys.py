"""Receipts of a log whose keys changed: each record is proved by the key of its time, and by no later one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pdp.audit.checkpoint import format_vkey, sign_checkpoint, split_note
from pdp.audit.ids import parse as parse_id
from pdp.audit.leaf import Leaf, encode, parse
from pdp.audit.manifest import MANIFEST, seal_notes
from pdp.audit.merkle import inclusion_proof, leaf_hash, subtree_root
from pdp.audit.proof import TlogProof, encode_proof
from pdp.audit.receipt import make_receipt, pack_receipt
from pdp.audit.rotation import SKEW_S
from pdp.audit.standalone import parts as of
from pdp.audit.standalone.signed_log import read_key
from pdp.audit.standalone.verify import Outcome, examine
from pdp.audit.succession import DAY_S
from pdp.errors import StateError
from tests.support.key_changes import ROOT_VKEY, T0_S, ChangingLog
from tests.support.logs import ORIGIN
from tests.support.receipts import members_of


@pytest.fixture
def log(tmp_path: Path) -> ChangingLog:
    """Record 0, the announcement of the second key, its seal; records 2 to 4, the third key; record 6."""
    log = ChangingLog(tmp_path)
    log.begin()
    log.change()
    log.grow(3)
    log.change()
    log.grow()
    return log


def anchor(log: ChangingLog) -> str:
    return format_vkey(ORIGIN, log.first.anchor.public)


def id_of(log: ChangingLog, index: int) -> str:
    return parse(log.leaves[index]).id


def receipt_of(log: ChangingLog, index: int) -> bytes:
    made = make_receipt(log.state / "log", log.state / "wal", anchor(log), id_of(log, index))
    assert made is not None
    assert made.outcome.code == 0
    return made.data


def examined(log: ChangingLog, members: dict[str, bytes], index: int) -> Outcome:
    rest = {name: data for name, data in members.items() if name != of.STATED}
    return examine(pack_receipt(rest, id_of(log, index)), read_key(anchor(log)))


def under_the_newest_key(log: ChangingLog, leaves: list[bytes], index: int) -> dict[str, bytes]:
    """What whoever has today's key alone makes: these records, signed, and the proof of one of them."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    note = sign_checkpoint(ORIGIN, len(leaves), subtree_root(hashes), log.keys.sign_key)
    proof = TlogProof(index, tuple(inclusion_proof(hashes, index)), note, leaves[index])
    return {of.CHECKPOINT: note, of.LEAF: leaves[index], of.PROOF: encode_proof(proof)}


def rewritten(log: ChangingLog, index: int) -> list[bytes]:
    """The records of the log, of which one was written anew."""
    found: Leaf = parse(log.leaves[index])
    other = encode(found.kind, found.id, {**found.clear, "by": ["somebody"]}, None)
    return [other if at == index else leaf for at, leaf in enumerate(log.leaves)]


@pytest.mark.parametrize("index", range(7))
def test_a_record_is_proved_by_the_key_of_its_time(log: ChangingLog, index: int) -> None:
    members = members_of(receipt_of(log, index))
    note = members[of.PROOF].partition(b"\n\n")[2]
    seals = seal_notes(log.disk.read(MANIFEST, 1 << 24))
    assert note == (seals[0] if index < 2 else seals[1] if index < 6 else members[of.CHECKPOINT])
    size = 2 if index < 2 else 6 if index < 6 else 7
    signer = split_note(note).signatures[0].key_id.hex()
    lines = examined(log, members, index).lines
    assert f"       proved under its checkpoint of {size} records, signed by {signer}" in lines


@pytest.mark.parametrize("index", range(6))
def test_todays_key_alone_proves_nothing_that_is_older_than_it(log: ChangingLog, index: int) -> None:
    """Neither what it wrote anew nor what was there: the seal of the key of that time is asked for."""
    members = members_of(receipt_of(log, index))
    for leaves in (log.leaves, rewritten(log, index)):
        outcome = examined(log, members | under_the_newest_key(log, leaves, index), index)
        assert outcome.code == 40
        assert "not proved under the seal of its own key" in outcome.lines[-1]


def test_todays_key_proves_its_own_records(log: ChangingLog) -> None:
    members = members_of(receipt_of(log, 6))
    assert examined(log, members | under_the_newest_key(log, log.leaves, 6), 6).code == 0


def test_a_record_written_anew_is_not_proved_under_the_seal(log: ChangingLog) -> None:
    members = members_of(receipt_of(log, 0))
    forged = rewritten(log, 0)
    assert parse_id(parse(forged[0]).id) == parse_id(id_of(log, 0))
    outcome = examined(log, members | {of.LEAF: forged[0]}, 0)
    assert outcome.code == 40
    assert "proof is about another record" in outcome.lines[-1]
    hashes = [leaf_hash(leaf) for leaf in forged[:2]]
    note = seal_notes(log.disk.read(MANIFEST, 1 << 24))[0]
    proof = encode_proof(TlogProof(0, tuple(inclusion_proof(hashes, 0)), note, forged[0]))
    outcome = examined(log, members | {of.LEAF: forged[0], of.PROOF: proof}, 0)
    assert "leads to another root" in outcome.lines[-1]


def test_a_key_that_a_root_gave_an_end_proves_no_record_of_a_later_day(tmp_path: Path) -> None:
    """Who keeps the private half of a key that ran out can date what it signs, and is found by that."""
    log = ChangingLog(tmp_path, ROOT_VKEY)
    log.endorse(0, log.keys.signer, T0_S - 10, T0_S + DAY_S)
    log.begin()
    log.now_s += DAY_S + SKEW_S - 1
    log.grow()
    log.now_s += 1
    log.grow()
    made = [make_receipt(log.state / "log", log.state / "wal", ROOT_VKEY, id_of(log, index)) for index in range(2)]
    assert [each.outcome.code for each in made if each is not None] == [0, 0]
    with pytest.raises(StateError, match="a later day than the key that signed it was good for"):
        make_receipt(log.state / "log", log.state / "wal", ROOT_VKEY, id_of(log, 2))


def test_another_checkpoint_of_an_old_key_is_no_seal(log: ChangingLog) -> None:
    """An old key that was not destroyed signs a shorter log than its seal: no proof stands under that."""
    members = members_of(receipt_of(log, 0))
    forged = rewritten(log, 0)[:1]
    note = sign_checkpoint(ORIGIN, 1, hashlib.sha256(b"\x00" + forged[0]).digest(), log.first.sign_key)
    proof = encode_proof(TlogProof(0, (), note, forged[0]))
    outcome = examined(log, members | {of.LEAF: forged[0], of.PROOF: proof}, 0)
    assert outcome.code == 40
    assert "no seal of a key of the log" in outcome.lines[-1]
