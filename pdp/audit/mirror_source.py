"""Where a mirror gets the files of a log from: a folder, or a static file server.

A place comes in as it was typed: an https URL, an http one of this machine, a file URL, or a folder. Files go out by
their paths within a log, or None where there is none. Nothing of what comes is believed: that is `pdp.audit.mirror`.

SECURITY: nothing but the place that was named is asked: no redirect is followed, no proxy and no cookie counts, and a
    URL holds no password. An answer costs no more memory than the largest file of a log and no more than 60 s.
Specification: C2SP tlog-tiles ("Parameters"); RFC 9110.

Decision: 2026-11-21. A log holds sealed boxes and what a policy names: over a network it goes by https alone. Who
    answers is told by the certificate, by the authorities of OpenSSL (`SSL_CERT_FILE` for one's own); what was answered
    is told by the key of the log, whoever answered.
Decision: 2026-11-21. The address was typed by whoever runs the command, and no answer names another: so any network
    may be asked, unlike for the keys of issuers.
Decision: 2026-11-21. An archived segment is read from a folder; a server has to serve it restored.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import ssl
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from pdp.audit.archive import Archived
from pdp.audit.disk import Folder, MemberError
from pdp.errors import PdpError

WITHIN_S = 60.0
"""For one file, resolution and the last byte included."""

CONNECT_WITHIN_S = 10.0

_ABSENT = frozenset({404, 410})
_HEADERS = {"accept-encoding": "identity", "user-agent": "portcullis"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class SourceError(PdpError):
    """The place cannot be asked, or does not answer with files. Code: A681."""

    def __init__(self, detail: str) -> None:
        super().__init__("A681", detail)


class Served(Protocol):
    """The files of a log as somebody serves them."""

    def read(self, path: str, most: int) -> bytes | None:
        """The whole file; None where there is none.

        Errors: MemberError where it has more than `most` bytes or is no file; SourceError; OSError for a folder.
        """
        ...


@contextlib.contextmanager
def opened_source(place: str, within_s: float = WITHIN_S) -> Iterator[Served]:
    """The files at a place, while the context lasts; of a server each within so long. No event loop may run here.

    Errors: SourceError for a place that may not be asked, or none at all.
    """
    folder = source_folder(place)
    if folder is not None:
        if not folder.is_dir():
            raise SourceError(f"there is no folder {folder}")
        yield Archived(Folder(folder))
        return
    url = _url(place)
    with asyncio.Runner() as runner:
        client = runner.run(_client())
        try:
            yield Server(runner, client, url, within_s)
        finally:
            runner.run(client.aclose())


async def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        headers=_HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(None, connect=CONNECT_WITHIN_S),
    )


def source_folder(place: str) -> Path | None:
    """The folder that a place names; None for a URL of a server. Errors: SourceError for a file URL of another host."""
    if not _SCHEME.match(place):
        return Path(place)
    parts = _split(place)
    if parts.scheme != "file":
        return None
    if parts.netloc not in {"", "localhost"} or parts.query or parts.fragment:
        raise SourceError(f"{place!a} is no folder of this machine: write file:///the/folder")
    return Path(unquote(parts.path))


class Server:
    """`Served` by a static file server at `base`, a URL that ends in `/`. The client is of the runner's loop."""

    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient, base: str, within_s: float) -> None:
        self._runner = runner
        self._client = client
        self._base = base
        self._within_s = within_s

    def read(self, path: str, most: int) -> bytes | None:
        """See `Served`."""
        return self._runner.run(self._read(path, most))

    async def _read(self, path: str, most: int) -> bytes | None:
        url = self._base + path
        try:
            async with asyncio.timeout(self._within_s), self._client.stream("GET", url) as response:
                return await self._body(response, path, most)
        except TimeoutError as error:
            raise SourceError(f"{url} did not come within {self._within_s:g} s") from error
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise SourceError(f"{url} cannot be read: {error or type(error).__name__}") from error

    async def _body(self, response: httpx.Response, path: str, most: int) -> bytes | None:
        url = self._base + path
        if response.status_code in _ABSENT:
            return None
        if response.has_redirect_location:
            raise SourceError(f"{url} leads elsewhere, which is not followed: name the place itself")
        if response.status_code != httpx.codes.OK:
            raise SourceError(f"{url} is answered with status {response.status_code}")
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise SourceError(f"{url} comes encoded, which was not asked for: let the server send files as they are")
        data = bytearray()
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > most:
                raise MemberError(path, f"it has more than {most} bytes, no file of a log in its place has so many")
        return bytes(data)


def _url(place: str) -> str:
    """The URL of a server with `/` at its end. Errors: SourceError."""
    parts = _split(place)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise SourceError(f"{place!a} cannot be asked: name an https URL, a file URL, or a folder")
    if parts.username is not None or parts.password is not None:
        raise SourceError("a URL that holds a name or a password is refused: others can read a command line")
    if parts.query or parts.fragment:
        raise SourceError(f"{place!a} has a query or a fragment: name the folder that holds `checkpoint`")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise SourceError(f"{place!a} is not of this machine: over a network a log goes by https")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


def _split(place: str) -> SplitResult:
    try:
        parts = urlsplit(place)
        _ = parts.port
    except ValueError as error:
        raise SourceError(f"{place!a} is no URL: {error}") from error
    if not place.isascii() or any(c.isspace() or not c.isprintable() for c in place):
        raise SourceError(f"{place!a} is no URL: write what is not plain ASCII as %XX")
    return parts


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
