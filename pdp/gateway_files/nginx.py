"""The configuration of nginx (1.25 or newer): `auth_request` asks, from a location of each service's own.

In: a `Setting`. Out: a whole `nginx.conf`. What it guarantees (gateways.md 3):

- What is decided is what is sent: `$request_uri`, the target as it was received, goes to the service, and `proxy_pass`
  without a path sends the same bytes on. `$host` goes to both: folded, without port and final dot.
- The service of a call stands in the URL that is asked; the host picks the server and with it the URL. A host of no
  service is asked about as well, so that it is on record, and ends in 404 whatever the answer.
- A refusal by 401 or 403 keeps its challenge and its decision id: nginx hands on the challenge of a 401, that of a 403
  is set here. `auth_request` reads no body, so the body is built here. Any other answer, none in time, or none at all
  is 503.
- The upstream gets the headers of `from_answer` from the answer or not at all, and no header of `SAYING_MORE`. The
  check gets what the client sent: the two are requests of their own, and only the upstream's is changed.

Decision: 2026-11-21. A host of no service ends in `try_files`, not in `return`: `return` answers before `auth_request`
has asked. That is a trap for whoever edits this file, which therefore says so where it matters.
Decision: 2026-11-21. Plain nginx cannot take headers away by prefix. Of `x-portcullis-*` the one that we set is taken
from the answer; the module headers-more could take the others, which nothing of ours reads.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.setting import (
    CREDENTIAL,
    DECISION,
    NOBODY,
    SAYING_MORE,
    Behind,
    Mutual,
    Setting,
    Tcp,
    Unix,
    Way,
    title,
)

_ASKED = "/.portcullis/check"
_CHALLENGE = ("  add_header WWW-Authenticate $portcullis_challenge always;  # that of a 401 goes on by itself",)
_REFUSED = {401: "a credential is required, or another one", 403: "the request is not permitted"}


def nginx_conf(setting: Setting) -> str:
    """The text of `nginx.conf`. Errors: AuthoringError I315 the way is TLS to an address."""
    servers = [_server(setting, each) for each in setting.behind]
    return "\n".join([_HEAD, *_upstreams(setting), _refusals(), *servers, _elsewhere(setting), "}", ""])


_HEAD = """\
# nginx asks Portcullis about every call. Written by `pdp new --gateway nginx`; see docs/gateways.md.
worker_processes auto;
events { worker_connections 1024; }

