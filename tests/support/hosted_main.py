"""Host a service inside Envoy until standard input ends, as a process: `python -m tests.support.hosted_main ARGUMENT
FOLDER SERVICE GRACE_S`. A line says when it listens, or why it does not; the exit code is that of Envoy.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from pdp.errors import ConfigError
from pdp.hosting.envoy_process import hosted, installed
from tests.support.hosted_service import Told, listeners


async def host(argument: str, folder: str, service: str, grace_s: str) -> int:
    """The exit code of Envoy; 2 where it did not start."""
    found, told = installed(), msgspec.json.decode(argument, type=Told)
    if isinstance(found, str):
        print(found, flush=True)
        return 2
    try:
        async with hosted(
            listeners(told),
            found,
            Path(folder),
            service=f"tests.support.hosted_service:{service}",
            argument=argument,
            environment=os.environ,
            grace_s=float(grace_s),
        ) as here:
            print("ready", here.process.pid, flush=True)
            await asyncio.to_thread(sys.stdin.read)
    except ConfigError as error:
        print(error, flush=True)
        return 2
    return int(here.process.returncode or 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(host(*sys.argv[1:])))
