"""The configuration of the demo's Envoy: that of `pdp new --gateway envoy`, for the demo's ports.

In: ports, the services with their hosts, the file of the access log. Out: a bootstrap that passes
`envoy --mode validate`; what it guarantees stands in `pdp.gateway_files.envoy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pdp.demo.ports import LOOPBACK, Ports
from pdp.gateway_files.envoy import EXT_AUTHZ, FILTER_NAME, HTTP_MANAGER, SERVICE_KEY, bootstrap, render, typed
from pdp.gateway_files.setting import Behind, Setting, Tcp
from pdp.model import Json

__all__ = ["EXT_AUTHZ", "FILTER_NAME", "HTTP_MANAGER", "SERVICE_KEY", "configuration", "render", "typed"]


def configuration(
    ports: Ports, services: Mapping[str, str], access_log: Path, *, failure_mode_allow: bool = False
) -> dict[str, Json]:
    """The whole bootstrap. `services` maps a service to its host; `failure_mode_allow` is for tests alone."""
    upstream = Tcp(LOOPBACK, ports.upstream)
    behind = tuple(Behind(service, (host,), upstream) for service, host in sorted(services.items()))
    setting = Setting("edge", Tcp(LOOPBACK, ports.gateway), Tcp(LOOPBACK, ports.grpc), behind)
    return bootstrap(setting, str(access_log), failure_mode_allow=failure_mode_allow)
