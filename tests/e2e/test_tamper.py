"""One byte changed in the log of a real service: `pdp audit verify` ends 40 and names what was changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pdp.audit.leaf import parse
from pdp.audit.reader import entries
from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
CALLS = 300


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ServedPdp:
    """A service that answered 300 calls and ended."""
    served = ServedPdp(tmp_path_factory.mktemp("served"), POLICY, [TestIssuer()])
    served.start()
    try:
        with Asker(served.address) as asker:
            health = check_request("GET", "ledger.example", "/health", service="ledger")
            assert {asker.ask(health).code for _ in range(CALLS)} == {0}
    finally:
        assert served.stop() == 0
    return served


@pytest.fixture
def state(written: ServedPdp, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written.state, tmp_path / "state", symlinks=True))


def _flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x01
    path.write_bytes(data)


def test_untouched_it_verifies(written: ServedPdp, state: Path) -> None:
    done = written.run("audit", "verify", "--state", str(state))
    assert done.returncode == 0, done.stdout
    assert "sound" in done.stdout


def test_a_byte_of_an_entry_names_the_record(written: ServedPdp, state: Path) -> None:
    index, leaf = next((i, data) for i, data in entries(state / "log") if i == 100)
    bundle = state / "log" / "tile" / "entries" / "000"
    at = bundle.read_bytes().index(leaf) + leaf.index(b'"gw":"edge"') + 7
    _flip(bundle, at)
    done = written.run("audit", "verify", "--state", str(state))
    assert done.returncode == 40, done.stdout
    assert f"record {index} (id {parse(leaf).id})" in done.stdout


def test_a_byte_of_a_hash_tile_names_the_tile_and_its_records(written: ServedPdp, state: Path) -> None:
    _flip(state / "log" / "tile" / "0" / "000", 32 * 7 + 3)
    done = written.run("audit", "verify", "--state", str(state))
    assert done.returncode == 40, done.stdout
    assert "tile/0/000" in done.stdout
    assert "records 0 to 255" in done.stdout
