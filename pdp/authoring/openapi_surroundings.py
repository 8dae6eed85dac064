"""Where an API stands and what it asks of a token: servers as hosts and a base path, security as scopes.

Parts of a document go in; hosts, a base path and scopes come out, with findings for what was left out.
Specification: OpenAPI 3.2 4.5 and 4.6 (servers), 4.27 and 4.30 (security); RFC 6749 3.3 (scopes); contracts.md "Which
service…" (hosts).

Decision: 2026-11-21. Alternatives of `security` are an *or*, which the language does not have for scopes. All scopes of
all alternatives are asked for: of the sets one could write this is the only one that admits no call that the document
refuses, whichever schemes the policy can prove. A comment at the endpoint names the alternatives, for whoever opens it.
Decision: 2026-11-21. A service has one base path, that of the first server; servers with another are left out, and so
is an operation with servers of its own, since a service's hosts reach all of its endpoints. A server's variables stand
at their defaults: the narrowest reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pdp.authoring.document import BadReference, Located, follow
from pdp.authoring.model import Finding
from policy_lang.declared.fields import is_canonical_host
from policy_lang.verdict import Json

MOST_SERVERS = 200
MOST_ALTERNATIVES = 100

_URL = re.compile(r"(?:https?:)?//(?P<host>[^/?#@\\\s]*)(?P<path>/[^?#\\\s]*)?", re.IGNORECASE)
_RELATIVE = re.compile(r"\.?(?P<path>/[^?#\\\s]*)?")
_PORT = re.compile(r":[0-9]{0,5}\Z")
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_SCOPE = re.compile(r"[!#-\[\]-~]+")
_SCOPED = {"oauth2", "openIdConnect"}
_LONGEST_URL = 2000


@dataclass(frozen=True, slots=True)
class Servers:
    """Where calls go: hosts as `policy_lang.declared.fields` wants them, and what paths begin with ("" or `/v1`)."""

    hosts: tuple[str, ...]
    base: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Scopes:
    """What is asked of a token; `comment` says what the document says where that is something else."""

    scopes: tuple[str, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class BadSecurity:
    pointer: str
    why: str


def servers_of(root: dict[str, Json]) -> Servers:
    """The servers of the whole document."""
    if "swagger" in root:
        host, base = root.get("host", ""), root.get("basePath", "")
        url = f"//{host}{base}" if host else f"{base}"
        return _servers(Located([{"url": url}], "#/host"))
    return _servers(Located(root.get("servers", []), "#/servers"))


def same_servers(document: Servers, own: Located) -> bool:
    """Whether the servers of one operation or path are among those of the document."""
    read = _servers(own)
    left_out = any(finding.left_out for finding in read.findings)
    return not left_out and read.base == document.base and set(read.hosts) <= set(document.hosts)


def _servers(at: Located) -> Servers:
    findings: list[Finding] = []
    hosts: dict[str, None] = {}
    base: str | None = None
    listed = at.value if isinstance(at.value, list) else []
    for index, server in enumerate(listed[:MOST_SERVERS]):
        place = f"{at.pointer}/{index}"
        read = _server(server)
        if isinstance(read, str):
            findings.append(Finding(place, f"server: {read}", left_out=True))
            continue
        host, path = read
        if base is not None and path != base:
            why = f"its paths begin with `{path or '/'}`, those of the first server with `{base or '/'}`"
            findings.append(Finding(place, f"server: {why}: give it a service of its own", left_out=True))
            continue
        base = path
        if host:
            hosts[host] = None
    if len(listed) > MOST_SERVERS:
        findings.append(Finding(at.pointer, f"servers beyond the first {MOST_SERVERS}: too many", left_out=True))
    return Servers(tuple(hosts), base or "", tuple(findings))


def _server(server: Json) -> tuple[str, str] | str:
    """Host ("" for none) and base path of one server, or why they cannot be said."""
    url = server.get("url") if isinstance(server, dict) else None
    if not isinstance(server, dict) or not isinstance(url, str) or len(url) > _LONGEST_URL:
        return "it has no `url` that can be read: correct it"
    variables = server.get("variables", {})
    filled = _filled(url, variables if isinstance(variables, dict) else {})
    if filled is None:
        return f"a variable of `{url[:80]}` has no default: add one"
    found = _URL.fullmatch(filled) or _RELATIVE.fullmatch(filled)
    if found is None:
        return f"`{filled[:80]}` is no URL of HTTP: correct it"
    path = (found["path"] or "").rstrip("/")
    written = found.groupdict().get("host") or ""
    host = _PORT.sub("", written).lower().removesuffix(".")
    if written and not is_canonical_host(host):
        return f"`{written[:80]}` is no host name: correct it"
    return host, path


def _filled(url: str, variables: dict[str, Json]) -> str | None:
    parts: list[str] = []
    end = 0
    for found in _VARIABLE.finditer(url):
        variable = variables.get(found[1])
        default = variable.get("default") if isinstance(variable, dict) else None
        if not isinstance(default, str) or len(default) > _LONGEST_URL:
            return None
        parts += (url[end : found.start()], default)
        end = found.end()
    return "".join([*parts, url[end:]])


# ---------------------------------------------------------------- security


def scopes_of(root: dict[str, Json], operation: dict[str, Json], pointer: str) -> Scopes | BadSecurity:
    """The scopes that an operation asks for, by its own `security` or the document's."""
    own = "security" in operation
    asked = operation["security"] if own else root.get("security", [])
    where = f"{pointer}/security" if own else "#/security"
    if not isinstance(asked, list) or len(asked) > MOST_ALTERNATIVES:
        return BadSecurity(where, f"`security` is a list of at most {MOST_ALTERNATIVES} alternatives: correct it")
    alternatives: list[tuple[str, ...]] = []
    for index, each in enumerate(asked):
        read = _alternative(root, Located(each, f"{where}/{index}"))
        if isinstance(read, BadSecurity):
            return read
        alternatives.append(read)
    together = tuple(dict.fromkeys(scope for each in alternatives for scope in each))
    differ = any(set(each) != set(together) for each in alternatives)
    return Scopes(together, _comment(alternatives) if differ else "")


