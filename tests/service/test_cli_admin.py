"""`pdp admin --at`: which service the options name, what it is asked by TLS, and what is said where that fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import click
import pytest

from pdp.admin import Asker, Request, Verb
from pdp.admin_tls import AdminListener
from pdp.cli.admin import admin
from pdp.config_identity import AdminConfig
from pdp.model import Json
from pdp.transports.tls import read_file
from tests.support.certificates import Pair, TestAuthority
from tests.support.command import Done, run_pdp
from tests.support.http_serving import port_of
from tests.support.ports import free_port

ANNA = "spiffe://shop.example/admin/anna"
SERVERS, ADMINS, OTHERS = TestAuthority("servers"), TestAuthority("admins"), TestAuthority("others")
Capture = pytest.CaptureFixture[str]


class Place:
    """A service with `[admin]`, and the files of somebody who asks it. `requests` are those that it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[Asker, Request]] = []
        self.host = "127.0.0.1"
        SERVERS.server().write(folder, "server")
        ADMINS.gateway([ANNA]).write(folder, "anna")
        (folder / "servers-ca.pem").write_bytes(SERVERS.pem)
        (folder / "admins-ca.pem").write_bytes(ADMINS.pem)
        self.options = {
            "--certificate": folder / "anna.pem",
            "--private-key": folder / "anna.key",
            "--ca": folder / "servers-ca.pem",
        }

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        async def state(_: str, asker: Asker, request: Request) -> None:
            self.requests.append((asker, request))

        async def do(_: Request) -> Mapping[str, Json]:
            return {"ok": True, "state": "done"}

        verbs = {name: Verb(do, changes=True) for name in ("status", "reload", "revoke")}
        files = (self.folder / "server.pem", self.folder / "server.key", self.folder / "admins-ca.pem")
        listener = AdminListener(AdminConfig("127.0.0.1:0", *files, (ANNA,)), read_file, time.time)
        async with listener.open(verbs, state) as address:
            assert address is not None
            yield address

    def ask(self, capfd: Capture, *words: str) -> Done:
        """`pdp admin WORDS` with all four options, at the service."""

        async def once() -> Done:
            async with self.open() as address:
                at = f"{self.host}:{port_of(address)}"
                return await asyncio.to_thread(self.run, capfd, at, *words)

        return asyncio.run(once())

    def run(self, capfd: Capture, at: str, *words: str) -> Done:
        """The same at any address."""
        options = [each for pair in self.options.items() for each in pair]
        return run_pdp(capfd, "admin", *words, "--at", at, *options)

    def shows(self, pair: Pair) -> None:
        """Ask with another certificate."""
        pair.write(self.folder, "anna")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


