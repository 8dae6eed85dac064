"""Issuers as `pdp.toml` declares them with a profile: what each provider issues for an API passes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.config import parse_config
from pdp.errors import ConfigError
from pdp.identity.bearer import Identity, Proven
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import TokenRefusal, Verifier
from tests.support.provider_tokens import ACCESS, IDS, ISSUERS, Sample, mint
from tests.support.tokens import NOW, key_set, signer

KEY = signer("RS256")


def _told(folder: Path, sample: Sample, profile: str, *more: str) -> Proven | TokenRefusal | None:
    """What a token is told by an issuer with this profile."""
    (folder / "keys.json").write_bytes(key_set(KEY.jwk()))
    lines = [
        f'url = "{ISSUERS[sample.issuer]}"', 'keys = "keys.json"', 'algorithms = ["RS256"]', f'profile = "{profile}"',
    ]  # fmt: skip
    text = "\n".join(["[[issuers]]", *lines, *more])
    config = parse_config(text, folder, "pdp.toml")
    return Identity(Verifier(read_issuers(config.issuers))).prove((f"Bearer {mint(sample, KEY)}",), NOW)


@pytest.mark.parametrize("sentence", ACCESS)
def test_what_a_provider_issues_for_an_api_passes(sentence: str, tmp_path: Path) -> None:
    profile, sample = ACCESS[sentence]
    assert isinstance(_told(tmp_path, sample, profile), Proven)


@pytest.mark.parametrize("sentence", IDS)
def test_what_it_issues_to_a_client_does_not(sentence: str, tmp_path: Path) -> None:
    profile, sample = IDS[sentence]
    told = _told(tmp_path, sample, profile)
    assert isinstance(told, TokenRefusal)
    assert told.reason in {"token.type", "token.claims"}


def test_a_claim_may_stand_in_for_the_audience_where_the_configuration_says_so(tmp_path: Path) -> None:
    profile, sample = ACCESS["Keycloak, no audience mapped"]
    plain, standing_in = _told(tmp_path, sample, profile), _told(tmp_path, sample, profile, 'audience_from = ["azp"]')
    assert isinstance(plain, Proven)
    assert isinstance(standing_in, Proven)
    assert "aud" not in plain.verified.claims
    assert standing_in.verified.claims["aud"] == sample.claims["azp"]


URL = 'url = "https://id.example"\nalgorithms = ["ES256"]\n'
MISFITS = {
    "no keys at all": ("", "needs one of `keys`, `jwks_url` and `discovery = true`"),
    "keys twice": ('keys = "k.json"\njwks_url = "https://id.example/keys"', "in several ways"),
    "discovery beside a file": ('keys = "k.json"\ndiscovery = true', "in several ways"),
    "keys over http in upper case": ('jwks_url = "https://ID.example/keys"', "an https URL"),
    "keys by a file's URL": ('jwks_url = "file:///etc/keys"', "an https URL"),
    "a user in the URL": ('jwks_url = "https://u:p@id.example/keys"', "an https URL"),
    "times in the wrong order": ("discovery = true\ncooldown_s = 600", "`cooldown_s` must be at most `refresh_s`"),
    "a network that is none": ('discovery = true\nnetworks = ["10.0.0.1/8"]', "`networks` has `10.0.0.1/8`"),
    "a profile that is none": ('keys = "k.json"\nprofile = "okto"', "one of rfc9068"),
    "a claim for an audience without a profile": ('keys = "k.json"\naudience_from = ["azp"]', "goes with a `profile`"),
    "a type beyond the profile": ('keys = "k.json"\nprofile = "rfc9068"\ntypes = ["jwt"]', "have no `typ` jwt"),
    "an algorithm beyond the profile": ('keys = "k.json"\nprofile = "google"', "are not signed with ES256"),
}


@pytest.mark.parametrize("sentence", MISFITS)
def test_what_does_not_fit_is_named(sentence: str, tmp_path: Path) -> None:
    more, wanted = MISFITS[sentence]
    with pytest.raises(ConfigError) as refused:
        parse_config(f"[[issuers]]\n{URL}{more}\n", tmp_path)
    assert wanted in refused.value.detail


@pytest.mark.parametrize("url", ["id.example", "https://id.example/?tenant=1", "urn:issuer"])
def test_what_is_discovered_is_a_url(url: str, tmp_path: Path) -> None:
    text = f'[[issuers]]\nurl = "{url}"\nalgorithms = ["ES256"]\ndiscovery = true\n'
    with pytest.raises(ConfigError) as refused:
        parse_config(text, tmp_path)
    assert "for `discovery` its url must be an https URL" in refused.value.detail
