"""Certificates of listeners: read, checked, and read again when their files change.

The files of one listener come in; out come what TLS shows and demands (`Material`), the same until other files that are
sound stand in their place. Out of a certificate that TLS has proved come its URI names, and out of those the gateway.

    TLS 1.2 or 1.3, no compression, no resumption by tickets
    with `client_ca`, who shows no certificate of these authorities gets no connection

INVARIANT: nothing replaces what is in use but certificate, key and authorities that were read whole, fit together, and
were the same when read again. While the files are no such set, what is in use stays, and `misgiving` says why.
INVARIANT: a certificate belongs to a gateway only by the one URI it has, and only after TLS has verified it.
Sources: RFC 5280 4.2.1.6 (URI names); SPIFFE X.509-SVID 2 and 5.2 (exactly one URI).
Design: contracts.md "Which service, which gateway, which caller".

Decision: 2026-11-21. A connection stays when certificates are replaced: it was proved when it was made, and gateways
keep theirs for long. An authority that is taken away keeps new connections out.
Decision: 2026-11-21. A set of files that does not fit is told of when the next look finds the same: whoever replaces
three files one after the other passes through sets that do not fit.
Decision: 2026-11-21. An expired certificate of ours is served and told of: clients that check will refuse it, and
ending a service for what one of its listeners shows would refuse the others' calls as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from pdp.errors import ConfigError

LOOK_EVERY_S = 1.0
LARGEST_FILE = 1024 * 1024

log = logging.getLogger(__name__)

ReadFile = Callable[[Path], bytes]
"""The bytes of a file. Errors: OSError."""


def read_file(path: Path) -> bytes:
    """The first bytes of a file, one more than may be there. Errors: OSError."""
    with path.open("rb") as file:
        return file.read(LARGEST_FILE + 1)


class TlsFiles(Struct, frozen=True):
    """The files of one listener, PEM. `client_ca` None: nobody is asked for a certificate."""

    certificate: Path
    private_key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.certificate, self.private_key, *([] if self.client_ca is None else [self.client_ca]))


@dataclass(frozen=True, slots=True)
class Material:
    """What TLS shows and demands, as bytes and as a context of the standard library. `ends` in Unix seconds."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    client_ca: bytes | None
    context: ssl.SSLContext
    ends: int


class _UnfitError(Exception):
    """Files that are no sound set. `seen` is a digest of what was read, b"" where they could not be read."""

    def __init__(self, cause: str, seen: bytes) -> None:
        super().__init__(cause)
        self.seen = seen


