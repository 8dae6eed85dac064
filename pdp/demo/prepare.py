"""What the demo writes before anything starts, and again and again while it runs: configurations, a key set, tokens.

In: what was asked for, the issuers, the instant. Out: files below the state folder, each whole and the owner's alone.
Errors: ConfigError D102 no policy folder, D103 no such binary, D104 files that cannot be written.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from pdp.demo import cast, envoy
from pdp.demo.files import Stage, make_folders, write_private
from pdp.demo.issuer import Issuer, key_set, mint, open_issuer
from pdp.demo.ports import Ports
from pdp.demo.rotating import KeyRing
from pdp.errors import ConfigError

ROTATE_S = 60


class Plan(Struct, frozen=True):
    """What was asked for; `envoy` is None where there is no binary. `rotate_s` is how often the staff's keys change,
    in seconds.
    """

    stage: Stage
    policies: Path
    envoy: Path | None
    ports: Ports
    rotate_s: int = ROTATE_S


def check_inputs(plan: Plan) -> None:
    """Errors: ConfigError D102 no policy folder, D103 no such binary."""
    if not plan.policies.is_dir():
        raise ConfigError(
            "D102", f"no policy folder at {plan.policies}: start the demo from the repository, or use make"
        )
    if plan.envoy is not None and not os.access(plan.envoy, os.X_OK):
        raise ConfigError("D103", f"no Envoy at {plan.envoy}: run `make serve`, or use --envoy none")


def write_files(plan: Plan, ring: KeyRing, now: int) -> Issuer:
    """Write what the service and the gateway read as of `now`, Unix seconds; give the customers' issuer.

    Errors: ConfigError D104.
    """
    stage = plan.stage
    try:
        make_folders(stage)
        issuer = open_issuer(stage.issuer)
        write_private(stage.key_set, key_set(issuer))
        write_private(stage.config, cast.configuration(stage, plan.ports, plan.policies, plan.rotate_s).encode())
        bootstrap = envoy.configuration(plan.ports, cast.SERVICES, stage.access_log)
        write_private(stage.envoy_config, envoy.render(bootstrap).encode())
        _write(stage, issuer, cast.customers_tokens(now))
        _write_staff(stage, ring, now, _token_of_before(ring, now))
    except OSError as error:
        raise ConfigError("D104", f"cannot write the demo's files under {stage.state}: {error}") from error
    return issuer


def write_customers_tokens(stage: Stage, issuer: Issuer, now: int) -> None:
    """Mint every token of the customers as of `now`, Unix seconds. Errors: OSError."""
    _write(stage, issuer, cast.customers_tokens(now))


def write_staff_tokens(stage: Stage, ring: KeyRing, now: int) -> None:
    """Mint every token of the staff as of `now`, Unix seconds, after the keys have changed; keep one of before.

    Errors: OSError.
    """
    _write_staff(stage, ring, now, (stage.tokens / cast.STAFF_TOKEN).read_bytes())


def _token_of_before(ring: KeyRing, now: int) -> bytes:
    """The token that the key before the present one would have signed."""
    plan = next(each for each in cast.staff_tokens(now, ring.every_s) if each.name == cast.STAFF_TOKEN)
    return _minted(ring.before[0].issuer, plan)


def _write_staff(stage: Stage, ring: KeyRing, now: int, earlier: bytes) -> None:
    write_private(stage.tokens / cast.EARLIER_STAFF_TOKEN, earlier)
    _write(stage, ring.signer, cast.staff_tokens(now, ring.every_s))


def _write(stage: Stage, issuer: Issuer, plans: Iterable[cast.TokenPlan]) -> None:
    for plan in plans:
        write_private(stage.tokens / plan.name, _minted(issuer, plan))


def _minted(issuer: Issuer, plan: cast.TokenPlan) -> bytes:
    return mint(issuer, plan.claims, plan.issued_at, plan.expires_at, secrets.token_bytes).encode()
