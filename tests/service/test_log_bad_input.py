"""A log that is not as ours: somebody else's, half-copied, read-only, newer, of a foreign key; hostile names and paths.

Whatever reads a log names what is wrong, escapes what it shows, and writes nothing: `pdp audit verify`,
`pdp audit show`, and the sequencer, which would extend it.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from pdp.audit.checkpoint import Checkpoint, open_checkpoint, parse_vkey, sign_checkpoint
from pdp.audit.keys import create_keys
from pdp.audit.leaf import parse
from pdp.audit.reader import entries
from pdp.audit.wal import recover
from pdp.errors import PdpError, StateError
from pdp.state import State, sole_use
from tests.support.cases import POLICY
from tests.support.command import Done, Pdp
from tests.support.log_attacks import decided
from tests.support.logs import (
    BOOT,
    IDS,
    KEY,
    ORIGIN,
    OTHER_KEY,
    VKEY,
    LiveLog,
    add_wal,
    build_log,
    newer_frames,
    record,
    records,
    sequencer_of,
    wal_file,
)
from tests.support.process import ROOT

SIZE = 300
LAST_BUNDLE = "tile/entries/001.p/44"
NO_RECORD = "0" * 32


def standing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a folder: mode, instant of the last change, bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[path.relative_to(folder).as_posix()] = (about.st_mode, about.st_mtime_ns, data)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a log of 300 records and its public key."""
    state = tmp_path_factory.mktemp("built")
    build_log(state, records(SIZE))
    (state / "keys").mkdir()
    (state / "keys" / "log.vkey").write_text(VKEY + "\n")
    return state


@pytest.fixture
def state(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "state")


# ---------------------------------------------------------------- folders that are not as ours


def somebody_elses_files(log: Path) -> None:
    shutil.rmtree(log)
    (log / "tile").mkdir(parents=True)
    (log / "checkpoint").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (log / "tile" / "holiday.jpg").write_bytes(b"\xff\xd8\xff")


def signed_by(log: Path, origin: str, key: Ed25519PrivateKey) -> None:
    """The same tree as somebody else's."""
    ours = signed(log)
    (log / "checkpoint").write_bytes(sign_checkpoint(origin, ours.size, ours.root, key))


def signed(log: Path) -> Checkpoint:
    return open_checkpoint((log / "checkpoint").read_bytes(), parse_vkey(VKEY))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_a_further_line(log: Path) -> None:
    """A checkpoint as a later version may write it: signed by our key, with an extension line."""
    ours = signed(log)
    text = f"{ORIGIN}\n{ours.size}\n{base64.b64encode(ours.root).decode()}\nportcullis 2\n"
    blob = base64.b64encode(parse_vkey(VKEY).key_id + KEY.sign(text.encode())).decode()
    (log / "checkpoint").write_text(f"{text}\n\u2014 {ORIGIN} {blob}\n")


def of_a_newer_schema(log: Path) -> None:
    """One record whose `v` is 2, under a good signature."""
    newer = records(SIZE)
    newer[-1] = record(SIZE - 1).replace(b'"v":1', b'"v":2')
    shutil.rmtree(log)
    shutil.rmtree(log.parent / "wal")
    build_log(log.parent, newer)


class Bad(Struct, frozen=True):
    """How a log becomes bad, what `verify` ends with and says, and what the sequencer says that will not extend it
    (None: what is bad is nothing that it needs)."""

    make: Callable[[Path], object]
    code: int
    says: str
    refused: str | None


