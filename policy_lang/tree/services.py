"""Services and their endpoints.

Source: language.md 2.1, points B, J, L.
"""

from __future__ import annotations

from policy_lang.tree.expressions import TimeLit
from policy_lang.tree.nodes import Name, Node, Text
from policy_lang.tree.vocabulary import Field, TextOrSetting


class TagValue(Node, frozen=True):
    """`tag owner = "team-orders"`; a name is a value of the enum that is called like the tag."""

    name: Name
    value: Name | Text


class HttpRoute(Node, frozen=True):
    methods: tuple[str, ...]
    pattern: Text


class GrpcRoute(Node, frozen=True):
    """`method` is `package.Service/Method`."""

    method: Text


class ActionRoute(Node, frozen=True):
    """`action "read" on "document"` (language.md, point B)."""

    action: Text
    resource: Text


Route = HttpRoute | GrpcRoute | ActionRoute


class EndpointDecl(Node, frozen=True):
    """`closed`: nobody, on purpose."""

    name: Name
    route: Route
    scopes: tuple[Text, ...]
    labels: tuple[Name, ...]
    tags: tuple[TagValue, ...]
    query: tuple[Field, ...]
    headers: tuple[Field, ...]
    properties: tuple[Field, ...]
    closed: bool


class ServiceDecl(Node, frozen=True):
    """`audiences` is empty for `audience none`; `grants_by` None means the declaring module."""

    name: Name
    audiences: tuple[TextOrSetting, ...]
    hosts: tuple[TextOrSetting, ...]
    grants_by: tuple[Text, ...] | None
    accepts: tuple[Name, ...]
    observe_until: TimeLit | None
    query_strict: bool
    tags: tuple[TagValue, ...]
    headers: tuple[Field, ...]
    endpoints: tuple[EndpointDecl, ...]
