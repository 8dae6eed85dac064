"""Certificates of a listener: what is taken into use, what keeps the old ones, and what is said of it."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from pdp.errors import ConfigError
from pdp.gateways import UNKNOWN
from pdp.transports.tls import LARGEST_FILE, Certificates, TlsFiles, read_file, uri_names
from tests.support.certificates import EDGE_ID, TestAuthority
from tests.support.http_parts import EDGE, KNOWN

AUTHORITY = TestAuthority()
SERVER, OTHER_SERVER = AUTHORITY.server(), AUTHORITY.server()


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    SERVER.write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    return TlsFiles(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")


def serial(certificates: Certificates) -> int:
    return x509.load_pem_x509_certificate(certificates.current.certificate).serial_number


def locked() -> bytes:
    key = serialization.load_pem_private_key(SERVER.key, None)
    form, secret = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    return key.private_bytes(serialization.Encoding.PEM, form, secret)


UNFIT: dict[str, tuple[Callable[[TlsFiles], object], str]] = {
    "no certificate": (lambda f: f.certificate.unlink(), "cannot read"),
    "no key": (lambda f: f.private_key.unlink(), "cannot read"),
    "no authorities": (lambda f: f.client_ca and f.client_ca.unlink(), "cannot read"),
    "a folder": (lambda f: (f.private_key.unlink(), f.private_key.mkdir()), "cannot read"),
    "an empty certificate": (lambda f: f.certificate.write_bytes(b""), "in use|PEM|pem|MalformedFraming"),
    "a certificate that is noise": (lambda f: f.certificate.write_bytes(b"\xff" * 100), "PEM|pem|MalformedFraming"),
    "half a certificate": (lambda f: f.certificate.write_bytes(SERVER.certificate[:200]), "."),
    "an empty key": (lambda f: f.private_key.write_bytes(b""), "."),
    "a key that is noise": (lambda f: f.private_key.write_bytes(b"\xff" * 100), "."),
    "the key of another": (lambda f: f.private_key.write_bytes(OTHER_SERVER.key), "do not belong together"),
    "a key with a password": (lambda f: f.private_key.write_bytes(locked()), "password"),
    "empty authorities": (lambda f: f.client_ca and f.client_ca.write_bytes(b""), "."),
    "authorities that are a key": (lambda f: f.client_ca and f.client_ca.write_bytes(SERVER.key), "."),
    "more than a file may have": (lambda f: f.certificate.write_bytes(b"x" * (LARGEST_FILE + 1)), "more than"),
}


@pytest.mark.parametrize("sentence", UNFIT)
def test_files_that_are_no_sound_set_keep_a_listener_from_starting(sentence: str, files: TlsFiles) -> None:
    spoil, said = UNFIT[sentence]
    spoil(files)
    with pytest.raises(ConfigError, match=said) as caught:
        Certificates(files)
    assert caught.value.code == "N110"
    assert str(files.certificate) in caught.value.detail
    assert "PRIVATE" not in caught.value.detail


@pytest.mark.parametrize("sentence", UNFIT)
def test_files_that_are_no_sound_set_leave_what_is_in_use_and_are_told_of_once(
    sentence: str, files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(files)
    UNFIT[sentence][0](files)
    before = certificates.current
    with caplog.at_level(logging.INFO):
        assert [certificates.look() for _ in range(4)] == [False] * 4
    assert certificates.current is before
    assert str(files.certificate) in certificates.misgiving(0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_files_that_are_mended_are_taken_and_nothing_is_said_any_more(files: TlsFiles) -> None:
    certificates = Certificates(files)
    files.certificate.write_bytes(OTHER_SERVER.certificate)
    assert not certificates.look()
    assert certificates.misgiving(0) == ""  # whoever replaces one file is about to replace the next
    assert not certificates.look()
    assert "do not belong together" in certificates.misgiving(0)
    files.private_key.write_bytes(OTHER_SERVER.key)
    assert certificates.look()
    assert (serial(certificates), certificates.misgiving(0)) == (OTHER_SERVER.serial, "")


def test_the_old_files_again_end_the_doubt(files: TlsFiles) -> None:
    certificates = Certificates(files)
    before = certificates.current
    files.private_key.write_bytes(b"")
    certificates.look()
    certificates.look()
    files.private_key.write_bytes(SERVER.key)
    assert not certificates.look()
    assert (certificates.current, certificates.misgiving(0)) == (before, "")


def test_new_authorities_alone_are_taken(files: TlsFiles) -> None:
    certificates = Certificates(files)
    assert files.client_ca is not None
    files.client_ca.write_bytes(TestAuthority("another").pem)
    assert certificates.look()
    (found,) = certificates.current.context.get_ca_certs()
    assert "another" in str(found["subject"])  # and the old one is gone


def test_the_same_files_make_nothing_new(files: TlsFiles) -> None:
    certificates = Certificates(files)
    before = certificates.current
    assert not certificates.look()
    assert certificates.current is before


class Restless:
    """Reads what is there, and once it is told to, something else each time."""

    def __init__(self) -> None:
        self.changes = False
        self._reads = 0

    def __call__(self, path: Path) -> bytes:
        self._reads += 1
        return read_file(path) + b"\n" * (self._reads if self.changes else 0)


def test_files_that_change_while_they_are_read_are_not_taken(files: TlsFiles) -> None:
    read = Restless()
    certificates = Certificates(files, read)
    before = certificates.current
    read.changes = True
    assert [certificates.look() for _ in range(3)] == [False] * 3
    assert certificates.current is before
    with pytest.raises(ConfigError, match="change while they are read"):
        Certificates(files, read)


def test_what_cannot_be_read_is_named_with_its_cause(files: TlsFiles) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with pytest.raises(ConfigError, match=r"server\.pem: Permission denied"):
        Certificates(files, denied)


def test_an_expired_certificate_is_served_and_told_of(tmp_path: Path) -> None:
    expired = AUTHORITY.server(valid_for=timedelta(minutes=-1))
    certificates = Certificates(TlsFiles(*expired.write(tmp_path, "server")))
    ends = certificates.current.ends
    assert "has expired" in certificates.misgiving(ends)
    assert certificates.misgiving(ends - 1) == ""


def test_tls_is_1_2_or_later_without_compression_and_tickets(files: TlsFiles) -> None:
    context = Certificates(files).current.context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.options & ssl.OP_NO_COMPRESSION
    assert (context.options & ssl.OP_NO_TICKET, context.num_tickets) == (ssl.OP_NO_TICKET, 0)


def test_without_authorities_nobody_is_asked_for_a_certificate(files: TlsFiles) -> None:
    context = Certificates(TlsFiles(files.certificate, files.private_key)).current.context
    assert context.verify_mode == ssl.CERT_NONE


def test_a_private_key_is_not_shown(files: TlsFiles) -> None:
    assert "PRIVATE" not in repr(Certificates(files).current)


# ---------------------------------------------------------------- whose certificate it is


LATER = "Jan  1 00:00:01 2026 GMT"
NAMES: dict[str, tuple[object, list[str]]] = {
    "no certificate": (None, []),
    "none was shown": ({}, []),
    "a URI": ({"subjectAltName": (("URI", EDGE_ID),), "notAfter": LATER}, [EDGE_ID]),
    "a URI, and it is over": ({"subjectAltName": (("URI", EDGE_ID),), "notAfter": "Jan  1 00:00:00 2026 GMT"}, []),
    "a URI, and no end": ({"subjectAltName": (("URI", EDGE_ID),)}, []),
    "a URI among others": (
        {
            "subjectAltName": (("DNS", "a.example"), ("URI", EDGE_ID), ("email", EDGE_ID), ("IP Address", "192.0.2.1")),
            "notAfter": LATER,
        },
        [EDGE_ID],
    ),
    "a subject that spells a URI": ({"subject": ((("commonName", EDGE_ID),),)}, []),
}


@pytest.mark.parametrize("sentence", NAMES)
def test_the_uri_names_of_a_certificate(sentence: str) -> None:
    certificate, names = NAMES[sentence]
    assert uri_names(certificate, 1_767_225_600.0) == names


@given(st.lists(st.sampled_from([EDGE_ID, "spiffe://shop.example/other", "https://a.example/", "", EDGE_ID + "/"])))
def test_a_certificate_is_a_gateways_by_exactly_one_uri(uris: list[str]) -> None:
    """of_certificate(names) = edge  <=>  names = [its id]."""
    assert KNOWN.of_certificate(uris) == (EDGE if uris == [EDGE_ID] else UNKNOWN)
