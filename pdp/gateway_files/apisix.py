"""The configuration of Apache APISIX (3.20 or newer), standalone: its plugin `forward-auth` asks.

In: a `Setting`. Out: `config.yaml` and `apisix.yaml`. What they set, by the plugin's documentation (gateways.md 3); no
APISIX is run in the tests:

- `allow_degradation` is false and errors answer 503: no check, no passage.
- The target as it was received is asked about and sent on. By themselves `forward-auth` would tell of a normalised one
  and `proxy-rewrite` would send that on, escaped anew: `extra_headers` puts `$real_request_uri` into `X-Forwarded-Uri`,
  and `use_real_request_uri_unsafe` sends the same bytes on. Where that variable is unknown the header is empty and the
  call refused. No other plugin may rewrite the path.
- `proxy-rewrite` takes the client's headers of `taken_before` and of `SAYING_MORE` away before the check;
  `upstream_headers` then sets those of the answer. `_meta.priority` keeps that order.
- `Authorization`, which the check needs, is in `upstream_headers` alone: `forward-auth` sets what the answer has and
  takes the client's away where it has none, as older versions do not. Nothing rests on that for any other header.
- Only headers that are listed reach the service: those that the policy reads, and `Authorization`.
- Headers with an underscore are dropped, which APISIX by itself lets pass.

Decision: 2026-11-21. `proxy-rewrite` works in the phase `rewrite` (priority 1008), `forward-auth` in the later phase
`access` (2002). A version that let `forward-auth` work in `rewrite` would call it first, and `proxy-rewrite` would take
away what the answer set. With the priority of its own `proxy-rewrite` is first either way.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.setting import SAYING_MORE, Behind, Setting, Tcp, Way, title

_FIRST = 3000
"""Above the priority of `forward-auth`, 2002."""

_CONFIG = """\
# Written by `pdp new --gateway apisix`; see docs/gateways.md.
deployment:
  role: data_plane
  role_data_plane:
    config_provider: yaml
apisix:
  node_listen:
    - ip: {host}
      port: {port}
  # `/a;x/../b` stays what it is: the check refuses it.
  normalize_uri_like_servlet: false
  delete_uri_tail_slash: false
nginx_config:
  http:
    # On by default; back ends read `_` in a header as `-`.
    underscores_in_headers: "off"
"""


def apisix_files(setting: Setting) -> dict[str, str]:
    """The files by name. Errors: AuthoringError I315 the way is TLS or a Unix socket."""
    lines = ["# Written by `pdp new --gateway apisix`; see docs/gateways.md.", "routes:"]
    for each in setting.behind:
        lines += _route(setting, each)
    return {
        "config.yaml": _CONFIG.format(host=setting.listen.host, port=setting.listen.port),
        "apisix.yaml": "\n".join([*lines, "#END", ""]),
    }


def _route(setting: Setting, behind: Behind) -> list[str]:
    asked = ["authorization", "x-request-id", *(name for name in setting.read if name != "authorization")]
    taken = (*setting.taken_before, *SAYING_MORE)
    return [
        f'  - id: "{behind.service}"',
        "    uri: /*",
        f"    hosts: [{', '.join(behind.hosts)}]",
        "    enable_websocket: false",
        "    plugins:",
        "      # Before the check, in whichever phase that is: what a client sends of these never passes.",
        "      proxy-rewrite:",
        "        _meta:",
        f"          priority: {_FIRST}",
        "        # What is sent on is the target as it came; so is what the check is told (`extra_headers`).",
        "        use_real_request_uri_unsafe: true",
        "        headers:",
        "          remove:",
        *(f"            - {title(name)}" for name in taken),
        "      forward-auth:",
        f"        uri: http://{_target(setting.way)}/forward-auth/{behind.service}",
        "        request_method: GET",
        "        # The service sees these headers of the client and no others.",
        f"        request_headers: [{', '.join(title(name) for name in asked)}]",
        f"        upstream_headers: [{', '.join(title(name) for name in setting.from_answer)}]",
        "        extra_headers:",
        "          X-Forwarded-Uri: $real_request_uri  # by itself it would be the normalised one",
        "        client_headers: [Content-Type, WWW-Authenticate, Retry-After, X-Portcullis-Decision]",
        "        timeout: 2000",
        "        allow_degradation: false",
        "        status_on_error: 503",
        "    upstream:",
        "      type: roundrobin",
        "      pass_host: pass",
        "      nodes:",
        f'        "{behind.upstream.text}": 1',
    ]


def _target(way: Way) -> str:
    if not isinstance(way, Tcp):
        why = "APISIX's forward-auth shows no certificate and asks no Unix socket: name a port of this host"
        raise AuthoringError("I315", why)
    return way.text
