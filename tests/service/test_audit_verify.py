"""`pdp audit verify`: keys, exit codes, and what a person or a program reads."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdp.audit.checkpoint import CheckpointError, format_vkey
from pdp.audit.disk import Folder
from pdp.audit.proof import encode_proof, prove_record
from pdp.audit.wal import wal_name
from pdp.audit.writer import Limits
from pdp.cli.audit_verify import verify
from pdp.cli.record_bar import SHOW_AFTER_S, RecordBar
from pdp.errors import PdpError
from tests.support.key_changes import ChangingLog
from tests.support.logs import (
    ORIGIN,
    OTHER_KEY,
    VKEY,
    LiveLog,
    add_wal,
    build_log,
    put,
    record,
    records,
    wal_file,
)


def writes(live: LiveLog, over: threading.Event) -> None:
    """A service that is killed and started again, ten times, each time with a frame on its way; its files are small."""
    try:
        for _ in range(10):
            with live.writing(limits=Limits(file_bytes=20_000)) as writer:
                put(writer, 100, 1_000)
                newest = live.state / "wal" / wal_name(0, writer.boot())
            with (
                contextlib.suppress(FileNotFoundError),
                os.fdopen(os.open(newest, os.O_WRONLY | os.O_APPEND), "wb") as f,
            ):
                f.write(b"PWAL, and then the power failed")
    finally:
        over.set()


def sequences(live: LiveLog, over: threading.Event) -> None:
    """Takes in, signs, and removes what is done, as fast as it can."""
    sequencer = live.sequencer()
    while not over.is_set():
        live.pass_quietly(sequencer)
    live.pass_quietly(sequencer)


def test_a_log_that_lives_is_sound_at_every_moment(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    sequencer = live.sequencer()
    sequencer.publish()
    over = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        works = [pool.submit(work, live, over) for work in (writes, sequences)]
        outputs = []
        while not over.is_set() or len(outputs) < 3:
            result = run("--state", live.state)
            outputs.append(result.output)
            assert result.exit_code == 0, result.output
    for work in works:
        assert work.exception() is None
    result = run("--state", live.state, "--json")
    stated = json.loads(result.stdout)
    assert (stated["exit_code"], stated["findings"], stated["pending"]) == (0, [], 0)
    assert stated["records"] > 1_000
    assert len(live.names()) < stated["writers"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    build_log(tmp_path / "state", records(300))
    (tmp_path / "state" / "keys").mkdir()
    (tmp_path / "state" / "keys" / "log.vkey").write_text(VKEY + "\n")
    return tmp_path / "state"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(verify, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def test_a_sound_log_in_words(state: Path) -> None:
    add_wal(state, records(400))
    result = run("--state", state)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "log         test.example/log"
    assert lines[1].startswith("checkpoint  300 records, root ")
    assert lines[2] == "read        300 records of the tree, 100 beyond it, 1 writer"
    assert lines[3] == "newest      2023-11-14 22:13:20 UTC"
    assert lines[4:] == ["result      sound"]


def test_a_changed_log_in_words(state: Path) -> None:
    path = state / "log/tile/entries/000"
    path.write_bytes(path.read_bytes().replace(b"decision", b"decisiom", 1))
    result = run("--state", state)
    assert result.exit_code == 40
    assert result.stdout.splitlines()[-2] == "result      invalid: something was changed"
    assert result.stdout.splitlines()[-1].startswith("  40 record 1 (id ")


def test_for_programs(state: Path) -> None:
    (state / "wal" / wal_file()).unlink()
    (state / "log/tile/0/000").unlink()
    result = run("--state", state, "--json")
    stated = json.loads(result.stdout)
    assert (result.exit_code, stated["exit_code"], stated["result"]) == (20, 20, "incomplete")
    assert stated["findings"][0]["place"] == "tile/0/000"
    assert (stated["size"], stated["records"], stated["pending"]) == (300, 300, 0)


def test_without_a_key_it_does_not_start(state: Path) -> None:
    (state / "log" / "log.vkey").write_text(VKEY)
    (state / "keys" / "log.vkey").unlink()
    result = run("--state", state)
    assert result.exit_code == 2
    assert "no key to check against" in result.stderr


def test_the_key_may_be_given_or_be_in_a_file(state: Path, tmp_path: Path) -> None:
    (state / "keys" / "log.vkey").unlink()
    (tmp_path / "vkey").write_text(VKEY)
    for key in (VKEY, tmp_path / "vkey"):
        assert run("--state", state, "--key", key).exit_code == 0


def test_a_log_elsewhere_is_checked_with_the_key_of_the_state(state: Path, tmp_path: Path) -> None:
    elsewhere = build_log(tmp_path / "copy", records(20))
    result = run("--state", state, "--log", elsewhere, "--json")
    assert (result.exit_code, json.loads(result.stdout)["size"]) == (0, 20)


def test_a_known_head(state: Path, tmp_path: Path) -> None:
    head = build_log(tmp_path / "later", [*records(300), record(300)]) / "checkpoint"
    assert run("--state", state, "--known-head", head).exit_code == 30
    assert run("--state", state, "--known-head", state / "log" / "checkpoint").exit_code == 0


def test_a_log_of_old_records(state: Path) -> None:
    assert run("--state", state, "--max-age", 1_000_000_000).exit_code == 0
    assert run("--state", state, "--max-age", 0).exit_code == 11


MISUSED: dict[str, Sequence[object]] = {
    "no such state": ("--state", "/nonexistent/state"),
    "no such head": ("--known-head", "/nonexistent/head"),
    "a negative age": ("--max-age", "-1"),
    "a folder name beyond any": ("--log", "a" * 300),
}


@pytest.mark.parametrize("name", MISUSED)
def test_misuse_ends_2(state: Path, name: str) -> None:
    assert run("--state", state, *MISUSED[name]).exit_code == 2


def test_a_disk_that_fails_is_our_fault(state: Path) -> None:
    """No file can be opened any more: that says nothing about the log."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        result = run("--state", state, "--key", VKEY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result.exit_code == 3
    assert "cannot be read" in result.stderr


