"""pdp.audit.witness: our client against a witness written from the specification, over real HTTP."""

from __future__ import annotations

import asyncio
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdp.audit.checkpoint import open_checkpoint, parse_vkey, sign_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.manifest import parse_manifest
from pdp.audit.policy import Policy, TrustPolicyError, open_witnessed, parse_policy
from pdp.audit.rotation import SKEW_S
from pdp.audit.tiles import WITNESSED
from pdp.audit.witness import Round, Witnessing, complaints, keep_witnessed
from tests.support import raw_server
from tests.support import second_tlog as tlog
from tests.support.logs import KEY, ORIGIN, OTHER_KEY, VKEY, add_wal, build_log, record, records, sequencer_of
from tests.support.raw_server import RawServer, Received
from tests.support.witness_server import Reply, Witness, served

NOW_S = 1_780_000_000
TLS = ssl.create_default_context()
LEAVES = records(1000)
KEYS = parse_manifest(None, parse_vkey(VKEY))


class Place:
    """A log, three witnesses that are served, and a policy that wants two of them."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.log = build_log(state, LEAVES[:300])
        self.witnesses = [
            Witness(state / f"w{n}.db", f"w{n}.example/w", bytes([n + 40]) * 32, [VKEY], lambda: NOW_S)
            for n in range(3)
        ]

    def policy(self, least: str = "2") -> Policy:
        lines = [f"witness w{n} {each.vkey} {each.url}/" for n, each in enumerate(self.witnesses)]
        return parse_policy("\n".join([*lines, f"group g {least} w0 w1 w2", "quorum g", ""]).encode())

    def grow(self, count: int) -> None:
        add_wal(self.state, LEAVES[:count])
        sequencer = sequencer_of(self.state)
        while sequencer.integrate():
            pass
        sequencer.publish()

    def witnessing(self, now_s: Callable[[], int] = lambda: NOW_S, timeout_s: float = 5.0) -> Witnessing:
        return Witnessing(Folder(self.log), self.policy(), {"127.0.0.1"}, TLS, now_s, timeout_s)

    def ask(self, times: int = 1) -> Round:
        async def run() -> Round:
            async with self.witnessing() as witnessing:
                for _ in range(times - 1):
                    await witnessing.ask_all()
                return await witnessing.ask_all()

        return asyncio.run(run())

    @property
    def witnessed(self) -> bytes | None:
        path = self.log / WITNESSED
        return path.read_bytes() if path.exists() else None


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    with served(*found.witnesses):
        yield found


def codes(found: Round) -> list[str | None]:
    return [None if each.error is None else each.error.code for each in found.answers]


def test_all_witnesses_cosign_and_the_cosigned_checkpoint_is_kept(place: Place) -> None:
    found = place.ask()
    assert (found.size, found.is_met, found.forks, complaints(found)) == (300, True, (), ())
    data = place.witnessed
    assert data is not None
    assert data.startswith((place.log / "checkpoint").read_bytes())
    assert open_checkpoint(data, parse_vkey(VKEY)).size == 300
    assert [tlog.cosigned_at(data, each.vkey) for each in place.witnesses] == [NOW_S] * 3
    assert open_witnessed(data, KEYS, place.policy(), NOW_S).since_s == NOW_S


def test_a_growing_log_is_proved_to_grow_from_what_each_witness_knows(place: Place) -> None:
    async def run() -> None:
        async with place.witnessing() as witnessing:
            for size in (300, 400, 600, 1000, 1000):
                place.grow(size)
                found = await witnessing.ask_all()
                assert (found.size, found.is_met) == (size, True)

    asyncio.run(run())
    first_lines = [body.split(b"\n")[0] for body in place.witnesses[0].asked]
    assert first_lines == [b"old 0", b"old 300", b"old 400", b"old 600", b"old 1000"]


def test_a_client_that_forgot_learns_the_size_from_the_conflict(place: Place) -> None:
    place.ask()
    place.grow(700)
    assert place.ask().is_met
    assert [body.split(b"\n")[0] for body in place.witnesses[0].asked] == [b"old 0", b"old 0", b"old 300"]


def test_the_request_is_that_of_the_specification(place: Place) -> None:
    place.ask()
    place.grow(700)
    place.ask()
    head, _, note = place.witnesses[0].asked[-1].partition(b"\n\n")
    old, *proof = head.decode().split("\n")
    assert old == "old 300"
    assert all(len(line) == 44 for line in proof)
    assert note == (place.log / "checkpoint").read_bytes()


def test_an_empty_log_is_shown_to_nobody(place: Place) -> None:
    (place.log / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, 0, tlog.root([]), KEY))
    assert place.ask() == Round(0, (), is_met=False)
    (place.log / "checkpoint").unlink()
    assert place.ask() == Round(0, (), is_met=False)
    assert place.witnesses[0].asked == []


def test_a_quorum_is_enough(place: Place) -> None:
    place.witnesses[1].logs.clear()
    found = place.ask()
    assert (codes(found), found.is_met) == ([None, "A673", None], True)
    assert place.witnessed is not None
    assert complaints(found) == ("the witness 'w1' does not know this log or its key (404): tell it of both",)


def test_without_a_quorum_the_older_witnessed_checkpoint_stays(place: Place) -> None:
    place.ask()
    before = place.witnessed
    place.grow(400)
    place.witnesses[0].logs.clear()
    place.witnesses[1].logs[:] = [tlog.vkey(ORIGIN, 1, OTHER_KEY.public_key().public_bytes_raw())]
    found = place.ask()
    assert (codes(found), found.is_met) == (["A673", "A673", None], False)
    assert place.witnessed == before
    assert complaints(found)[-1] == "too few witnesses cosigned the checkpoint"


def test_a_log_rolled_back_is_told_by_its_witnesses(place: Place) -> None:
    """Needs a witness: the restored folder is whole and signed."""
    older = (place.log / "checkpoint").read_bytes()
    place.grow(400)
    place.ask()
    place.grow(500)
    (place.log / "checkpoint").write_bytes(older)
    found = place.ask()
    assert codes(found) == ["A674"] * 3
    assert len(found.forks) == 3
    assert "knows 400 records of this log, there are 300" in complaints(found)[0]


def test_another_history_is_told_by_its_witnesses(place: Place, tmp_path: Path) -> None:
    """Needs a witness: two histories, each whole and signed by the key of the log."""
    place.ask()
    place.log = build_log(tmp_path / "other", [record(0, t=1), *LEAVES[1:500]])
    found = place.ask()
    assert codes(found) == ["A675"] * 3
    assert len(found.forks) == 3


def test_another_root_of_the_same_size_is_told(place: Place) -> None:
    place.ask()
    (place.log / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, 300, bytes(32), KEY))
    assert codes(place.ask()) == ["A675"] * 3


def test_a_log_that_cannot_prove_its_growth_says_so(place: Place) -> None:
    place.ask()
    place.grow(700)
    (place.log / "tile/0/001").unlink()
    found = place.ask()
    assert codes(found) == ["A676"] * 3
    assert "tile/0/001 is missing" in complaints(found)[0]


def only(answer: Reply) -> Callable[[Reply], Reply]:
    return lambda _: answer


def changed(change: Callable[[bytes], bytes]) -> Callable[[Reply], Reply]:
    return lambda reply: (reply[0], reply[1], change(reply[2]))


STRANGER = tlog.cosignature(b"any\n", "stranger.example", OTHER_KEY, NOW_S)
USELESS: dict[str, tuple[Callable[[Reply], Reply], str]] = {
    "an empty answer": (changed(lambda _: b""), "A672"),
    "a line without its newline": (changed(lambda line: line[:-1]), "A672"),
    "text": (changed(lambda _: b"thank you\n"), "A672"),
    "bytes that are no text": (changed(lambda _: b"\xff\n"), "A672"),
    "an escape": (changed(lambda line: line + b"\x1b[2J\n"), "A672"),
    "a broken signature": (changed(lambda line: line[:-8] + b"AAAAAA=\n"), "A672"),
    "the cosignature twice": (changed(lambda line: line * 2), "A672"),
    "another witness's cosignature alone": (changed(lambda _: STRANGER), "A672"),
    "more bytes than are read": (changed(lambda line: line * 2000), "A672"),
    "a redirect": (only((307, "text/plain", b"")), "A672"),
    "a status of success that is not 200": (only((201, "text/plain", b"")), "A672"),
    "a bad request": (only((400, "text/plain", b"")), "A672"),
    "a fault of its own": (only((500, "text/plain", b"")), "A672"),
    "an unknown log": (only((404, "text/plain", b"")), "A673"),
    "an unknown key": (only((403, "text/plain", b"")), "A673"),
    "a proof that does not hold": (only((422, "text/plain", b"")), "A675"),
    "a conflict that names no size": (only((409, "text/plain", b"300\n")), "A675"),
    "a conflict with a size in words": (only((409, "text/x.tlog.size", b"many\n")), "A675"),
    "a conflict with a size and no newline": (only((409, "text/x.tlog.size", b"300")), "A675"),
    "a conflict with a larger size": (only((409, "text/x.tlog.size", b"301\n")), "A674"),
    "a conflict with the size that was asked": (only((409, "text/x.tlog.size; charset=utf-8", b"0\n")), "A672"),
}


@pytest.mark.parametrize("name", USELESS)
def test_answers_of_no_use(place: Place, name: str) -> None:
    spoil, code = USELESS[name]
    for witness in place.witnesses:
        witness.spoil = spoil
    found = place.ask()
    assert (codes(found), found.is_met) == ([code] * 3, False)
    assert place.witnessed is None


def test_cosignatures_of_others_beside_the_right_one_are_passed_over(place: Place) -> None:
    for witness in place.witnesses:
        witness.spoil = changed(lambda line: STRANGER + line)
    assert place.ask().is_met
    assert b"stranger" not in (place.witnessed or b"")


@pytest.mark.parametrize(
    ("off_s", "taken"), [(-SKEW_S, True), (SKEW_S, True), (-SKEW_S - 1, False), (SKEW_S + 1, False)]
)
def test_a_witness_whose_clock_is_wrong_is_not_taken(place: Place, off_s: int, taken: bool) -> None:
    for witness in place.witnesses:
        witness.now_s = lambda: NOW_S + off_s
    assert place.ask().is_met is taken


def test_a_witness_that_is_away_or_silent_holds_up_nobody(place: Place) -> None:
    async def run() -> Round:
        writers: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        async with silent:
            port = silent.sockets[0].getsockname()[1]
            place.witnesses[0].url = f"http://127.0.0.1:{port}"
            place.witnesses[1].url = "http://127.0.0.1:1"
            async with place.witnessing(timeout_s=0.2) as witnessing:
                found = await witnessing.ask_all()
            for writer in writers:
                writer.close()
                await writer.wait_closed()
            return found

    found = asyncio.run(run())
    assert codes(found) == ["A671", "A671", None]
    assert not found.is_met


FORKS = {"A674": (409, "text/x.tlog.size", b"302\n"), "A675": (422, "text/plain", b"")}


@pytest.fixture
def silent(place: Place) -> Iterator[Place]:
    """A log that grew; the first and the last of its witnesses answer once the test is over."""
    over = threading.Event()

    def late(reply: Reply) -> Reply:
        assert over.wait(60)
        return reply

    place.ask()
    place.grow(301)
    place.witnesses[0].spoil = place.witnesses[2].spoil = late
    yield place
    over.set()


@pytest.mark.parametrize("code", FORKS)
def test_at_the_start_nobody_is_waited_for_once_a_witness_tells_of_a_fork(silent: Place, code: str) -> None:
    """Each might take an hour."""
    silent.witnesses[1].spoil = only(FORKS[code])

    async def run() -> Round:
        async with silent.witnessing(timeout_s=3600.0) as witnessing:
            return await asyncio.wait_for(witnessing.ask_all(first=True), 20)

    found = asyncio.run(run())
    assert (codes(found), [error.code for error in found.forks]) == ([code], [code])


def test_a_later_round_hears_the_others_after_one_that_tells_of_a_fork(silent: Place) -> None:
    """So that one witness cannot keep the others from cosigning."""
    silent.witnesses[1].spoil = only(FORKS["A675"])

    async def run() -> Round:
        async with silent.witnessing(timeout_s=1.0) as witnessing:
            return await witnessing.ask_all()

    assert codes(asyncio.run(run())) == ["A671", "A675", "A671"]


REDIRECTS = {
    "to another place of its own": ("/elsewhere", "A672"),
    "to another host": ("http://elsewhere.example/add-checkpoint", "A672"),
    "to nowhere": ("", "A672"),
    "to an address with a broken port": ("http://elsewhere.example:port/", "A671"),
    "to an address with half a host": ("http://[::1", "A671"),
    "to an address without a host": ("mailto:witness", "A671"),
    "to a name that no host can have": ("http://xn--a/", "A671"),
    "to brackets without a host": (":http://]][", "A671"),
}


@pytest.mark.parametrize("name", REDIRECTS)
@pytest.mark.parametrize("status", [301, 307])
def test_a_witness_that_redirects_has_not_answered_and_is_asked_again(place: Place, name: str, status: int) -> None:
    location, code = REDIRECTS[name]
    own = place.witnesses[0]

    def redirecting(_: Received) -> raw_server.Reply:
        return raw_server.Reply(status, (("location", location),), b"")

    def cosigning(received: Received) -> raw_server.Reply:
        answer, kind, body = own.add_checkpoint(received.body)
        return raw_server.Reply(answer, (("content-type", kind),), body)

    async def run() -> tuple[Round, Round]:
        async with place.witnessing() as witnessing:
            before = await witnessing.ask_all()
            server.answer = cosigning
            return before, await witnessing.ask_all()

    with RawServer(redirecting) as server:
        own.url = f"http://127.0.0.1:{server.port}"
        before, after = asyncio.run(run())
    assert (codes(before), before.is_met, before.forks) == ([code, None, None], True, ())
    assert (codes(after), after.is_met) == ([None] * 3, True)
    assert {each.target for each in server.received} == {b"/add-checkpoint"}


def test_rounds_go_on_and_say_what_changes_once(place: Place) -> None:
    said: list[str] = []

    async def run() -> None:
        loop, enough = asyncio.get_running_loop(), asyncio.Event()

        def count(reply: Reply) -> Reply:
            asked = len(place.witnesses[2].asked)
            if asked >= 3:
                place.witnesses[0].logs[:] = [VKEY]
            if asked >= 5:
                loop.call_soon_threadsafe(enough.set)
            return reply

        place.witnesses[2].spoil = count
        async with place.witnessing() as witnessing:
            task = asyncio.create_task(keep_witnessed(witnessing, 0.001, said.append))
            await asyncio.wait_for(enough.wait(), 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    place.witnesses[0].logs[:] = []
    asyncio.run(run())
    assert said == ["the witness 'w0' does not know this log or its key (404): tell it of both"]


def test_rounds_go_on_over_a_log_that_cannot_be_read(place: Place) -> None:
    said: list[str] = []

    async def run() -> None:
        async with place.witnessing() as witnessing:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(keep_witnessed(witnessing, 0.001, said.append), 0.1)

    (place.log / "checkpoint").write_bytes(b"no note")
    asyncio.run(run())
    assert said == ["this is not a signed note: it has no signature after a blank line"]


def line(url: str) -> bytes:
    key = tlog.vkey("w.example", 4, OTHER_KEY.public_key().public_bytes_raw())
    return f"witness w {key} {url}\nquorum w\n".encode()


NO_ADDRESS = {
    "none at all": b"quorum none\n",
    "no address": line(""),
    "a host that is not to be asked": line("https://elsewhere.example/w"),
    "another scheme": line("ftp://witness.example/w"),
    "no host": line("https:///w"),
    "a password": line("https://me:secret@witness.example/w"),
    "a query": line("https://witness.example/w?a=b"),
    "a fragment": line("https://witness.example/w#a"),
    "a port that is none": line("https://witness.example:port/w"),
}


@pytest.mark.parametrize("name", NO_ADDRESS)
def test_nobody_is_asked_but_at_an_address_of_the_operator(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrustPolicyError, match="A640"):
        Witnessing(Folder(tmp_path), parse_policy(NO_ADDRESS[name]), {"witness.example"}, TLS, lambda: NOW_S)


def test_two_clients_at_once_never_bring_a_witness_to_sign_two_histories(place: Place) -> None:
    """Check and record are one transaction: of two growths at once from one size, the second learns of the first."""
    place.ask()
    witness = place.witnesses[0]
    small = (place.log / "checkpoint").read_bytes()
    place.grow(400)
    body = b"old 300\n%s\n%s"
    proof = b"".join(part + b"\n" for part in map(b64encode, tlog.consistency(300, LEAVES[:400])))
    large = (place.log / "checkpoint").read_bytes()
    assert witness.add_checkpoint(body % (proof, large))[0] == 200
    assert witness.add_checkpoint(body % (b"", small))[:2] == (409, "text/x.tlog.size")
