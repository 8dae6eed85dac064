"""The gateways there are configurations for, and the files of each.

In: the name of a gateway, a `Setting`, and where the files will stand. Out: texts by file name, one of them what
`pdp.toml` has to say of the gateway, how it is started, and what is left to do. Nothing is written here.
Design: gateways.md 1 and 3; docs/gateways.md, which says what remains of each.

Decision: 2026-11-21. Services with gRPC endpoints alone are left to Envoy and what is built on it, and so are the gRPC
endpoints of others: the other files speak HTTP/1.1 to an upstream. A host that is left out is refused like any other
that is no service's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, assert_never, get_args

from msgspec import Struct
from msgspec.structs import replace

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.apisix import apisix_files
from pdp.gateway_files.caddy import caddyfile
from pdp.gateway_files.envoy import bootstrap, render
from pdp.gateway_files.envoy_gateway import envoy_gateway_yaml
from pdp.gateway_files.haproxy import haproxy_files
from pdp.gateway_files.istio import istio_files
from pdp.gateway_files.kong import kong_yml
from pdp.gateway_files.nginx import nginx_conf
from pdp.gateway_files.setting import CREDENTIAL, Mutual, Setting, Tcp, Unix, Way
from pdp.gateway_files.traefik import traefik_files

Kind = Literal["apisix", "caddy", "envoy", "envoy-gateway", "haproxy", "istio", "kong", "nginx", "traefik"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OVER_GRPC: frozenset[Kind] = frozenset({"envoy", "envoy-gateway", "istio"})
"""Those that ask by ext_authz; the others ask by forward-auth."""
IN_A_CLUSTER: frozenset[Kind] = frozenset({"envoy-gateway", "istio"})
TABLES = "gateway.toml"


class GatewayFiles(Struct, frozen=True):
    """Files by name, the command that starts the gateway, what is left to do, and the services that are left out."""

    files: Mapping[str, str]
    start: str
    left: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def gateway_files(kind: Kind, setting: Setting, folder: str) -> GatewayFiles:
    """The files of a gateway; `folder` is where they will stand, absolute.

    Errors: AuthoringError I315 it cannot ask the service that way, or serves none of the services.
    """
    left_out = tuple(each.service for each in setting.behind if not each.http and kind not in OVER_GRPC)
    served = replace(setting, behind=tuple(each for each in setting.behind if each.service not in left_out))
    if not served.behind:
        raise AuthoringError("I315", f"every service speaks gRPC alone, which {kind} leaves to Envoy: name envoy")
    files, start = _made(kind, served, folder)
    return GatewayFiles({**files, TABLES: tables(kind, served)}, start, _left(kind, served), left_out)


def _made(kind: Kind, setting: Setting, folder: str) -> tuple[Mapping[str, str], str]:
    match kind:
        case "apisix":
            return apisix_files(setting), "put both files into APISIX's conf/ folder"
        case "caddy":
            return {"Caddyfile": caddyfile(setting)}, "caddy run --config Caddyfile"
        case "envoy":
            value = bootstrap(setting, f"{folder}/access.log")
            return {"envoy.json": render(value)}, "envoy -c envoy.json"
        case "envoy-gateway":
            return {"portcullis.yaml": envoy_gateway_yaml(setting)}, "kubectl apply -f portcullis.yaml"
        case "haproxy":
            return haproxy_files(setting, folder), "haproxy -f haproxy.cfg"
        case "istio":
            return istio_files(setting), "kubectl apply -f portcullis.yaml"
        case "kong":
            return {"kong.yml": kong_yml(setting)}, "KONG_DATABASE=off KONG_DECLARATIVE_CONFIG=kong.yml kong start"
        case "nginx":
            return {"nginx.conf": nginx_conf(setting)}, 'nginx -p . -c nginx.conf -g "daemon off;"'
        case "traefik":
            return traefik_files(setting, folder), "traefik --configFile=traefik.yml"
        case _:
            assert_never(kind)


def tables(kind: Kind, setting: Setting) -> str:
    """What `pdp.toml` says of the gateway: one table of `[[gateways]]`, one of `[[listeners]]`."""
    services = ", ".join(_text(each.service) for each in setting.behind)
    lines = ["# Belongs into pdp.toml.", "[[gateways]]", f"name = {_text(setting.gateway)}", f"services = [{services}]"]
    credential = {CREDENTIAL} if setting.credential else set()
    if kind == "nginx":
        able = sorted({"remove_header", "set_header", "step_up"} | ({"issue_token"} if credential else set()))
        lines += [
            "# `auth_request` refuses by 401 or 403 alone: a rule's other answer is given as 403.",
            f"capabilities = [{', '.join(map(_text, able))}]",
        ]
    if kind not in OVER_GRPC:
        named = ", ".join(map(_text, sorted({*setting.guarded, *credential})))
        lines += [
            "# What its files take from our answers and keep back from clients. A policy that sets or removes another",
            "# header is not served in full until these files are written anew.",
            f"headers = [{named}]",
        ]
    mutual = isinstance(setting.way, Mutual) and kind != "istio"
    if mutual:
        lines += ["# The SPIFFE id in the gateway's certificate.", 'identity = "spiffe://shop.example/edge"']
    lines += ["", "[[listeners]]", f"address = {_text(_listened(setting.way, mesh=kind == 'istio'))}"]
    if mutual:
        lines += ['certificate = "pdp.pem"', 'private_key = "pdp-key.pem"', 'client_ca = "gateways-ca.pem"']
    else:
        lines.append(f"gateway = {_text(setting.gateway)}")
    lines.append(f"protocol = {_text('grpc' if kind in OVER_GRPC else 'http')}")
    return "\n".join(lines) + "\n"


def _listened(way: Way, *, mesh: bool) -> str:
    match way:
        case Unix(path):
            return f"unix:{path}"
        case Tcp():
            return way.text
        case Mutual(at):
            # In a mesh the sidecar ends TLS, and reaches the service on its own host.
            return f"127.0.0.1:{at.port}" if mesh else f"0.0.0.0:{at.port}"


def _left(kind: Kind, setting: Setting) -> tuple[str, ...]:
    left = [f"take {TABLES} over into pdp.toml, and start the service first"]
    if isinstance(setting.way, Mutual) and kind not in IN_A_CLUSTER:
        files = f"{setting.way.certificate}, {setting.way.private_key} and {setting.way.authority}"
        left.append(f"put {files} beside these files, and the gateway's SPIFFE id into {TABLES}")
    if setting.credential:
        left.append("rules have tokens made for services: give [minting] in pdp.toml a url")
    match kind:
        case "istio":
            left.append("mesh.yaml belongs into the mesh configuration; write the Gateway and its VirtualServices")
        case "envoy-gateway":
            left.append("write the Gateway, the Secret gateway-certificate and the ConfigMap pdp-ca")
        case _:
            left.append("clients reach it without TLS: give it a certificate, or a balancer that has one")
    left.append("docs/gateways.md says what remains")
    return tuple(left)


def _text(value: str) -> str:
    return json.dumps(value)
