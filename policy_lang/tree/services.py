"""Services and their endpoints.

Source: language.md 2.1, points B, J, L.
"""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.tree.expressions import TimeLit
from policy_lang.tree.nodes import Name, Node, Text
from policy_lang.tree.vocabulary import Field, TextOrSetting


@dataclass(frozen=True, slots=True)
class TagValue(Node):
    """`tag owner = "team-orders"`; a name is a value of the enum that is called like the tag."""

    name: Name
    value: Name | Text


@dataclass(frozen=True, slots=True)
class HttpRoute(Node):
    methods: tuple[str, ...]
    pattern: Text


@dataclass(frozen=True, slots=True)
class GrpcRoute(Node):
    """`method` is `package.Service/Method`."""

    method: Text


@dataclass(frozen=True, slots=True)
class ActionRoute(Node):
    """`action "read" on "document"` (language.md, point B)."""

    action: Text
    resource: Text


Route = HttpRoute | GrpcRoute | ActionRoute


@dataclass(frozen=True, slots=True)
class EndpointDecl(Node):
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


@dataclass(frozen=True, slots=True)
class ServiceDecl(Node):
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
