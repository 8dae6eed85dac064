"""`pdp audit mirror`: what it says, how it ends, which key it takes, and that it follows."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdp.audit.checkpoint import CheckpointError, format_vkey
from pdp.audit.mirror_source import SourceError
from pdp.audit.verify import verify_log
from pdp.cli.audit_log import log
from pdp.cli.audit_mirror import mirror
from pdp.errors import StateError
from pdp.model import Json
from tests.support.logs import ORIGIN, OTHER_KEY, VKEY, add_wal, build_log, ignore, record, records, sequencer_of
from tests.support.process import eventually

COMMAND = [sys.executable, "-c", "from pdp.cli.audit_mirror import mirror; mirror()"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return build_log(tmp_path / "state", records(300))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(mirror, [str(argument) for argument in arguments])


def test_in_words(source: Path, tmp_path: Path) -> None:
    first = run(source, tmp_path / "mirror", "--key", VKEY)
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout.startswith("test.example/log: 300 records, root ")
    assert first.stdout.endswith("; 300 new\n")
    again = run(source, tmp_path / "mirror", "--key", VKEY)
    assert again.stdout.endswith("; nothing new\n")


def test_for_programs(source: Path, tmp_path: Path) -> None:
    stated = json.loads(run(f"file://{source}", tmp_path / "mirror", "--key", VKEY, "--json").stdout)
    assert (stated["result"], stated["exit_code"], stated["size"], stated["added"]) == ("pulled", 0, 300, 300)
    assert (stated["origin"], stated["evidence"], stated["text"]) == (ORIGIN, [], "")


def test_a_mirror_is_listed_and_verified_as_a_log_is(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "mirror", "--key", VKEY)
    assert verify_log(tmp_path / "mirror", None, VKEY, ignore).exit_code == 0
    listing = CliRunner().invoke(log, ["--log", str(tmp_path / "mirror"), "--json"])
    assert (listing.exit_code, len(listing.stdout.splitlines())) == (0, 300)


def test_a_fork_ends_30_and_names_its_evidence(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "mirror", "--key", VKEY)
    other = build_log(tmp_path / "other", [*records(200), record(200, pad="x"), *records(400)[201:]])
    result = run(other, tmp_path / "mirror", "--key", VKEY)
    assert (result.exit_code, result.stdout) == (30, "")
    assert result.stderr.startswith("fork: at 300 records its root is another than here: it is another history; kept")
    kept = list((tmp_path / "mirror/fork").iterdir())
    assert all(f"fork/{path.name}" in result.stderr for path in kept)
    assert {path.read_bytes() for path in kept} == {
        (source / "checkpoint").read_bytes(),
        (other / "checkpoint").read_bytes(),
    }
    stated = json.loads(run(other, tmp_path / "mirror", "--key", VKEY, "--json").stdout)
    assert (stated["exit_code"], stated["size"], len(stated["evidence"])) == (30, 300, 2)


def test_what_is_missing_ends_20(source: Path, tmp_path: Path) -> None:
    (source / "tile/entries/000").unlink()
    result = run(source, tmp_path / "mirror", "--key", VKEY)
    assert result.exit_code == 20
    assert result.stderr == "incomplete: tile/entries/000 is missing; the mirror holds 0 records\n"


def test_what_was_changed_ends_40(source: Path, tmp_path: Path) -> None:
    bundle = source / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b"decision", b"decisiom", 1))
    result = run(source, tmp_path / "mirror", "--key", VKEY)
    assert result.exit_code == 40
    assert "invalid: what is served is not sound: tile/entries/000" in result.stderr


def test_the_key_may_be_in_a_file_or_be_the_states_own(source: Path, tmp_path: Path) -> None:
    (tmp_path / "vkey").write_text(VKEY + "\n")
    assert run(source, tmp_path / "one", "--key", tmp_path / "vkey").exit_code == 0
    (tmp_path / "state/keys").mkdir()
    (tmp_path / "state/keys/log.vkey").write_text(VKEY + "\n")
    assert run(source, tmp_path / "two", "--state", tmp_path / "state").exit_code == 0


def test_without_a_key_it_does_not_start(source: Path, tmp_path: Path) -> None:
    (source / "log.vkey").write_text(VKEY)
    result = run(source, tmp_path / "mirror", "--state", tmp_path / "state")
    assert result.exit_code == 2
    assert "no key to check against" in result.stderr
    assert not (tmp_path / "mirror").exists()


def test_another_key_ends_40_and_writes_nothing(source: Path, tmp_path: Path) -> None:
    other = format_vkey(ORIGIN, OTHER_KEY.public_key().public_bytes_raw())
    assert run(source, tmp_path / "mirror", "--key", other).exit_code == 40
    assert not (tmp_path / "mirror/checkpoint").exists()


def test_a_wrong_source_binds_no_folder(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    (tmp_path / "nothing").mkdir()
    assert run(tmp_path / "nothing", folder, "--key", VKEY).exit_code == 20
    other = format_vkey(ORIGIN, OTHER_KEY.public_key().public_bytes_raw())
    assert run(source, folder, "--key", other).exit_code == 40
    assert not folder.exists()
    assert run(source, folder, "--key", VKEY).exit_code == 0


def test_the_key_of_another_log_is_named_with_both(source: Path, tmp_path: Path) -> None:
    vkey = tmp_path / "other.vkey"
    vkey.write_text(format_vkey("other.example/log", OTHER_KEY.public_key().public_bytes_raw()))
    result = run(source, tmp_path / "mirror", "--key", vkey)
    assert result.exit_code == 40
    assert f"of the log {ORIGIN}, the key in {vkey} is of the log other.example/log" in result.stderr
    run(source, tmp_path / "mirror", "--key", VKEY)
    checkpoint = source / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(ORIGIN.encode(), b"other.example/log"))
    result = run(source, tmp_path / "mirror", "--key", VKEY)
    assert (result.exit_code, "is of the log other.example/log, the key given with --key" in result.stderr) == (
        40,
        True,
    )


REFUSED = {
    "no key at all": (["SOURCE", "DIR", "--key", "x+y"], CheckpointError, "A601"),
    "a place that may not be asked": (["http://log.example/", "DIR", "--key", VKEY], SourceError, "A681"),
    "a source that is not there": (["nowhere", "DIR", "--key", VKEY], SourceError, "A681"),
    "a folder that holds something": (["SOURCE", "SOURCE/tile", "--key", VKEY], StateError, "A682"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(source: Path, tmp_path: Path, case: str) -> None:
    arguments, error, code = REFUSED[case]
    places = [each.replace("SOURCE", str(source)).replace("DIR", str(tmp_path / "mirror")) for each in arguments]
    result = run(*places)
    assert isinstance(result.exception, error)
    assert result.exception.code == code


def test_a_log_is_no_mirror_of_itself(source: Path) -> None:
    result = run(f"file://{source}", source, "--key", VKEY)
    assert result.exit_code == 2
    assert "SOURCE and DIR are one folder" in result.stderr


def test_a_state_in_place_of_its_log_is_said(source: Path, tmp_path: Path) -> None:
    result = run(source.parent, tmp_path / "mirror", "--key", VKEY)
    assert result.exit_code == 20
    assert "name the folder that holds it, the `log` of a state folder" in result.stderr


def test_a_hostile_place_is_escaped(tmp_path: Path) -> None:
    result = run("no\x1b[31mwhere\n", tmp_path / "mirror", "--key", VKEY)
    assert isinstance(result.exception, SourceError)
    assert "\x1b" not in result.exception.detail


def test_it_follows_until_what_comes_contradicts_it(source: Path, tmp_path: Path) -> None:
    lines: list[dict[str, Json]] = []
    command = [*COMMAND, str(source), str(tmp_path / "mirror"), "--key", VKEY, "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout
        reader = threading.Thread(target=lambda: lines.extend(map(json.loads, output)), daemon=True)
        reader.start()
        try:
            eventually(lambda: [each["size"] for each in lines] == [300])
            add_wal(tmp_path / "state", records(500))
            sequencer = sequencer_of(tmp_path / "state")
            sequencer.integrate()
            sequencer.publish()
            eventually(lambda: [each["size"] for each in lines] == [300, 500])
            (source / "checkpoint").rename(tmp_path / "aside")
            eventually(lambda: [each["exit_code"] for each in lines] == [0, 0, 20])
            other = build_log(tmp_path / "other", [record(0, pad="x")])
            (other / "checkpoint").rename(source / "checkpoint")
            assert process.wait(30) == 30
        finally:
            process.kill()
            process.wait()
            reader.join(10)
    assert [each["result"] for each in lines] == ["pulled", "pulled", "incomplete", "fork"]
