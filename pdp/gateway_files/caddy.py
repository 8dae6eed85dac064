"""The configuration of Caddy (2.10 or newer): `forward_auth` asks.

In: a `Setting`. Out: a whole Caddyfile. What it guarantees (gateways.md 3):

- Everything stands in a `route`, in the order it is written. Outside of one Caddy sorts directives by an order of its
  own, in which `forward_auth` comes before `request_header`: headers would be taken away after the answer set them.
- The client's headers of `from_answer`, every `x-portcullis-*`, every header with an underscore (Caddy 2.11 drops
  those by itself) and those of `SAYING_MORE` are taken away first; `copy_headers` then sets what the answer has.
  Nothing rests on what it does where the answer has none.
- `Authorization` from the answer, where there are tokens for the service: it comes under a name of ours, which no
  client can send, and takes the place of the client's own behind the check, which needs that.
- `Connection` is taken away as well. Caddy drops the headers that it names, which would let a client take away what
  the answer set; and without it nothing is upgraded.
- No proxy is trusted: what a client says in `X-Forwarded-*` is not believed.
- A target that is no path is refused before. Caddy asks by a copy of the call whose path it sets; where a target has
  none (`x:y`), it would ask for `y` in place of our URL (measured, 2.11).
- A refusal goes to the client as it is, body and challenge included; a service that is down or late is 502 or 504.

Decision: 2026-11-21. By itself `copy_headers` leaves a client's header where the answer has none (2.10 to 2.11, mended
since: GHSA-7r4p-vjf4-gxv4). `Authorization` cannot be taken away before the check as the others are, and with a name of
its own for the answer's nothing rests on the version. Before 2.10 a header that is not in the answer was set to the
name of a placeholder: those versions are not served.
"""

from __future__ import annotations

from pdp.gateway_files.setting import (
    CREDENTIAL,
    NOBODY,
    OURS,
    SAYING_MORE,
    Behind,
    Mutual,
    Setting,
    Tcp,
    Unix,
    Way,
    title,
)

_HELD = title(OURS + CREDENTIAL)
"""Where the answer's `Authorization` stands until the client's is gone. No client can send it: it begins as ours do."""


def caddyfile(setting: Setting) -> str:
    """The text of the Caddyfile."""
    sites = [_site(setting, each) for each in setting.behind]
    return "\n".join([_HEAD, *sites, _elsewhere(setting), ""])


_HEAD = """\
# Caddy asks Portcullis about every call. Written by `pdp new --gateway caddy`; see docs/gateways.md.
{
	# The administration port changes this configuration for whoever reaches it.
	admin off
	# Certificates are yours to decide on: take this line and `http://` away, and Caddy fetches them.
	auto_https off
	servers {
		timeouts {
			read_header 10s
			idle 5m
		}
		max_header_size 64KB
	}
}
"""


_REFUSED = (
    "\t\t# A target that is no path (`x:y`, `*`) would be asked about at a URL of the client's choice.",
    "\t\t@no-path not path_regexp ^/",
    "\t\trespond @no-path 400",
    "\t\t@tunnel method CONNECT",
    "\t\trespond @tunnel 405",
)


def _site(setting: Setting, behind: Behind) -> str:
    taken = [f"request_header -{title(name)}" for name in (*setting.guarded, *SAYING_MORE)]
    lines = [
        f"# The service `{behind.service}`.",
        f"{', '.join(_named(setting, host) for host in behind.hosts)} {{",
        *_bind(setting),
        "\troute {",
        *_REFUSED,
        "\t\t# In this order. What a client sends of these never passes; the answer sets them, or nobody does.",
        f"\t\trequest_header -{title(OURS)}*",
        "\t\trequest_header -*_*",
        "\t\trequest_header -Connection",
        *(f"\t\t{line}" for line in taken),
        *_asking(setting.way, behind.service, _copied(setting)),
        *(_credential() if setting.credential else ()),
        f"\t\treverse_proxy http://{behind.upstream.text} {{",
        "\t\t\theader_up -X-Forwarded-Host",
        "\t\t}",
        "\t}",
        "}",
        "",
    ]
    return "\n".join(lines)


def _copied(setting: Setting) -> list[str]:
    held = [f"{title(CREDENTIAL)}>{_HELD}"] if setting.credential else []
    return [*map(title, setting.taken_before), *held]


def _credential() -> list[str]:
    name = title(CREDENTIAL)
    return [
        f"\t\t# `{name}` from the answer or not at all; the check needed the client's own.",
        f"\t\trequest_header -{name}",
        f"\t\t@credential header {_HELD} *",
        f"\t\trequest_header @credential {name} {{header.{_HELD}}}",
        f"\t\trequest_header -{_HELD}",
    ]


def _elsewhere(setting: Setting) -> str:
    lines = [
        "# A host of no service: asked about, so that it is on record, and never passed on.",
        f"{_named(setting, '')} {{",
        *_bind(setting),
        "\troute {",
        *_REFUSED,
        "\t\trequest_header -Connection",
        *_asking(setting.way, NOBODY, []),
        "\t\trespond 404",
        "\t}",
        "}",
    ]
    return "\n".join(lines)


def _named(setting: Setting, host: str) -> str:
    return f"http://{host}:{setting.listen.port}"


def _bind(setting: Setting) -> list[str]:
    return [f"\tbind {setting.listen.host}"]


def _asking(way: Way, service: str, copied: list[str]) -> list[str]:
    lines = [
        f"forward_auth {_target(way)} {{",
        f"\turi /forward-auth/{service}",
        *([f"\tcopy_headers {' '.join(copied)}"] if copied else []),
        "\ttransport http {",
        "\t\tdial_timeout 1s",
        "\t\tresponse_header_timeout 2s",
        *(f"\t\t{line}" for line in _tls(way)),
        "\t}",
        "}",
    ]
    return [f"\t\t{line}" for line in lines]


def _target(way: Way) -> str:
    match way:
        case Unix(path):
            return f"unix/{path}"
        case Tcp():
            return f"http://{way.text}"
        case Mutual(at):
            return f"https://{at.text}"


def _tls(way: Way) -> list[str]:
    if not isinstance(way, Mutual):
        return []
    return [
        f"tls_client_auth {way.certificate} {way.private_key}",
        f"tls_trust_pool file {way.authority}",
        f"tls_server_name {way.at.host}",
    ]
