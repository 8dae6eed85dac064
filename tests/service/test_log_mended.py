"""Where several parts of the log meet in a fault: heads, frames, changes of keys, witnesses, a sequencer that ends."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.archiving import Archiving
from pdp.audit.checkpoint import parse_vkey, sign_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.frame import MAX_PAYLOAD_BYTES, has_frame_after
from pdp.audit.heads import known_head
from pdp.audit.key_turns import KeyTurns
from pdp.audit.keys import create_keys, load_keys
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, parse_manifest
from pdp.audit.notice import write_durably
from pdp.audit.report import Finding, Report
from pdp.audit.sequencer import Sequencer
from pdp.audit.sequencer_main import Ending, Settings, _Extending, hold_log, run
from pdp.audit.succession import DAY_S
from pdp.audit.verify import verify_log
from pdp.audit.verify_trust import Wanted
from pdp.audit.witness_thread import Witnesses
from pdp.cli.audit_verify import _Asked, _checked, _Log
from pdp.cli.log_keys import GivenKey
from pdp.errors import PdpError, StateError
from tests.support import second_tlog as tlog
from tests.support.issuing import TestIssuer
from tests.support.key_changes import ChangingLog
from tests.support.logs import KEY, ORIGIN, OTHER_KEY, VKEY, build_log, ignore, records, wal_bytes
from tests.support.process import ROOT, ServedPdp, eventually
from tests.support.raw_server import RawServer, Received, Reply

LEAVES = records(300)

# ------------------------------------------------------------------ a checkpoint that changes while it is verified


def head(size: int, leaves: list[bytes] = LEAVES) -> bytes:
    return sign_checkpoint(ORIGIN, size, tlog.root(leaves[:size]), KEY)


SWAPPED = {
    "a larger one that the folder does not hold": sign_checkpoint(ORIGIN, 1000, bytes(32), KEY),
    "another root of the same size": sign_checkpoint(ORIGIN, 300, bytes(32), KEY),
    "an older one": head(200),
    "the same by another key": sign_checkpoint(ORIGIN, 300, tlog.root(LEAVES), OTHER_KEY),
    "no signed note": b"nothing of ours\n",
    "none": None,
}


def verified_meanwhile(folder: Path, heads: Path, checkpoint: bytes | None) -> Report:
    """The report of `pdp audit verify --heads` on a log whose checkpoint becomes another once all of it was read."""

    def swap(done: int, total: int) -> None:
        if done == total and checkpoint is not None:
            (folder / "checkpoint").write_bytes(checkpoint)
        elif done == total:
            (folder / "checkpoint").unlink()

    log = _Log(folder, None, GivenKey(parse_vkey(VKEY), ""))
    return _checked(log, _Asked(Wanted(), None, heads), swap)


@pytest.mark.parametrize("name", SWAPPED)
@pytest.mark.parametrize("known", [None, 100])
def test_only_the_checkpoint_that_was_verified_becomes_a_head(tmp_path: Path, name: str, known: int | None) -> None:
    folder, heads = build_log(tmp_path / "log", LEAVES), tmp_path / "heads"
    if known is not None:
        older = build_log(tmp_path / "older", LEAVES[:known])
        assert verified_meanwhile(older, heads, head(known)).exit_code == 0
    before = known_head(heads, ORIGIN, VKEY)
    report = verified_meanwhile(folder, heads, SWAPPED[name])
    assert (report.exit_code, report.size) == (0, 300)
    assert known_head(heads, ORIGIN, VKEY) == before == (None if known is None else head(known))


def test_a_checkpoint_that_was_written_again_unchanged_becomes_a_head(tmp_path: Path) -> None:
    folder, heads = build_log(tmp_path / "log", LEAVES), tmp_path / "heads"
    assert verified_meanwhile(folder, heads, head(300)).exit_code == 0
    assert known_head(heads, ORIGIN, VKEY) == head(300)


# ------------------------------------------------------------------ bytes that look like frames


class Counted:
    """Bytes that are read at places, and how often."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.reads = 0

    def __call__(self, offset: int, size: int) -> bytes:
        self.reads += 1
        return self._data[offset : offset + size]


TRIED = 256


def lookalike(payload_bytes: int) -> bytes:
    """The head of a frame with so large a payload, behind which no sum is right."""
    return struct.pack(">4sHHQII32s", b"PWAL", 1, 0, 0, 1, payload_bytes, bytes(32)) + b"." * 40


