"""The issuers of a configuration, with their keys read from files, or without any where these are asked for.

`IssuerConfig`s come in, `Issuer`s go out, ready for a `Verifier` or for `pdp.identity.network`.
Errors: ConfigError C104, naming the file, the reason and the remedy, for all issuers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from pdp.config_identity import IssuerConfig
from pdp.errors import ConfigError
from pdp.identity.jwks import MOST_BYTES, Algorithm, KeySet, SetRefusal, read_key_set
from pdp.identity.jwt import Issuer
from pdp.identity.profiles import PROFILES, FromClaim, Profile

DEFAULT_TYPES = frozenset({"at+jwt"})
"""Access tokens of RFC 9068."""


def read_issuers(configured: Sequence[IssuerConfig]) -> tuple[Issuer, ...]:
    """The issuers with the keys that stand in their files now; without keys, where those are asked for over a network.

    Errors: ConfigError C104.

    A key set that leaves an issuer without a single usable key is an error, and so is one without a key for any of its
    algorithms; single keys that were left out stand in `KeySet.refused`.
    """
    read = [_issuer(issuer) for issuer in configured]
    problems = [found for found in read if isinstance(found, str)]
    if problems:
        raise ConfigError("C104", "the keys of an issuer are not usable:\n" + "\n".join(f"  {p}" for p in problems))
    return tuple(found for found in read if isinstance(found, Issuer))


def _issuer(configured: IssuerConfig) -> Issuer | str:
    keys = None if configured.keys is None else _keys(configured.keys)
    if isinstance(keys, str):
        return f"{configured.url}: {keys}"
    algorithms = cast("frozenset[Algorithm]", frozenset(configured.algorithms))
    if keys is not None and not any(key.algorithm in algorithms for key in keys.usable):
        named = ", ".join(sorted(algorithms))
        return f"{configured.url}: {configured.keys} holds no key for {named}: correct `algorithms` or the file"
    profile = _profile(configured)
    return Issuer(
        url=configured.url,
        keys=keys,
        algorithms=algorithms,
        types=_types(configured, profile),
        profile=profile,
        leeway_s=configured.leeway_s,
        max_lifetime_s=configured.max_lifetime_s,
        multi_audience=configured.allow_multi_audience,
        session_max_s=configured.session_max_s,
        session_idle_s=configured.session_idle_s,
    )


def _profile(configured: IssuerConfig) -> Profile | None:
    if configured.profile is None:
        return None
    profile = PROFILES[configured.profile]
    path = configured.audience_from
    return profile if path is None else replace(profile, stand_in=FromClaim(path))


def _types(configured: IssuerConfig, profile: Profile | None) -> frozenset[str]:
    if configured.types is not None:
        return frozenset(configured.types)
    return DEFAULT_TYPES if profile is None else profile.types


def _keys(path: Path) -> KeySet | str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        return f"cannot read {path}: {error.strerror}: correct `keys`"
    keys = read_key_set(data)
    if isinstance(keys, KeySet):
        return keys
    return f"{path} is refused: {_reasons(keys)}: write the issuer's public keys there, as a JWK set"


def _reasons(refusal: SetRefusal) -> str:
    each = [f"key {r.index} {r.reason}" for r in refusal.refused]
    return ", ".join([refusal.reason, *each])
