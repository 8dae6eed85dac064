"""The configuration of Istio (1.24 or newer): an extension provider, and an `AuthorizationPolicy` with action CUSTOM.

In: a `Setting`; `listen.port` is the port of the `Gateway`, `way` the service's name in the cluster. Out: `mesh.yaml`
and `portcullis.yaml`. What they set, by Istio's documentation (gateways.md 1); no Istio is run in the tests:

- `failOpen` is false, errors answer 503, and the time limit is 200 ms. Istio's is ten minutes by default.
- Istio has no context extensions (istio#59390): an `EnvoyFilter` names the service for each virtual host, as our own
  configuration of Envoy does. Without it, `service_from_host = true` in `pdp.toml` is the next best.
- The same filters are set as there: raw headers, mutations that are validated, no names with an underscore, no escaped
  slashes, none of the headers of `SAYING_MORE`.
- Dot segments are normalised (`BASE`), since routes match on the path; slashes are not merged or unescaped: the check
  refuses such paths by name, and records them.
- In the cluster only the ingress gateway's identity may reach the service's port, over the mesh's own TLS.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.envoy import CHECK_TIMEOUT, EXT_AUTHZ, FAILED_OPEN, FILTER_NAME, HTTP_MANAGER, SERVICE_KEY
from pdp.gateway_files.setting import SAYING_MORE, Behind, Mutual, Setting, Unix

_MESH = """\
# Part of the mesh configuration (`meshConfig` of IstioOperator or of the Helm values).
# Written by `pdp new --gateway istio`; see docs/gateways.md.
meshConfig:
  # Routes match on the path. Merged or unescaped here, a path that the check refuses would pass unseen.
  pathNormalization:
    normalization: BASE
  extensionProviders:
    - name: portcullis
      envoyExtAuthzGrpc:
        service: {host}
        port: {port}
        timeout: {timeout}
        failOpen: false
        statusOnError: "503"
"""

_POLICY = """\
# Written by `pdp new --gateway istio`; see docs/gateways.md.
# Every call through the ingress gateway is asked about.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: portcullis
  namespace: istio-system
spec:
  selector:
    matchLabels:
      istio: ingressgateway
  action: CUSTOM
  provider:
    name: portcullis
  rules:
    - {{}}
---
# Only the ingress gateway asks. The port is open to nobody else in the cluster.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: portcullis-asked-by-the-gateway
  namespace: {namespace}
spec:
  selector:
    matchLabels:
      app: {name}
  action: ALLOW
  rules:
    - from:
        - source:
            principals: [cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account]
      to:
        - operation:
            ports: ["{port}"]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: portcullis
  namespace: {namespace}
spec:
  selector:
    matchLabels:
      app: {name}
  mtls:
    mode: STRICT
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: portcullis
  namespace: istio-system
spec:
  workloadSelector:
    labels:
      istio: ingressgateway
  configPatches:
"""

_FILTERS = f"""\
    # Repeated headers as repeated, bytes as bytes; no half-taken answer.
    - applyTo: HTTP_FILTER
      match:
        context: GATEWAY
        listener:
          filterChain:
            filter:
              name: envoy.filters.network.http_connection_manager
              subFilter:
                name: {FILTER_NAME}
      patch:
        operation: MERGE
        value:
          name: {FILTER_NAME}
          typed_config:
            "@type": type.googleapis.com/{EXT_AUTHZ}.ExtAuthz
            encode_raw_headers: true
            validate_mutations: true
    # Back ends read `_` in a header as `-`, and `%2F` as `/`.
    - applyTo: NETWORK_FILTER
      match:
        context: GATEWAY
        listener:
          filterChain:
            filter:
              name: envoy.filters.network.http_connection_manager
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": type.googleapis.com/{HTTP_MANAGER}
            path_with_escaped_slashes_action: REJECT_REQUEST
            common_http_protocol_options:
              headers_with_underscores_action: REJECT_REQUEST
    # Headers by which a client could tell a back end of another call.
    - applyTo: ROUTE_CONFIGURATION
      match:
        context: GATEWAY
      patch:
        operation: MERGE
        value:
          request_headers_to_remove:
"""


def istio_files(setting: Setting) -> dict[str, str]:
    """The files by name. Errors: AuthoringError I315 the way is a Unix socket."""
    if isinstance(setting.way, Unix):
        raise AuthoringError(
            "I315", "Istio asks a service of the cluster: name one as NAME.NAMESPACE.svc.cluster.local:PORT"
        )
    at = setting.way.at if isinstance(setting.way, Mutual) else setting.way
    name, namespace = (*at.host.split("."), "default")[:2]
    removed = [f"            - {each}\n" for each in (*SAYING_MORE, FAILED_OPEN)]
    hosts = [_host(each, host, setting.listen.port) for each in setting.behind for host in each.hosts]
    policy = _POLICY.format(name=name, namespace=namespace, port=at.port)
    return {
        "mesh.yaml": _MESH.format(host=at.host, port=at.port, timeout=CHECK_TIMEOUT),
        "portcullis.yaml": "".join([policy, _FILTERS, *removed, *hosts]),
    }


def _host(behind: Behind, host: str, port: int) -> str:
    return f"""\
    # The service of a call is what its virtual host says, never the client.
    - applyTo: VIRTUAL_HOST
      match:
        context: GATEWAY
        routeConfiguration:
          vhost:
            name: {host}:{port}
      patch:
        operation: MERGE
        value:
          typed_per_filter_config:
            {FILTER_NAME}:
              "@type": type.googleapis.com/{EXT_AUTHZ}.ExtAuthzPerRoute
              check_settings:
                context_extensions:
                  {SERVICE_KEY}: "{behind.service}"
"""
