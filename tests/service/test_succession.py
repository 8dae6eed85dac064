"""pdp.audit.succession: a change of keys from beginning to end, broken off anywhere, and with a root."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest

from pdp.audit.archive import SEGMENT_RECORDS, archive_segment
from pdp.audit.checkpoint import open_checkpoint, sign_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.key_turns import KeyTurns
from pdp.audit.keys import prepare_next
from pdp.audit.manifest import MANIFEST, ManifestError, Statement, extended_manifest, sign_statement
from pdp.audit.rotation import SKEW_S, RotationError, check_time, open_signed
from pdp.audit.succession import (
    DAY_S,
    Turn,
    announcement,
    begin_manifest,
    find_turn,
    hand_over,
    is_over,
    read_succession,
    settle,
)
from pdp.audit.tiles import TileError
from pdp.errors import PdpError, StateError
from tests.support.key_changes import ROOT_KEY, ROOT_VKEY, T0_S, ChangingLog
from tests.support.logs import ORIGIN


@pytest.fixture
def log(tmp_path: Path) -> ChangingLog:
    found = ChangingLog(tmp_path / "state")
    found.begin()
    return found


def test_a_log_goes_on_under_key_after_key(log: ChangingLog) -> None:
    vkeys = [log.keys.signer]
    for _ in range(3):
        log.grow(300)
        log.change()
        vkeys.append(log.keys.signer)
        log.grow(2)
        signed = open_signed(log.checkpoint, log.succession)
        assert signed.period.verifier == vkeys[-1]
        check_time(signed, [], log.now_s * 1_000_000)
    assert [each.verifier for each in log.succession.periods] == vkeys
    assert len(set(vkeys)) == 4
    assert log.keys.anchor == vkeys[0] == log.first.anchor


def test_the_seal_is_signed_again_by_the_new_key_at_the_same_size(log: ChangingLog) -> None:
    log.change()
    sealed = log.succession.periods[-1].begins
    assert open_checkpoint(log.checkpoint, log.keys.signer) == sealed
    assert sealed is not None
    assert sealed.size == len(log.leaves)


def test_the_old_private_key_is_gone_from_the_folder(log: ChangingLog) -> None:
    old = (log.keys_dir / "log.key").read_bytes()
    held = os.open(log.keys_dir / "log.key", os.O_RDONLY)
    try:
        log.change()
        left = os.pread(held, 100, 0)
    finally:
        os.close(held)
    assert left == b"\0" * len(old)
    assert all(old.strip() not in path.read_bytes() for path in log.state.rglob("*") if path.is_file())
    assert sorted(path.name for path in log.keys_dir.iterdir()) == [
        *("box.key", "id.key", "log.key", "log.vkey", "sign.vkey")
    ]


def test_other_keys_of_the_log_stay(log: ChangingLog) -> None:
    before = log.keys
    log.change()
    after = log.keys
    assert (before.origin, before.vkey, before.box_key, before.id_key) == (
        *(after.origin, after.vkey, after.box_key, after.id_key),
    )


def test_a_key_is_not_changed_before_its_time(log: ChangingLog) -> None:
    log.now_s = T0_S + DAY_S - 1
    assert log.turn(1) is None
    log.now_s += 1
    assert log.turn(1) is not None
    assert log.turn(2) is None
    log.now_s = 1 << 40
    assert log.turn(0) is None, "a key may sign for ever"


def test_the_next_key_stands_ready_and_stays_the_same(log: ChangingLog) -> None:
    assert log.turn(1) is None
    ready = (log.keys_dir / "next.vkey").read_text()
    log.now_s += DAY_S
    turn = log.turn(1)
    assert turn is not None
    assert (log.keys_dir / "next.vkey").read_text() == ready
    log.change(0)
    assert (log.keys_dir / "sign.vkey").read_text() == ready


def test_without_an_announcement_under_the_checkpoint_no_key_changes(log: ChangingLog) -> None:
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    with pytest.raises(StateError, match=r"A645.*announce it again"):
        hand_over(log.disk, log.keys_dir, turn, log.now_s)
    log.announce(turn)
    with pytest.raises(StateError, match=r"A645.*announce it again"):
        hand_over(log.disk, log.keys_dir, turn, log.now_s + SKEW_S + 1)
    assert log.keys.signer == log.first.signer
    log.now_s += SKEW_S + 1
    log.announce(turn)
    assert hand_over(log.disk, log.keys_dir, turn, log.now_s).signer == turn.following


def test_another_key_than_the_announced_one_is_not_taken(log: ChangingLog) -> None:
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    log.announce(Turn(turn.number, log.first.signer, None))
    with pytest.raises(StateError, match="announce it again"):
        hand_over(log.disk, log.keys_dir, turn, log.now_s)


def test_an_announcement_is_looked_for_among_archived_records_too(log: ChangingLog) -> None:
    """Old records were archived; none of the newest announces the key, and that is what is said."""
    for _ in range(2):
        log.grow(SEGMENT_RECORDS // 2 + 10)
    archive_segment(log.disk, open_checkpoint(log.checkpoint, log.keys.signer), 0)
    assert log.disk.read("tile/entries/000", 1 << 24) is None
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    with pytest.raises(StateError, match=r"A645.*announce it again"):
        hand_over(log.disk, log.keys_dir, turn, log.now_s)


def test_looking_for_an_announcement_does_not_list_the_log(log: ChangingLog) -> None:
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    claimed = sign_checkpoint(ORIGIN, 500_000_000, bytes(32), log.keys.sign_key)
    (log.state / "log/checkpoint").write_bytes(claimed)
    tracemalloc.start()
    try:
        with pytest.raises(TileError, match="is missing"):
            hand_over(log.disk, log.keys_dir, turn, log.now_s)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


class Broken(BaseException):
    """The process was killed."""


class BreakingDisk(Folder):
    """A folder where the process is killed before or after the write of a number."""

    def __init__(self, root: Path, kill_at: int) -> None:
        super().__init__(root)
        self.steps = 0
        self.kill_at = kill_at

    def replace(self, files: Mapping[str, bytes]) -> None:
        self._step()
        super().replace(files)
        self._step()

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            raise Broken


@pytest.mark.parametrize("kill_at", [1, 2, 3, 4])
def test_killed_between_any_two_writes_to_the_log(log: ChangingLog, kill_at: int) -> None:
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    log.announce(turn)
    disk = BreakingDisk(log.state / "log", kill_at)
    with pytest.raises(Broken):
        hand_over(disk, log.keys_dir, turn, log.now_s)
    keys = settle(log.disk, log.keys_dir)
    changed = kill_at > 1
    assert (keys.signer == turn.following) is changed
    assert open_signed(log.checkpoint, log.succession).period.verifier == keys.signer
    log.grow()
    if not changed:
        hand_over(log.disk, log.keys_dir, turn, log.now_s)
    assert log.keys.signer == turn.following
    assert len(log.succession.periods) == 2


def test_keys_restored_from_before_a_change_sign_nothing(log: ChangingLog) -> None:
    saved = {path.name: path.read_bytes() for path in log.keys_dir.iterdir()}
    log.change()
    for path in log.keys_dir.iterdir():
        path.unlink()
    for name, data in saved.items():
        (log.keys_dir / name).write_bytes(data)
        (log.keys_dir / name).chmod(0o600)
    with pytest.raises(StateError, match=r"A645.*restore both"):
        settle(log.disk, log.keys_dir)


def test_a_manifest_that_was_lost_stops_the_log(log: ChangingLog) -> None:
    log.change()
    (log.state / "log" / MANIFEST).unlink()
    with pytest.raises(StateError, match="A645"):
        settle(log.disk, log.keys_dir)
    with pytest.raises(StateError, match="A645"):
        begin_manifest(log.disk, log.keys_dir, T0_S)


def test_a_manifest_rolled_back_stops_the_log(log: ChangingLog) -> None:
    before = (log.state / "log" / MANIFEST).read_bytes()
    log.change()
    (log.state / "log" / MANIFEST).write_bytes(before)
    with pytest.raises(PdpError):
        settle(log.disk, log.keys_dir)


def test_a_checkpoint_older_than_the_seal_stops_the_log(log: ChangingLog) -> None:
    older = log.checkpoint
    log.change()
    (log.state / "log/checkpoint").write_bytes(older)
    with pytest.raises(StateError, match="older than the manifest"):
        settle(log.disk, log.keys_dir)


def test_a_log_that_never_changed_its_key_needs_no_manifest(tmp_path: Path) -> None:
    log = ChangingLog(tmp_path)
    log.grow(3)
    assert settle(log.disk, log.keys_dir).signer == log.first.signer
    assert log.disk.read(MANIFEST, 1) is None
    assert read_succession(log.disk, log.keys.anchor).periods[0].from_s is None
    with pytest.raises(StateError, match="without checkpoint or manifest"):
        hand_over(log.disk, log.keys_dir, Turn(1, log.keys.signer, None), T0_S)


def test_a_manifest_is_begun_once(log: ChangingLog) -> None:
    before = (log.state / "log" / MANIFEST).read_bytes()
    begin_manifest(log.disk, log.keys_dir, T0_S + 99)
    assert (log.state / "log" / MANIFEST).read_bytes() == before


@pytest.fixture
def rooted(tmp_path: Path) -> ChangingLog:
    found = ChangingLog(tmp_path / "rooted", ROOT_VKEY)
    found.endorse(0, found.keys.signer, T0_S - 10, T0_S + 10 * DAY_S)
    found.begin()
    return found


def test_a_root_signs_for_the_first_key_before_anything_is_signed(tmp_path: Path) -> None:
    log = ChangingLog(tmp_path, ROOT_VKEY)
    assert log.keys.vkey == ROOT_VKEY
    with pytest.raises(StateError, match=r"A645.*has not signed for the first key"):
        begin_manifest(log.disk, log.keys_dir, T0_S)
    with pytest.raises(StateError, match="A645"):
        settle(log.disk, log.keys_dir)


def test_a_key_changes_when_the_root_says_so(rooted: ChangingLog) -> None:
    assert rooted.turn(1) is None
    rooted.now_s += 5 * DAY_S
    assert rooted.turn(1) is None, "the root has signed for no next key"
    following = prepare_next(rooted.keys_dir, rooted.entropy)
    rooted.endorse(1, following, rooted.now_s + 60, rooted.now_s + 10 * DAY_S)
    assert rooted.turn(1) is None
    rooted.now_s += 60
    rooted.change(0)
    rooted.grow()
    assert rooted.keys.signer == following
    assert rooted.succession.rooted
    check_time(open_signed(rooted.checkpoint, rooted.succession), [], rooted.now_s * 1_000_000)
    assert not (rooted.keys_dir / "endorsed").exists()
    assert rooted.turn(1) is None


def test_a_key_past_the_end_its_root_stated_is_said_to_be_over(rooted: ChangingLog) -> None:
    assert not is_over(rooted.succession, T0_S + 10 * DAY_S - 1)
    assert is_over(rooted.succession, T0_S + 10 * DAY_S)


def test_a_chain_is_never_over(log: ChangingLog) -> None:
    assert not is_over(log.succession, 1 << 40)


def test_endorsements_that_will_not_do(rooted: ChangingLog) -> None:
    following = prepare_next(rooted.keys_dir, rooted.entropy)
    rooted.now_s += DAY_S
    rooted.endorse(1, rooted.keys.signer, 5, 9)
    with pytest.raises(StateError, match="is not about key 1"):
        rooted.turn()
    rooted.endorse(2, following, 5, 9)
    with pytest.raises(StateError, match="is not about key 1"):
        rooted.turn()
    (rooted.keys_dir / "endorsed").write_bytes(b"")
    with pytest.raises(StateError, match="no statement signed by the root"):
        rooted.turn()
    (rooted.keys_dir / "endorsed").write_bytes(sign_checkpoint(ORIGIN, 1, bytes(32), ROOT_KEY))
    with pytest.raises(StateError, match="no statement"):
        rooted.turn()
    rooted.endorse(0, following, 5, 9)
    assert rooted.turn() is None, "that of an earlier key is passed over"


def test_a_statement_of_the_root_that_would_go_back_in_time_changes_nothing(rooted: ChangingLog) -> None:
    following = prepare_next(rooted.keys_dir, rooted.entropy)
    rooted.endorse(1, following, T0_S - 10, T0_S + DAY_S)
    turn = rooted.turn()
    assert turn is not None
    rooted.announce(turn)
    with pytest.raises(ManifestError, match="begins no later"):
        hand_over(rooted.disk, rooted.keys_dir, turn, rooted.now_s)
    assert settle(rooted.disk, rooted.keys_dir).signer == rooted.first.signer


def test_what_is_announced(log: ChangingLog) -> None:
    turn = find_turn(log.succession, log.keys_dir, 1, T0_S + DAY_S, log.entropy)
    assert turn is not None
    vkey = (log.keys_dir / "next.vkey").read_text().strip()
    assert announcement(turn, 5) == {"t": 5, "number": 1, "key": vkey}


def test_no_key_is_destroyed_where_the_log_went_on_beyond_its_seal(tmp_path: Path) -> None:
    """As after an I/O error in the middle of a change, and a sequencer that signed on under the old key."""
    log = ChangingLog(tmp_path / "state")
    log.begin()
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    log.announce(turn)
    manifest = log.disk.read(MANIFEST, 1 << 24)
    assert manifest is not None
    stated = Statement(ORIGIN, turn.number, turn.following, log.now_s, None)
    statement = sign_statement(stated, ORIGIN, log.keys.sign_key)
    seal = log.checkpoint
    log.grow()
    log.disk.replace({MANIFEST: extended_manifest(manifest, statement, seal)})
    before = log.keys.signer
    with pytest.raises(RotationError, match="A642"):
        settle(log.disk, log.keys_dir)
    assert log.keys.signer == before


def test_a_statement_that_does_not_fit_is_refused_before_its_key_is_announced(rooted: ChangingLog) -> None:
    """An announcement that nothing follows would make the log invalid for whoever verifies it."""
    following = prepare_next(rooted.keys_dir, rooted.entropy)
    turns = KeyTurns(
        rooted.state, rooted.disk, 1, now_us=lambda: rooted.now_s * 1_000_000, clock=float, entropy=rooted.entropy
    )
    rooted.endorse(1, following, T0_S - 10, T0_S + DAY_S)
    with pytest.raises(ManifestError, match="begins no later"):
        turns.due(pytest.fail)
    rooted.endorse(1, following, rooted.now_s - 5, rooted.now_s + DAY_S)
    fitting = KeyTurns(
        rooted.state, rooted.disk, 1, now_us=lambda: rooted.now_s * 1_000_000, clock=float, entropy=rooted.entropy
    ).due(pytest.fail)
    assert fitting is not None
    assert fitting.following == following
