"""Authorities and certificates for tests, made on the spot: sound ones, and each kind that must not be let in."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

EDGE_ID = "spiffe://shop.example/edge"
HOUR = timedelta(hours=1)


class Pair(Struct, frozen=True):
    """A certificate with its key, both PEM."""

    certificate: bytes
    key: bytes

    @property
    def serial(self) -> int:
        return x509.load_pem_x509_certificate(self.certificate).serial_number

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """The two files, in `folder`."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return certificate, key


class TestAuthority:
    """A certificate authority; `pem` is its certificate."""

    __test__ = False

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key.public_key(), -HOUR, HOUR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def server(self, *, valid_for: timedelta = HOUR) -> Pair:
        """For a server on loopback."""
        names: list[x509.GeneralName] = [x509.DNSName("localhost")]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
        return self._issue(names, ExtendedKeyUsageOID.SERVER_AUTH, valid_for)

    def gateway(
        self,
        uris: Sequence[str] = (EDGE_ID,),
        *,
        dns: Sequence[str] = (),
        valid_for: timedelta = HOUR,
        as_server: bool = False,
    ) -> Pair:
        """For a client with these URI and DNS names. `as_server`: its purpose is a server's."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(name) for name in dns]
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if as_server else ExtendedKeyUsageOID.CLIENT_AUTH
        return self._issue(names, purpose, valid_for)

    def gateway_of_bytes(self, uri: bytes) -> Pair:
        """For a client whose one URI is any bytes, as nobody makes them who means well."""
        pair = self.gateway(["#" * len(uri)])
        sound = x509.load_pem_x509_certificate(pair.certificate)
        signed = sound.tbs_certificate_bytes.replace(b"#" * len(uri), uri)
        bits = b"\x00" + self._key.sign(signed, ec.ECDSA(hashes.SHA256()))
        made = _der(0x30, signed + _ECDSA_WITH_SHA256 + _der(0x03, bits))
        certificate = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(made) + b"-----END CERTIFICATE-----\n"
        return Pair(certificate, pair.key)

    def _issue(self, names: Sequence[x509.GeneralName], purpose: x509.ObjectIdentifier, valid_for: timedelta) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        builder = _builder(subject, self._name, key.public_key(), min(-HOUR, valid_for - HOUR), valid_for)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        form = serialization.PrivateFormat.PKCS8
        return Pair(certificate, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def _der(tag: int, content: bytes) -> bytes:
    size = len(content).to_bytes(2, "big")
    length = size[1:] if len(content) < 0x80 else b"\x82" + size
    return bytes([tag]) + length + content


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    """Validity counts from now."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now + begins).not_valid_after(now + ends)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
