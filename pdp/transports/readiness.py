"""Whether decisions can be made and recorded now: the one question behind every health check."""

from __future__ import annotations

import logging
from collections.abc import Callable

Ready = Callable[[], bool]
"""True when a policy is in force and the log takes records. Called often, on the loop; it must not wait."""

log = logging.getLogger(__name__)


def is_ready(ready: Ready) -> bool:
    """What `ready` says; False where it fails."""
    try:
        return ready()
    except Exception:  # who cannot say that it is ready is not
        log.exception("the readiness check failed")
        return False
