"""`pdp admin` against what answers at a socket: what it prints, whatever stands in the answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdp.cli import main
from pdp.model import Json
from pdp.state import prepare_state

Answering = Callable[[dict[str, Json]], None]


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Answering]:
    """A service in the state folder `state` that gives one answer."""
    state = prepare_state(tmp_path / "state")
    ended: list[threading.Thread] = []

    def answer(what: dict[str, Json]) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(state.admin_socket))
        listener.listen(1)

        def converse() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(json.dumps(what).encode() + b"\n")

        ended.append(threading.Thread(target=converse))
        ended[0].start()

    yield answer
    for each in ended:
        each.join()


def _said(capfd: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> tuple[int, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["admin", *arguments, "--state", str(tmp_path / "state")])
    return int(end.value.code or 0), capfd.readouterr().out


def test_a_refused_policy_is_shown_in_its_lines_and_moves_no_terminal(
    answering: Answering, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    detail = "the policy does not compile:\nerror[E101]: evil\x1b[31m\u202e\r\n1 | \tallow"
    answering({"ok": False, "state": "refused", "detail": detail})
    code, shown = _said(capfd, tmp_path, "reload")
    assert code == 1
    assert shown.splitlines() == [
        "state   refused",
        "detail  the policy does not compile:",
        "        error[E101]: evil\\u{1b}[31m\\u{202e}\\u{d}",
        "        1 | \tallow",
    ]


def test_json_is_what_was_answered(answering: Answering, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    what: dict[str, Json] = {"ok": True, "state": "activated", "detail": "evil\x1b[31m"}
    answering(what)
    code, shown = _said(capfd, tmp_path, "reload", "--json")
    assert (code, json.loads(shown)) == (0, what)
    assert "\x1b" not in shown
