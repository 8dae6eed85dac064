"""`pdp admin` over TLS: who is let in, who is not and what is said of it, and certificates that change meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from pdp.admin import LONGEST_LINE, Asker, Request, Verb
from pdp.admin_tls import MOST_CONNECTIONS, MOST_UNPROVED, AdminListener
from pdp.config_identity import AdminConfig
from pdp.errors import ConfigError
from pdp.model import Json
from pdp.transports.tls import read_file
from tests.support.certificates import Pair, TestAuthority
from tests.support.http_serving import client, connected, port_of, rest_of, said

ANNA = "spiffe://shop.example/admin/anna"
BERT = "spiffe://shop.example/admin/bert"
SERVERS, ADMINS, OTHERS = TestAuthority("servers"), TestAuthority("admins"), TestAuthority("others")
STATUS = b'{"verb": "status"}\n'


class Served:
    """What a listener of administrators has to do: it keeps who asked for what."""

    def __init__(self, folder: Path) -> None:
        SERVERS.server().write(folder, "admin")
        (folder / "admins-ca.pem").write_bytes(ADMINS.pem)
        self.folder = folder
        self.stated: list[tuple[str, Asker]] = []
        self.done: list[Request] = []
        self.held: asyncio.Event | None = None
        config = AdminConfig(
            "127.0.0.1:0", folder / "admin.pem", folder / "admin.key", folder / "admins-ca.pem", (ANNA, BERT)
        )
        self.listener = AdminListener(config, read_file, time.time)

    async def _state(self, verb: str, asker: Asker, _: Request) -> None:
        self.stated.append((verb, asker))

    async def _do(self, request: Request) -> Mapping[str, Json]:
        if self.held is not None:
            await self.held.wait()
        self.done.append(request)
        return {"ok": True}

    @contextlib.asynccontextmanager
    async def open(self, *, patience_s: float = 10.0, look_every_s: float = 0.01) -> AsyncIterator[str]:
        verbs = {"status": Verb(self._do, changes=False), "revoke": Verb(self._do, changes=True)}
        opened = self.listener.open(verbs, self._state, patience_s=patience_s, look_every_s=look_every_s)
        async with opened as address:
            assert address is not None
            yield address

    def showing(self, shown: Pair | None, trusted: TestAuthority = SERVERS) -> ssl.SSLContext:
        return client(trusted, self.folder, shown)

    async def answer(self, address: str, shown: Pair | None, line: bytes = STATUS) -> bytes:
        """All that is answered; b"" where the connection ends in whatever way."""
        try:
            return await said(address, line, self.showing(shown))
        except (OSError, ssl.SSLError):
            return b""


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def anna() -> Pair:
    return ADMINS.gateway([ANNA])


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we warn of; asyncio speaks for itself."""
    ours = [record for record in caplog.records if record.name.startswith("pdp.")]
    return [record.getMessage() for record in ours if record.levelno >= logging.WARNING]


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Ask again and again until it holds."""
    async with asyncio.timeout(10):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- who is let in


def test_each_administrator_is_answered_and_stated_by_the_identity_of_the_certificate(served: Served) -> None:
    line = b'{"verb": "revoke", "identity": "spiffe://shop.example/admin/bert", "user": 0}\n'

    async def both() -> list[bytes]:
        async with served.open() as address:
            first = await served.answer(address, anna(), line)
            return [first, await served.answer(address, ADMINS.gateway([BERT], dns=["bert.example"]))]

    assert [json.loads(each) for each in asyncio.run(both())] == [{"ok": True}] * 2
    assert served.stated == [("revoke", Asker(identity=ANNA)), ("status", Asker(identity=BERT))]
    assert served.done == [json.loads(line), {"verb": "status"}]


def test_a_connection_is_for_one_line(served: Served) -> None:
    async def twice() -> bytes:
        async with served.open() as address:
            return await served.answer(address, anna(), STATUS * 2)

    assert asyncio.run(twice()).count(b"\n") == 1
    assert len(served.done) == 1


KEPT_OUT: dict[str, tuple[Callable[[], Pair | None], str]] = {
    "no certificate": (lambda: None, "peer did not return a certificate"),
    "another authority": (lambda: OTHERS.gateway([ANNA]), "its certificate is not good"),
    "the authority of the servers": (lambda: SERVERS.gateway([ANNA]), "its certificate is not good"),
    "expired": (lambda: ADMINS.gateway([ANNA], valid_for=timedelta(minutes=-1)), "has expired"),
    "for a server": (lambda: ADMINS.gateway([ANNA], as_server=True), "its certificate is not good"),
    "a name that is no text": (lambda: ADMINS.gateway_of_bytes(ANNA.encode() + b"\xff"), "was refused"),
    "nobody of ours": (lambda: ADMINS.gateway([f"{ANNA}s"]), f"`{ANNA}s` is no administrator"),
    "another case": (lambda: ADMINS.gateway([ANNA.upper()]), "is no administrator"),
    "a name that writes lines": (lambda: ADMINS.gateway([f"{ANNA}\n\x1b[2J"]), "anna\\u{a}\\u{1b}[2J"),
    "a folder above": (lambda: ADMINS.gateway(["spiffe://shop.example/admin"]), "is no administrator"),
    "no names": (lambda: ADMINS.gateway([]), "a certificate without one identity"),
    "two identities": (lambda: ADMINS.gateway([ANNA, BERT]), "a certificate without one identity"),
    "an identity and another URI": (lambda: ADMINS.gateway([ANNA, "https://a.example/"]), "without one identity"),
    "a DNS name that spells an identity": (lambda: ADMINS.gateway([], dns=[ANNA]), "without one identity"),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("sentence", KEPT_OUT)
def test_nobody_else_gets_an_answer_and_it_is_said_once(
    sentence: str, version: ssl.TLSVersion, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    made, told = KEPT_OUT[sentence]
    context = served.showing(made())
    context.minimum_version = context.maximum_version = version

    async def twice() -> list[bytes]:
        answers = []
        async with served.open() as address:
            for _ in range(2):
                try:
                    answers.append(await said(address, b'{"verb": "revoke"}\n', context))
                except (OSError, ssl.SSLError):
                    answers.append(b"")
        return answers

    assert asyncio.run(twice()) == [b"", b""]
    assert (served.stated, served.done) == ([], [])
    (line,) = refusals(caplog)
    assert told in line
    assert "from 127.0.0.1" in line


def test_tls_is_1_2_or_later(served: Served) -> None:
    async def spoken(address: str, version: ssl.TLSVersion) -> bytes:
        context = served.showing(anna())
        context.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself does not speak it
        context.minimum_version = context.maximum_version = version
        try:
            return await said(address, STATUS, context)
        except (OSError, ssl.SSLError):
            return b""

    async def all_of_them() -> list[bool]:
        versions = [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
        async with served.open() as address:
            return [bool(await spoken(address, version)) for version in versions]

    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        assert asyncio.run(all_of_them()) == [False, True, True]


def test_a_line_in_clear_before_the_handshake_is_nobodys(served: Served) -> None:
    async def injected() -> bytes:
        async with served.open() as address:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(address))
            writer.write(b'{"verb": "revoke"}\n')
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.start_tls(served.showing(anna()), server_hostname="localhost")
                writer.write(STATUS)
            rest = await rest_of(reader)
            writer.close()
            return rest

    assert b"ok" not in asyncio.run(injected())
    assert (served.stated, served.done) == ([], [])


def test_what_is_no_request_is_told_the_verbs_and_does_nothing(served: Served) -> None:
    async def asked() -> list[bytes]:
        async with served.open() as address:
            return [await served.answer(address, anna(), line) for line in (b"\n", b"POST / HTTP/1.1\r\n\r\n", b"[]\n")]

    answers = [json.loads(each) for each in asyncio.run(asked())]
    assert answers == [{"ok": False, "detail": "not a request; the verbs are revoke, status"}] * 3
    assert (served.stated, served.done) == ([], [])


# ---------------------------------------------------------------- bounds


def test_a_line_that_is_too_long_is_not_answered(served: Served) -> None:
    def padded(size: int) -> bytes:
        line = b'{"verb": "status", "pad": ""}\n'
        return line.replace(b'""', b'"' + b"x" * (size - len(line)) + b'"')

    async def asked() -> list[bytes]:
        async with served.open() as address:
            return [await served.answer(address, anna(), padded(size)) for size in (LONGEST_LINE, 4 * LONGEST_LINE)]

    longest, longer = asyncio.run(asked())
    assert (json.loads(longest), longer) == ({"ok": True}, b"")
    assert len(served.done) == 1


SLOW: dict[str, bytes] = {"who says nothing": b"", "who begins and stops": b'{"verb": "sta'}


@pytest.mark.parametrize("sentence", SLOW)
def test_is_not_waited_for(sentence: str, served: Served) -> None:
    async def waited() -> bytes:
        async with served.open(patience_s=0.3) as address:
            return await asyncio.wait_for(served.answer(address, anna(), SLOW[sentence]), 5)

    assert asyncio.run(waited()) == b""
    assert served.done == []


def test_who_says_a_byte_now_and_then_is_not_waited_for_either(served: Served) -> None:
    async def waited() -> None:
        async with (
            served.open(patience_s=0.3) as address,
            connected(address, served.showing(anna())) as (reader, writer),
        ):
            rest = asyncio.ensure_future(rest_of(reader))
            async with asyncio.timeout(5):
                while not rest.done():
                    writer.write(b" ")
                    await asyncio.sleep(0.05)
            assert rest.result() == b""

    asyncio.run(waited())
    assert served.done == []


def test_who_connects_and_begins_no_handshake_is_not_waited_for(served: Served) -> None:
    async def waited() -> bytes:
        async with served.open(patience_s=0.2) as address, connected(address) as (reader, _):
            return await asyncio.wait_for(rest_of(reader), 5)

    assert asyncio.run(waited()) == b""


def test_a_crowd_that_proves_nothing_keeps_no_administrator_out(served: Served) -> None:
    async def crowded() -> tuple[bytes, int]:
        async with served.open() as address, contextlib.AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(connected(address)) for _ in range(MOST_UNPROVED)]
            answer = await asyncio.wait_for(served.answer(address, anna()), 5)
            await until(lambda: any(reader.at_eof() for reader, _ in crowd))  # one made room
            return answer, sum(not reader.at_eof() for reader, _ in crowd)

    answer, left = asyncio.run(crowded())
    assert json.loads(answer) == {"ok": True}
    assert left == MOST_UNPROVED - 1


def test_no_more_than_so_many_administrators_are_served_at_once(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async def crowded() -> list[bytes]:
        served.held = asyncio.Event()
        async with served.open() as address:
            shown = anna()
            asking = [asyncio.ensure_future(served.answer(address, shown)) for _ in range(MOST_CONNECTIONS)]
            await until(lambda: len(served.stated) == MOST_CONNECTIONS)
            more = [await served.answer(address, shown) for _ in range(2)]
            served.held.set()
            answers = await asyncio.gather(*asking)
            assert all(json.loads(each) == {"ok": True} for each in answers)
            return [*more, await served.answer(address, shown)]

    *more, later = asyncio.run(crowded())
    assert more == [b"", b""]
    assert json.loads(later) == {"ok": True}
    assert [line for line in refusals(caplog) if "turned away" in line] == refusals(caplog)
    assert len(refusals(caplog)) == 1


def test_at_the_end_nobody_stays_connected(served: Served) -> None:
    async def ended() -> None:
        served.held = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            async with served.open() as address:
                silent = (await stack.enter_async_context(connected(address)))[0]
                asking = asyncio.ensure_future(served.answer(address, anna()))
                await until(lambda: len(served.stated) == 1)
            assert await asyncio.wait_for(rest_of(silent), 5) == b""
            assert await asyncio.wait_for(asking, 5) == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port_of(address))

    asyncio.run(ended())
    assert served.done == []


# ---------------------------------------------------------------- certificates that change


def replace(path: Path, data: bytes) -> None:
    """Put other bytes there at once: a look never finds half of them."""
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").replace(path)


async def serial(served: Served, address: str) -> str:
    """The number of the certificate that the next connection is shown."""
    async with connected(address, served.showing(anna())) as (_, writer):
        return str(writer.get_extra_info("peercert")["serialNumber"])


def test_a_renewed_certificate_is_shown_to_the_next_connection_and_no_connection_is_dropped(served: Served) -> None:
    async def renewed() -> bytes:
        async with served.open() as address, connected(address, served.showing(anna())) as (reader, writer):
            before = await serial(served, address)
            SERVERS.server().write(served.folder, "admin")

            async def another() -> bool:
                return await serial(served, address) != before

            await until(another)
            writer.write(STATUS)
            return await rest_of(reader)

    assert json.loads(asyncio.run(renewed())) == {"ok": True}


@pytest.mark.parametrize("name", ["admin.pem", "admin.key", "admins-ca.pem"])
def test_rubbish_keeps_the_old_certificate_and_is_told_of(
    name: str, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async def spoilt() -> bool:
        async with served.open() as address:
            before = await serial(served, address)
            assert served.listener.misgivings(0) == []
            sound = (served.folder / name).read_bytes()
            replace(served.folder / name, b"\x00rubbish" * 40)
            await until(lambda: served.listener.misgivings(0) != [])
            assert "not in use" in served.listener.misgivings(0)[0]
            assert json.loads(await served.answer(address, anna())) == {"ok": True}
            assert await served.answer(address, OTHERS.gateway([ANNA])) == b""
            same = await serial(served, address) == before
            assert len([line for line in refusals(caplog) if "not in use" in line]) == 1
            replace(served.folder / name, sound)
            await until(lambda: served.listener.misgivings(0) == [])
            return same

    assert asyncio.run(spoilt())


def test_other_authorities_keep_the_administrators_of_before_out(served: Served) -> None:
    async def replaced() -> bytes:
        async with served.open() as address:
            assert json.loads(await served.answer(address, anna())) == {"ok": True}
            replace(served.folder / "admins-ca.pem", OTHERS.pem)

            async def let_in() -> bool:
                return bool(await served.answer(address, OTHERS.gateway([ANNA])))

            await until(let_in)
            return await served.answer(address, anna())

    assert asyncio.run(replaced()) == b""


def test_an_expired_certificate_of_ours_is_told_of(tmp_path: Path) -> None:
    served = Served(tmp_path)
    ends = served.listener.misgivings
    assert ends(0) == []
    assert ["has expired" in each for each in ends(4_000_000_000_000_000)] == [True]


# ---------------------------------------------------------------- the table [admin]


def test_without_an_address_nothing_listens() -> None:
    async def opened() -> str | None:
        async with AdminListener(AdminConfig(), read_file, time.time).open({}, Served._state) as address:  # type: ignore[arg-type]
            return address

    assert asyncio.run(opened()) is None


def test_a_certificate_that_cannot_be_used_keeps_the_service_from_starting(tmp_path: Path) -> None:
    def spoilt(path: Path) -> bytes:
        return b"rubbish" if path.name == "admin.pem" else read_file(path)

    config = Served(tmp_path).listener._config
    with pytest.raises(ConfigError, match=r"admin\.pem") as caught:
        AdminListener(config, spoilt, time.time)
    assert caught.value.code == "N110"


def test_an_address_that_is_taken_is_named(tmp_path: Path, served: Served) -> None:
    async def twice() -> None:
        async with served.open() as address:
            config = AdminConfig(
                address, tmp_path / "admin.pem", tmp_path / "admin.key", tmp_path / "admins-ca.pem", (ANNA,)
            )
            async with AdminListener(config, read_file, time.time).open({}, served._state):
                pytest.fail("it listens where another does")

    with pytest.raises(ConfigError, match=r"`address` in \[admin\]") as caught:
        asyncio.run(twice())
    assert caught.value.code == "N101"
