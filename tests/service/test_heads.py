"""pdp.audit.heads: what was known of a log is not forgotten, and never goes back."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pdp.audit.checkpoint import Checkpoint, format_vkey, sign_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.heads import Fork, ForkError, HeadError, check_growth, known_head, remember, write_evidence
from pdp.audit.tiles import TileError
from tests.support import second_tlog as tlog
from tests.support.logs import KEY, ORIGIN, OTHER_KEY, VKEY, build_log, record, records

OTHER_VKEY = format_vkey(ORIGIN, OTHER_KEY.public_key().public_bytes_raw())
LEAVES = records(300)


def head(size: int, root: bytes | None = None, origin: str = ORIGIN) -> bytes:
    return sign_checkpoint(origin, size, bytes([size]) * 32 if root is None else root, KEY)


def test_nothing_is_known_of_a_log_never_seen(tmp_path: Path) -> None:
    assert known_head(tmp_path / "heads", ORIGIN, VKEY) is None
    remember(tmp_path / "heads", "k", head(1, origin="other.example"))
    assert known_head(tmp_path / "heads", ORIGIN, VKEY) is None


def test_a_head_goes_on_and_never_back(tmp_path: Path) -> None:
    path = tmp_path / "deep/heads"
    for size, known in ((3, 3), (5, 5), (4, 5), (5, 5), (9, 9)):
        remember(path, VKEY, head(size))
        assert known_head(path, ORIGIN, VKEY) == head(known)
    assert path.stat().st_mode & 0o077 == 0


def test_logs_are_known_by_their_origin(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    remember(path, VKEY, head(3))
    remember(path, "k", head(2, origin="other.example"))
    assert known_head(path, ORIGIN, VKEY) == head(3)
    assert known_head(path, "other.example", "k") == head(2, origin="other.example")


def test_two_roots_of_one_size_are_a_fork(tmp_path: Path) -> None:
    remember(tmp_path / "heads", VKEY, head(3))
    with pytest.raises(ForkError, match=r"A662.*two roots of 3 records"):
        remember(tmp_path / "heads", VKEY, head(3, bytes(32)))
    assert known_head(tmp_path / "heads", ORIGIN, VKEY) == head(3)


def test_a_log_begun_anew_under_another_key_is_not_a_log_never_seen(tmp_path: Path) -> None:
    remember(tmp_path / "heads", VKEY, head(3))
    with pytest.raises(HeadError, match=r"A661.*under another: if it was begun anew"):
        known_head(tmp_path / "heads", ORIGIN, OTHER_VKEY)
    with pytest.raises(HeadError, match="A661"):
        remember(tmp_path / "heads", OTHER_VKEY, sign_checkpoint(ORIGIN, 9, bytes(32), OTHER_KEY))


GOOD = '{"format": 1, "logs": {}}'
UNUSABLE = {
    "empty": "",
    "cut": GOOD[:-1],
    "another format": GOOD.replace("1", "2"),
    "no format": '{"logs": {}}',
    "a field too many": GOOD[:-1] + ', "more": 1}',
    "a head without a key": '{"format": 1, "logs": {"a": {"checkpoint": ""}}}',
    "a head that is a number": '{"format": 1, "logs": {"a": 1}}',
    "a list": "[]",
    "nested without end": "[" * 100_000,
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_of_heads_that_will_not_do_is_not_an_empty_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / "heads"
    path.write_text(UNUSABLE[name])
    with pytest.raises(HeadError, match="A661"):
        known_head(path, ORIGIN, VKEY)
    with pytest.raises(HeadError, match="A661"):
        remember(path, VKEY, head(3))
    assert path.read_text() == UNUSABLE[name]


def test_an_entry_may_be_removed_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    remember(path, VKEY, head(3))
    value = json.loads(path.read_text())
    del value["logs"][ORIGIN]
    path.write_text(json.dumps(value))
    assert known_head(path, ORIGIN, OTHER_VKEY) is None


def test_verifications_at_once_leave_the_largest_head(tmp_path: Path) -> None:
    path = tmp_path / "heads"

    def run(sizes: range, origin: str) -> None:
        for size in sizes:
            remember(path, VKEY, head(size, origin=origin))

    threads = [threading.Thread(target=run, args=(range(n, 60, 3), f"log{n}.example")) for n in (1, 2, 3)]
    threads += [threading.Thread(target=run, args=(range(n, 60, 3), ORIGIN)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert known_head(path, ORIGIN, VKEY) == head(59)
    assert [known_head(path, f"log{n}.example", VKEY) is not None for n in (1, 2, 3)] == [True] * 3


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(build_log(tmp_path_factory.mktemp("log"), LEAVES))


def tree(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint(ORIGIN, size, tlog.root(leaves[:size]))


@pytest.mark.parametrize("size", [0, 1, 128, 255, 256, 257, 299, 300])
def test_a_log_continues_each_head_it_had(log: Folder, size: int) -> None:
    check_growth(log, tree(size), tree(300))


def test_a_log_rolled_back_contradicts_its_head(log: Folder) -> None:
    """Needs a known head: the log itself is whole."""
    with pytest.raises(ForkError, match="rolled back"):
        check_growth(log, tree(300), tree(299))


@pytest.mark.parametrize("size", [1, 128, 256, 299, 300])
def test_another_history_contradicts_its_head(log: Folder, size: int) -> None:
    """Needs a known head: two histories, each whole and signed, shown to two verifiers."""
    other = [record(0, t=1), *LEAVES[1:]]
    with pytest.raises(ForkError, match=r"another history|two roots"):
        check_growth(log, tree(size, other), tree(300))


@pytest.mark.parametrize("size", [1, 100, 128, 255])
def test_damaged_tiles_are_not_called_a_fork(tmp_path: Path, size: int) -> None:
    folder = build_log(tmp_path, LEAVES)
    tile = folder / "tile/0/000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    with pytest.raises(TileError, match="A622"):
        check_growth(Folder(folder), tree(size), tree(300))


FORK = Fork(ORIGIN, VKEY, head(3).decode(), head(3, bytes(32)).decode(), "two roots of 3 records")


def test_evidence_holds_both_checkpoints_as_they_were_signed(tmp_path: Path) -> None:
    path = write_evidence(tmp_path / "evidence", FORK)
    assert path == write_evidence(tmp_path / "evidence", FORK)
    assert [each.name for each in (tmp_path / "evidence").iterdir()] == [path.name]
    value = json.loads(path.read_text())
    assert value["reason"] == FORK.reason
    roots = set()
    for note in (value["known"], value["seen"]):
        assert tlog.is_signed(note.encode(), value["key"])
        roots.add(tlog.read_checkpoint(tlog.split(note.encode())[0]).root)
    assert len(roots) == 2
