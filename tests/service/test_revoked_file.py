"""The file of revocations: followed while it is good, and what it last said holds while it is not."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pdp.errors import AuditError, StateError
from pdp.model import Json
from pdp.revoked_file import RevokedFile

ISSUER = "https://id.example"


def content(*sessions: str) -> bytes:
    lines = [json.dumps({"kind": "session", "issuer": ISSUER, "value": each}).encode() for each in sessions]
    return b"".join(line + b"\n" for line in lines) or b"\n"


class Desk:
    """A file, who follows it, and a log that can fail."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "revoked.jsonl"
        self.stated: list[Mapping[str, Json]] = []
        self.failure: Exception | None = None
        self.file = RevokedFile(self.path, {ISSUER}, self._state)

    async def _state(self, clear: Mapping[str, Json]) -> None:
        if self.failure is not None:
            raise self.failure
        self.stated.append(clear)

    def write(self, *sessions: str) -> None:
        self.path.write_bytes(content(*sessions))

    def look(self) -> str:
        asyncio.run(self.file.look())
        return self.file.misgiving()

    def revoked(self) -> set[str]:
        refused = self.file.index.refused
        return {sid for sid in ("a", "b", "c") if refused(ISSUER, {"sid": sid}, bytes(32), None)}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.write("a")
    asyncio.run(made.file.begin())
    assert made.revoked() == {"a"}
    return made


def test_a_change_is_followed_and_stated_once(desk: Desk) -> None:
    desk.write("b", "c")
    assert [desk.look(), desk.look()] == ["", ""]
    assert desk.revoked() == {"b", "c"}
    assert [each["entries"] for each in desk.stated] == [1, 2]
    assert all(isinstance(each["sha256"], str) and len(each["sha256"]) == 64 for each in desk.stated)


def test_a_file_with_one_empty_line_revokes_nothing_any_more(desk: Desk) -> None:
    desk.write()
    assert desk.look() == ""
    assert desk.revoked() == set()


SPOILT: dict[str, tuple[Callable[[Desk], object], str]] = {
    "gone": (lambda desk: desk.path.unlink(), "No such file"),
    "a folder": (lambda desk: (desk.path.unlink(), desk.path.mkdir()), "it is no file"),
    "rubbish": (lambda desk: desk.path.write_bytes(b"\xff\xfe\n"), "line 1"),
    "a list of an issuer that is not ours": (
        lambda desk: desk.path.write_bytes(content("b").replace(b"id.example", b"id.example/")),
        "line 1: the issuer https://id.example/ is none of the configuration",
    ),
    "cut off": (lambda desk: desk.path.write_bytes(content("b", "c")[:-9]), "line end"),
    "a pipe": (lambda desk: (desk.path.unlink(), os.mkfifo(desk.path)), "it is no file"),
    "empty": (lambda desk: desk.path.write_bytes(b""), "line end"),
    "open to others": (lambda desk: (desk.write("b"), desk.path.chmod(0o666)), "others may write it"),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT.keys())
def test_what_it_last_said_holds_while_the_file_is(spoil: Callable[[Desk], object], said: str, desk: Desk) -> None:
    spoil(desk)
    assert said in desk.look()
    assert desk.look().endswith("what it said before holds")
    assert desk.revoked() == {"a"}
    assert len(desk.stated) == 1


@pytest.mark.parametrize("failure", [AuditError("audit.full", "the ring is full"), TimeoutError()])
def test_a_change_that_the_log_cannot_take_does_not_count_and_is_tried_again(failure: Exception, desk: Desk) -> None:
    desk.write("b")
    desk.failure = failure
    assert "is not followed" in desk.look()
    assert desk.revoked() == {"a"}
    desk.failure = None
    assert desk.look() == ""
    assert desk.revoked() == {"b"}


def test_a_service_does_not_begin_with_a_file_that_is_not_good(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No such file") as refused:
        asyncio.run(Desk(tmp_path).file.begin())
    assert refused.value.code == "S115"


def test_a_problem_is_logged_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.path.unlink()
    desk.look()
    desk.look()
    assert len(caplog.records) == 1


def test_a_content_is_read_once_good_or_bad(desk: Desk) -> None:
    desk.path.write_bytes(b"rubbish\n")
    first = desk.look()
    bad = desk.file._last
    assert (desk.look(), desk.file._last is bad) == (first, True)
    desk.write("a")
    assert desk.look() == ""
    assert desk.revoked() == {"a"}


def test_a_look_that_does_not_come_back_is_said_and_keeps_nobody(desk: Desk) -> None:
    waits = threading.Event()

    def hang(path: Path) -> bytes:
        waits.wait(20)
        return path.read_bytes()

    async def looks() -> tuple[str, str]:
        file = RevokedFile(desk.path, {ISSUER}, desk._state, read=hang, within_s=0.05)
        await file.look()
        said = file.misgiving()
        waits.set()
        while file.misgiving():
            await file.look()
        return said, "followed" if len(file.index) == 1 else ""

    said, then = asyncio.run(looks())
    assert "is not followed: nothing answered in time" in said
    assert then == "followed"


def test_the_loop_goes_on_while_a_long_list_is_read(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(*(f"session-{number}" for number in range(30_000)))

    async def turns() -> int:
        looking, turned = asyncio.ensure_future(desk.file.begin()), 0
        while not looking.done():
            await asyncio.sleep(0)
            turned += 1
        looking.result()
        return turned

    assert asyncio.run(turns()) > 10
    assert len(desk.file.index) == 30_000