http {
  # The decision id is in the log, so that the log of decisions can be held against it. No path, no query, no address.
  log_format portcullis escape=json '{"at":"$time_iso8601","request":"$request_id","method":"$request_method",'
    '"host":"$host","status":"$status","took_s":"$request_time","decision":"$portcullis_decision"}';
  access_log access.log portcullis;
  server_tokens off;

  # Back ends read `_` in a header as `-`: such headers do not pass. Nor do malformed ones.
  underscores_in_headers off;
  ignore_invalid_headers on;

  # A path goes to the check and to the upstream as it came; repaired for one, it would be another's.
  merge_slashes off;

  client_header_timeout 10s;
  client_body_timeout 30s;
  large_client_header_buffers 4 16k;
"""


def _upstreams(setting: Setting) -> list[str]:
    blocks = [_upstream("portcullis", _target(setting.way))]
    blocks += [_upstream(f"to_{each.service}", each.upstream.text) for each in setting.behind]
    return blocks


def _upstream(name: str, target: str) -> str:
    return f"  upstream {name} {{\n    server {target};\n    keepalive 32;\n  }}"


def _target(way: Way) -> str:
    match way:
        case Unix(path):
            return f"unix:{path}"
        case Tcp():
            return way.text
        case Mutual(at):
            return at.text


def _refusals() -> str:
    lines = ["", "  # `auth_request` reads the answer's headers and not its body: the same body, made here."]
    for status, said in _REFUSED.items():
        bare = f'{{"title": "{said}"}}'
        whole = f'{{"title": "{said}", "decision": "$portcullis_decision"}}'
        lines += [
            f"  map $portcullis_decision $portcullis_body_{status} {{",
            f"    '' '{bare}';",
            f"    default '{whole}';",
            "  }",
        ]
    return "\n".join(lines)


def _server(setting: Setting, behind: Behind) -> str:
    sets = [
        f"auth_request_set $portcullis_{number} $upstream_http_{_variable(name)};" for number, name in _named(setting)
    ]
    passes = [f"proxy_set_header {title(name)} $portcullis_{number};" for number, name in _named(setting)]
    drops = [f'proxy_set_header {title(name)} "";' for name in SAYING_MORE]
    lines = [
        "",
        f"  # The service `{behind.service}`.",
        "  server {",
        f"    listen {setting.listen.text};",
        f"    server_name {' '.join(behind.hosts)};",
        *_asking(setting, behind.service),
        "    location / {",
        "      # No `return`, `rewrite ... last` or `satisfy any` in here: they answer or let pass unchecked.",
        *(f"      {line}" for line in _checked(sets)),
        "",
        f"      proxy_pass http://to_{behind.service};  # no path behind the name: the target goes on as it came",
        "      proxy_http_version 1.1;",
        '      proxy_set_header Connection "";',
        "      proxy_set_header Host $host;",
        "      proxy_set_header X-Forwarded-For $remote_addr;  # the client's own is dropped: this is the edge",
        "      proxy_set_header X-Forwarded-Proto $scheme;",
        "      # From the answer, or not at all: nginx sends no header that is empty.",
        *(f"      {line}" for line in passes),
        "      # Headers by which a client could tell the upstream of another call.",
        *(f"      {line}" for line in drops),
        "    }",
        "  }",
    ]
    return "\n".join(lines)


def _elsewhere(setting: Setting) -> str:
    lines = [
        "",
        "  # A host of no service: asked about, so that it is on record, and never passed on.",
        "  server {",
        f"    listen {setting.listen.text} default_server;",
        '    server_name "";',
        *_asking(setting, NOBODY),
        "    location / {",
        *(f"      {line}" for line in _checked([])),
        "      try_files /.portcullis/nothing =404;  # behind the check; `return` would stand before it",
        "    }",
        "  }",
    ]
    return "\n".join(lines)


def _checked(sets: list[str]) -> list[str]:
    return [
        f"auth_request {_ASKED};",
        "auth_request_set $portcullis_decision $upstream_http_x_portcullis_decision;",
        "auth_request_set $portcullis_challenge $upstream_http_www_authenticate;",
        *sets,
        "error_page 401 = @portcullis_401;",
        "error_page 403 = @portcullis_403;",
        "error_page 500 = @portcullis_503;  # what `auth_request` makes of any other answer, and of none",
    ]


def _asking(setting: Setting, service: str) -> list[str]:
    scheme = "https" if isinstance(setting.way, Mutual) else "http"
    lines = [
        f"location = {_ASKED} {{",
        "  internal;",
        f"  proxy_pass {scheme}://portcullis/forward-auth/{service};",
        "  proxy_http_version 1.1;",
        '  proxy_set_header Connection "";',
        "  proxy_pass_request_body off;",
        '  proxy_set_header Content-Length "";',
        '  proxy_set_header Transfer-Encoding "";',
        "  proxy_set_header X-Forwarded-Method $request_method;",
        "  proxy_set_header X-Forwarded-Uri $request_uri;  # as it was received; $uri would be decoded and repaired",
        "  proxy_set_header X-Forwarded-Host $host;",
        "  proxy_set_header X-Forwarded-Proto $scheme;",
        "  proxy_set_header X-Forwarded-For $remote_addr;",
        "  proxy_connect_timeout 1s;",
        "  proxy_read_timeout 2s;  # the service answers within one second",
        "  proxy_next_upstream error;  # a name with several addresses: the next one where none is reached",
        "  proxy_next_upstream_timeout 2s;",
        "  proxy_buffer_size 32k;",
        "  proxy_buffers 4 32k;",
        *(f"  {line}" for line in _tls(setting.way)),
        "}",
    ]
    for status in _REFUSED:
        lines += [
            f"location @portcullis_{status} {{",
            "  default_type application/problem+json;",
            "  add_header X-Portcullis-Decision $portcullis_decision always;",
            *(_CHALLENGE if status == 403 else ()),
            f"  return {status} $portcullis_body_{status};",
            "}",
        ]
    lines += [
        "location @portcullis_503 {",
        "  default_type application/problem+json;",
        '  return 503 \'{"title": "no decision can be given now"}\';',
        "}",
    ]
    return [f"    {line}" for line in lines]


def _tls(way: Way) -> list[str]:
    if not isinstance(way, Mutual):
        return []
    if way.at.is_address:
        raise AuthoringError("I315", "nginx holds a certificate against a name alone: name the service's host")
    return [
        f"proxy_ssl_certificate {way.certificate};",
        f"proxy_ssl_certificate_key {way.private_key};",
        f"proxy_ssl_trusted_certificate {way.authority};",
        "proxy_ssl_verify on;  # off by default: any certificate would do",
        "proxy_ssl_verify_depth 3;",
        f"proxy_ssl_name {way.at.host};",
        "proxy_ssl_server_name on;",
        "proxy_ssl_protocols TLSv1.3;",
    ]


def _named(setting: Setting) -> list[tuple[int | str, str]]:
    credential = [("credential", CREDENTIAL)] if setting.credential else []
    return [("decision", DECISION), *enumerate(setting.guarded), *credential]


def _variable(name: str) -> str:
    return name.replace("-", "_")