ASKED: dict[tuple[str, ...], Request] = {
    ("status",): {"verb": "status"},
    ("reload", "--confirm"): {"verb": "reload", "confirm": True},
    ("revoke", "session", "s1", "--issuer", "https://id.example"): {
        "verb": "revoke", "kind": "session", "issuer": "https://id.example", "value": "s1", "outright": False,
        "withdraw": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("words", ASKED)
def test_every_verb_asks_a_service_elsewhere(words: tuple[str, ...], place: Place, capfd: Capture) -> None:
    assert place.ask(capfd, *words) == Done(0, "state  done\n", "")
    assert place.requests == [(Asker(identity=ANNA), ASKED[words])]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_host_is_whatever_name_stands_in_its_certificate(host: str, place: Place, capfd: Capture) -> None:
    place.host = host
    done = place.ask(capfd, "status", "--json")
    assert (done.code, done.json) == (0, {"ok": True, "state": "done"})


def test_every_verb_takes_the_same_options_and_completes_files() -> None:
    context = click.Context(admin)
    for name in admin.list_commands(context):
        command = admin.get_command(context, name)
        assert command is not None
        options = {option: each for each in command.params for option in each.opts}
        assert {"--at", "--certificate", "--private-key", "--ca", "--config", "--state", "--json"} <= set(options)
        for option in ("--certificate", "--private-key", "--ca"):
            (item,) = options[option].shell_complete(click.Context(command), "a")
            assert item.type == "file", option


ALL = ("--at", "h:1", "--certificate", "c", "--private-key", "k", "--ca", "a")
USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "an address alone": (ALL[:2], "--certificate, --private-key, --ca is missing"),
    "no address": (ALL[2:], "--at is missing"),
    "no authorities": (ALL[:6], "--ca is missing"),
    "files without an address": (("--ca", "a"), "--at, --certificate, --private-key is missing"),
    "a state folder besides": ((*ALL, "--state", "s"), "leave --state and --config out"),
    "a configuration besides": ((*ALL, "--config", "pdp.toml"), "leave --state and --config out"),
    "no port": (("--at", "h", *ALL[2:]), "--at is HOST:PORT"),
    "port 0": (("--at", "h:0", *ALL[2:]), "--at is HOST:PORT"),
    "a port beyond": (("--at", "h:65536", *ALL[2:]), "--at is HOST:PORT"),
    "no host": (("--at", ":9444", *ALL[2:]), "--at is HOST:PORT"),
    "a Unix socket": (("--at", "unix:/run/pdp.sock", *ALL[2:]), "--at is HOST:PORT"),
    "nothing": (("--at", "", *ALL[2:]), "--at is HOST:PORT"),
}


@pytest.mark.parametrize("sentence", USAGE)
def test_options_that_do_not_say_which_service_are_refused(sentence: str, capfd: Capture) -> None:
    words, said = USAGE[sentence]
    done = run_pdp(capfd, "admin", "status", *words)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.split())


def _locked(folder: Path) -> None:
    key = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    (folder / "anna.key").write_bytes(key)


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no certificate": (lambda f: (f / "anna.pem").unlink(), "anna.pem: No such file or directory; correct --certif"),
    "no key": (lambda f: (f / "anna.key").unlink(), "anna.key: No such file or directory; correct --private-key"),
    "no authorities": (lambda f: (f / "servers-ca.pem").unlink(), "ca.pem: No such file or directory; correct --ca"),
    "a certificate that is noise": (lambda f: (f / "anna.pem").write_bytes(b"\xff" * 99), "cannot use the certificate"),
    "an empty key": (lambda f: (f / "anna.key").write_bytes(b""), "cannot use the certificate"),
    "the key of another": (lambda f: (f / "anna.key").write_bytes(ADMINS.gateway().key), "key values mismatch"),
    "a key with a password": (_locked, "cannot use the certificate"),
    "empty authorities": (lambda f: (f / "servers-ca.pem").write_bytes(b""), "as authorities"),
    "authorities that are noise": (lambda f: (f / "servers-ca.pem").write_bytes(b"\xff" * 99), "as authorities"),
}


@pytest.mark.parametrize("sentence", UNFIT)
def test_files_of_no_use_are_named_with_the_remedy_and_nobody_is_asked(
    sentence: str, place: Place, capfd: Capture
) -> None:
    spoil, said = UNFIT[sentence]
    spoil(place.folder)
    done = place.ask(capfd, "status")
    assert (done.code, done.out, place.requests) == (2, "", [])
    assert said in done.err
    assert done.err.count("\n") == 1
    assert done.err.endswith(" (N110)\n")


