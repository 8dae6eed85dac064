"""HAProxy with its shipped configuration: what it asks, what it passes on, what it keeps back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pdp.gateway_files.haproxy import haproxy_files
from pdp.gateway_files.setting import Setting
from tests.support.gateway_trials import ForwardAuth, asks_by_a_socket, double, passes_nothing_alone
from tests.support.gateways import Edge, binary
from tests.support.gateways import edge as running_edge

PROGRAM = binary("PORTCULLIS_HAPROXY", "haproxy")
pytestmark = pytest.mark.skipif(
    PROGRAM is None,
    reason="no haproxy on the path, and PORTCULLIS_HAPROXY names none",
)


def configured(setting: Setting, folder: Path) -> list[str]:
    for name, text in haproxy_files(setting, str(folder)).items():
        (folder / name).write_text(text)
    return [str(PROGRAM), "-f", "haproxy.cfg"]


def broken(setting: Setting, folder: Path) -> list[str]:
    """The same, with a fault in the first line of the action."""
    command = configured(setting, folder)
    lua = folder / "portcullis.lua"
    lua.write_text(lua.read_text().replace("local function ask(txn)\n", "local function ask(txn)\n  error('no')\n"))
    return command


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(configured, tmp_path_factory.mktemp("haproxy"), double()) as running:
        yield running


class TestHAProxy(ForwardAuth):
    """Nothing differs."""


def test_nothing_passes_while_the_service_is_down(tmp_path: Path) -> None:
    passes_nothing_alone(configured, tmp_path)


def test_the_service_is_asked_by_a_unix_socket(tmp_path: Path) -> None:
    asks_by_a_socket(configured, tmp_path)


def test_a_fault_in_the_action_is_no_passage(tmp_path: Path) -> None:
    """HAProxy itself goes on to the next rule: the one behind the action refuses."""
    with running_edge(broken, tmp_path, double()) as running:
        running.clear()
        assert running.call(b"/a").status == 503
        assert running.asked.taken() == []
        assert not any(each.taken() for each in running.upstreams.values())
