"""How a worker is started inside Envoy (pdp/fleet.py): as the service that Envoy's Python loads.

Design: architecture.md "Speed".
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pdp.fleet import Start, Started
from pdp.hosting.envoy_process import Installed, hosted
from pdp.transports.hosted_app import HostedListener

SERVICE = "pdp.hosting.hosted_worker:service"


def inside_envoy(places: Sequence[HostedListener], host: Installed) -> Start:
    """Workers that each stand in an Envoy of their own, and share these addresses."""

    @contextlib.asynccontextmanager
    async def start(channel: int) -> AsyncIterator[Started]:
        with tempfile.TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True) as folder:
            serving = hosted(
                places,
                host,
                Path(folder),
                service=SERVICE,
                argument=str(channel),
                environment=os.environ,
                reuse_port=True,
                descriptors=(channel,),
            )
            async with serving as here:
                yield Started(here.process, here.end)

    return start