class Certificates:
    """The certificates of one listener. `current` may be read on any thread; `look` is one thread's at a time."""

    def __init__(self, files: TlsFiles, read: ReadFile = read_file) -> None:
        """Errors: ConfigError N110 the files are no sound set."""
        self.files = files
        self._read = read
        self._doubt = ""
        self._seen: bytes | None = None
        self._told: set[str] = set()
        try:
            self.current = self._load()
        except _UnfitError as error:
            detail = f"cannot use the certificate {files.certificate} with what belongs to it: {error}"
            raise ConfigError("N110", f"{detail}; give files of PEM that belong together") from error

    def look(self) -> bool:
        """Read the files again; True where others are in use from now on."""
        try:
            made = self.current if self._read_all() == _bytes_of(self.current) else self._load()
        except _UnfitError as error:
            self._doubted(error)
            return False
        self._doubt, self._seen = "", None
        self._told.clear()
        if made is self.current:
            return False
        self.current = made
        log.info("new connections are shown the certificate that is now in %s", self.files.certificate)
        return True

    def misgiving(self, now_s: float) -> str:
        """What an operator should know of these certificates at a time in Unix seconds; "" for nothing."""
        if self._doubt:
            return self._doubt
        if self.current.ends <= now_s:
            return f"the certificate in {self.files.certificate} has expired"
        return ""

    def _doubted(self, error: _UnfitError) -> None:
        again, self._seen = self._seen == error.seen, error.seen
        if not again:
            return
        self._doubt = f"new files at {self.files.certificate} are not in use: {error}"
        if self._doubt not in self._told:
            self._told.add(self._doubt)
            log.warning("%s", self._doubt)

    def _load(self) -> Material:
        """What the files hold. The standard library reads them by their names: so they are read before and after."""
        read = self._read_all()
        seen = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in read)).digest()
        certificate, private_key, *authorities = read
        try:
            leaf = _certificates(self.files.certificate, certificate)[0]
            for each in authorities:
                _certificates(self.files.client_ca, each)
            context = _context(self.files, authorities[0] if authorities else None)
        except (OSError, ValueError, ssl.SSLError) as error:
            raise _UnfitError(_cause(error), seen) from error
        if self._read_all() != read:
            raise _UnfitError("the files change while they are read", seen)
        ends = int(leaf.not_valid_after_utc.timestamp())
        return Material(certificate, private_key, authorities[0] if authorities else None, context, ends)

    def _read_all(self) -> list[bytes]:
        read: list[bytes] = []
        for path in self.files.all:
            try:
                data = self._read(path)
            except OSError as error:
                raise _UnfitError(f"cannot read {path}: {error.strerror or type(error).__name__}", b"") from error
            if len(data) > LARGEST_FILE:
                raise _UnfitError(f"{path} has more than {LARGEST_FILE} bytes", b"")
            read.append(data)
        return read


def _bytes_of(material: Material) -> list[bytes]:
    """What was read, in the order of the files."""
    return [material.certificate, material.private_key, *([] if material.client_ca is None else [material.client_ca])]


def _context(files: TlsFiles, authorities: bytes | None) -> ssl.SSLContext:
    """The context of a server. Errors: OSError, ssl.SSLError, ValueError (an authority that is no certificate)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(files.certificate, files.private_key, password=_no_password)
    if authorities is not None:
        x509.load_pem_x509_certificates(authorities)
        context.load_verify_locations(cadata=authorities.decode("ascii"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> bytes:
    """Nobody is asked at the terminal: a key that is locked cannot be used."""
    raise ValueError("the private key is locked with a password")


def _certificates(path: Path | None, data: bytes) -> list[x509.Certificate]:
    """The certificates of a file. Errors: ValueError that names the file."""
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ValueError(f"{path} holds no certificate in PEM") from error


def _cause(error: Exception) -> str:
    """What an error says, without the key it may have looked at."""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "it is not PEM of a certificate and a key").replace("_", " ").lower()
        return "certificate and private key do not belong together" if "mismatch" in reason else reason
    return "there is no certificate in PEM" if isinstance(error, UnicodeError) else str(error)


def uri_names(certificate: object, now_s: float) -> list[str]:
    """The URI names of a certificate as `ssl.SSLSocket.getpeercert` gives it, verified; none where it is over at
    `now_s`, Unix seconds. A resumed session of TLS 1.2 brings along the certificate of its beginning (measured).
    """
    if not isinstance(certificate, dict) or "notAfter" not in certificate:
        return []
    names = certificate.get("subjectAltName", ()) if now_s < ssl.cert_time_to_seconds(certificate["notAfter"]) else ()
    return [value for kind, value in names if kind == "URI"]


@contextlib.asynccontextmanager
async def watched(certificates: Sequence[Certificates], *, every_s: float = LOOK_EVERY_S) -> AsyncIterator[None]:
    """While the context lasts, look at the files every `every_s` seconds."""

    async def look() -> None:
        while True:
            await asyncio.sleep(every_s)
            for each in certificates:
                try:
                    await asyncio.to_thread(each.look)
                except Exception:  # what fails now may not fail next time
                    log.exception("looking at the certificate %s failed", each.files.certificate)

    task = asyncio.ensure_future(look()) if certificates else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
