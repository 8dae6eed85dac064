"""The configuration of the Envoy that hosts the service, and the files of its certificates.

Listeners come in; out come values that are written as JSON. Nothing is read here.

    each address   TLS, the limits of connections, the name of the connection; then, inside the process, to
    one listener   HTTP/1.1 and HTTP/2, with the one application that the service is

INVARIANT: by what connection a request came is written by this configuration alone: the header is taken away from what
a client sent, in every spelling that HTTP has for it, and then set.
INVARIANT: what this Envoy refuses by itself stands above what we refuse in a message, as far as a gateway sends it.
Design: gateways.md 1; security.md 0.9, 2.4; contracts.md "Which service, which gateway, which caller".

Decision: 2026-11-22. All addresses lead to one listener inside the process, without a socket in between: pyvoy makes an
event loop, a thread and an application of its own for each place in a configuration at which it stands, and the parts
of the service belong to one loop. Measured, this way is not slower.
Decision: 2026-11-22. Who a certificate belongs to is told by the outer listener when TLS has verified it, and only then
is the connection handed on. Nothing of a request is read before.
SECURITY: what is told of a connection is of a kind that Envoy counts among what makes a pool of connections. With the
plain kind (`envoy.string`) a connection inside that was made for one caller was handed to the next (measured). Envoy
compares hashes of 64 bits there, so the number of each connection is told as well: none is handed to another at all.
Decision: 2026-11-22. The administration interface is a Unix socket in a folder that only we can enter. Without it an
end would cut off calls under way, which is an allow where a gateway fails open.
Decision: 2026-11-22. Paths with escapes of bytes beyond ASCII are refused by Envoy (403): none of ours has one, and
pyvoy leaves those that are no UTF-8 without an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from pdp.errors import ConfigError
from pdp.transports.hosted_app import CONNECTION_HEADER, PROTO_HEADER, HostedListener
from pdp.transports.hosted_grpc import ARRIVED_HEADER
from pdp.transports.http_server import HEAD_S, IDLE_S, MOST_CONNECTIONS
from pdp.transports.places import SOCKET_MODE, socket_path, split_address
from pdp.transports.tls import Material

MOST_GRPC_CONNECTIONS = 1024
MOST_STREAMS = 100
BUFFER_BYTES = 64 * 1024 * 1024
HEADERS_KB = 256
MOST_HEADERS = 4096
HANDSHAKE_S = 10
STREAM_IDLE_S = 60
REQUEST_S = 60
KEEPALIVE_EVERY_S, KEEPALIVE_WITHIN_S = 60, 20
GOAWAY_S = 1

INSIDE = "portcullis"
"""The name of the listener inside the process."""

_STATE, _NUMBER = "portcullis.connection", "portcullis.number"
_TYPES = "type.googleapis.com/envoy.extensions"
_MANAGER = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"


class Hosting(Struct, frozen=True):
    """Where the host keeps its files, the module of pyvoy, the application that it loads (`module:name`), whether other
    workers listen at the same addresses, and the event loop of pyvoy.
    """

    folder: Path
    module: Path
    app: str = "pdp.hosting.entry:app"
    reuse_port: bool = False
    loop: str = "uvloop"

    @property
    def admin(self) -> Path:
        return self.folder / "admin.sock"

    def secret(self, listener: HostedListener, name: str) -> Path:
        """The file of one of a listener's secrets: `certificate` or `authorities`."""
        return self.folder / f"{listener.name}.{name}.json"


def envoy_config(listeners: Sequence[HostedListener], hosting: Hosting) -> dict[str, Any]:
    """The bootstrap configuration. Errors: ConfigError N202 for an address that is none."""
    connections = sum(_most_connections(each) for each in listeners)
    return {
        "node": {"id": INSIDE, "cluster": INSIDE},
        "admin": {"address": {"pipe": {"path": str(hosting.admin), "mode": 0o600}}},
        "bootstrap_extensions": [_typed("bootstrap.internal_listener", "InternalListener")],
        "overload_manager": {
            "resource_monitors": [
                _typed(
                    "resource_monitors.global_downstream_max_connections",
                    "DownstreamConnectionsConfig",
                    {"max_active_downstream_connections": str(connections)},
                    package="resource_monitors.downstream_connections",
                )
            ]
        },
        "static_resources": {
            "listeners": [*(_outer(each, hosting) for each in listeners), _inside(hosting)],
            "clusters": [_way_inside()],
        },
    }


