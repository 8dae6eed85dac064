"""What a policy declares: kinds, relations, signals, services, endpoints; and the whole program.

Source: language.md 2.1, 4.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from policy_lang.ir.atoms import Atom, Guard, Value
from policy_lang.ir.rules import Body, Cell, Place, Rule
from policy_lang.ir.tables import Table
from policy_lang.typesystem import Type


class FieldSchema(Struct, frozen=True):
    """A claim, property, query parameter or header. `source` is the way to it from the outside, at least one step."""

    name: str
    type: Type
    optional: bool
    private: bool
    source: tuple[str, ...]


class Exclusive(Struct, frozen=True):
    """Two roles that nobody may hold at once, each with the values of the role claim that give it."""

    left: str
    left_values: frozenset[str]
    right: str
    right_values: frozenset[str]


class Kind(Struct, frozen=True):
    """A kind of principal; `id` is the plain name.

    `form` tells a token, which a signature proves, from a subject, which an authenticated caller asserts. `name` is the
    issuer of a token (one issuer has one kind), AuthZEN's type of a subject. `role_claim` is the claim or property that
    gives roles, a string or a set of them; None without one.
    """

    id: str
    form: Literal["token", "subject"]
    name: str
    claims: tuple[FieldSchema, ...]
    role_claim: str | None
    exclusive: tuple[Exclusive, ...]


class Relation(Struct, frozen=True):
    """`id` is `module.name`; facts are rows of these columns."""

    id: str
    columns: tuple[tuple[str, Type], ...]


class Signal(Struct, frozen=True):
    """`id` is `module.name`. `provider` is `context.NAME`, `seen.per_minute`, `seen.distinct` or `seen.run`; `keys` are
    inputs as written (`token.sub`, `endpoint`). `fallback` None is `unknown`.
    """

    id: str
    type: Type
    provider: str
    keys: tuple[str, ...]
    within_ms: int
    fallback: Value | None


class Workload(Struct, frozen=True):
    """A declared caller between services; `id` is `module.name`, `identity` its SPIFFE id."""

    id: str
    identity: str


CaptureType = Literal["string", "int", "uuid", "opaque"]
"""In an `opaque` segment `%2F` is data."""


class Fixed(Struct, frozen=True):
    """A path segment that must be this text (decoded)."""

    text: str


class Capture(Struct, frozen=True):
    name: str
    type: CaptureType


class AnySegment(Struct, frozen=True):
    """`*`: exactly one segment."""


class Rest(Struct, frozen=True):
    """`**`: all that follows, perhaps nothing; only last."""


Segment = Fixed | Capture | AnySegment | Rest


class Http(Struct, frozen=True):
    """`trailing_slash` is part of the pattern, exact."""

    methods: tuple[str, ...]
    segments: tuple[Segment, ...]
    trailing_slash: bool


class Grpc(Struct, frozen=True):
    """POST `/service/method`, no query, content type `application/grpc*` (contracts.md); `service` has its package."""

    service: str
    method: str


class Action(Struct, frozen=True):
    """(subject, action, resource) instead of a path (language.md, point B)."""

    action: str
    resource: str


Route = Http | Grpc | Action


class Endpoint(Struct, frozen=True):
    """`id` is `service.name`. `written` is the pattern, `package.Service/Method`, or `action on resource`, as written.

    `labels` are ids (`module.label`), sorted; `tags` (its own and its service's) by name, sorted. `headers` are its own
    and its service's; `source` of one is the single lower-case name of the header. `properties` are the resource's.
    """

    id: str
    service: str
    route: Route
    written: str
    scopes: tuple[str, ...]
    labels: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    query: tuple[FieldSchema, ...]
    headers: tuple[FieldSchema, ...]
    properties: tuple[FieldSchema, ...]
    closed: bool
    place: Place


class Service(Struct, frozen=True):
    """`audiences` empty is `audience none`: no token opens it. `hosts` are lower case, without port or final dot.

    `accepts` are subject kinds. `observe_until_ms`: until then what policy would refuse passes (language.md, point J).
    `query_strict`: an undeclared query parameter is refused.
    """

    id: str
    audiences: tuple[str, ...]
    hosts: tuple[str, ...]
    accepts: tuple[str, ...]
    observe_until_ms: int | None
    query_strict: bool
    tags: tuple[tuple[str, str], ...]


class Program(Struct, frozen=True):
    """One compiled policy. `tables` are those of its `casbin` blocks, each with the id of its block."""

    version: int
    modules: tuple[str, ...]
    kinds: tuple[Kind, ...]
    relations: tuple[Relation, ...]
    signals: tuple[Signal, ...]
    workloads: tuple[Workload, ...]
    services: tuple[Service, ...]
    endpoints: tuple[Endpoint, ...]
    atoms: tuple[Atom, ...]
    guards: tuple[Guard, ...]
    rules: tuple[Rule, ...]
    bodies: tuple[Body, ...]
    cells: tuple[Cell, ...]
    tables: tuple[Table, ...] = ()