HOSTILE = {
    "the magic alone": b"PWAL",
    "heads of small frames": lookalike(4),
    "heads of frames that go on behind the end": lookalike(MAX_PAYLOAD_BYTES),
    "heads of frames that are too large": lookalike(MAX_PAYLOAD_BYTES + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_looks_like_frames_is_tried_so_often_and_then_called_damage(name: str) -> None:
    """Each try reads twice at most; there are ten thousand places to try."""
    data = Counted(HOSTILE[name] * 10_000)
    assert has_frame_after(data, 0)
    assert data.reads <= 2 * TRIED + 1


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("gap", [0, 2 * 1024 * 1024])
def test_fewer_lookalikes_are_a_torn_end_and_hide_no_frame(name: str, gap: int) -> None:
    assert not has_frame_after(Counted(HOSTILE[name] * TRIED + bytes(gap)), 0)
    assert has_frame_after(Counted(HOSTILE[name] * (TRIED - 1) + bytes(gap) + wal_bytes([[b"a", b"bb"]])), 0)


# ------------------------------------------------------------------ a disk that fails while the key changes


class Fault:
    """One call of a disk fails, before it did anything or after it did all; they are counted from 0."""

    def __init__(self, at: int, *, done: bool) -> None:
        self.calls = 0
        self.failed = ""
        self._at, self._done = at, done

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        number, self.calls = self.calls, self.calls + 1
        if number == self._at and not self._done:
            self._fail(call)
        yield
        if number == self._at:
            self._fail(call)

    def _fail(self, call: str) -> None:
        self.failed = call
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class FailingFolder(Folder):
    """A folder in which one call fails."""

    def __init__(self, root: Path, fault: Fault) -> None:
        super().__init__(root)
        self._fault = fault

    def read(self, path: str, most: int) -> bytes | None:
        with self._fault.around("read"):
            return super().read(path, most)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        with self._fault.around("read_at"):
            return super().read_at(path, offset, size)

    def length(self, path: str) -> int | None:
        with self._fault.around("length"):
            return super().length(path)

    def names(self, folder: str) -> tuple[str, ...]:
        with self._fault.around("names"):
            return super().names(folder)

    def replace(self, files: Mapping[str, bytes]) -> None:
        with self._fault.around("replace"):
            super().replace(files)

    def sync(self, path: str) -> None:
        with self._fault.around("sync"):
            super().sync(path)

    def remove(self, path: str) -> None:
        with self._fault.around("remove"):
            super().remove(path)

    def remove_closed(self, path: str, length: int) -> bool:
        with self._fault.around("remove_closed"):
            return super().remove_closed(path, length)


class Working(Ending):
    """Ends a sequencer the second time that it asks; before, there are new records to sign."""

    def __init__(self, state: Path) -> None:
        super().__init__(-1)
        self._state = state
        self._waits = 0

    def wait(self, seconds: float) -> bool:
        self._waits += 1
        if self._waits == 1:
            append(self._state)
        return self._waits > 1


def append(state: Path) -> None:
    """One record more, by a service at work."""
    write_durably(state, load_keys(state / "keys"), "admin", {"t": time.time_ns() // 1_000, "verb": "status"})


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """As the process that signs holds the log."""
    lock = hold_log(state / "log" / ".lock", time.monotonic)
    try:
        yield
    finally:
        os.close(lock)


@pytest.fixture(scope="module")
def overdue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with a log whose key is to be changed since yesterday."""
    state = tmp_path_factory.mktemp("overdue")
    create_keys(state / "keys", ORIGIN, os.urandom)
    then = time.time() - 31 * DAY_S
    os.utime(state / "keys" / "log.key", (then, then))
    run(state, Working(state), Settings(0.01), time.monotonic)
    return state


def turned(state: Path, fault: Fault) -> bool:
    """A process on that disk changes the key and works on as far as it can; whether nothing stopped it."""
    log, wal = FailingFolder(state / "log", fault), FailingFolder(state / "wal", fault)
    clock = time.monotonic
    turns = KeyTurns(state, log, 30, now_us=lambda: time.time_ns() // 1_000, clock=clock, entropy=os.urandom)
    with locked(state):
        try:
            keys = turns.settled()
            sequencer = Sequencer(log, wal, keys.origin, keys.sign_key, clock)
            sequencer.start()
            _Extending(sequencer, turns, Archiving(log, 0, clock), 0.0, clock).until_turned(Working(state))
        except (OSError, PdpError):
            return False
    return True


def findings(state: Path, vkey: str) -> tuple[Finding, ...]:
    return verify_log(state / "log", state / "wal", vkey, ignore).findings


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_whatever_fails_while_the_key_changes_the_log_is_sound_and_the_next_process_changes_it(
    tmp_path: Path, overdue: Path, *, done: bool
) -> None:
    """For every call c of the disk, which fails before or after its work: the log verifies then, and once the next
    process was at work.
    """
    first = load_keys(overdue / "keys")
    went_on: set[str] = set()
    for at in itertools.count():
        state, fault = Path(shutil.copytree(overdue, tmp_path / str(at))), Fault(at, done=done)
        could = turned(state, fault)
        if not fault.failed:
            assert could
            break
        went_on |= {fault.failed} if could else set()
        assert findings(state, first.vkey) == (), f"at call {at}"
        run(state, Working(state), Settings(0.01, key_days=30), time.monotonic)
        assert findings(state, first.vkey) == (), f"after call {at}"
        manifest = Folder(state / "log").read(MANIFEST, MOST_MANIFEST_BYTES)
        periods = parse_manifest(manifest, first.anchor).periods
        assert [each.verifier for each in periods] == [first.signer, load_keys(state / "keys").signer]
    assert at > 30
    assert went_on == {"sync", "remove"}  # of a write-ahead log, which is left alone then; of what is needless


class Watched(Folder):
    """A folder of a log that is verified after every write to it."""

    def __init__(self, state: Path) -> None:
        super().__init__(state / "log")
        self._state, self._vkey = state, load_keys(state / "keys").vkey
        self.wrong: list[Finding] = []

    def replace(self, files: Mapping[str, bytes]) -> None:
        super().replace(files)
        self.wrong += findings(self._state, self._vkey)


@pytest.mark.parametrize("key_days", [1, 0, 3_650])
def test_a_change_that_was_broken_off_long_ago_is_announced_again_before_anything_new_is_signed(
    tmp_path: Path, key_days: int
) -> None:
    """Also where it would not be due any more: whoever verifies the log misses the key that was announced."""
    log = ChangingLog(tmp_path / "state")
    log.begin()
    log.now_s += DAY_S
    turn = log.turn()
    assert turn is not None
    log.announce(turn)
    disk, clock = Watched(log.state), time.monotonic
    with locked(log.state):
        append(log.state)
        turns = KeyTurns(
            log.state, disk, key_days, now_us=lambda: time.time_ns() // 1_000, clock=clock, entropy=os.urandom
        )
        keys = turns.settled()
        sequencer = Sequencer(disk, Folder(log.state / "wal"), keys.origin, keys.sign_key, clock)
        sequencer.start()
        _Extending(sequencer, turns, Archiving(disk, 0, clock), 0.0, clock).until_turned(Working(log.state))
    assert disk.wrong == []
    assert log.keys.signer == turn.following


# ------------------------------------------------------------------ a witness that hangs beside one that contradicts


def test_a_log_that_a_witness_contradicts_is_not_signed_on_though_another_never_answers(
    tmp_path: Path, overdue: Path
) -> None:
    state = Path(shutil.copytree(overdue, tmp_path / "state"))
    before = (state / "log" / "checkpoint").read_bytes()
    asked = threading.Event()

    def never(_: Received) -> Reply:
        asked.set()
        return Reply(0)

    def meanwhile(_: Received) -> Reply:
        assert asked.wait(4)
        return Reply(422)

    with RawServer(never) as silent, RawServer(meanwhile) as contradicting:
        servers = {"silent.example/w": silent, "other.example/w": contradicting}
        policy = tmp_path / "witnesses.policy"
        lines = []
        for number, (name, server) in enumerate(servers.items()):
            public = Ed25519PrivateKey.from_private_bytes(bytes([number + 40]) * 32).public_key().public_bytes_raw()
            lines.append(f"witness w{number} {tlog.vkey(name, 4, public)} http://127.0.0.1:{server.port}")
        policy.write_text("\n".join([*lines, "group g any w0 w1", "quorum g", ""]))
        settings = Settings(0.01, witnesses=Witnesses(policy, ("127.0.0.1",), 0.05))
        with pytest.raises(StateError, match=r"A633: the log is not signed on: .* knows another history"):
            run(state, Working(state), settings, time.monotonic)
    assert (state / "log" / "checkpoint").read_bytes() == before


# ------------------------------------------------------------------ a sequencer that ends by itself


def readiness(served: ServedPdp) -> tuple[int, str]:
    """The status of `/readyz`, and what it says; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{served.http_port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_a_service_whose_sequencer_ends_with_3_is_not_ready(tmp_path: Path) -> None:
    """The lock of the log is a link, through which nothing is opened."""
    served = ServedPdp(tmp_path, ROOT / "tests" / "golden" / "decisions" / "policy", [TestIssuer()])
    (served.state / "log").mkdir(mode=0o700, parents=True)
    served.state.chmod(0o700)
    (served.state / "log" / ".lock").symlink_to(tmp_path / "elsewhere")
    ended = "the sequencer ended with 3; starting it again"
    seen: set[int] = set()

    def ended_twice_more() -> bool:
        status, said = readiness(served)
        seen.add(status)
        assert status == 200 or "is not extended and not signed" in said
        return served.output.read_text().count(ended) >= 3

    with (
        served.output.open("wb") as output,
        subprocess.Popen(served.command(), cwd=ROOT, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        try:
            eventually(lambda: ended in served.output.read_text() and readiness(served)[0] > 0)
            eventually(ended_twice_more)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert seen == {503}
    assert not (tmp_path / "elsewhere").exists()