def secrets_of(material: Material) -> dict[str, dict[str, Any]]:
    """What the files of a listener's secrets say, by their names; Envoy takes one from each file."""
    own = {
        "certificate_chain": {"inline_string": material.certificate.decode("ascii")},
        "private_key": {"inline_string": material.private_key.decode("ascii")},
    }
    found: dict[str, dict[str, Any]] = {"certificate": {"tls_certificate": own}}
    if material.client_ca is not None:
        authorities = {"trusted_ca": {"inline_string": material.client_ca.decode("ascii")}}
        found["authorities"] = {"validation_context": authorities}
    kind = f"{_TYPES}.transport_sockets.tls.v3.Secret"
    return {name: {"resources": [{"@type": kind, "name": name, **each}]} for name, each in found.items()}


def _typed(name: str, kind: str, config: Mapping[str, Any] | None = None, *, package: str = "") -> dict[str, Any]:
    """An extension by its name, `envoy.` left out, and the type of its configuration."""
    found = {"@type": f"{_TYPES}.{package or name}.v3.{kind}", **(config or {})}
    return {"name": f"envoy.{name}", "typed_config": found}


# ---------------------------------------------------------------- the addresses


def _outer(listener: HostedListener, hosting: Hosting) -> dict[str, Any]:
    grpc = listener.protocol == "grpc"
    passing_on: dict[str, Any] = {"stat_prefix": listener.name, "cluster": INSIDE}
    passing_on["idle_timeout"] = "0s" if grpc else f"{IDLE_S}s"
    if listener.certificates is not None:
        passing_on |= {"upstream_connect_mode": "ON_DOWNSTREAM_TLS_HANDSHAKE", "max_early_data_bytes": 0}
    limit = {"stat_prefix": listener.name, "max_connections": str(_most_connections(listener))}
    chain: dict[str, Any] = {
        "filters": [
            _typed("filters.network.connection_limit", "ConnectionLimit", limit),
            _telling(listener),
            _typed("filters.network.tcp_proxy", "TcpProxy", passing_on),
        ],
    }
    if listener.certificates is not None:
        chain["transport_socket"] = _tls(listener, hosting)
        chain["transport_socket_connect_timeout"] = f"{HANDSHAKE_S}s"
    return {
        "name": listener.name,
        "address": _address(listener.address),
        "enable_reuse_port": hosting.reuse_port and socket_path(listener.address) is None,
        "filter_chains": [chain],
    }


def _most_connections(listener: HostedListener) -> int:
    return MOST_GRPC_CONNECTIONS if listener.protocol == "grpc" else MOST_CONNECTIONS


def _address(address: str) -> dict[str, Any]:
    path = socket_path(address)
    if path is not None:
        return {"pipe": {"path": str(path), "mode": SOCKET_MODE}}
    place = split_address(address)
    if place is None:
        raise ConfigError("N202", f"cannot listen on {address}: it is no address with a port; give it one")
    host = "127.0.0.1" if place[0] == "localhost" else place[0]
    return {"socket_address": {"address": host, "port_value": place[1]}}


def _telling(listener: HostedListener) -> dict[str, Any]:
    """Tell the listener inside by what connection it is asked (see `pdp.transports.hosted_app`)."""
    certificates, when, said = listener.certificates, "on_new_connection", listener.name
    if certificates is not None:
        when = "on_downstream_tls_handshake"
        if certificates.files.client_ca is not None and (listener.gateway is None or listener.protocol == "http"):
            said += " %DOWNSTREAM_PEER_URI_SAN%"
    elif listener.protocol == "http":
        said += " %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    values = [_state(_STATE, said), _state(_NUMBER, "%CONNECTION_ID%")]
    return _typed("filters.network.set_filter_state", "Config", {when: values})


def _state(key: str, said: str) -> dict[str, Any]:
    """Something that the connection inside takes along, and that no connection of another value is shared with."""
    return {
        "object_key": key,
        "factory_key": "envoy.hashable_string",
        "format_string": {"text_format_source": {"inline_string": said}},
        "read_only": True,
        "shared_with_upstream": "ONCE",
    }


