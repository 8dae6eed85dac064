"""nginx with its shipped configuration: what it asks, what it passes on, what it keeps back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdp.gateway_files.nginx import nginx_conf
from pdp.gateway_files.setting import Setting
from tests.support.gateway_trials import (
    ForwardAuth,
    asks_by_a_socket,
    asks_over_tls,
    double,
    inquiry_of,
    passes_nothing_alone,
)
from tests.support.gateways import Edge, binary
from tests.support.gateways import edge as running_edge

PROGRAM = binary("PORTCULLIS_NGINX", "nginx")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no nginx: make test installs it where there is one for this platform"
)


def configured(setting: Setting, folder: Path) -> list[str]:
    (folder / "nginx.conf").write_text(nginx_conf(setting))
    as_root = "user root;" if os.geteuid() == 0 else ""
    return [str(PROGRAM), "-p", str(folder), "-c", "nginx.conf", "-e", "error.log", "-g", f"daemon off; {as_root}"]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(configured, tmp_path_factory.mktemp("nginx"), double()) as running:
        yield running


class TestNginx(ForwardAuth):
    keeps_body = False
    passes_ours = True

    @pytest.mark.parametrize("path", [b"/.portcullis/check", b"/%2eportcullis/check", b"//.portcullis//check"])
    def test_no_client_asks_by_the_location_that_asks(self, edge: Edge, path: bytes) -> None:
        edge.clear()
        answer = edge.call(path)
        questions = [inquiry_of(each).path for each in edge.asked.taken()]
        assert (answer.status, questions) in [(404, []), (200, [path.decode()])]
        assert len(edge.upstreams["ledger"].taken()) == len(questions)


def test_nothing_passes_while_the_service_is_down(tmp_path: Path) -> None:
    passes_nothing_alone(configured, tmp_path)


def test_the_service_is_asked_by_a_unix_socket(tmp_path: Path) -> None:
    asks_by_a_socket(configured, tmp_path)


def test_the_service_is_asked_over_tls(tmp_path: Path) -> None:
    asks_over_tls(configured, tmp_path)
