"""pdp.audit.rotation: a key signs for its part of the tree and in its time, and what was sealed stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.checkpoint import (
    CheckpointError,
    Note,
    Signature,
    format_vkey,
    join_note,
    sign_checkpoint,
    sign_note,
    split_note,
)
from pdp.audit.cosignature import Cosignature, parse_witness_key
from pdp.audit.leaf import parse
from pdp.audit.manifest import parse_manifest
from pdp.audit.rotation import (
    ANNOUNCED,
    SKEW_S,
    Announced,
    RotationError,
    Signed,
    check_announced,
    check_time,
    counted,
    is_good,
    open_signed,
    read_announced,
    seals,
)
from pdp.audit.succession import DAY_S, hand_over
from pdp.audit.tree_proofs import root_of_first
from pdp.audit.verify import verify_log
from tests.service.test_manifest import CHAIN, FROM_ROOT, KEYS, ROOT, seal, verifier
from tests.support import second_tlog as tlog
from tests.support.key_changes import ChangingLog
from tests.support.logs import ORIGIN, OTHER_KEY, ignore, record

LOG = parse_manifest(CHAIN, verifier(0))
"""Key 0 from 100 to 200 and to size 10, key 1 to 300 and size 20, key 2 from there on."""

UNROTATED = parse_manifest(None, verifier(0))
WITNESS = parse_witness_key(tlog.vkey("w.example", 4, OTHER_KEY.public_key().public_bytes_raw()))


def by(number: int, size: int, root: bytes = bytes(32)) -> bytes:
    return sign_checkpoint(ORIGIN, size, root, KEYS[number])


def test_each_key_signs_from_its_seal_to_the_next() -> None:
    for number, sizes in {0: (0, 9), 1: (11, 19), 2: (21, 10**9)}.items():
        for size in sizes:
            found = open_signed(by(number, size), LOG)
            assert (found.period.number, found.checkpoint.size) == (number, size)


def test_both_keys_sign_the_tree_of_the_seal() -> None:
    assert open_signed(seal(0, 10), LOG).period.number == 0
    assert open_signed(by(1, 10, bytes([10]) * 32), LOG).period.number == 1


OUTSIDE = {
    "history sealed again with today's key": by(2, 15),
    "history sealed again with the key after": by(1, 9),
    "an old key that goes on": by(0, 11),
    "another root at the seal, by the old key": by(0, 10),
    "another root at the seal, by the new key": by(1, 10),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_key_signs_outside_its_part_of_the_tree(name: str) -> None:
    with pytest.raises(RotationError, match="A642"):
        open_signed(OUTSIDE[name], LOG)


def test_a_key_that_the_manifest_lacks_signs_nothing() -> None:
    with pytest.raises(CheckpointError, match="A603"):
        open_signed(by(3, 25), LOG)
    with pytest.raises(CheckpointError, match="A603"):
        open_signed(by(1, 11), UNROTATED)


def test_a_root_signs_no_checkpoint_in_place_of_a_key() -> None:
    with pytest.raises(CheckpointError, match="A603"):
        open_signed(by(4, 5), parse_manifest(FROM_ROOT, ROOT))


def test_where_two_keys_signed_both_must_fit_and_the_newest_counts() -> None:
    old, new = split_note(seal(0, 10)), split_note(by(1, 10, bytes([10]) * 32))
    both = Note(old.text, (*new.signatures, *old.signatures))
    assert open_signed(join_note(both), LOG).period.number == 1
    broken = Signature(ORIGIN, old.signatures[0].key_id, bytes(64))
    with pytest.raises(CheckpointError, match="A604"):
        open_signed(join_note(Note(old.text, (*new.signatures, broken))), LOG)


def test_a_checkpoint_of_another_log_by_our_key() -> None:
    text = by(0, 5).decode().partition("\n\n")[0].replace(ORIGIN, "other.example") + "\n"
    with pytest.raises(CheckpointError, match="A606"):
        open_signed(sign_note(text, ORIGIN, KEYS[0]), LOG)


def at(time_s: int) -> Cosignature:
    return Cosignature(WITNESS, time_s, Signature("", b"", b""))


def second_key() -> Signed:
    return open_signed(by(1, 15), LOG)


GOOD_TIMES = {
    "a witness within the time of the key": ([250], None),
    "a witness whose clock is slow": ([200 - SKEW_S], None),
    "a witness whose clock is fast": ([300 + SKEW_S - 1], None),
    "one witness of two": ([250, 10_000], None),
    "a witness, whatever the records state": ([250], 10_000_000_000),
    "no witness, and a record within the time": ([], 250_000_000),
    "no witness, and a record a little later": ([], (300 + SKEW_S) * 1_000_000 - 1),
}


@pytest.mark.parametrize("name", GOOD_TIMES)
def test_a_key_that_was_good(name: str) -> None:
    times, newest_us = GOOD_TIMES[name]
    check_time(second_key(), [at(time_s) for time_s in times], newest_us)


BAD_TIMES = {
    "a witness before the key began": ([200 - SKEW_S - 1], None),
    "a witness after the key ended": ([300 + SKEW_S], None),
    "a witness after it, and a record within it": ([10_000], 250_000_000),
    "no witness, and a record before it": ([], (200 - SKEW_S) * 1_000_000 - 1),
    "no witness, and a record after it": ([], (300 + SKEW_S) * 1_000_000),
    "no witness, and no record that states a time": ([], None),
}


@pytest.mark.parametrize("name", BAD_TIMES)
def test_a_key_that_was_not_good(name: str) -> None:
    times, newest_us = BAD_TIMES[name]
    with pytest.raises(RotationError, match="A643"):
        check_time(second_key(), [at(time_s) for time_s in times], newest_us)


def test_a_key_without_a_manifest_is_good_at_any_time() -> None:
    signed = open_signed(by(0, 5), UNROTATED)
    for newest_us in (None, 0, 10**16):
        check_time(signed, [], newest_us)
    check_time(signed, [at(1)], None)


def test_a_log_of_no_records_states_no_time() -> None:
    check_time(open_signed(by(0, 0), LOG), [], None)


def test_a_key_of_a_root_runs_out_though_no_other_follows() -> None:
    last = parse_manifest(FROM_ROOT, ROOT).periods[-1]
    assert is_good(last, 349 + SKEW_S)
    assert not is_good(last, 350 + SKEW_S)


def test_only_cosignatures_of_the_time_count() -> None:
    period = LOG.periods[1]
    assert [each.time_s for each in counted(period, [at(250), at(10_000)])] == [250]


def named(number: int, index: int, time_us: int = 0) -> Announced:
    key = verifier(number)
    return Announced(index, time_us, number, format_vkey(key.name, key.public))


def test_every_key_is_announced_under_the_one_before() -> None:
    check_announced(LOG, [named(1, 9), named(2, 19)], 30, None)
    check_announced(LOG, [named(1, 3), named(1, 9), named(2, 15)], 20, None)
    check_announced(LOG, [named(1, 9)], 19, None)
    check_announced(UNROTATED, [], 30, 10**15)


UNANNOUNCED = {
    "a key that no record announces": ([named(1, 9)], None),
    "a key announced only after it began": ([named(1, 9), named(2, 20)], None),
    "a number announced with another key": ([Announced(9, 0, 1, "other+00000000+"), named(2, 19)], None),
    "a key announced long ago that the manifest lacks": (
        [named(1, 9), named(2, 19), named(3, 22)],
        (SKEW_S + 1) * 10**6,
    ),
    "a key announced again, and that long ago as well": (
        [named(1, 9), named(2, 19), named(3, 22), named(3, 25, SKEW_S * 10**6)],
        (2 * SKEW_S + 1) * 10**6,
    ),
    "a key after one that the manifest lacks": ([named(1, 9), named(2, 19), named(4, 22)], None),
}


@pytest.mark.parametrize("name", UNANNOUNCED)
def test_keys_and_announcements_that_do_not_fit(name: str) -> None:
    announced, newest_us = UNANNOUNCED[name]
    with pytest.raises(RotationError, match="A644"):
        check_announced(LOG, announced, 30, newest_us)


def test_an_announcement_may_stand_alone_for_a_while() -> None:
    check_announced(LOG, [named(1, 9), named(2, 19), named(3, 22)], 30, SKEW_S * 10**6)
    check_announced(LOG, [named(1, 9), named(2, 19), named(3, 22)], 30, None)


def test_an_announcement_that_is_made_again_may_stand_alone_again() -> None:
    twice = [named(1, 9), named(2, 19), named(3, 22), named(3, 25, SKEW_S * 10**6)]
    check_announced(LOG, twice, 30, 2 * SKEW_S * 10**6)
    check_announced(LOG, twice[:3] + twice[:1:-1], 30, 2 * SKEW_S * 10**6)


def test_a_change_that_fails_again_and_again_leaves_a_log_that_verifies(tmp_path: Path) -> None:
    """Each process announces the next key, and ends before it is in use."""
    log = ChangingLog(tmp_path)
    log.begin()
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    for _ in range(10):
        log.now_s += SKEW_S // 2
        assert log.turn() == turn
        log.announce(turn)
        assert verify_log(log.state / "log", log.state / "wal", log.first.vkey, ignore).findings == ()
    hand_over(log.disk, log.keys_dir, turn, log.now_s)
    log.grow()
    assert verify_log(log.state / "log", log.state / "wal", log.first.vkey, ignore).findings == ()


def test_announcements_are_read_from_records() -> None:
    good = parse(record(3, kind=ANNOUNCED, t=5, number=1, key="k"))
    assert read_announced(7, good) == Announced(7, 5, 1, "k")
    assert read_announced(7, parse(record(3))) is None
    with pytest.raises(RotationError, match="A644"):
        read_announced(7, parse(record(3, kind=ANNOUNCED, number="1", key="k")))


def test_whoever_steals_todays_key_cannot_change_what_was_sealed(tmp_path: Path) -> None:
    """Forward security, from folder and anchor alone: no known head, no witness.

    The thief has the key in use and rewrites a record below the last change of keys, and all that leads to the root.
    """
    log = ChangingLog(tmp_path)
    log.begin()
    log.grow(20)
    log.change()
    log.grow(5)
    stolen = log.keys.sign_key
    forged = [*log.leaves[:3], record(3, t=1, forged=True), *log.leaves[4:]]
    signed = open_signed(sign_checkpoint(ORIGIN, len(forged), tlog.root(forged), stolen), log.succession)
    assert signed.period.number == 1
    sealed = seals(log.succession)[0]
    assert tlog.root(forged[: sealed.size]) != sealed.root
    assert root_of_first(log.disk, sealed.size, len(log.leaves)) == sealed.root
