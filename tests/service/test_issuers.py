"""Issuers from a configuration: keys read from files, and one message for everything that is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdp.config import parse_config
from pdp.errors import ConfigError
from pdp.identity.issuers import read_issuers
from pdp.identity.jwks import MOST_BYTES
from pdp.identity.jwt import Verified, Verifier
from tests.support.tokens import NOW, key_set, signer, token_of

ES = signer("ES256")


ISSUER = '[[issuers]]\nurl = "https://id.example"\nkeys = "jwks.json"\nalgorithms = ["ES256"]\n'


def test_the_pins_of_the_configuration_are_the_issuers(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(key_set(ES.jwk(), signer("RS256").jwk(use="enc")))
    text = ISSUER + 'types = ["X+JWT"]\nleeway_s = 7\nmax_lifetime_s = 900\nallow_multi_audience = true'
    text += "\nsession_max_s = 9000\nsession_idle_s = 600"
    (issuer,) = read_issuers(parse_config(text, tmp_path).issuers)
    assert (issuer.types, issuer.leeway_s, issuer.max_lifetime_s) == (frozenset({"x+jwt"}), 7, 900)
    assert issuer.multi_audience
    assert (issuer.session_max_s, issuer.session_idle_s) == (9000, 600)
    assert [refusal.reason for refusal in issuer.keys.refused] == ["key.use"]
    assert isinstance(Verifier([issuer]).verify(token_of(ES, {"typ": "x+jwt"}, sid="s", auth_time=NOW), NOW), Verified)


def test_sessions_last_as_long_as_they_like_unless_the_configuration_says_more(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(key_set(ES.jwk()))
    (issuer,) = read_issuers(parse_config(ISSUER, tmp_path).issuers)
    assert (issuer.session_max_s, issuer.session_idle_s) == (None, None)


UNUSABLE: dict[str, tuple[bytes | None, str]] = {
    "no file": (None, "cannot read"),
    "empty file": (b"", "set.json"),
    "empty set": (b'{"keys": []}', "set.empty"),
    "too large": (b" " * (MOST_BYTES + 1), "set.too_large"),
    "private key": (json.dumps({"keys": [ES.jwk(d="AA")]}).encode(), "set.private"),
    "one weak key": (key_set(ES.jwk(use="enc")), "set.no_usable_key, key 0 key.use"),
    "no key for the algorithms": (key_set(signer("EdDSA").jwk()), "holds no key for ES256"),
}


@pytest.mark.parametrize(("data", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_issuer_without_usable_keys_is_an_error(tmp_path: Path, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / "jwks.json").write_bytes(data)
    with pytest.raises(ConfigError) as refused:
        read_issuers(parse_config(ISSUER, tmp_path).issuers)
    assert refused.value.code == "C104"
    assert said in refused.value.detail
    assert str(tmp_path / "jwks.json") in refused.value.detail


def test_no_issuers_are_no_issuers() -> None:
    assert read_issuers(()) == ()
