"""Who leaves a shared port takes nothing of the others along."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pdp.transports.shared import close_listening
from tests.support.ports import free_port

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
def listening() -> Iterator[list[socket.socket]]:
    """One socket at each address, of one port."""
    port = free_port()
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_server((address, port))) for address in ADDRESSES]


def takes(place: socket.socket) -> bool:
    try:
        socket.create_connection(place.getsockname(), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_socket_that_others_have_too_goes_on_though_its_port_is_the_same(listening: list[socket.socket]) -> None:
    port = listening[0].getsockname()[1]
    close_listening({port}, listening[1:])
    assert [takes(each) for each in listening] == [False, True, True]


def test_other_ports_are_left_alone(listening: list[socket.socket]) -> None:
    close_listening({listening[0].getsockname()[1] + 1})
    assert all(takes(each) for each in listening)
