"""What may be read of each root: `token.x`, `path.y`, `endpoint.tag`, and what is said of a name that nobody declares.

The inventory goes in, the names that some kind, endpoint or service has come out; which of them is there for a call is
settled for each environment.
Source: language.md 2.1 (Roots), 4.3, point F.
"""

from __future__ import annotations

from collections.abc import Mapping

from policy_lang import ir
from policy_lang.declared.entries import Inventory
from policy_lang.declared.fields import IMPLICIT_CLAIMS, IMPLICIT_PROPERTIES
from policy_lang.declared.scopes import NOT_HERE

REQUEST_ATTRIBUTES = ("method", "path", "host", "ip", "peer", "gateway", "tls")
"""What a rule may ask of the request."""

ATTRS: Mapping[str, ir.Root] = {
    "token": "token",
    "subject": "subject",
    "resource": "resource",
    "path": "path",
    "query": "query",
    "header": "header",
    "request": "request",
}
MAY_BE_MISSING = ("token", "subject", "resource", "path", "query", "header", "endpoint", "service")
TAGS = ("endpoint", "service")
WHY = {
    "token": "no token kind has such a claim",
    "subject": "no subject kind has such a property",
    "resource": "no `action` endpoint declares such a property",
    "path": "no endpoint has such a capture",
    "query": "no endpoint declares such a parameter",
    "header": "no endpoint or service declares such a header",
    "request": f"a request has {', '.join(REQUEST_ATTRIBUTES[:-1])} and {REQUEST_ATTRIBUTES[-1]}",
    "endpoint": "no endpoint or service has such a tag",
    "service": "no service has such a tag",
    "signal": f"no such signal is {NOT_HERE.removeprefix('neither ').replace(' nor', ' or')}",
}


def known_inputs(inventory: Inventory) -> Mapping[str, frozenset[str]]:
    """The names that may be read of each root, those that went wrong included."""
    known: dict[str, set[str]] = {root: set() for root in (*ATTRS, *TAGS, "factor")}
    known["token"].update(IMPLICIT_CLAIMS)
    known["subject"].update(IMPLICIT_PROPERTIES)
    known["resource"].update(IMPLICIT_PROPERTIES)
    known["request"].update(REQUEST_ATTRIBUTES)
    for root, name in inventory.broken:
        known[root].add(name)
    for kind in inventory.kinds:
        known[kind.kind.form].update(kind.slots)
    for entry in inventory.endpoints:
        known["path"].update(entry.path)
        known["query"].update(entry.query)
        known["resource"].update(entry.properties)
    # What a service declares for all its endpoints is one mapping that they share.
    for headers in {id(entry.headers): entry.headers for entry in inventory.endpoints}.values():
        known["header"].update(headers)
    for tags in {id(entry.tags): entry.tags for entry in inventory.endpoints}.values():
        known["endpoint"].update(tags)
    for service in inventory.services:
        known["service"].update(service.tags)
        known["header"].update(field.name.text for field in service.decl.headers)
    return {root: frozenset(names) for root, names in known.items()}
