"""`--gateway` of `pdp check`: a name, and what is known of the gateway so named.

`NAME` is a gateway of `pdp.toml`, else a known one; `NAME=CAPABILITY,…` says itself what it can do.

Decision: 2026-11-21. What `pdp.toml` says of a gateway goes before what is known of its kind, since that is served.
"""

from __future__ import annotations

from collections.abc import Mapping

import click
from msgspec.structs import replace

from pdp.cli.options import CONFIG_NAME, configured
from pdp.errors import PdpError
from pdp.gateways import Gateway as OurGateway
from pdp.gateways import gateway_of
from pdp.model import AUTHORIZATION, HEADERS, ISSUE, capabilities_named
from pdp.runtime.vocabulary import Vocabulary
from policy_lang.capabilities import KNOWN, Form, Gateway
from policy_lang.ir import Program
from policy_lang.verdict import CAPABILITIES

_ALL: frozenset[Form] = frozenset({"path", "action"})
_PATHS: frozenset[Form] = frozenset({"path"})


def gateways_named(texts: tuple[str, ...]) -> tuple[Gateway, ...]:
    """The gateways that `--gateway` names, each time it stands. Errors: UsageError, and those of `pdp.toml`."""
    if not texts:
        return ()
    ours = _ours()
    return tuple(_named(text, ours) for text in texts)


def complete_gateway(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The gateways there are, for a shell to complete."""
    try:
        known = {*_ours(), *KNOWN}
    except (PdpError, OSError):
        known = set(KNOWN)
    return sorted(name for name in known if name.startswith(incomplete))


def _ours() -> dict[str, Gateway]:
    if not CONFIG_NAME.exists():
        return {}
    config = configured(None)
    mints = config.minting.url is not None
    return {each.name: _of_ours(each, mints=mints) for each in map(gateway_of, config.gateways)}


def _of_ours(gateway: OurGateway, *, mints: bool) -> Gateway:
    able = gateway.passing_on if gateway.capabilities is None else gateway.capabilities
    able = able if mints else able - ISSUE
    return Gateway(gateway.name, able, _ALL if gateway.subjects else _PATHS, gateway.services, gateway.headers)


def as_served(gateway: Gateway, program: Program) -> Gateway:
    """What the gateway can do under a policy: one whose own files do not know all its headers sets and removes none;
    one whose files do not take `authorization` from the answer passes no token on.
    """
    carries = gateway.carries
    if carries is None:
        return gateway
    lacks = frozenset() if AUTHORIZATION in carries else ISSUE
    loose = not Vocabulary.of(program).guarded_headers <= carries
    return replace(gateway, can=gateway.can - lacks - (HEADERS if loose else frozenset()))


def _named(text: str, ours: Mapping[str, Gateway]) -> Gateway:
    name, stated, listed = text.partition("=")
    known = ours.get(name) or KNOWN.get(name)
    if not stated:
        if known is None:
            names = ", ".join(sorted({*ours, *KNOWN}))
            raise click.UsageError(f"no gateway `{name}` is known: there are {names}; or write {name}=CAPABILITY,…")
        return known
    words = [word.strip() for word in listed.split(",")] if listed.strip() else []
    for word in words:
        if word not in CAPABILITIES:
            raise click.UsageError(f"`{word}` is no capability: write any of {', '.join(sorted(CAPABILITIES))}")
    return replace(known or Gateway(name, frozenset(), _ALL), can=capabilities_named(words))
