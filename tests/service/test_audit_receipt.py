"""`pdp audit receipt`: the file it writes, what it puts on record before, and what it is asked wrongly."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdp.audit.keys import load_keys
from pdp.audit.receipt_check import verify_receipt
from pdp.audit.standalone import parts as of
from pdp.cli.audit_receipt import receipt
from pdp.errors import PdpError
from pdp.runtime.bundle import read_folder
from pdp.state import State
from tests.support.cases import POLICY, cases, engine
from tests.support.receipts import CaseLog, case_log, logging, members_of

ALLOWED = next(case.name for case in cases() if case.want["decision"] == "allow" and case.claims is not None)
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CaseLog:
    return case_log(tmp_path_factory.mktemp("made"))


@pytest.fixture
def logged(made: CaseLog, tmp_path: Path) -> CaseLog:
    """A log of its own for each test."""
    return CaseLog(State(Path(shutil.copytree(made.place.root, tmp_path / "state"))), made.ids)


@pytest.fixture
def run(logged: CaseLog) -> Run:
    def with_state(*arguments: str) -> Result:
        return CliRunner().invoke(receipt, [*arguments, "--state", str(logged.place.root)])

    return with_state


def test_a_receipt_is_written_for_us_alone_and_verified(logged: CaseLog, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "r.zip"
    result = run(logged.ids[ALLOWED], "--out", str(out))
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "-- (5) the inputs are not disclosed" in result.output
    vkey = load_keys(logged.place.keys).vkey
    assert result.output.rstrip().endswith(vkey)
    assert verify_receipt(out, vkey).exit_code == 0
    assert b"audit.reidentify" not in _logged(logged.place)


def test_disclosure_is_on_record_before_and_derives_the_answer(logged: CaseLog, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "r.zip"
    result = run(logged.ids[ALLOWED], "--out", str(out), "--disclose")
    assert result.exit_code == 0, result.output
    assert "ok (8) evaluated here, the policy gives this very answer on these inputs" in result.output
    members = members_of(out.read_bytes())
    assert json.loads(members[of.INPUTS])["path"]
    logged_now = _logged(logged.place)
    assert b'"k":"audit.reidentify"' in logged_now
    assert f'"of":"{logged.ids[ALLOWED]}"'.encode() in logged_now


def test_a_receipt_that_discloses_nothing_needs_the_public_key_alone(logged: CaseLog, run: Run, tmp_path: Path) -> None:
    for name in ("box.key", "log.key", "id.key"):
        (logged.place.keys / name).unlink()
    assert run(logged.ids[ALLOWED], "--out", str(tmp_path / "r.zip")).exit_code == 0
    refused = run(logged.ids[ALLOWED], "--out", str(tmp_path / "s.zip"), "--disclose")
    assert isinstance(refused.exception, PdpError)
    assert not (tmp_path / "s.zip").exists()


def test_what_stands_there_is_not_written_over(logged: CaseLog, run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.zip").write_bytes(b"mine")
    (tmp_path / "link.zip").symlink_to(tmp_path / "nowhere")
    for name in ("r.zip", "link.zip"):
        refused = run(logged.ids[ALLOWED], "--out", str(tmp_path / name))
        assert isinstance(refused.exception, PdpError)
        assert refused.exception.code == "S153"
    assert (tmp_path / "r.zip").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    refused = run(logged.ids[ALLOWED], "--out", str(tmp_path / "missing" / "r.zip"))
    assert isinstance(refused.exception, PdpError)
    assert refused.exception.code == "S153"


WRONG: dict[str, tuple[str, str]] = {
    "no decision id": ("x", "S120"),
    "ANSI in place of an id": ("\x1b[2J", "S120"),
}


@pytest.mark.parametrize(("record_id", "code"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_record_is_said_to_be_none(record_id: str, code: str, run: Run, tmp_path: Path) -> None:
    refused = run(record_id, "--out", str(tmp_path / "r.zip"))
    assert isinstance(refused.exception, PdpError)
    assert refused.exception.code == code
    assert "\x1b" not in refused.exception.detail


def test_an_id_that_nobody_gave_ends_with_1(run: Run, tmp_path: Path) -> None:
    assert run("0" * 32, "--out", str(tmp_path / "r.zip")).exit_code == 1
    assert not (tmp_path / "r.zip").exists()


def test_a_folder_without_a_log_is_named(tmp_path: Path) -> None:
    refused = CliRunner().invoke(receipt, ["0" * 32, "--state", str(tmp_path)])
    assert isinstance(refused.exception, PdpError)
    assert refused.exception.code == "S120"


def test_a_record_that_states_another_answer_ends_with_1_and_is_written(tmp_path: Path) -> None:
    bundle = read_folder(POLICY)
    inputs = {"path": "/accounts/7", "host": "ledger.example"}
    clear = {"d": "allow", "by": ["cases.x"], "rc": "rule", "pb": bundle.digest, "sv": "ledger", "m": "GET", "t": 1}
    with logging(tmp_path / "s", bundle, engine()) as writer:
        record = writer.append("decision", clear, json.dumps(inputs).encode(), strict=True).id  # type: ignore[arg-type]
    out = tmp_path / "r.zip"
    result = CliRunner().invoke(receipt, [record, "--state", str(tmp_path / "s"), "--out", str(out), "--disclose"])
    assert result.exit_code == 1, result.output
    assert "NO (8) the policy gives another answer on these inputs: decision: allow in the record" in result.output
    assert verify_receipt(out, load_keys(tmp_path / "s" / "keys").vkey).exit_code == 40


def _logged(place: State) -> bytes:
    entries = (place.log / "tile" / "entries").rglob("*")
    return b"".join(path.read_bytes() for path in entries if path.is_file())
