"""pdp.audit.files: whole or not at all."""

from __future__ import annotations

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pdp.audit.disk import Folder
from pdp.audit.files import PosixLogFile, atomic_write, open_log_file, truncate


def test_an_atomic_write_replaces_the_whole_file(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"first, and longer")
    atomic_write(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_atomic_write_that_fails_leaves_the_target_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "inside").write_bytes(b"x")
    with pytest.raises(OSError, match="a"):
        atomic_write(tmp_path / "a", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_atomic_write_replaces_a_link_and_not_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"untouched")
    (tmp_path / "a").symlink_to(tmp_path / "victim")
    atomic_write(tmp_path / "a", b"data")
    assert (tmp_path / "victim").read_bytes() == b"untouched"
    assert not (tmp_path / "a").is_symlink()


def test_a_log_file_is_created_once_and_for_us(tmp_path: Path) -> None:
    file = open_log_file(tmp_path / "a.wal")
    try:
        assert file.write(b"abc") == 3
        assert file.write(b"def") == 3
        file.sync()
    finally:
        file.close()
    assert (tmp_path / "a.wal").read_bytes() == b"abcdef"
    assert (tmp_path / "a.wal").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        open_log_file(tmp_path / "a.wal")


def test_a_log_file_is_never_made_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.wal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        open_log_file(tmp_path / "a.wal")
    assert not (tmp_path / "elsewhere").exists()


def test_a_log_file_is_locked_as_long_as_it_is_open(tmp_path: Path) -> None:
    file = open_log_file(tmp_path / "a.wal")
    other = os.open(tmp_path / "a.wal", os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.close()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)


def test_a_file_that_is_removed_before_it_is_locked_is_created_again(tmp_path: Path) -> None:
    """What is written to a file without a name nobody would ever read: each that is opened keeps its name."""
    folder, over, removed = Folder(tmp_path), threading.Event(), []

    def sequences() -> None:
        while not over.is_set():
            removed.extend([folder.remove_closed(name, 0) for name in folder.names("")])

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(sequences)
        try:
            for number in range(400):
                path = tmp_path / f"{number}.wal"
                file = open_log_file(path)
                assert path.exists()
                assert not folder.remove_closed(path.name, 0)
                file.close()
        finally:
            over.set()
        work.result()
    assert any(removed)


def test_a_full_disk_is_an_error() -> None:
    file = PosixLogFile(os.open("/dev/full", os.O_WRONLY))
    try:
        with pytest.raises(OSError, match="No space left"):
            file.write(b"abc")
    finally:
        file.close()


def test_truncating_keeps_the_front(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    descriptor = os.open(tmp_path / "a", os.O_RDWR)
    try:
        truncate(descriptor, 2)
    finally:
        os.close(descriptor)
    assert (tmp_path / "a").read_bytes() == b"ab"
