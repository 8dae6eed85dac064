"""The configuration of Envoy Gateway (1.8 or newer): a `SecurityPolicy` with `extAuth` for each route.

In: a `Setting`; `way` is the service's name in the cluster, `upstream` a service's. Out: `portcullis.yaml`. What it
sets, by the API's documentation (gateways.md 1); no Envoy Gateway is run in the tests:

- `failOpen` is false and errors answer 503: no check, no passage.
- Each route says in `contextExtensions` which service it leads to.
- Slashes are neither merged nor unescaped (both by default): the check refuses such paths by name, and records them. A
  header with an underscore is refused.
- The headers of `SAYING_MORE` and what Envoy says of an unchecked call are removed before anything reads them.
- The service is asked over TLS and its certificate is held against its name; Envoy shows its own.
- Preflights are answered ahead of the check for the origins that are named (Envoy Gateway orders CORS first).

Decision: 2026-11-21. A `SecurityPolicy` stands at a route, not at the gateway: one at the gateway gives way as a whole
to one at a route, `extAuth` included.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.envoy import FAILED_OPEN, SERVICE_KEY
from pdp.gateway_files.setting import SAYING_MORE, Behind, Mutual, Setting, Tcp

_CLIENTS = """\
# Written by `pdp new --gateway envoy-gateway`; see docs/gateways.md.
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata:
  name: portcullis
spec:
  targetRefs:
    - group: gateway.networking.k8s.io
      kind: Gateway
      name: {gateway}
  # Merged or unescaped here (both by default), a path that the check refuses would pass unseen.
  path:
    escapedSlashesAction: RejectRequest
    disableMergeSlashes: true
  headers:
    withUnderscoresAction: RejectRequest
    # Headers by which a client could tell a back end of another call.
    earlyRequestHeaders:
      remove:
"""

_REACHED = """\
---
# The service's certificate is held against its name.
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata:
  name: portcullis
  namespace: {namespace}
spec:
  targetRefs:
    - group: ""
      kind: Service
      name: {name}
  validation:
    hostname: {host}
    caCertificateRefs:
      - group: ""
        kind: ConfigMap
        name: pdp-ca
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata:
  name: portcullis-asked
  namespace: {namespace}
spec:
  from:
    - group: gateway.envoyproxy.io
      kind: SecurityPolicy
      namespace: default
  to:
    - group: ""
      kind: Service
      name: {name}
---
# Envoy shows this certificate to the service, whose listener knows it by its SPIFFE id. Name this resource in
# `infrastructure.parametersRef` of the Gateway.
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata:
  name: portcullis
spec:
  backendTLS:
    clientCertificateRef:
      kind: Secret
      name: gateway-certificate
    minVersion: "1.3"
"""


def envoy_gateway_yaml(setting: Setting) -> str:
    """The text of `portcullis.yaml`. Errors: AuthoringError I315 the way is no name in a cluster."""
    if not isinstance(setting.way, Mutual):
        why = "Envoy Gateway asks a service of the cluster: name one as NAME.NAMESPACE.svc.cluster.local:PORT"
        raise AuthoringError("I315", why)
    at = setting.way.at
    name, namespace = _labels(at)
    removed = "".join(f"        - {each}\n" for each in (*SAYING_MORE, FAILED_OPEN))
    parts = [_CLIENTS.format(gateway=setting.gateway) + removed]
    parts += [_route(setting, each, at) for each in setting.behind]
    parts.append(_REACHED.format(name=name, namespace=namespace, host=at.host))
    return "".join(parts)


def _route(setting: Setting, behind: Behind, at: Tcp) -> str:
    name, namespace = _labels(at)
    upstream, upstream_namespace = _labels(behind.upstream)
    route = behind.service.replace("_", "-")
    kind = "HTTPRoute" if behind.http else "GRPCRoute"
    lines = [
        "---",
        "apiVersion: gateway.networking.k8s.io/v1",
        f"kind: {kind}",
        "metadata:",
        f'  name: "{route}"',
        "spec:",
        "  parentRefs:",
        f"    - name: {setting.gateway}",
        "  hostnames:",
        *(f"    - {host}" for host in behind.hosts),
        "  rules:",
        "    - backendRefs:",
        f"        - name: {upstream}",
        f"          namespace: {upstream_namespace}",
        f"          port: {behind.upstream.port}",
        "---",
        "apiVersion: gateway.envoyproxy.io/v1alpha1",
        "kind: SecurityPolicy",
        "metadata:",
        f'  name: "{route}"',
        "spec:",
        "  targetRefs:",
        "    - group: gateway.networking.k8s.io",
        f"      kind: {kind}",
        f'      name: "{route}"',
        *_cors(setting, behind),
        "  extAuth:",
        "    failOpen: false",
        "    statusOnError: 503",
        "    timeout: 200ms",
        "    # The service of a call is what its route says, never the client.",
        "    contextExtensions:",
        f"      - name: {SERVICE_KEY}",
        "        type: Value",
        f'        value: "{behind.service}"',
        "    # No `headersToExtAuth`: the check sees every header.",
        "    grpc:",
        "      backendRefs:",
        f"        - name: {name}",
        f"          namespace: {namespace}",
        f"          port: {at.port}",
        "",
    ]
    return "\n".join(lines)


def _cors(setting: Setting, behind: Behind) -> list[str]:
    if not setting.origins:
        return []
    return [
        "  # Preflights bear no credential: they are answered ahead of the check.",
        "  cors:",
        "    allowOrigins:",
        *(f"      - {origin}" for origin in setting.origins),
        f"    allowMethods: [{', '.join(behind.methods)}]",
        "    allowHeaders: [authorization, content-type]",
        "    exposeHeaders: [www-authenticate, x-portcullis-decision]",
        "    maxAge: 10m",
    ]


def _labels(at: Tcp) -> tuple[str, str]:
    """The name and the namespace of a service in a cluster."""
    name, namespace = (*at.host.split("."), "default")[:2]
    return name, namespace
