"""The files of a log: what is no file of ours is named, and nothing is waited for, followed or read without end."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.disk import Folder, MemberError


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_file(path: Path) -> None:
    path.with_name("target").write_bytes(b"data")
    path.symlink_to("target")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a folder": (Path.mkdir, "m: it is a folder, not a file"),
    "a pipe without a writer": (fifo, "m: it is a pipe, not a file"),
    "a link to a device": (link_to_device, "m: it is a link, not a file"),
    "a link to a file": (link_to_file, "m: it is a link, not a file"),
    "a link to itself": (loop, "m: it is a link, not a file"),
    "a socket": (unix_socket, "m: it is a socket, not a file"),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ODD)
def test_what_is_no_file_is_named_by_every_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    make, said = ODD[name]
    make(Path("m"))
    folder = Folder(tmp_path)
    operations: list[Callable[[], object]] = [
        lambda: folder.read("m", 100),
        lambda: folder.read_at("m", 0, 100),
        lambda: folder.length("m"),
        lambda: folder.remove_closed("m", 4),
    ]
    for operation in operations:
        with pytest.raises(MemberError, match=said) as refused:
            operation()
        assert refused.value.path == "m"
    assert os.path.lexists("m")


def test_a_device_is_no_file() -> None:
    with pytest.raises(MemberError, match="null: it is a device, not a file"):
        Folder(Path("/dev")).read("null", 100)


def test_a_file_is_read_up_to_what_the_caller_can_use(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "m").write_bytes(b"12345")
    assert folder.read("m", 5) == b"12345"
    with pytest.raises(MemberError, match="m: it has more than 4 bytes"):
        folder.read("m", 4)
    os.truncate(tmp_path / "m", 1 << 40)
    with pytest.raises(MemberError, match="more than 65536 bytes"):
        folder.read("m", 65_536)


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    data = os.urandom(3 * 1024 * 1024 + 7)
    (tmp_path / "m").write_bytes(data)
    assert Folder(tmp_path).read("m", len(data)) == data
    assert Folder(tmp_path).read_at("m", 5, 2_000_000) == data[5:2_000_005]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 1024 * 1024, 1024 * 1024 + 1])
def test_a_file_of_any_size_is_read_whole_and_refused_when_one_byte_less_is_wanted(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "m").write_bytes(data)
    assert Folder(tmp_path).read("m", size) == data
    if size:
        with pytest.raises(MemberError, match=f"more than {size - 1} bytes"):
            Folder(tmp_path).read("m", size - 1)


def test_absence_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    folder = Folder(tmp_path)
    for path in ("m", "nowhere/m", "file/m"):
        assert (folder.read(path, 9), folder.read_at(path, 0, 9), folder.length(path)) == (None, b"", None)
        assert not folder.remove_closed(path, 0)


def test_a_failing_disk_is_no_odd_file(tmp_path: Path) -> None:
    """A name the disk will not look up stands for any error that is not about what stands there."""
    with pytest.raises(OSError, match="too long"):
        Folder(tmp_path).read("m" * 300, 9)


def test_a_file_is_removed_only_when_nobody_holds_it_and_it_is_as_it_was_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "m").write_bytes(b"1234")
    writer = os.open(tmp_path / "m", os.O_WRONLY | os.O_APPEND)
    try:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert not folder.remove_closed("m", 4)
        os.write(writer, b"5")
    finally:
        os.close(writer)
    assert not folder.remove_closed("m", 4)
    assert (tmp_path / "m").read_bytes() == b"12345"
    assert folder.remove_closed("m", 5)
    assert not (tmp_path / "m").exists()


def test_a_link_in_place_of_a_folder_is_removed_and_not_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"x")
    (tmp_path / "m.p").symlink_to("precious")
    Folder(tmp_path).remove("m.p")
    assert not os.path.lexists(tmp_path / "m.p")
    assert (tmp_path / "precious" / "file").read_bytes() == b"x"