BAD: dict[str, Bad] = {
    "somebody else's files": Bad(somebody_elses_files, 40, "checkpoint: A602", "A602"),
    "somebody else's log": Bad(
        lambda log: signed_by(log, "theirs.example/log", OTHER_KEY),
        40,
        "checkpoint: A603",
        "A603",
    ),
    "a log of our name, signed by a foreign key": Bad(
        lambda log: signed_by(log, ORIGIN, OTHER_KEY), 40, "checkpoint: A603", "A603"
    ),
    "a log of another name, signed by our key": Bad(
        lambda log: signed_by(log, "theirs.example/log", KEY), 40, "checkpoint: A603", "A603"
    ),
    "half-copied, without its checkpoint": Bad(
        lambda log: (log / "checkpoint").unlink(), 20, "nothing in this folder is signed", "A630"
    ),
    "half-copied, an empty checkpoint": Bad(lambda log: (log / "checkpoint").write_bytes(b""), 40, "A602", "A602"),
    "half-copied, half a checkpoint": Bad(lambda log: halved(log / "checkpoint"), 40, "A602", "A602"),
    "half-copied, the checkpoint alone": Bad(
        lambda log: shutil.rmtree(log / "tile"),
        20,
        "tile/entries/000: it is missing, and covers records 0 to 255",
        "A631",
    ),
    "half-copied, without its last bundle": Bad(
        lambda log: (log / LAST_BUNDLE).unlink(), 20, f"{LAST_BUNDLE}: it is missing, and covers records 256", "A631"
    ),
    "half-copied, half of its last bundle": Bad(
        lambda log: halved(log / LAST_BUNDLE), 40, f"{LAST_BUNDLE}: entry 22 of 44 is cut short", "A631"
    ),
    "half-copied, without an older bundle": Bad(
        lambda log: (log / "tile/entries/000").unlink(), 20, "tile/entries/000: it is missing, and covers", None
    ),
    "half-copied, names without bytes": Bad(
        lambda log: [path.write_bytes(b"") for path in (log / "tile").rglob("*") if path.is_file()],
        40,
        "tile/0/000: the tile has 0 bytes instead of 8192",
        "A631",
    ),
    "newer, a checkpoint with a further line": Bad(with_a_further_line, 40, "A605", "A605"),
    "newer, a record of another schema": Bad(of_a_newer_schema, 40, "a leaf has not the schema version 1", None),
}


@pytest.mark.parametrize("name", BAD)
def test_a_log_that_is_not_as_ours_is_named_and_not_written_into(pdp: Pdp, state: Path, name: str) -> None:
    bad = BAD[name]
    bad.make(state / "log")
    before = standing(state)
    checked = pdp("audit", "verify", "--state", state)
    assert (checked.code, checked.err) == (bad.code, "")
    assert bad.says in checked.out
    shown = pdp("audit", "show", NO_RECORD, "--state", state)
    assert shown.code in {1, 2}
    assert len(shown.err.splitlines()) == 1
    if bad.refused is not None:
        with pytest.raises(PdpError, match=bad.refused):
            sequencer_of(state)
    assert standing(state) == before


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if bad.refused is not None])
def test_a_sequencer_that_refuses_a_log_says_so_in_one_line(name: str, tmp_path: Path, built: Path) -> None:
    state = shutil.copytree(built, tmp_path / "state")
    BAD[name].make(state / "log")
    with pytest.raises(PdpError) as refused:
        sequencer_of(state)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


