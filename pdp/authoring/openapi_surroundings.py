"""Where an API stands and what it asks of a token: servers as hosts and a base path, security as scopes.

Parts of a document go in; hosts, a base path and scopes come out, with findings for what was left out.
Specification: OpenAPI 3.2 4.5 and 4.6 (servers), 4.27 and 4.30 (security); RFC 6749 3.3 (scopes); contracts.md "Which
service…" (hosts).

Decision: 2026-11-21. Alternatives of `security` are an *or*, which the language does not have for scopes. All scopes of
all alternatives are asked for: of the sets one could write this is the only one that admits no call that the document
refuses, whichever schemes the policy can prove. A comment at the endpoint names the alternatives, for whoever opens it.
Decision: 2026-11-21. A service has one base path, that of the first server; servers with another are left out, and so
is an operation with servers of its own, since a service's hosts reach all of its endpoints.
Decision: 2026-11-21. A server with variables is one server for each value of their `enum`, the default's first. A
variable without one stands at its default, the narrowest reading, and a note says so.
Decision: 2026-11-21. Names listed under a scheme that has no scopes (roles, since OpenAPI 3.1) are no scopes of a
token: they are noted. A scheme whose `type` cannot be read might have scopes: its operations are left out.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from pdp.authoring.document import BadReference, Located, follow
from pdp.authoring.model import Finding
from policy_lang.declared.fields import is_canonical_host
from policy_lang.verdict import Json

MOST_SERVERS = 200
MOST_ALTERNATIVES = 100
MOST_READINGS = 50
"""Values of one server's variables together."""

_URL = re.compile(r"(?:https?:)?//(?P<host>[^/?#@\\\s]*)(?P<path>/[^?#\\\s]*)?", re.IGNORECASE)
_RELATIVE = re.compile(r"\.?(?P<path>/[^?#\\\s]*)?")
_PORT = re.compile(r":[0-9]{0,5}\Z")
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_SCOPE = re.compile(r"[!#-\[\]-~]+")
_SCOPED = {"oauth2", "openIdConnect"}
_UNSCOPED = {"apiKey", "http", "mutualTLS", "basic"}
_LONGEST_URL = 2000


class Servers(Struct, frozen=True):
    """Where calls go: hosts as `policy_lang.declared.fields` wants them, and what paths begin with ("" or `/v1`)."""

    hosts: tuple[str, ...]
    base: str
    findings: tuple[Finding, ...]


class Scopes(Struct, frozen=True):
    """What is asked of a token; `comment` says what the document says where that is something else.

    `findings` name what is asked of callers and is no scope.
    """

    scopes: tuple[str, ...]
    comment: str
    findings: tuple[Finding, ...] = ()


class BadSecurity(Struct, frozen=True):
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
    for place, url in _all_urls(at, findings):
        read = _server(url)
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
    return Servers(tuple(hosts), base or "", tuple(findings))


def _all_urls(at: Located, findings: list[Finding]) -> Iterator[tuple[str, str]]:
    """The places and URLs of all servers, at most `MOST_SERVERS`; into `findings` goes what is to be said of them."""
    listed = at.value if isinstance(at.value, list) else []
    met = 0
    for index, server in enumerate(listed):
        place = f"{at.pointer}/{index}"
        urls = _urls(server)
        if isinstance(urls, str):
            met += 1
            findings.append(Finding(place, f"server: {urls}", left_out=True))
            continue
        met += len(urls.filled)
        if met > MOST_SERVERS:
            findings.append(Finding(at.pointer, f"servers beyond the first {MOST_SERVERS}: too many", left_out=True))
            return
        findings += (Finding(place, f"server: {note}") for note in urls.notes)
        yield from ((place, url) for url in urls.filled)


class _Urls(Struct, frozen=True):
    """The URLs of one server, its variables filled in; the defaults' first."""

    filled: tuple[str, ...]
    notes: tuple[str, ...]


def _urls(server: Json) -> _Urls | str:
    """Every URL that one server stands for, or why they cannot be said."""
    url = server.get("url") if isinstance(server, dict) else None
    if not isinstance(server, dict) or not isinstance(url, str) or len(url) > _LONGEST_URL:
        return "it has no `url` that can be read: correct it"
    declared = server.get("variables", {})
    variables = declared if isinstance(declared, dict) else {}
    notes: list[str] = []
    values: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(_VARIABLE.findall(url)):
        listed = _values(variables.get(name))
        if listed is None:
            return f"`{{{name[:80]}}}` of `{url[:80]}` has no default, or values that are no texts: correct it"
        if not listed.closed:
            notes.append(f"`{{{name[:80]}}}` may be anything, and stands at its default: add the hosts that you have")
        values[name] = listed.values
    readings = math.prod(len(each) for each in values.values())
    if readings > MOST_READINGS:
        notes.append(f"its variables have {readings} readings, over {MOST_READINGS}: add the hosts that you have")
        values = {name: each[:1] for name, each in values.items()}
    filled = (_filled(url, dict(zip(values, chosen, strict=True))) for chosen in itertools.product(*values.values()))
    return _Urls(tuple(dict.fromkeys(filled)), tuple(notes))


def _filled(url: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values[found[1]], url)


