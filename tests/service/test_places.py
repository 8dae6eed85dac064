"""Addresses and sockets: what is of this host, what is in the way, and that nothing of others is taken away."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.errors import ConfigError
from pdp.transports.places import is_loopback, is_taken, listening_at, split_address

ADDRESSES: dict[str, tuple[str, int] | None] = {
    "127.0.0.1:9191": ("127.0.0.1", 9191),
    "[::1]:0": ("::1", 0),
    "localhost:65535": ("localhost", 65535),
    "127.0.0.1:65536": None,
    "127.0.0.1:999999": None,
    "127.0.0.1:": None,
    "127.0.0.1:-1": None,
    "127.0.0.1:٣": None,
    "127.0.0.1": None,
    "": None,
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_host_and_port(address: str) -> None:
    assert split_address(address) == ADDRESSES[address]


LOOPBACK: dict[str, bool] = {
    "127.0.0.1": True,
    "127.9.9.9": True,
    "::1": True,
    "::ffff:127.0.0.1": True,
    "::ffff:192.0.2.1": False,
    "0.0.0.0": False,
    "::": False,
    "192.0.2.1": False,
    "10.0.0.1": False,
    "169.254.1.1": False,
    "fe80::1%lo": False,
    "localhost": False,
    "2130706433": False,
    "127.1": False,
    "0127.0.0.1": False,
    "": False,
}


@pytest.mark.parametrize("host", LOOPBACK)
def test_only_loopback_is_of_this_host(host: str) -> None:
    assert is_loopback(host) is LOOPBACK[host]


def dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


IN_THE_WAY: dict[str, tuple[Callable[[Path], object], bool]] = {
    "nothing": (str, False),
    "a socket that nobody listens at": (dead_socket, False),
    "a file": (lambda path: path.write_text("precious"), True),
    "a folder": (lambda path: path.mkdir(), True),
    "a pipe": (os.mkfifo, True),
    "a link to nothing": (dangling, True),
}


@pytest.mark.parametrize("sentence", IN_THE_WAY)
def test_only_a_dead_socket_is_replaced(sentence: str, tmp_path: Path) -> None:
    place, taken = IN_THE_WAY[sentence]
    path = tmp_path / "pdp.sock"
    place(path)
    before = path.lstat().st_ino if taken else 0
    assert is_taken(path) is taken
    if taken:
        with (
            pytest.raises(ConfigError, match="something else is there") as caught,
            listening_at(f"unix:{path}", anywhere=False, key="the address"),
        ):
            pytest.fail("it was replaced")
        assert caught.value.code == "N101"
        assert path.lstat().st_ino == before
        return
    with listening_at(f"unix:{path}", anywhere=False, key="the address"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert not path.exists()


def test_a_socket_in_use_is_left_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"
    with (
        listening_at(f"unix:{path}", anywhere=False, key="the address"),
        pytest.raises(ConfigError),
        listening_at(f"unix:{path}", anywhere=False, key="the address"),
    ):
        pytest.fail("two at one place")


def test_what_somebody_else_put_there_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"
    with listening_at(f"unix:{path}", anywhere=False, key="the address"):
        path.rename(tmp_path / "moved.sock")
        path.write_text("precious")
    assert path.read_text() == "precious"


def test_an_error_of_who_uses_the_socket_is_its_own() -> None:
    with pytest.raises(OSError, match="of my own"), listening_at("127.0.0.1:0", anywhere=False, key="the address"):
        raise OSError("of my own")


def test_small_answers_are_sent_at_once() -> None:
    """What asyncio accepts is of the protocol of the listener, by which it sets TCP_NODELAY."""
    opened = listening_at("127.0.0.1:0", anywhere=False, key="x")
    with opened as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="change the key") as caught,
        listening_at(f"unix:{tmp_path}/none/pdp.sock", anywhere=False, key="the key"),
    ):
        pytest.fail("it was made")
    assert caught.value.code == "N101"