HUGE: dict[str, tuple[tuple[str, ...], int, str]] = {
    "verify": (("verify",), 20, "together they cover records 4352 to 99999999999999999\n"),
    "log": (("log",), 1, "the records 4352 to 99999999999999999 are not shown: every bundle from tile/entries/017 to "),
    "log, the newest": (("log", "--limit", "3"), 1, f"  {IDS.make(BOOT, 0, 255)}\n"),
    "show": (("show", NO_RECORD), 2, "with the records 99999999999999744 to 99999999999999999 is missing"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", HUGE)
def test_a_log_that_claims_more_than_anybody_can_have_is_read_to_its_end(pdp: Pdp, state: Path, name: str) -> None:
    words, code, says = HUGE[name]
    (state / "log" / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, 10**17, bytes(32), KEY))
    shutil.rmtree(state / "wal")
    done = pdp("audit", *words, "--state", state)
    assert done.code == code
    assert says in done.out + done.err


FOREIGN: dict[str, Callable[[Path], object]] = {
    "another key of our name": lambda keys: create_keys(keys, ORIGIN, os.urandom),
    "another key of another name": lambda keys: create_keys(keys, "theirs.example/log", os.urandom),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_log_beside_keys_of_another_is_invalid_and_not_extended(pdp: Pdp, state: Path, name: str) -> None:
    shutil.rmtree(state / "keys")
    FOREIGN[name](state / "keys")
    before = standing(state)
    checked = pdp("audit", "verify", "--state", state)
    assert checked.code == 40
    assert "A603" in checked.out
    assert standing(state) == before


def test_a_log_that_brings_its_own_key_is_checked_with_the_one_given(pdp: Pdp, state: Path) -> None:
    signed_by(state / "log", ORIGIN, OTHER_KEY)
    (state / "log" / "log.vkey").write_text("test.example/log+00000000+AAAA\n")
    (state / "keys" / "log.vkey").unlink()
    assert pdp("audit", "verify", "--state", state).code == 2
    assert pdp("audit", "verify", "--state", state, "--key", VKEY).code == 40


# ---------------------------------------------------------------- write-ahead logs of a newer version


def test_a_write_ahead_log_of_a_newer_version_never_enters_the_tree(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / wal_file()).write_bytes(newer_frames(3))
    sequencer = sequencer_of(tmp_path)
    assert not sequencer.integrate()
    sequencer.publish()
    assert sequencer.size == 0
    assert (tmp_path / "wal" / wal_file()).read_bytes() == newer_frames(3)


def test_a_write_ahead_log_of_a_newer_version_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / wal_file()).write_bytes(newer_frames(3))
    with pytest.raises(StateError, match=r"S122: .*0badcafe\.wal"):
        recover(tmp_path, 0)
    assert (tmp_path / wal_file()).read_bytes() == newer_frames(3)


def test_a_write_ahead_log_of_a_newer_version_is_no_torn_end(pdp: Pdp, state: Path) -> None:
    (state / "wal" / wal_file(writer=1)).write_bytes(newer_frames(3))
    checked = pdp("audit", "verify", "--state", state)
    assert checked.code in {20, 40}
    assert wal_file(writer=1) in checked.out


def test_a_record_of_a_newer_version_in_a_write_ahead_log_is_named(pdp: Pdp, state: Path) -> None:
    newer = [*records(3, writer=1), record(3, writer=1).replace(b'"v":1', b'"v":2')]
    add_wal(state, newer, writer=1)
    checked = pdp("audit", "verify", "--state", state)
    assert checked.code == 40
    assert f"40 {wal_file(writer=1)}, " in checked.out
    assert "it is not a record: a leaf has not the schema version 1" in checked.out


# ---------------------------------------------------------------- read-only

WITHOUT_OVERRIDE = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: what lets root write where no mode lets it
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
PROBE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('x')"


def held_to_modes(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python that may do only what the modes of files say, whoever runs the tests."""
    command = [sys.executable, "-c", WITHOUT_OVERRIDE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


@pytest.fixture
def read_only(tmp_path: Path) -> State:
    """A state folder in which nobody may write, with one decision in its log, signed."""
    state = decided(tmp_path / "state", "/health", {})[0]
    everything = [state.root, *state.root.rglob("*")]
    for path in everything:
        path.chmod(0o500 if path.is_dir() else 0o400)
    if held_to_modes("-c", PROBE, state.log / "probe").returncode == 0:
        pytest.skip("this user may write everywhere")
    return state


def test_a_read_only_log_is_checked_and_shown_and_nothing_is_tried(read_only: State) -> None:
    record_id = next(id_of(entry) for _, entry in entries(read_only.log) if b'"k":"decision"' in entry)
    before = standing(read_only.root)
    checked = held_to_modes("-m", "pdp", "audit", "verify", "--state", read_only.root)
    assert (checked.returncode, checked.stderr) == (0, "")
    shown = held_to_modes("-m", "pdp", "audit", "show", record_id, "--why", "--state", read_only.root)
    assert (shown.returncode, shown.stderr) == (0, "")
    refused = held_to_modes("-m", "pdp", "audit", "show", record_id, "--why", "--values", "--state", read_only.root)
    assert refused.returncode in {2, 3}
    assert refused.stdout == ""  # what is not on record first is not shown
    assert_one_line(refused.stderr, "Permission denied")
    assert standing(read_only.root) == before


def test_a_service_on_a_read_only_state_says_so(read_only: State, tmp_path: Path) -> None:
    config = tmp_path / "pdp.toml"
    config.write_text(f'state = "{read_only.root}"\npolicies = "{POLICY}"\n')
    before = standing(read_only.root)
    served = held_to_modes("-m", "pdp", "serve", "--config", config)
    assert served.returncode == 2
    assert_one_line(served.stderr, str(read_only.root))
    assert "fault in pdp" not in served.stderr
    assert standing(read_only.root) == before


def test_a_sequencer_on_a_read_only_log_says_so(read_only: State) -> None:
    command = "import os, sys; from pdp.audit.sequencer_main import main; r, w = os.pipe(); os.close(w); "
    command += "sys.exit(main(['--state', sys.argv[1], '--parent-fd', str(r)]))"
    before = standing(read_only.root)
    ended = held_to_modes("-c", command, read_only.root)
    assert ended.returncode in {2, 3}
    assert_one_line(ended.stderr, "Permission denied")
    assert standing(read_only.root) == before


def assert_one_line(text: str, said: str) -> None:
    assert "Traceback" not in text
    assert len(text.splitlines()) == 1
    assert said in text


def id_of(entry: bytes) -> str:
    return parse(entry).id


# ---------------------------------------------------------------- hostile names and values

HOSTILE = "a\nforged line\x1b[2J\x1b]0;owned\x07=cmd|'calc'!A0\u202e\r\x9b31m"
RAW = frozenset("\x1b\x07\u202e\r\x9b")
"""What must not reach a terminal as it is, beside a line of its own."""


def assert_harmless(done: Done) -> None:
    """Nothing that a terminal would obey, and no line that somebody else wrote."""
    text = done.out + done.err
    assert not RAW & set(text)
    assert not any(line.startswith("forged") for line in text.splitlines())


@pytest.mark.parametrize("view", [(), ("--why",), ("--why", "--values"), ("--json",), ("--why", "--values", "--json")])
def test_a_hostile_call_is_shown_escaped_in_every_view(pdp: Pdp, tmp_path: Path, view: tuple[str, ...]) -> None:
    state, record_id = decided(tmp_path / "state", f"/{HOSTILE}", {"user-agent": HOSTILE, "x-note": HOSTILE})
    shown = pdp("audit", "show", record_id, *view, "--state", state.root)
    assert shown.code == 0
    assert_harmless(shown)
    if {"--values", "--json"} <= {*view}:
        assert "owned" in shown.out, "the path is among the values"
    checked = pdp("audit", "verify", "--state", state.root)
    assert checked.code == 0
    assert_harmless(checked)


def test_a_hostile_name_in_a_signed_record_is_shown_escaped(pdp: Pdp, tmp_path: Path) -> None:
    hostile = record(1, kind="log.recovered", file=HOSTILE, kept_seq=7, discarded=1, damaged=True)
    build_log(tmp_path, [record(0), hostile])
    checked = pdp("audit", "verify", "--state", tmp_path, "--key", VKEY)
    assert checked.code == 20
    assert "owned" in checked.out
    assert_harmless(checked)
    assert_harmless(pdp("audit", "verify", "--state", tmp_path, "--key", VKEY, "--json"))
    assert_harmless(pdp("audit", "show", id_of(hostile), "--state", tmp_path))


def test_hostile_names_of_files_in_a_log_reach_no_output(pdp: Pdp, state: Path) -> None:
    name = HOSTILE.replace("/", "")
    for folder in ("wal", "log", "log/tile", "log/tile/entries", "log/tile/entries/001.p"):
        (state / folder / name).write_bytes(b"x")
    (state / "log" / LAST_BUNDLE).unlink()
    (state / "log" / LAST_BUNDLE).symlink_to(name)
    before = standing(state)
    checked = pdp("audit", "verify", "--state", state)
    assert checked.code == 40
    assert f"{LAST_BUNDLE}: it is a link, not a file" in checked.out
    assert_harmless(checked)
    assert_harmless(pdp("audit", "show", NO_RECORD, "--state", state))
    assert standing(state) == before


def test_a_hostile_checkpoint_is_shown_escaped(pdp: Pdp, state: Path) -> None:
    for text in (f"{HOSTILE}\n1\n{HOSTILE}\n\n\u2014 {HOSTILE}\n", "\u202eevil\n1\nx\n\n\u2014 \u202eb QUJDRA==\n"):
        (state / "log" / "checkpoint").write_text(text)
        checked = pdp("audit", "verify", "--state", state)
        assert checked.code == 40
        assert_harmless(checked)
        assert_harmless(pdp("audit", "show", NO_RECORD, "--state", state))


HOSTILE_PLACES: dict[str, tuple[tuple[str, ...], int]] = {
    "verify, no such state": (("verify", "--state", "HERE/none"), 2),
    "verify, no key": (("verify", "--state", "HERE"), 2),
    "verify, no such log": (("verify", "--log", "HERE/none", "--key", VKEY), 2),
    "verify, no such head": (("verify", "--state", "HERE", "--key", VKEY, "--known-head", "HERE/none"), 2),
    "verify, a folder for a key": (("verify", "--state", "HERE", "--key", "HERE"), 2),
    "verify, an empty log": (("verify", "--state", "HERE", "--key", VKEY), 20),
    "show, no such state": (("show", NO_RECORD, "--state", "HERE/none"), 2),
    "show, no such record": (("show", NO_RECORD, "--state", "HERE"), 1),
    "show, no id": (("show", HOSTILE, "--state", "HERE"), 2),
    "verify, an extra word": (("verify", HOSTILE, "--state", "HERE"), 2),
}


@pytest.mark.parametrize("name", HOSTILE_PLACES)
def test_a_hostile_path_on_the_command_line_is_shown_escaped(pdp: Pdp, tmp_path: Path, name: str) -> None:
    place = tmp_path / HOSTILE
    (place / "log").mkdir(parents=True)
    words, code = HOSTILE_PLACES[name]
    done = pdp("audit", *(word.replace("HERE", str(place)) for word in words))
    assert done.code == code
    assert_harmless(done)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted([HOSTILE, "log"])


# ---------------------------------------------------------------- two on one state


def test_two_services_on_one_state_the_second_is_named_and_touches_nothing(tmp_path: Path, pdp: Pdp) -> None:
    state, _ = decided(tmp_path / "state", "/health", {})
    config = tmp_path / "pdp.toml"
    config.write_text(f'state = "{state.root}"\npolicies = "{POLICY}"\n')
    with sole_use(state):
        before = locked_out(state)
        second = pdp("serve", "--config", config)
        assert second.code == 2
        assert_one_line(second.err, f"another `pdp serve` runs on the state folder {state.root}")
        assert locked_out(state) == before


def locked_out(state: State) -> dict[str, tuple[int, int, bytes]]:
    """What stands there but for the lock, which whoever asks opens."""
    found = standing(state.root)
    del found["serve.lock"]
    return found


def test_two_writers_of_one_number_the_second_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    live = LiveLog(tmp_path / "state")
    with live.writing():
        before = standing(live.state)
        with pytest.raises(StateError, match="S121: writer 0 is in use"), live.writing():
            pass
        assert standing(live.state) == before