class _Values(Struct, frozen=True):
    """What a variable may be, its default first; `closed` where nothing else may."""

    values: tuple[str, ...]
    closed: bool


def _values(variable: Json) -> _Values | None:
    default = variable.get("default") if isinstance(variable, dict) else None
    if not isinstance(variable, dict) or not isinstance(default, str):
        return None
    listed = variable.get("enum", [])
    if not isinstance(listed, list) or len(listed) > MOST_SERVERS:
        return None
    values = [each for each in (default, *listed) if isinstance(each, str) and len(each) <= _LONGEST_URL]
    if len(values) != len(listed) + 1:
        return None
    return _Values(tuple(dict.fromkeys(values)), bool(listed))


def _server(url: str) -> tuple[str, str] | str:
    """Host ("" for none) and base path of one URL, or why they cannot be said."""
    found = _URL.fullmatch(url) or _RELATIVE.fullmatch(url)
    if found is None:
        return f"`{url[:80]}` is no URL of HTTP: correct it"
    path = (found["path"] or "").rstrip("/")
    written = found.groupdict().get("host") or ""
    host = _PORT.sub("", written).lower().removesuffix(".")
    if written and not is_canonical_host(host):
        return f"`{written[:80]}` is no host name: correct it"
    return host, path


# ---------------------------------------------------------------- security


def scopes_of(root: dict[str, Json], operation: dict[str, Json], pointer: str) -> Scopes | BadSecurity:
    """The scopes that an operation asks for, by its own `security` or the document's."""
    own = "security" in operation
    asked = operation["security"] if own else root.get("security", [])
    where = f"{pointer}/security" if own else "#/security"
    if not isinstance(asked, list) or len(asked) > MOST_ALTERNATIVES:
        return BadSecurity(where, f"`security` is a list of at most {MOST_ALTERNATIVES} alternatives: correct it")
    alternatives: list[tuple[str, ...]] = []
    findings: list[Finding] = []
    for index, each in enumerate(asked):
        read = _alternative(root, Located(each, f"{where}/{index}"))
        if isinstance(read, BadSecurity):
            return read
        alternatives.append(read.scopes)
        findings += read.findings
    together = tuple(dict.fromkeys(scope for each in alternatives for scope in each))
    differ = any(set(each) != set(together) for each in alternatives)
    return Scopes(together, _comment(alternatives) if differ else "", tuple(findings))


def _comment(alternatives: list[tuple[str, ...]]) -> str:
    said = "; or ".join(" and ".join(each) if each else "no scope" for each in alternatives)
    return f"scopes: the document asks for {said}. All of them are asked for here"


def _alternative(root: dict[str, Json], at: Located) -> Scopes | BadSecurity:
    """The scopes of one alternative, without a comment."""
    if not isinstance(at.value, dict):
        return BadSecurity(at.pointer, "an alternative of `security` is a mapping: correct it")
    scopes: list[str] = []
    findings: list[Finding] = []
    for name, listed in at.value.items():
        scheme = _scheme(root, name)
        if scheme is None:
            why = f"the security scheme `{name[:80]}` is declared nowhere in this document: declare it, or correct it"
            return BadSecurity(at.pointer, why)
        if not isinstance(listed, list) or not all(isinstance(scope, str) for scope in listed):
            return BadSecurity(at.pointer, f"the scopes of `{name[:80]}` are a list of texts: correct it")
        fault = _type_fault(name, scheme.get("type"))
        if fault is not None:
            return BadSecurity(at.pointer, fault)
        named = [str(scope) for scope in listed]
        if scheme["type"] in _UNSCOPED:
            findings += [_unsaid(at.pointer, name, named)] if named else []
            continue
        for scope in named:
            if not _SCOPE.fullmatch(scope):
                return BadSecurity(at.pointer, f"no token can hold the scope `{scope[:80]}`: correct it")
        scopes += named
    return Scopes(tuple(dict.fromkeys(scopes)), "", tuple(findings))


def _type_fault(name: str, type_: Json) -> str | None:
    if not isinstance(type_, str):
        return f"the type of `{name[:80]}` is a text: correct it"
    if type_ not in _SCOPED | _UNSCOPED:
        known = ", ".join(f"`{each}`" for each in sorted(_SCOPED | _UNSCOPED))
        return f"`{type_[:40]}` is no type of a security scheme (`{name[:80]}`): it is one of {known}"
    return None


def _unsaid(pointer: str, name: str, named: list[str]) -> Finding:
    listed = ", ".join(f"`{each[:80]}`" for each in named[:MOST_ALTERNATIVES])
    why = f"the scheme `{name[:80]}` has no scopes, and {listed} is asked for under it: say in a rule who has it"
    return Finding(pointer, why)


def _scheme(root: dict[str, Json], name: str) -> dict[str, Json] | None:
    components = root if "swagger" in root else root.get("components")
    word = "securityDefinitions" if "swagger" in root else "securitySchemes"
    schemes = components.get(word) if isinstance(components, dict) else None
    if not isinstance(schemes, dict) or name not in schemes:
        return None
    found = follow(root, Located(schemes[name], f"#/components/{word}"))
    return found.value if not isinstance(found, BadReference) and isinstance(found.value, dict) else None
