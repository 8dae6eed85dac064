"""The configuration of Traefik (3.7 or newer): `forwardAuth` asks, by the file provider.

In: a `Setting`. Out: `traefik.yml`, which is read once, and `routes.yml`. What they guarantee (gateways.md 3):

- `forwardedHeaders` trusts nobody: what a client says in `X-Forwarded-*` is dropped at the entry point.
- The client's headers of `from_answer`, every `x-portcullis-*`, every header with an underscore and those of
  `SAYING_MORE` match `authResponseHeadersRegex`: Traefik takes away each header of the request that matches, and sets
  those of the answer that do. It does so behind the check, which sees what the client sent.
- `Connection` is taken away first. Traefik drops the headers that it names, which would let a client take away what the
  answer set.
- Each router has one middleware chain and its service in the URL. A host of no service is asked about as well and ends
  in 418, Traefik's answer of a router without a back end.
- A refusal goes to the client as it is, body and challenge included; a service that is down is 5xx.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.setting import CREDENTIAL, NOBODY, OURS, SAYING_MORE, Behind, Mutual, Setting, Tcp, Unix, Way

_NO_SERVICE = "no-service"
"""Its hyphen keeps it apart from the name of a service, whatever that is."""


def traefik_files(setting: Setting, folder: str) -> dict[str, str]:
    """The files by name; `folder` is where they will stand. Errors: AuthoringError I315 the way is a Unix socket."""
    return {
        "traefik.yml": _STATIC.format(listen=setting.listen.text, folder=folder),
        "routes.yml": "\n".join(_routes(setting)) + "\n",
    }


_STATIC = """\
# Traefik asks Portcullis about every call. Written by `pdp new --gateway traefik`; see docs/gateways.md.
global:
  checkNewVersion: false
  sendAnonymousUsage: false
log:
  level: WARN
entryPoints:
  edge:
    address: "{listen}"
    # Nobody is trusted to say X-Forwarded-*: this is the edge.
    forwardedHeaders:
      insecure: false
      trustedIPs: []
    # Dot segments and double slashes are repaired before a router, the check and the upstream see the path: all three
    # see the same. Routers match on it, and would take `/open/../shut` for what begins with `/open`.
    # A header that only another mark tells from one that the check sets (`X.User` for `X-User`) goes no further.
    http:
      sanitizePath: true
      aliasHeadersStrategy: delete
    transport:
      respondingTimeouts:
        readTimeout: 30s
        idleTimeout: 300s
# No API, no dashboard, no administration port.
providers:
  file:
    filename: "{folder}/routes.yml"
    watch: false
"""


def _routes(setting: Setting) -> list[str]:
    lines = ["# Written by `pdp new --gateway traefik`; see docs/gateways.md.", "http:", "  routers:"]
    for each in setting.behind:
        lines += _router(each)
    lines += [
        "    # A host of no service: asked about, so that it is on record, and never passed on.",
        f"    {_NO_SERVICE}:",
        "      entryPoints: [edge]",
        "      rule: PathPrefix(`/`)",
        "      priority: 1",
        f"      middlewares: [alone, ask-{_NO_SERVICE}]",
        "      service: noop@internal",
        "  middlewares:",
        "    # Takes `Connection` away, so that nobody can name in it a header that the answer sets.",
        "    alone:",
        "      headers:",
        "        customRequestHeaders:",
        '          Connection: ""',
    ]
    for name, service in (*((each.service, each.service) for each in setting.behind), (_NO_SERVICE, NOBODY)):
        lines += _middleware(setting, name, service)
    lines += ["  services:"]
    for each in setting.behind:
        lines += [
            f'    "{each.service}":',
            "      loadBalancer:",
            "        servers:",
            f'          - url: "http://{each.upstream.text}"',
        ]
    return lines


def _router(behind: Behind) -> list[str]:
    rule = " || ".join(f"Host(`{host}`)" for host in behind.hosts)
    return [
        f'    "{behind.service}":',
        "      entryPoints: [edge]",
        f"      rule: {rule}",
        f"      middlewares: [alone, ask-{behind.service}]",
        f'      service: "{behind.service}"',
    ]


def _middleware(setting: Setting, name: str, service: str) -> list[str]:
    target, scheme = _target(setting.way)
    names = "|".join((*setting.guarded, *((CREDENTIAL,) if setting.credential else ()), *SAYING_MORE))
    lines = [
        f"    ask-{name}:",
        "      forwardAuth:",
        f'        address: "{scheme}://{target}/forward-auth/{service}"',
        "        # What matches is taken from the answer alone: Traefik takes it away from the request first.",
        f'        authResponseHeadersRegex: "(?i)^({OURS}.*|.*_.*|{names})$"',
        "        maxResponseBodySize: 65536",
    ]
    if isinstance(setting.way, Mutual):
        lines += [
            "        tls:",
            f'          cert: "{setting.way.certificate}"',
            f'          key: "{setting.way.private_key}"',
            f'          ca: "{setting.way.authority}"',
        ]
    return lines


def _target(way: Way) -> tuple[str, str]:
    match way:
        case Unix():
            raise AuthoringError("I315", "Traefik's forwardAuth asks no Unix socket: name a port of this host")
        case Tcp():
            return way.text, "http"
        case Mutual(at):
            return at.text, "https"