def _comment(alternatives: list[tuple[str, ...]]) -> str:
    said = "; or ".join(" and ".join(each) if each else "no scope" for each in alternatives)
    return f"scopes: the document asks for {said}. All of them are asked for here"


def _alternative(root: dict[str, Json], at: Located) -> tuple[str, ...] | BadSecurity:
    if not isinstance(at.value, dict):
        return BadSecurity(at.pointer, "an alternative of `security` is a mapping: correct it")
    scopes: list[str] = []
    for name, listed in at.value.items():
        scheme = _scheme(root, name)
        if scheme is None:
            why = f"the security scheme `{name[:80]}` is declared nowhere in this document: declare it, or correct it"
            return BadSecurity(at.pointer, why)
        if not isinstance(listed, list) or not all(isinstance(scope, str) for scope in listed):
            return BadSecurity(at.pointer, f"the scopes of `{name[:80]}` are a list of texts: correct it")
        if scheme.get("type") not in _SCOPED:
            continue
        for scope in listed:
            if not _SCOPE.fullmatch(str(scope)):
                return BadSecurity(at.pointer, f"no token can hold the scope `{str(scope)[:80]}`: correct it")
            scopes.append(str(scope))
    return tuple(dict.fromkeys(scopes))


def _scheme(root: dict[str, Json], name: str) -> dict[str, Json] | None:
    components = root if "swagger" in root else root.get("components")
    word = "securityDefinitions" if "swagger" in root else "securitySchemes"
    schemes = components.get(word) if isinstance(components, dict) else None
    if not isinstance(schemes, dict) or name not in schemes:
        return None
    found = follow(root, Located(schemes[name], f"#/components/{word}"))
    return found.value if not isinstance(found, BadReference) and isinstance(found.value, dict) else None
