"""Caddy with its shipped configuration: what it asks, what it passes on, what it keeps back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pdp.gateway_files.caddy import caddyfile
from pdp.gateway_files.setting import Setting
from tests.support.gateway_trials import ForwardAuth, asks_by_a_socket, asks_over_tls, double, passes_nothing_alone
from tests.support.gateways import Edge, binary
from tests.support.gateways import edge as running_edge

PROGRAM = binary("PORTCULLIS_CADDY", "caddy")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no Caddy: make test installs it where there is one for this platform"
)


def configured(setting: Setting, folder: Path) -> list[str]:
    (folder / "Caddyfile").write_text(caddyfile(setting))
    return [str(PROGRAM), "run", "--adapter", "caddyfile", "--config", "Caddyfile"]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(configured, tmp_path_factory.mktemp("caddy"), double()) as running:
        yield running


class TestCaddy(ForwardAuth):
    """Nothing differs."""


def test_nothing_passes_while_the_service_is_down(tmp_path: Path) -> None:
    passes_nothing_alone(configured, tmp_path)


def test_the_service_is_asked_by_a_unix_socket(tmp_path: Path) -> None:
    asks_by_a_socket(configured, tmp_path)


def test_the_service_is_asked_over_tls(tmp_path: Path) -> None:
    asks_over_tls(configured, tmp_path)