REFUSED: dict[str, tuple[Callable[[Place], object], str]] = {
    "no administrator": (lambda p: p.shows(ADMINS.gateway([f"{ANNA}s"])), "one of its `identities`"),
    "two identities": (lambda p: p.shows(ADMINS.gateway([ANNA, f"{ANNA}s"])), "one of its `identities`"),
    "another authority's": (lambda p: p.shows(OTHERS.gateway([ANNA])), "signed by"),
    "expired": (lambda p: p.shows(ADMINS.gateway([ANNA], valid_for=timedelta(minutes=-1))), "expired"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_who_is_refused_is_told_what_the_certificate_must_be(sentence: str, place: Place, capfd: Capture) -> None:
    prepare, said = REFUSED[sentence]
    prepare(place)
    done = place.ask(capfd, "status")
    assert (done.code, done.out, place.requests) == (2, "", [])
    assert said in done.err
    assert "anna.pem" in done.err
    assert done.err.endswith(" (S110)\n")


def _server(pair: Pair) -> Callable[[Place], object]:
    return lambda place: pair.write(place.folder, "server")


DISTRUSTED: dict[str, Callable[[Place], object]] = {
    "signed by others": lambda place: place.options.update({"--ca": place.folder / "admins-ca.pem"}),
    "expired": _server(SERVERS.server(valid_for=timedelta(minutes=-1))),
    "for another host": _server(SERVERS.gateway([], dns=["other.example"], as_server=True)),
    "for a client": _server(SERVERS.gateway([], dns=["localhost"])),
    "without names": _server(SERVERS.gateway([], as_server=True)),
}


@pytest.mark.parametrize("sentence", DISTRUSTED)
def test_a_service_that_does_not_prove_itself_is_asked_nothing(sentence: str, place: Place, capfd: Capture) -> None:
    place.host = "localhost"
    DISTRUSTED[sentence](place)
    done = place.ask(capfd, "status")
    assert (done.code, done.out, place.requests) == (2, "", [])
    assert "is not good" in done.err
    assert "have it renewed, name with --ca who signs it, or with --at the host" in done.err


def test_where_nobody_listens_it_says_what_to_do(place: Place, capfd: Capture) -> None:
    at = f"127.0.0.1:{free_port()}"
    done = place.run(capfd, at, "status")
    assert done.code == 2
    assert f"no service answers at {at}: start `pdp serve`" in done.err


def test_a_name_that_is_none_is_one_line(place: Place, capfd: Capture) -> None:
    done = place.run(capfd, f"{'a' * 70}.example\x1b[2J:1", "status")
    assert (done.code, done.err.count("\n"), "\x1b" in done.err) == (2, 1, False)
    assert "no service answers at" in done.err


ANSWERS: dict[str, tuple[bytes, bool, str]] = {
    "plain HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "does not speak TLS"),
    "nothing, in clear": (b"", False, "without an answer"),
    "nothing, by TLS": (b"", True, "without an answer"),
    "half an answer": (b'{"ok": tr', True, "without an answer"),
    "another thing": (b"[]\n", True, "is no `pdp serve`"),
}


@pytest.mark.parametrize("sentence", ANSWERS)
def test_what_is_no_service_of_ours_is_named(sentence: str, place: Place, capfd: Capture) -> None:
    data, by_tls, said = ANSWERS[sentence]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place.folder / "server.pem", place.folder / "server.key")

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        writer.close()

    async def once() -> Done:
        async with await asyncio.start_server(met, "127.0.0.1", 0, ssl=context if by_tls else None) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(place.run, capfd, f"127.0.0.1:{port}", "status")

    done = asyncio.run(once())
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_an_alert_says_no_more_than_the_end_of_a_connection(place: Place, capfd: Capture) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place.folder / "server.pem", place.folder / "server.key")
    context.load_verify_locations(cadata=OTHERS.pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            with contextlib.suppress(ssl.SSLError):
                context.wrap_socket(listening.accept()[0], server_side=True)

        refusing = threading.Thread(target=refuse)
        refusing.start()
        done = place.run(capfd, f"127.0.0.1:{listening.getsockname()[1]}", "status")
        refusing.join()
    assert done.code == 2
    assert "must be signed by its `client_ca`" in done.err


def test_here_the_socket_is_asked_as_before(tmp_path: Path, capfd: Capture) -> None:
    done = run_pdp(capfd, "admin", "status", "--state", tmp_path / "none", "--json")
    assert (done.code, done.out) == (2, "")
    assert str(tmp_path / "none" / "admin.sock") in done.err
