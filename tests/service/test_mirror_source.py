"""Where a mirror gets its files from: which places may be asked, and answers of every bad kind."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.disk import MemberError
from pdp.audit.mirror_source import SourceError, opened_source, source_folder
from tests.support.certificates import TestAuthority
from tests.support.raw_server import RawServer, Received, Reply


def serving(folder: Path) -> Callable[[Received], Reply]:
    """The files of a folder, as a server of static files answers."""

    def answer(request: Received) -> Reply:
        path = folder / request.target.decode().removeprefix("/logs/")
        return Reply(200, (), path.read_bytes()) if path.is_file() else Reply(404)

    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/checkpoint").write_bytes(b"a checkpoint")
    return tmp_path / "log"


REFUSED = {
    "http://log.example/log": "is not of this machine: over a network a log goes by https",
    "http://10.0.0.7/log": "is not of this machine",
    "http://127.0.0.1.example/log": "is not of this machine",
    "ftp://log.example/log": "cannot be asked: name an https URL",
    "https:///log": "cannot be asked",
    "https://user:secret@log.example/log": "a URL that holds a name or a password is refused",
    "https://log.example/log?x=1": "has a query or a fragment",
    "https://log.example/log#x": "has a query or a fragment",
    "https://log.example:port/log": "is no URL",
    "https://[::1/log": "is no URL",
    "https://log.example/\x1b[31m": "is no URL",
    "https://lög.example/log": "is no URL",
    "file://elsewhere/log": "is no folder of this machine",
    "nowhere": "there is no folder nowhere",
}


@pytest.mark.parametrize("place", REFUSED)
def test_places_that_are_refused(place: str) -> None:
    with pytest.raises(SourceError) as refused, opened_source(place):
        pass
    assert REFUSED[place] in refused.value.detail
    assert "secret" not in refused.value.detail
    assert "\x1b" not in refused.value.detail


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_folders(folder: Path, form: str) -> None:
    with opened_source(form.format(folder)) as served:
        assert served.read("checkpoint", 100) == b"a checkpoint"
        assert served.read("tile/0/000", 100) is None
        with pytest.raises(MemberError):
            served.read("checkpoint", 5)


def test_a_file_url_may_be_escaped(tmp_path: Path) -> None:
    assert source_folder(f"file://{tmp_path}/a%20log") == tmp_path / "a log"
    assert source_folder("https://log.example/") is None
    assert source_folder("log") == Path("log")


@pytest.mark.parametrize("base", ["http://127.0.0.1:{}/logs", "http://localhost:{}/logs/"])
def test_a_server_of_static_files(folder: Path, base: str) -> None:
    with RawServer(serving(folder)) as server, opened_source(base.format(server.port)) as served:
        assert served.read("checkpoint", 100) == b"a checkpoint"
        assert served.read("tile/0/000", 100) is None
    (first, _) = server.received
    assert (first.method, first.target) == (b"GET", b"/logs/checkpoint")
    assert first.all("accept-encoding") == ["identity"]
    assert not first.all("authorization")
    assert not first.all("cookie")


ANSWERS = {
    "a redirect": (Reply(302, (("location", "http://127.0.0.1:1/x"),)), SourceError, "leads elsewhere"),
    "a permanent redirect": (Reply(308, (("location", "/elsewhere"),)), SourceError, "leads elsewhere"),
    "an error of the server": (Reply(500), SourceError, "is answered with status 500"),
    "a part of the file": (Reply(206), SourceError, "is answered with status 206"),
    "nothing to say": (Reply(204, (), b""), SourceError, "is answered with status 204"),
    "a refusal": (Reply(403), SourceError, "is answered with status 403"),
    "an encoding": (Reply(200, (("content-encoding", "gzip"),)), SourceError, "comes encoded"),
    "too much": (Reply(200, (), b"x" * 101), MemberError, "more than 100 bytes"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_that_are_refused(case: str) -> None:
    reply, error, text = ANSWERS[case]
    with (
        RawServer(lambda _: reply) as server,
        opened_source(f"http://127.0.0.1:{server.port}/") as served,
        pytest.raises(error, match=text),
    ):
        served.read("checkpoint", 100)
    assert len(server.received) == 1


def test_an_answer_that_never_comes_ends() -> None:
    with (
        RawServer(lambda _: Reply(0)) as server,
        opened_source(f"http://127.0.0.1:{server.port}/", within_s=0.2) as served,
        pytest.raises(SourceError, match=r"did not come within 0\.2 s"),
    ):
        served.read("checkpoint", 100)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n"])
def test_an_answer_that_drips_ends(head: bytes) -> None:
    """A byte comes before any one reading of the socket takes too long, and the file never."""

    def drip() -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(head)
            while not over.wait(0.02):
                connection.sendall(b"x")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            place = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            with opened_source(place, within_s=0.4) as served, pytest.raises(SourceError, match="did not come within"):
                served.read("checkpoint", 100)
        finally:
            over.set()
            dripping.join()


def test_nobody_is_there() -> None:
    with RawServer() as server:
        port = server.port
    place = f"http://127.0.0.1:{port}/"
    with opened_source(place) as served, pytest.raises(SourceError, match="cannot be read"):
        served.read("checkpoint", 100)


def test_a_cookie_is_not_sent_back(folder: Path) -> None:
    def answer(_: Received) -> Reply:
        return Reply(200, (("set-cookie", "a=b"),), b"x")

    with RawServer(answer) as server, opened_source(f"http://127.0.0.1:{server.port}/") as served:
        served.read("checkpoint", 100)
        served.read("checkpoint", 100)
    assert [request.all("cookie") for request in server.received] == [[], []]


def test_a_proxy_of_the_environment_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    with (
        RawServer(serving(folder)) as server,
        opened_source(f"http://127.0.0.1:{server.port}/logs") as served,
    ):
        assert served.read("checkpoint", 100) == b"a checkpoint"


def _tls(folder: Path, authority: TestAuthority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server().write(folder, "server"))
    return context


def test_over_tls_the_certificate_must_be_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = TestAuthority()
    with RawServer(serving(folder), tls=_tls(tmp_path, authority)) as server:
        place = f"https://127.0.0.1:{server.port}/logs"
        with opened_source(place) as served, pytest.raises(SourceError, match="certificate"):
            served.read("checkpoint", 100)
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with opened_source(place) as served:
            assert served.read("checkpoint", 100) == b"a checkpoint"


def test_a_certificate_of_another_name_is_not_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = TestAuthority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.gateway(dns=["other.example"], as_server=True).write(tmp_path, "other"))
    with RawServer(serving(folder), tls=context) as server:
        place = f"https://localhost:{server.port}/logs"
        with opened_source(place) as served, pytest.raises(SourceError, match="certificate"):
            served.read("checkpoint", 100)