def test_a_folder_in_place_of_a_tile_is_what_is_wrong_with_the_log(state: Path) -> None:
    path = state / "log/tile/0/000"
    path.unlink()
    path.mkdir()
    result = run("--state", state)
    assert result.exit_code == 40
    assert result.stdout.splitlines()[-1] == ("  40 tile/0/000: it is a folder, not a file; it covers records 0 to 255")


def test_a_foreign_key_is_not_believed(state: Path) -> None:
    foreign = format_vkey(ORIGIN, OTHER_KEY.public_key().public_bytes_raw())
    result = run("--state", state, "--key", foreign)
    assert result.exit_code == 40
    assert result.stdout.splitlines()[1] == "result      invalid: something was changed"


@pytest.mark.parametrize(
    "key",
    ["my key", "a" * 300 + "+00000000+AAAA", "a/" * 3000, "a\0b", ""],
    ids=["short", "long", "deep", "nul", "empty"],
)
def test_a_key_that_is_none_is_refused(state: Path, key: str) -> None:
    with pytest.raises(CheckpointError, match="A601") as refused:
        CliRunner().invoke(verify, ["--state", str(state), "--key", key], catch_exceptions=False)
    assert refused.value.exit_code == 2


def test_a_key_file_without_end_is_refused(state: Path, tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    os.truncate(tmp_path / "key", 1 << 40)
    with pytest.raises(CheckpointError, match="A601"):
        CliRunner().invoke(verify, ["--state", str(state), "--key", str(tmp_path / "key")], catch_exceptions=False)


def test_on_a_terminal_a_long_run_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    ticks = iter([0.0, SHOW_AFTER_S / 2, SHOW_AFTER_S, 2 * SHOW_AFTER_S, 2 * SHOW_AFTER_S])
    with redirect_stderr(Terminal()) as terminal:
        bar = RecordBar(lambda: next(ticks))
        bar.show(256, 1000)
        assert terminal.getvalue() == ""
        bar.show(512, 1000)
        bar.show(768, 1000)
        bar.close()
    assert "records" in terminal.getvalue()
    assert capsys.readouterr().out == ""


# ---------------------------------------------------------------- the key of another log


def other_log(folder: Path) -> Path:
    """A log of another name, of which nobody here has the key."""
    log = build_log(folder, records(20))
    checkpoint = log / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(ORIGIN.encode(), b"other.example/log"))
    return log


