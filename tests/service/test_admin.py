"""`pdp admin` against what answers at a socket: what it prints, whatever stands in the answer; and what answers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pdp.admin import LONGEST_LINE, Asker, Verb, admin_server, ask
from pdp.cli import main
from pdp.errors import AuditError, StateError
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


class _Log:
    """What is stated of requests; `fails` is what it raises instead."""

    def __init__(self) -> None:
        self.stated: list[tuple[str, Asker, object]] = []
        self.fails: Exception | None = None

    async def state(self, verb: str, asker: Asker, request: Mapping[str, Json]) -> None:
        if self.fails is not None:
            raise self.fails
        self.stated.append((verb, asker, dict(request)))


def _asked(folder: Path, log: _Log, *requests: dict[str, Json]) -> tuple[list[Mapping[str, Json]], list[str]]:
    """The answers to requests one after another, and what was done."""
    done: list[str] = []

    def verb(name: str, *, changes: bool) -> Verb:
        async def do(_: Mapping[str, Json]) -> Mapping[str, Json]:
            done.append(name)
            return {"ok": True, "stated": len(log.stated)}

        return Verb(do, changes=changes)

    async def run() -> list[Mapping[str, Json]]:
        verbs = {"status": verb("status", changes=False), "reload": verb("reload", changes=True)}
        async with admin_server(folder / "admin.sock", verbs, log.state):
            return [await asyncio.to_thread(ask, folder / "admin.sock", request) for request in requests]

    return asyncio.run(run()), done


def test_every_request_is_in_the_log_before_it_is_done_with_who_made_it(tmp_path: Path) -> None:
    log = _Log()
    answers, done = _asked(tmp_path, log, {"verb": "status"}, {"verb": "reload", "confirm": True})
    assert answers == [{"ok": True, "stated": 1}, {"ok": True, "stated": 2}]
    assert [verb for verb, *_ in log.stated] == ["status", "reload"]
    assert log.stated[1] == ("reload", Asker(user=os.getuid()), {"verb": "reload", "confirm": True})
    assert done == ["status", "reload"]


@pytest.mark.parametrize("fails", [AuditError("audit.full", "the disk is too slow"), TimeoutError()], ids=repr)
def test_without_its_record_nothing_is_changed_and_what_is_asked_is_shown(tmp_path: Path, fails: Exception) -> None:
    log = _Log()
    log.fails = fails
    answers, done = _asked(tmp_path, log, {"verb": "reload"}, {"verb": "status"})
    assert (answers[0]["ok"], answers[1]["ok"]) == (False, True)
    assert "nothing was done" in str(answers[0]["detail"])
    assert done == ["status"]


@pytest.mark.parametrize("request_", [{}, {"verb": "no"}, {"verb": ["reload"]}, {"verb": None}], ids=repr)
def test_what_is_no_request_is_told_the_verbs_and_does_nothing(tmp_path: Path, request_: dict[str, Json]) -> None:
    log = _Log()
    answers, done = _asked(tmp_path, log, request_)
    assert answers == [{"ok": False, "detail": "not a request; the verbs are reload, status"}]
    assert (done, log.stated) == ([], [])


def test_a_request_does_not_say_who_makes_it(tmp_path: Path) -> None:
    log = _Log()
    _asked(tmp_path, log, {"verb": "status", "user": 0, "identity": "spiffe://shop.example/admin/anna"})
    assert [asker for _, asker, _ in log.stated] == [Asker(user=os.getuid())]


def test_a_line_that_is_too_long_is_not_answered(tmp_path: Path) -> None:
    log = _Log()
    with pytest.raises(StateError) as caught:
        _asked(tmp_path, log, {"verb": "reload", "pad": "x" * LONGEST_LINE})
    assert (caught.value.code, log.stated) == ("S110", [])


SLOW: dict[str, bytes] = {"who says nothing": b"", "who begins and stops": b'{"verb": "sta'}


@pytest.mark.parametrize("sentence", SLOW)
def test_is_not_waited_for(sentence: str, tmp_path: Path) -> None:
    log = _Log()

    async def waited() -> bytes:
        async with admin_server(tmp_path / "admin.sock", {}, log.state, patience_s=0.1):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "admin.sock")
            writer.write(SLOW[sentence])
            rest = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return rest

    assert asyncio.run(waited()) == b""
    assert log.stated == []


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