def _tls(listener: HostedListener, hosting: Hosting) -> dict[str, Any]:
    """TLS 1.2 or later, without resumption: a resumed session brings along the certificate of its beginning."""
    common: dict[str, Any] = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2" if listener.protocol == "grpc" else "http/1.1"],
        "tls_certificate_sds_secret_configs": [_secret(listener, "certificate", hosting)],
    }
    demands = listener.certificates is not None and listener.certificates.files.client_ca is not None
    if demands:
        common["validation_context_sds_secret_config"] = _secret(listener, "authorities", hosting)
    context = {
        "common_tls_context": common,
        "require_client_certificate": demands,
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
    }
    return _typed("transport_sockets.tls", "DownstreamTlsContext", context)


def _secret(listener: HostedListener, name: str, hosting: Hosting) -> dict[str, Any]:
    source = {"path_config_source": {"path": str(hosting.secret(listener, name))}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}


# ---------------------------------------------------------------- inside the process


def _way_inside() -> dict[str, Any]:
    plain = _typed("transport_sockets.raw_buffer", "RawBuffer")
    endpoint = {"address": {"envoy_internal_address": {"server_listener_name": INSIDE}}}
    return {
        "name": INSIDE,
        "type": "STATIC",
        "circuit_breakers": {
            "thresholds": [{"max_connections": 1_000_000, "max_pending_requests": 1_000_000, "max_requests": 1_000_000}]
        },
        "load_assignment": {"cluster_name": INSIDE, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        "transport_socket": _typed(
            "transport_sockets.internal_upstream", "InternalUpstreamTransport", {"transport_socket": plain}
        ),
    }


def _inside(hosting: Hosting) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": INSIDE,
        "codec_type": "AUTO",
        "generate_request_id": False,
        "normalize_path": False,
        "skip_xff_append": True,
        "server_name": INSIDE,
        "early_header_mutation_extensions": [_headers()],
        "max_request_headers_kb": HEADERS_KB,
        "common_http_protocol_options": {
            "max_headers_count": MOST_HEADERS,
            "idle_timeout": "0s",
            "headers_with_underscores_action": "ALLOW",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": MOST_STREAMS,
            "connection_keepalive": {"interval": f"{KEEPALIVE_EVERY_S}s", "timeout": f"{KEEPALIVE_WITHIN_S}s"},
        },
        "request_headers_timeout": f"{HEAD_S}s",
        "request_timeout": f"{REQUEST_S}s",
        "stream_idle_timeout": f"{STREAM_IDLE_S}s",
        "drain_timeout": f"{GOAWAY_S}s",
        "route_config": {"virtual_hosts": [{"name": INSIDE, "domains": ["*"]}]},
        "http_filters": [_no_strange_paths(), _application(hosting)],
    }
    return {
        "name": INSIDE,
        "internal_listener": {},
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "ignore_global_conn_limit": True,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _headers() -> dict[str, Any]:
    """What a client wrote into headers of ours is taken away before anything is set: a value that is empty is not set,
    and would leave the client's. Trailers are sent to whoever asks over gRPC, said or not.
    """
    mutations: list[dict[str, Any]] = [
        {"remove": CONNECTION_HEADER},
        {"remove": PROTO_HEADER},
        {"remove": ARRIVED_HEADER},
        _set(CONNECTION_HEADER, f"%FILTER_STATE({_STATE}:PLAIN)%"),
        _set(PROTO_HEADER, "%REQ(x-forwarded-proto)%"),
        _set(ARRIVED_HEADER, "%START_TIME(%s.%6f)%"),
        _set("te", "trailers"),
    ]
    config = {"mutations": mutations}
    return _typed("http.early_header_mutation.header_mutation", "HeaderMutation", config)


def _set(name: str, value: str) -> dict[str, Any]:
    header = {"key": name, "value": value}
    return {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


def _no_strange_paths() -> dict[str, Any]:
    matched = {"path": {"safe_regex": {"regex": ".*%[89A-Fa-f].*"}}}
    policy = {"permissions": [{"url_path": matched}], "principals": [{"any": True}]}
    return _typed("filters.http.rbac", "RBAC", {"rules": {"action": "DENY", "policies": {"escapes": policy}}})


def _application(hosting: Hosting) -> dict[str, Any]:
    said = {"app": hosting.app, "interface": "asgi", "root_path": "", "lifespan": True, "loop": hosting.loop}
    config = {
        "dynamic_module_config": {"module": {"local": {"filename": str(hosting.module)}}},
        "filter_name": "pyvoy",
        "terminal_filter": True,
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(said)},
    }
    return _typed("filters.http.dynamic_modules", "DynamicModuleFilter", config)