def test_the_key_of_another_log_is_named_with_both(state: Path, tmp_path: Path) -> None:
    result = run("--state", state, "--log", other_log(tmp_path / "other"))
    assert result.exit_code == 40
    own = state / "keys/log.vkey"
    said = f"the checkpoint is of the log other.example/log, the key in {own} is of the log {ORIGIN}: give the key of"
    assert f"  note {said} that log with --key, or name another place" in result.stdout
    assert "the key given with --key is" in run("--log", other_log(tmp_path / "more"), "--key", VKEY).stdout


def test_another_key_of_the_name_hints_at_a_manifest_that_is_missing(state: Path) -> None:
    foreign = format_vkey(ORIGIN, OTHER_KEY.public_key().public_bytes_raw())
    said = "where keys changed, the file `manifest` leads from one to the other, and there is none here"
    assert said in run("--state", state, "--key", foreign).stdout
    path = state / "log/tile/entries/000"
    path.write_bytes(path.read_bytes().replace(b"decision", b"decisiom", 1))
    assert "note" not in run("--state", state).stdout


def test_a_later_key_of_a_log_in_place_of_the_first_is_told(tmp_path: Path) -> None:
    log = ChangingLog(tmp_path)
    log.begin()
    log.change()
    first = format_vkey(ORIGIN, log.first.anchor.public)
    assert run("--log", tmp_path / "log", "--key", first).exit_code == 0
    later = format_vkey(ORIGIN, log.keys.sign_key.public_key().public_bytes_raw())
    result = run("--log", tmp_path / "log", "--key", later)
    assert result.exit_code == 40
    assert "the log is known by the one it began with: give `keys/log.vkey` of its state" in result.stdout
    (tmp_path / "log/manifest").unlink()
    assert "and there is none here" in run("--log", tmp_path / "log", "--key", first).stdout


def test_a_file_of_a_key_that_is_not_there_is_said_to_be_missing(state: Path) -> None:
    result = CliRunner().invoke(verify, ["--state", str(state), "--key", "nofile.vkey"])
    assert isinstance(result.exception, CheckpointError)
    assert "there is no file nofile.vkey" in result.exception.detail
    (state / "keys/log.vkey").write_text("none\n")
    result = CliRunner().invoke(verify, ["--state", str(state)])
    assert isinstance(result.exception, CheckpointError)
    assert str(state / "keys/log.vkey") in result.exception.detail


# ---------------------------------------------------------------- what is named wrongly


def test_a_folder_in_place_of_a_file_says_what_to_write(state: Path, tmp_path: Path) -> None:
    (tmp_path / "receipt").mkdir()
    (tmp_path / "receipt/checkpoint").write_bytes(b"")
    (tmp_path / "receipt/receipt.json").write_bytes(b"{}")
    (tmp_path / "empty").mkdir()
    for folder, said in (
        (state / "log", f"write --log {state / 'log'} for the log in it"),
        (state, f"write --state {state} for the log of that state"),
        (tmp_path / "receipt", "name the .zip file and not what was unpacked from it"),
        (tmp_path / "empty", "FILE is a receipt or a `.tlog-proof`"),
    ):
        result = run(folder)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_files_that_are_not_there_are_named_and_end_2(state: Path, tmp_path: Path) -> None:
    for option in ((), ("--witnesses",), ("--known-head",)):
        result = run("--state", state, *option, tmp_path / "nofile")
        assert (result.exit_code, f"{tmp_path / 'nofile'} cannot be read" in result.stderr) == (2, True), result.stderr
    result = run("--state", state, "--heads", tmp_path)
    assert (result.exit_code, f"--heads: {tmp_path} is a folder" in result.stderr) == (2, True)


