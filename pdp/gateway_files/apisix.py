"""The configuration of Apache APISIX (3.20 or newer), standalone: its plugin `forward-auth` asks.

In: a `Setting`. Out: `config.yaml` and `apisix.yaml`. What they set, by the plugin's documentation (gateways.md 3); no
APISIX is run in the tests:

- `allow_degradation` is false and errors answer 503: no check, no passage.
- The target that is asked about is the one that is sent on, as long as nothing rewrites it: no `proxy-rewrite` of the
  path, no `rewrite` of another plugin.
- `proxy-rewrite` takes the client's headers of `from_answer` and of `SAYING_MORE` away in a phase before the check;
  `upstream_headers` then sets those of the answer.
- Only headers that are listed reach the service: those that the policy reads, and `Authorization`.
- Headers with an underscore are dropped, which APISIX by itself lets pass.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.setting import SAYING_MORE, Behind, Setting, Tcp, Way, title

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
    taken = (*setting.from_answer, *SAYING_MORE)
    return [
        f"  - id: {behind.service}",
        "    uri: /*",
        f"    hosts: [{', '.join(behind.hosts)}]",
        "    enable_websocket: false",
        "    plugins:",
        "      # In the phase before the check: what a client sends of these never passes.",
        "      proxy-rewrite:",
        "        headers:",
        "          remove:",
        *(f"            - {title(name)}" for name in taken),
        "      forward-auth:",
        f"        uri: http://{_target(setting.way)}/forward-auth/{behind.service}",
        "        request_method: GET",
        "        # The service sees these headers of the client and no others.",
        f"        request_headers: [{', '.join(title(name) for name in asked)}]",
        f"        upstream_headers: [{', '.join(title(name) for name in setting.from_answer)}]",
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
