"""Whether decisions can be made and recorded now, the one question behind every health check; the service's state; and
the keys that it publishes.

The state is for operators: which policy decides, since when, and what they should know. It names services and the
names of our own files; no key, no token, no caller and no rule is in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from msgspec import Struct

Ready = Callable[[], bool]
"""True when a policy is in force and the log takes records. Called often, on the loop; it must not wait."""

log = logging.getLogger(__name__)


class Shown(Struct, frozen=True):
    """The state of the service. `revision` is the digest of the policy in force, "" for none, since `since_us` (Unix
    microseconds). `log` is "writable", or why it takes no records. `observed`: the services whose refusals pass.
    `warnings`: a sentence for each thing that an operator should know, those services included.
    """

    revision: str
    since_us: int
    log: str
    observed: Sequence[str]
    warnings: Sequence[str]


KEYS_PATH = "/.well-known/jwks.json"
KEYS_TYPE = "application/jwk-set+json"


class Published(Struct, frozen=True):
    """The JWK set of the minting keys, and how long a service may keep it, in seconds."""

    jwks: bytes
    max_age_s: int


def is_ready(ready: Ready) -> bool:
    """What `ready` says; False where it fails."""
    try:
        return ready()
    except Exception:  # who cannot say that it is ready is not
        log.exception("the readiness check failed")
        return False