def test_what_is_neither_a_receipt_nor_a_proof_is_said_to_be_what_it_is(state: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Read me\n")
    result = run(tmp_path / "README.md", "--key", VKEY)
    assert (result.exit_code, "is neither a receipt nor a `.tlog-proof`\n" in result.stderr) == (2, True)
    result = run(state / "log/checkpoint", "--key", VKEY)
    said = f"it says it is a checkpoint of {ORIGIN} with 300 records, which --known-head takes"
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_a_file_of_heads_in_place_of_a_head_is_told(state: Path, tmp_path: Path) -> None:
    heads = tmp_path / "heads.json"
    assert run("--state", state, "--heads", heads).exit_code == 0
    result = run("--state", state, "--known-head", heads)
    said = f"--known-head: {heads} is no checkpoint"
    assert (result.exit_code, said in result.stderr, "--heads" in result.stderr) == (2, True, True)


def test_an_error_in_a_file_of_witnesses_or_in_a_head_names_the_file(state: Path, tmp_path: Path) -> None:
    (tmp_path / "witnesses.policy").write_text("quorum nobody\n")
    head = other_log(tmp_path / "other") / "checkpoint"
    for option, path in (("--witnesses", tmp_path / "witnesses.policy"), ("--known-head", head)):
        result = CliRunner().invoke(verify, ["--state", str(state), option, str(path)])
        assert isinstance(result.exception, PdpError)
        assert str(path) in result.exception.detail


# ---------------------------------------------------------------- heads


def test_it_is_said_whether_a_head_was_known(state: Path, tmp_path: Path) -> None:
    heads = tmp_path / "heads.json"
    assert f"note no head was known: {heads} begins with this one" in run("--state", state, "--heads", heads).stdout
    again = run("--state", state, "--heads", heads).stdout
    assert f"note it continues the 300 records of the head in {heads}" in again
    assert "no head was known" not in again
    head = tmp_path / "head"
    head.write_bytes((state / "log/checkpoint").read_bytes())
    said = f"note it continues the 300 records of the head in {head}"
    assert said in run("--state", state, "--known-head", head).stdout
    (state / "log/tile/entries/000").unlink()
    result = run("--state", state, "--known-head", head)
    assert (result.exit_code, "continues" in result.stdout) == (20, False)


def test_a_fork_beside_something_worse_keeps_its_evidence_too(state: Path, tmp_path: Path) -> None:
    heads = tmp_path / "heads.json"
    later = build_log(tmp_path / "later", [*records(300), record(300)])
    assert run("--log", later, "--key", VKEY, "--heads", heads).exit_code == 0
    path = state / "log/tile/entries/000"
    path.write_bytes(path.read_bytes().replace(b"decision", b"decisiom", 1))
    result = run("--state", state, "--heads", heads)
    assert result.exit_code == 40
    assert "  30 checkpoint: " in result.stdout
    (kept,) = (tmp_path / "forks").iterdir()
    assert f"note both checkpoints are kept in {kept}" in result.stdout


def test_what_contradicted_a_mirror_is_told_of(state: Path, tmp_path: Path) -> None:
    (state / "log/fork").mkdir()
    (state / "log/fork/1-00.checkpoint").write_bytes(b"")
    assert "note" not in run("--state", state).stdout  # it is no mirror
    (state / "log/.mirror").write_bytes(b"{}")
    result = run("--log", state / "log", "--key", VKEY)
    assert (
        result.exit_code,
        f"note what contradicted this mirror is kept in {state / 'log/fork'}" in result.stdout,
    ) == (
        0,
        True,
    )


def test_of_a_proof_under_the_key_of_another_log_it_is_said_whose_it_is(state: Path, tmp_path: Path) -> None:
    checkpoint = (state / "log/checkpoint").read_bytes()
    proof = tmp_path / "r.tlog-proof"
    proof.write_bytes(encode_proof(prove_record(Folder(state / "log"), 7, checkpoint)))
    assert run(proof, "--state", state).exit_code == 0
    vkey = tmp_path / "other.vkey"
    vkey.write_text(format_vkey("other.example/log", OTHER_KEY.public_key().public_bytes_raw()))
    result = run(proof, "--key", vkey)
    assert result.exit_code == 40
    assert f"it is of the log {ORIGIN}: give the key of that log with --key" in result.stdout
    assert f"note checked with the key in {vkey}" in result.stdout
