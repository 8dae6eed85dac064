"""What a rule meets: one endpoint with one kind of principal, and what is read there; the bound bundle all share.

Values only, made from the inventory, but for `Memory`.
INVARIANT: `slot` and `tag` are the one place that says which inputs an environment has.
Source: language.md 4.2; points B, F.

Decision: 2026-11-21. `request.ip`, `peer`, `gateway` and `tls` are there on any endpoint and need no narrowing: what is
not known of them at run time is unknown, never absent. `method`, `path` and `host` exist where a call has a path.
Decision: 2026-11-21. A factor is worked out for its kind alone, so its condition reads that kind's claims, signals,
`now`, and of the request what every endpoint has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, assert_never

from msgspec import Struct, field

from policy_lang import ir
from policy_lang.checking.guards import Formula
from policy_lang.checking.memory import Callers, Indices, Memory
from policy_lang.declared.endpoints import EndpointEntry
from policy_lang.declared.entries import Inventory, KindEntry, Names, TagRead
from policy_lang.declared.fields import Slot
from policy_lang.declared.literals_typed import Typed
from policy_lang.source import Source
from policy_lang.typesystem import Scalar, Type

K = TypeVar("K")

Facts = frozenset[ir.Attr]
NOTHING: Facts = frozenset()
"""Optional inputs proved present."""

_ANYWHERE = {
    "ip": Slot(Scalar.IP, optional=False, declared=None),
    "peer": Slot(Scalar.WORKLOAD, optional=False, declared=None),
    "gateway": Slot(Scalar.WORKLOAD, optional=False, declared=None),
    "tls": Slot(Scalar.BOOL, optional=False, declared=None),
}
_STRING = Slot(Scalar.STRING, optional=False, declared=None)
_WITH_A_PATH = {**_ANYWHERE, "method": _STRING, "path": _STRING, "host": _STRING}

METHOD = ir.Attr("request", "method")
PLACE_READS = frozenset(ir.Attr("request", name) for name in _WITH_A_PATH.keys() - _ANYWHERE.keys())
"""What of a request depends on the endpoint."""


class Environment(Struct, frozen=True):
    """One endpoint and one kind of principal; kind None is the anonymous caller, endpoint None a factor's condition.

    `signals` are the types of the declared signals by id.
    """

    kind: KindEntry | None
    endpoint: EndpointEntry | None
    signals: Mapping[str, Type] = field(default_factory=dict)

    def slot(self, attr: ir.Attr) -> Slot | None:
        """What is read by this name here; None where there is no such input."""
        match attr.root:
            case "token" | "subject":
                return kind_slot(self.kind, attr)
            case "signal":
                type_ = self.signals.get(attr.name)
                return None if type_ is None else Slot(type_, optional=False, declared=None)
            case "request":
                return (_WITH_A_PATH if has_path(self.endpoint) else _ANYWHERE).get(attr.name)
            case "path" | "query" | "header" | "resource":
                return None if self.endpoint is None else _endpoint_slot(self.endpoint, attr)
            case _:
                assert_never(attr.root)

    @property
    def caller(self) -> str:
        """Who calls, in words."""
        return "anonymous callers" if self.kind is None else f"{self.kind.kind.form} kind `{self.kind.kind.id}`"

    def tag(self, read: TagRead) -> Typed | None:
        """The constant that a tag is here; None where the endpoint, or its service, has no such tag."""
        return None if self.endpoint is None else endpoint_tag(self.endpoint, read)


def kind_slot(kind: KindEntry | None, attr: ir.Attr) -> Slot | None:
    """What is read of a caller of this kind by `token.x` or `subject.x`."""
    return kind.slots.get(attr.name) if kind is not None and kind.kind.form == attr.root else None


def _endpoint_slot(entry: EndpointEntry, attr: ir.Attr) -> Slot | None:
    match attr.root:
        case "path":
            return entry.path.get(attr.name)
        case "query":
            return entry.query.get(attr.name)
        case "header":
            return entry.headers.get(attr.name)
        case _:
            return entry.properties.get(attr.name)


def endpoint_tag(entry: EndpointEntry, read: TagRead) -> Typed | None:
    """The constant that a tag of an endpoint, or of its service, is; None where there is none."""
    tag = (entry.tags if read.root == "endpoint" else entry.service_tags).get(read.name)
    return None if tag is None else Typed(ir.Const(tag.value), tag.type)


def has_path(entry: EndpointEntry | None) -> bool:
    """Whether calls of an endpoint have a path: all but actions."""
    return entry is not None and not isinstance(entry.endpoint.route, ir.Action)


class Factor(Struct, frozen=True):
    """A factor of one kind: its condition, what that proves, and when it happened; None where it was refused."""

    when: Formula
    proves: Facts
    at: ir.Operand | None


class Bound(Struct, frozen=True):
    """A bundle with its names bound, by module, and its factors worked out, by kind and name.

    `sources` are the texts of the modules, `signals` types by id, `everywhere` all endpoints by index, `closed` those
    for nobody, `callers` who can call each: see `callers_of`.
    `having` are the endpoints that have an input or a tag, by root and name; `kinds_having` the kinds that have an
    input, `proving` those that have a factor.
    """

    inventory: Inventory
    names: Mapping[str, Names]
    sources: Mapping[str, Source]
    factors: Mapping[tuple[str, str], Factor]
    signals: Mapping[str, Type]
    everywhere: Indices
    closed: frozenset[int]
    callers: tuple[Callers, ...]
    having: Mapping[tuple[str, str], Sequence[int]]
    kinds_having: Mapping[ir.Attr, Sequence[str]]
    proving: Mapping[str, Sequence[str]]
    memory: Memory

    @classmethod
    def of(cls, inventory: Inventory, names: Mapping[str, Names]) -> Bound:
        """The bundle before its factors are known."""
        kinds = inventory.kinds
        return cls(
            inventory=inventory,
            names=names,
            sources={entry.name: entry.module.source for entry in inventory.modules},
            factors={},
            signals={signal.id: signal.type for signal in inventory.signals},
            everywhere=tuple(range(len(inventory.endpoints))),
            closed=frozenset(i for i, entry in enumerate(inventory.endpoints) if entry.endpoint.closed),
            callers=callers_of(inventory),
            having=_having(inventory.endpoints),
            kinds_having=_kinds_by((ir.Attr(kind.kind.form, name), kind) for kind in kinds for name in kind.slots),
            proving=_kinds_by((factor, kind) for kind in kinds for factor in kind.factors),
            memory=Memory(sum(len(entry.module.source.text) for entry in inventory.modules)),
        )


def _having(endpoints: Sequence[EndpointEntry]) -> Mapping[tuple[str, str], Sequence[int]]:
    """The endpoints that have an input or a tag, by root and name."""
    having: dict[tuple[str, str], list[int]] = {}
    for index, entry in enumerate(endpoints):
        named: tuple[tuple[str, Iterable[str]], ...] = (
            *(("path", entry.path), ("query", entry.query), ("header", entry.headers)),
            *(("resource", entry.properties), ("endpoint", entry.tags), ("service", entry.service_tags)),
        )
        for root, names in named:
            for name in names:
                having.setdefault((root, name), []).append(index)
    return having


def _kinds_by(pairs: Iterable[tuple[K, KindEntry]]) -> Mapping[K, Sequence[str]]:
    kinds: dict[K, list[str]] = {}
    for key, kind in pairs:
        kinds.setdefault(key, []).append(kind.kind.id)
    return kinds


def callers_of(inventory: Inventory) -> tuple[Callers, ...]:
    """Who can call each endpoint, by index: token kinds, the subject kinds accepted there, and last nobody (None)."""
    accepts = {each.service.id: frozenset(each.service.accepts) for each in inventory.services}
    known: dict[frozenset[str], Callers] = {}
    for accepted in (frozenset[str](), *accepts.values()):
        if accepted not in known:
            kinds = (k for k in inventory.kinds if k.kind.form == "token" or k.kind.id in accepted)
            known[accepted] = (*kinds, None)
    return tuple(
        known[accepts[entry.endpoint.service] if isinstance(entry.endpoint.route, ir.Action) else frozenset()]
        for entry in inventory.endpoints
    )
