"""The configuration of the demo's Envoy 1.40, as a value and as the JSON that `envoy -c` reads.

In: ports, the services with their hosts, the file of the access log. Out: a bootstrap that passes
`envoy --mode validate`. What it guarantees, each point with its reason (gateways.md 1, contracts.md "Headers at
Envoy"):

- The service of a call is set by the virtual host that took it (`check_settings.context_extensions`), never by the
  client: a client chooses a host, the PDP checks that the host is the service's.
- `failure_mode_allow` is false and errors answer 503: no check, no passage.
- `encode_raw_headers`: the PDP sees repeated headers as repeated, and bytes as bytes. Not so the headers Envoy keeps a
  place for: two `Authorization` headers arrive joined by a comma (measured, 1.40), and the PDP takes that for two.
- `validate_mutations`: a header that the PDP may not set ends in 500, not in a request that half took it.
- `use_remote_address` with no trusted hops: this is the edge, `x-forwarded-for` and `x-envoy-*` of a client are not
  believed. No `x-envoy-*` header leaves for a client.
- Names with an underscore are refused (400): upstreams read `_` as `-`. So are escaped slashes (`%2F`, `%5C`).
- No route without a check. A host that is no service's meets a virtual host of its own, which names no service: the
  check is asked all the same, refuses by `route` and records it. A request that meets no route at all would be
  answered before the check and leave no record.
- Headers that tell back ends of another path, host, method or address do not go on (`SAYING_MORE`). A back end that
  needs one gets it from this gateway, which then sets it.
- The access log holds the decision id, the rule and the reason out of dynamic metadata, so that the log of decisions
  can be held against it; it holds no path, query, address or token: those stand sealed in the record.
- No administration port.

Decision: 2026-11-21. `normalize_path` is on and `merge_slashes` is off. Envoy rewrites the path before the check and
forwards what it rewrote, so with either setting the PDP and the upstream see the same bytes. Normalising is on because
routes are matched on the path: whoever adds a route by prefix to a copy of this file would otherwise have
`/open/../payments` matched, and given its service, by the prefix `/open`. Merging is off because nothing needs it and a
path with `//` is one the PDP refuses by name and records; repaired here it would pass unseen.

Decision: 2026-11-21. `ignore_port_in_host_matching`, so that `Host: orders.shop.example:8080` meets its service; the
header goes on unchanged and the PDP removes the port itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pdp.demo.ports import LOOPBACK, Ports
from pdp.model import Json

HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
EXT_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3"
FILTER_NAME = "envoy.filters.http.ext_authz"
SERVICE_KEY = "portcullis.service"
CHECK_TIMEOUT = "0.200s"
MOST_CONNECTIONS = 1000

SAYING_MORE: tuple[str, ...] = (
    *("x-original-url", "x-original-uri", "x-original-host", "x-original-method", "x-rewrite-url", "x-override-url"),
    *("x-forwarded-uri", "x-forwarded-url", "x-forwarded-path", "x-forwarded-prefix", "x-forwarded-method"),
    *("x-forwarded-host", "x-forwarded-server", "x-forwarded-port", "x-forwarded-ssl", "x-forwarded-scheme"),
    *(
        "x-host",
        "x-http-host-override",
        "forwarded",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "x-cluster-client-ip",
    ),
    *("x-http-method-override", "x-http-method", "x-method-override", "x-forwarded-client-cert", "front-end-https"),
    "x-envoy-auth-failure-mode-allowed",
)
"""Headers by which a client could tell a back end of another call than the one that was decided: another path, host,
method or address. Frameworks believe them (security.md 2.2)."""


def typed(name: str, fields: Mapping[str, Json]) -> dict[str, Json]:
    """A protobuf `Any` in JSON."""
    return {"@type": f"type.googleapis.com/{name}", **fields}


def configuration(
    ports: Ports, services: Mapping[str, str], access_log: Path, *, failure_mode_allow: bool = False
) -> dict[str, Json]:
    """The whole bootstrap. `services` maps a service to its host; `failure_mode_allow` is for tests alone."""
    listener: dict[str, Json] = {
        "name": "edge",
        "address": _address(ports.gateway),
        # Without it a second Envoy on this port would share the calls instead of failing to start.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 32768,
        "filter_chains": [{"filters": [_named("http", _http_manager(services, access_log, failure_mode_allow))]}],
    }
    resources: dict[str, Json] = {
        "listeners": [listener],
        "clusters": [_cluster("pdp", ports.grpc, http2=True), _cluster("upstream", ports.upstream, http2=False)],
    }
    return {
        "node": {"id": "edge", "cluster": "portcullis-demo"},
        "static_resources": resources,
        "overload_manager": _overload(),
    }


def render(bootstrap: Mapping[str, Json]) -> str:
    """The text of the file: JSON, which Envoy takes wherever it takes YAML."""
    return json.dumps(bootstrap, indent=1) + "\n"


def _http_manager(services: Mapping[str, str], access_log: Path, failure_mode_allow: bool) -> dict[str, Json]:
    return typed(
        HTTP_MANAGER,
        {
            "stat_prefix": "edge",
            "codec_type": "AUTO",
            "use_remote_address": True,
            "xff_num_trusted_hops": 0,
            "normalize_path": True,
            "merge_slashes": False,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "common_http_protocol_options": {
                "headers_with_underscores_action": "REJECT_REQUEST",
                "idle_timeout": "300s",
            },
            "http2_protocol_options": {"max_concurrent_streams": 100},
            "request_headers_timeout": "10s",
            "request_timeout": "30s",
            "stream_idle_timeout": "60s",
            "access_log": [_named("envoy.access_loggers.file", _access_log(access_log))],
            "route_config": _routes(services),
            "http_filters": [
                _named(FILTER_NAME, _check(failure_mode_allow)),
                _named(
                    "envoy.filters.http.router",
                    typed(
                        "envoy.extensions.filters.http.router.v3.Router",
                        {"suppress_envoy_headers": True},
                    ),
                ),
            ],
        },
    )


def _check(failure_mode_allow: bool) -> dict[str, Json]:
    return typed(
        f"{EXT_AUTHZ}.ExtAuthz",
        {
            "grpc_service": {"envoy_grpc": {"cluster_name": "pdp"}, "timeout": CHECK_TIMEOUT},
            "transport_api_version": "V3",
            "failure_mode_allow": failure_mode_allow,
            "status_on_error": {"code": "ServiceUnavailable"},
            "encode_raw_headers": True,
            "validate_mutations": True,
            "clear_route_cache": False,
        },
    )


def _routes(services: Mapping[str, str]) -> dict[str, Json]:
    hosts: list[Json] = [_service_host(service, host) for service, host in sorted(services.items())]
    elsewhere: dict[str, Json] = {
        "name": "elsewhere",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}],
    }
    return {
        "name": "edge",
        "ignore_port_in_host_matching": True,
        "request_headers_to_remove": list[Json](SAYING_MORE),
        "virtual_hosts": [*hosts, elsewhere],
    }


def _service_host(service: str, host: str) -> dict[str, Json]:
    settings: dict[str, Json] = {"check_settings": {"context_extensions": {SERVICE_KEY: service}}}
    return {
        "name": service,
        "domains": [host],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "15s"}}],
        "typed_per_filter_config": {FILTER_NAME: typed(f"{EXT_AUTHZ}.ExtAuthzPerRoute", settings)},
    }


def _access_log(path: Path) -> dict[str, Json]:
    from_check = f"%DYNAMIC_METADATA({FILTER_NAME}:"
    line: dict[str, Json] = {
        "at": "%START_TIME%",
        "request": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "took_ms": "%DURATION%",
        "decision": from_check + "decision_id)%",
        "rule": from_check + "rule)%",
        "reason": from_check + "reason)%",
    }
    return typed(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        {"path": str(path), "log_format": {"json_format": line}},
    )


def _cluster(name: str, port: int, *, http2: bool) -> dict[str, Json]:
    endpoint: dict[str, Json] = {"endpoint": {"address": _address(port)}}
    cluster: dict[str, Json] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if http2:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        explicit: dict[str, Json] = {"explicit_http_config": {"http2_protocol_options": {}}}
        cluster["typed_extension_protocol_options"] = {options: typed(options, explicit)}
    return cluster


def _overload() -> dict[str, Json]:
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    limit = typed(
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        {"max_active_downstream_connections": MOST_CONNECTIONS},
    )
    return {"resource_monitors": [_named(monitor, limit)]}


def _named(name: str, config: dict[str, Json]) -> dict[str, Json]:
    return {"name": name, "typed_config": config}


def _address(port: int) -> dict[str, Json]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
