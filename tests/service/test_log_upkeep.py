"""The sequencer's process changes the key of the log when it is due, and has the log witnessed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.checkpoint import format_vkey, parse_vkey, split_note
from pdp.audit.disk import Folder
from pdp.audit.key_turns import LOOK_EVERY_S, KeyTurns
from pdp.audit.keys import create_keys, load_keys
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, parse_manifest
from pdp.audit.policy import TrustPolicyError, open_witnessed, parse_policy
from pdp.audit.reader import tree_size
from pdp.audit.rotation import open_signed, seals
from pdp.audit.sequencer_main import Settings, run
from pdp.audit.succession import DAY_S
from pdp.audit.tiles import WITNESSED
from pdp.audit.witness_thread import Witnesses
from pdp.errors import StateError
from tests.support.logs import ORIGIN, add_wal, records
from tests.support.witness_server import Witness, served

NAME = "witness.example/w1"


class Until:
    """Ends a sequencer as soon as something holds; a look that takes half a minute has failed."""

    def __init__(self, holds: Callable[[], bool]) -> None:
        self._holds = holds
        self._until = time.monotonic() + 30
        self.ended_in_time = True

    def wait(self, seconds: float) -> bool:
        if self._holds():
            return True
        time.sleep(min(seconds, 0.02))
        self.ended_in_time = time.monotonic() < self._until
        return not self.ended_in_time


def signed_by(state: Path) -> str:
    """The key that signed the checkpoint on disk."""
    keys = load_keys(state / "keys")
    log = Folder(state / "log")
    succession = parse_manifest(log.read(MANIFEST, MOST_MANIFEST_BYTES), keys.anchor)
    data = log.read("checkpoint", 1 << 16)
    assert data is not None
    verifier = open_signed(data, succession).period.verifier
    return format_vkey(verifier.name, verifier.public)


def begun(tmp_path: Path, *, days_ago: int = 0) -> Path:
    """A state with keys and a few records."""
    create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    then = time.time() - days_ago * DAY_S
    os.utime(tmp_path / "keys" / "log.key", (then, then))
    add_wal(tmp_path, records(100))
    return tmp_path


def kept(state: Path, settings: Settings, holds: Callable[[], bool]) -> None:
    """Run the sequencer until something holds."""
    ending = Until(holds)
    run(state, ending, settings, time.monotonic)  # type: ignore[arg-type]
    assert ending.ended_in_time


def test_a_key_whose_days_are_over_is_changed_and_the_log_goes_on(tmp_path: Path) -> None:
    state = begun(tmp_path, days_ago=31)
    first = load_keys(state / "keys")
    kept(state, Settings(0.05, key_days=30), lambda: load_keys(state / "keys").signer != first.signer)
    second = load_keys(state / "keys")
    assert second.vkey == first.vkey
    assert signed_by(state) == format_vkey(ORIGIN, second.signer.public)
    manifest = Folder(state / "log").read(MANIFEST, MOST_MANIFEST_BYTES)
    (seal,) = seals(parse_manifest(manifest, parse_vkey(first.vkey)))
    add_wal(state, records(200))
    kept(state, Settings(0.05, key_days=30), lambda: tree_size(Folder(state / "log")) > seal.size)
    assert signed_by(state) == format_vkey(ORIGIN, second.signer.public)


def test_a_key_whose_days_are_not_over_stays(tmp_path: Path) -> None:
    state = begun(tmp_path, days_ago=29)
    first = load_keys(state / "keys").signer
    kept(state, Settings(0.05, key_days=30), lambda: tree_size(Folder(state / "log")) == 100)
    assert load_keys(state / "keys").signer == first


def test_changes_are_looked_for_once_a_minute(tmp_path: Path) -> None:
    state, now = begun(tmp_path), [0.0]
    said: list[str] = []
    day_40_us = int((time.time() + 40 * DAY_S) * 1_000_000)
    (state / "log").mkdir()
    turns = KeyTurns(
        state, Folder(state / "log"), 30, now_us=lambda: day_40_us, clock=lambda: now[0], entropy=os.urandom
    )
    turns.settled()
    assert turns.due(said.append) is not None
    now[0] = LOOK_EVERY_S - 1
    assert turns.due(said.append) is None
    now[0] = LOOK_EVERY_S
    assert turns.due(said.append) is not None
    assert said == []


# ---------------------------------------------------------------- witnesses


def witness_of(folder: Path, state: Path, seed: int = 1) -> Witness:
    vkey = load_keys(state / "keys").vkey
    return Witness(folder / "witness.db", NAME, bytes([seed]) * 32, [vkey], lambda: int(time.time()))


def policy_at(folder: Path, witness: Witness) -> Path:
    path = folder / "witnesses.policy"
    path.write_text(f"witness one {witness.vkey} {witness.url}\nquorum one\n")
    return path


def test_the_log_is_witnessed_as_it_grows(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    state = begun(tmp_path / "state")
    witness = witness_of(tmp_path, state)
    with served(witness):
        settings = Settings(0.05, witnesses=Witnesses(policy_at(tmp_path, witness), ("127.0.0.1",), 0.05))
        kept(state, settings, lambda: _witnessed_size(state) == 100)
        policy_text = settings.witnesses.policy.read_bytes() if settings.witnesses else b""
    from_policy = parse_policy(policy_text)
    data = Folder(state / "log").read(WITNESSED, 1 << 16)
    assert data is not None
    succession = parse_manifest(None, load_keys(state / "keys").anchor)
    found = open_witnessed(data, succession, from_policy, int(time.time()))
    assert found.since_s is not None
    assert found.signed.checkpoint.size == 100


def test_a_log_that_lost_what_a_witness_knows_is_not_signed_on(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "older").mkdir()
    state = begun(tmp_path / "state")
    witness = witness_of(tmp_path, state)
    with served(witness):
        settings = Settings(0.05, witnesses=Witnesses(policy_at(tmp_path, witness), ("127.0.0.1",), 0.05))
        kept(state, settings, lambda: _witnessed_size(state) == 100)
        older = tmp_path / "older"
        (state / "keys").rename(older / "keys")
        add_wal(older, records(10))
        kept(older, Settings(0.05), lambda: tree_size(Folder(older / "log")) == 10)
        before = (older / "log" / "checkpoint").read_bytes()
        add_wal(older, records(20))
        with pytest.raises(StateError, match=r"A633: the log is not signed on: .* knows 100 records"):
            run(older, Until(lambda: False), settings, time.monotonic)  # type: ignore[arg-type]
    assert (older / "log" / "checkpoint").read_bytes() == before


def test_a_log_that_was_emptied_is_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "emptied").mkdir()
    state = begun(tmp_path / "state")
    witness = witness_of(tmp_path, state)
    with served(witness):
        settings = Settings(0.05, witnesses=Witnesses(policy_at(tmp_path, witness), ("127.0.0.1",), 0.05))
        kept(state, settings, lambda: _witnessed_size(state) == 100)
        (state / "keys").rename(tmp_path / "emptied" / "keys")
        add_wal(tmp_path / "emptied", records(30))
        with pytest.raises(StateError, match=r"A633: the log is not signed on: .* knows 100 records"):
            run(tmp_path / "emptied", Until(lambda: False), settings, time.monotonic)  # type: ignore[arg-type]
    assert tree_size(Folder(tmp_path / "emptied" / "log")) == 0


def test_a_witness_that_is_away_does_not_keep_the_log_from_growing(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    state = begun(tmp_path / "state")
    witness = witness_of(tmp_path, state)
    with served(witness):
        settings = Settings(0.05, witnesses=Witnesses(policy_at(tmp_path, witness), ("127.0.0.1",), 0.05))
    kept(state, settings, lambda: tree_size(Folder(state / "log")) == 100)
    assert Folder(state / "log").read(WITNESSED, 1 << 16) is None


def test_a_policy_of_other_logs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    state = begun(tmp_path / "state")
    witness = witness_of(tmp_path, state)
    other = create_keys(tmp_path / "other", "other.example/log", os.urandom)
    path = tmp_path / "witnesses.policy"
    path.write_text(f"log {other.vkey}\nwitness one {witness.vkey} http://127.0.0.1:1/\nquorum one\n")
    settings = Settings(0.05, witnesses=Witnesses(path, ("127.0.0.1",), 0.05))
    with pytest.raises(TrustPolicyError, match="names other logs and not this one"):
        run(state, Until(lambda: False), settings, time.monotonic)  # type: ignore[arg-type]


def _witnessed_size(state: Path) -> int | None:
    data = Folder(state / "log").read(WITNESSED, 1 << 16)
    return None if data is None else int(split_note(data).text.split("\n")[1])
