"""What a generated bundle declares, as values: who calls, what can be called, and what rules may ask of either.

`vocabulary` and `services` draw them, `contexts` says what of them an expression may read at its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from policy_lang.typesystem import EnumType, Type

Env = tuple[str | None, int]
"""A kind of principal (None: nobody) and an endpoint, by index."""

Name = tuple[str, str]
"""An input: its root and its name."""


class Field(Struct, frozen=True):
    """A claim, a property, a query parameter or a header."""

    name: str
    type: Type
    optional: bool = False
    private: bool = False
    source: tuple[str, ...] = ()

    def text(self, word: str) -> str:
        """The declaration."""
        optional = " optional" if self.optional else ""
        private = " private" if self.private else ""
        steps = "".join(f' "{step}"' for step in self.source)
        return f"{word} {self.name}: {self.type}{optional}{private}{' from' if steps else ''}{steps}"


class Kind(Struct, frozen=True):
    """A kind of principal; `roles` are the names of its roles, which nobody has where they are not `held`."""

    name: str
    form: Literal["token", "subject"]
    fields: tuple[Field, ...]
    factors: tuple[str, ...]
    roles: tuple[str, ...]
    held: bool = True


class Endpoint(Struct, frozen=True):
    """`pattern` is that of its paths, empty for an action. `tags` are its own and its service's."""

    service: str
    name: str
    form: Literal["http", "grpc", "action"]
    methods: tuple[str, ...]
    pattern: str
    captures: tuple[Field, ...]
    query: tuple[Field, ...]
    headers: tuple[Field, ...]
    properties: tuple[Field, ...]
    labels: frozenset[str]
    tags: Mapping[str, Type]
    service_tags: Mapping[str, Type]
    closed: bool


class Service(Struct, frozen=True):
    """`endpoints` are declarations as text; `grants_by` are the modules that may write an allow for it."""

    name: str
    module: str
    head: str
    endpoints: tuple[str, ...]
    grants_by: tuple[str, ...]
    accepts: tuple[str, ...]


class Relation(Struct, frozen=True):
    name: str
    columns: tuple[tuple[str, Type], ...]


class Condition(Struct, frozen=True):
    name: str
    parameters: tuple[tuple[str, Type], ...]


class World(Struct, frozen=True, eq=False):
    """One bundle's vocabulary; compared by identity.

    `signals` and `settings` (those that rules use as constants) are types by plain name; `networks` are names, settings
    of type network among them.
    """

    enums: tuple[EnumType, ...]
    labels: tuple[str, ...]
    networks: tuple[str, ...]
    workloads: tuple[str, ...]
    settings: Mapping[str, Type]
    signals: Mapping[str, Type]
    kinds: tuple[Kind, ...]
    relations: tuple[Relation, ...]
    services: tuple[Service, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    conditions: tuple[Condition, ...] = ()
    envs: frozenset[Env] = field(default_factory=frozenset)

    def kind(self, name: str) -> Kind:
        """The kind of that name."""
        return next(kind for kind in self.kinds if kind.name == name)
