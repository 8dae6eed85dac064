"""The configuration of Envoy 1.40, as a value and as the JSON that `envoy -c` reads.

In: a `Setting`, and the file of the access log. Out: a bootstrap that passes `envoy --mode validate`. What it
guarantees, each point with its reason (gateways.md 1, contracts.md "Headers at Envoy"):

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
- No upgrades: no WebSocket, no CONNECT. What flows in one after the check is decided by nobody.
- Headers that tell back ends of another path, host, method or address do not go on (`SAYING_MORE`). A back end that
  needs one gets it from this gateway, which then sets it.
- Preflights are answered ahead of the check, for the origins that are named and no others: a preflight bears no
  credential, so that the check would refuse it. The filter stands there only where an origin is named.
- A service with gRPC endpoints is spoken to over HTTP/2, by the content type of the call where it has others too.
- The access log holds the decision id, the rule and the reason out of dynamic metadata, so that the log of decisions
  can be held against it; it holds no path, query, address or token: those stand sealed in the record.
- No administration port.

Decision: 2026-11-21. `normalize_path` is on and `merge_slashes` is off. Envoy rewrites the path before the check and
forwards what it rewrote, so with either setting the PDP and the upstream see the same bytes. Normalising is on because
routes are matched on the path: whoever adds a route by prefix to a copy of this file would otherwise have
`/open/../payments` matched, and given its service, by the prefix `/open`. Merging is off because nothing needs it and a
path with `//` is one the PDP refuses by name and records; repaired here it would pass unseen.

Decision: 2026-11-21. `ignore_port_in_host_matching`, so that `Host: orders.shop.example:8080` meets its service; the
header keeps its port and the PDP removes it itself. `strip_trailing_host_dot`, so that `orders.shop.example.` meets it
too: one host in DNS, in the policy and here. The dot is gone before the check, and so from what is sent on.
Decision: 2026-11-21. The names that are ours among those made of services have a blank, which no service's name has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pdp.gateway_files.setting import SAYING_MORE, Behind, Mutual, Setting, Tcp, Unix, Way
from pdp.model import Json

HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
EXT_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3"
FILTER_NAME = "envoy.filters.http.ext_authz"
CORS = "envoy.extensions.filters.http.cors.v3"
CORS_NAME = "envoy.filters.http.cors"
SERVICE_KEY = "portcullis.service"
PDP = "pdp-check"
"""The cluster of the check. No service is called so, and Envoy says it as `:authority`, which has no spaces."""
CHECK_TIMEOUT = "0.200s"
MOST_CONNECTIONS = 1000
FAILED_OPEN = "x-envoy-auth-failure-mode-allowed"
"""What Envoy says of a call that passed unchecked; from a client it passes through (measured, 1.40)."""


def typed(name: str, fields: Mapping[str, Json]) -> dict[str, Json]:
    """A protobuf `Any` in JSON."""
    return {"@type": f"type.googleapis.com/{name}", **fields}


def bootstrap(setting: Setting, access_log: str, *, failure_mode_allow: bool = False) -> dict[str, Json]:
    """The whole bootstrap; `failure_mode_allow` is for tests alone."""
    listener: dict[str, Json] = {
        "name": "edge",
        "address": _address(setting.listen),
        # Without it a second Envoy on this port would share the calls instead of failing to start.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 32768,
        "filter_chains": [{"filters": [_named("http", _http_manager(setting, access_log, failure_mode_allow))]}],
    }
    resources: dict[str, Json] = {"listeners": [listener], "clusters": [_pdp(setting.way), *_upstreams(setting)]}
    return {
        "node": {"id": setting.gateway, "cluster": "portcullis"},
        "static_resources": resources,
        "overload_manager": _overload(),
    }


def render(value: Mapping[str, Json]) -> str:
    """The text of the file: JSON, which Envoy takes wherever it takes YAML."""
    return json.dumps(value, indent=1) + "\n"


def _http_manager(setting: Setting, access_log: str, failure_mode_allow: bool) -> dict[str, Json]:
    router = typed("envoy.extensions.filters.http.router.v3.Router", {"suppress_envoy_headers": True})
    cors: list[Json] = [_named(CORS_NAME, typed(f"{CORS}.Cors", {}))] if setting.origins else []
    return typed(
        HTTP_MANAGER,
        {
            "stat_prefix": "edge",
            "codec_type": "AUTO",
            "use_remote_address": True,
            "xff_num_trusted_hops": 0,
            "strip_trailing_host_dot": True,
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
            "route_config": _routes(setting),
            "http_filters": [
                *cors,
                _named(FILTER_NAME, _check(failure_mode_allow)),
                _named("envoy.filters.http.router", router),
            ],
        },
    )


def _check(failure_mode_allow: bool) -> dict[str, Json]:
    return typed(
        f"{EXT_AUTHZ}.ExtAuthz",
        {
            "grpc_service": {"envoy_grpc": {"cluster_name": PDP}, "timeout": CHECK_TIMEOUT},
            "transport_api_version": "V3",
            "failure_mode_allow": failure_mode_allow,
            "status_on_error": {"code": "ServiceUnavailable"},
            "encode_raw_headers": True,
            "include_peer_certificate": True,
            "validate_mutations": True,
            "clear_route_cache": False,
        },
    )


def _routes(setting: Setting) -> dict[str, Json]:
    hosts: list[Json] = [_service_host(each, setting.origins) for each in setting.behind]
    elsewhere: dict[str, Json] = {
        "name": "no service",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}],
    }
    return {
        "name": "edge",
        "ignore_port_in_host_matching": True,
        "request_headers_to_remove": [*SAYING_MORE, FAILED_OPEN],
        "virtual_hosts": [*hosts, elsewhere],
    }


def _service_host(behind: Behind, origins: tuple[str, ...]) -> dict[str, Json]:
    settings: dict[str, Json] = {"check_settings": {"context_extensions": {SERVICE_KEY: behind.service}}}
    per_filter: dict[str, Json] = {FILTER_NAME: typed(f"{EXT_AUTHZ}.ExtAuthzPerRoute", settings)}
    if origins:
        per_filter[CORS_NAME] = _preflights(behind, origins)
    routes: list[Json] = []
    if behind.grpc:
        match: dict[str, Json] = {"prefix": "/", "grpc": {}} if behind.http else {"prefix": "/"}
        # A stream lives as long as its two ends want; the idle timeout ends one that is forgotten.
        routes.append({"match": match, "route": {"cluster": f"{behind.service} (gRPC)", "timeout": "0s"}})
    if behind.http:
        routes.append({"match": {"prefix": "/"}, "route": {"cluster": behind.service, "timeout": "15s"}})
    return {
        "name": behind.service,
        "domains": list[Json](behind.hosts),
        "routes": routes,
        "typed_per_filter_config": per_filter,
    }


def _preflights(behind: Behind, origins: tuple[str, ...]) -> dict[str, Json]:
    return typed(
        f"{CORS}.CorsPolicy",
        {
            "allow_origin_string_match": [{"exact": origin} for origin in origins],
            "allow_methods": ", ".join(behind.methods),
            "allow_headers": "authorization, content-type",
            "expose_headers": "www-authenticate, x-portcullis-decision",
            "max_age": "600",
        },
    )


def _access_log(path: str) -> dict[str, Json]:
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
        {"path": path, "log_format": {"json_format": line}},
    )


def _pdp(way: Way) -> dict[str, Json]:
    match way:
        case Unix(path):
            return _cluster(PDP, {"pipe": {"path": path}}, fixed=True, http2=True)
        case Tcp():
            return _cluster(PDP, _address(way), fixed=way.is_address, http2=True)
        case Mutual(at):
            cluster = _cluster(PDP, _address(at), fixed=at.is_address, http2=True)
            return {**cluster, "transport_socket": _named("envoy.transport_sockets.tls", _tls(way))}


def _tls(way: Mutual) -> dict[str, Json]:
    """SECURITY: without the name, any certificate of the authority would pass for the service's."""
    own: dict[str, Json] = {
        "certificate_chain": {"filename": way.certificate},
        "private_key": {"filename": way.private_key},
    }
    name: dict[str, Json] = {
        "san_type": "IP_ADDRESS" if way.at.is_address else "DNS",
        "matcher": {"exact": way.at.host},
    }
    return typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        {
            "sni": "" if way.at.is_address else way.at.host,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                # As a client Envoy goes up to 1.2 unless told; with the lower end alone no version is left (1.40).
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificates": [own],
                "validation_context": {
                    "trusted_ca": {"filename": way.authority},
                    "match_typed_subject_alt_names": [name],
                },
            },
        },
    )


def _upstreams(setting: Setting) -> list[Json]:
    clusters: list[Json] = []
    for each in setting.behind:
        to, fixed = _address(each.upstream), each.upstream.is_address
        if each.http:
            clusters.append(_cluster(each.service, to, fixed=fixed, http2=False))
        if each.grpc:
            clusters.append(_cluster(f"{each.service} (gRPC)", to, fixed=fixed, http2=True))
    return clusters


def _cluster(name: str, address: dict[str, Json], *, fixed: bool, http2: bool) -> dict[str, Json]:
    cluster: dict[str, Json] = {
        "name": name,
        "type": "STATIC" if fixed else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
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


def _address(at: Tcp) -> dict[str, Json]:
    return {"socket_address": {"address": at.host, "port_value": at.port}}
