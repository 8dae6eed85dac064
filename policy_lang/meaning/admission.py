"""Steps 1 and 2 of a decision: from a question to the endpoint, the cell and the typed inputs of its guards.

In comes a `Question`, out goes a `Call`, or a `Refused` by `route`, `path` or `schema`. The query is judged before the
headers, these before the caller's claims; of a call that is not HTTP, the resource before the caller. What the guards
may read is settled here, once: the claims or properties of the caller (`token.*`, `subject.*`), the resource's
(`resource.*`), captures (`path.*`), declared parameters and headers (`query.*`, `header.*`), the readings (`signal.*`)
and `request.ip`, `.peer`, `.gateway`, `.tls`, and of calls with a path `.method`, `.path`, `.host`.
Source: language.md 5.1, 5.2, points B and F; contracts.md "Requests".

Decision (2026-11-21): `request.path` is the decoded path, as captures and literals are, but for the `%2F` of an opaque
segment. `request.host` is not there where the host was matched before and is not told.
Decision (2026-11-21): where a program has no cell for the endpoint and the kind, the cell is an empty one, so that the
call is refused by `default`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from policy_lang.ir import Attr, Cell, Endpoint, Kind, Program, Service, Value
from policy_lang.meaning.derived import Conformed, derived
from policy_lang.meaning.evaluation import Columns, Environment, Values
from policy_lang.meaning.routing import Router, RouteRefusal
from policy_lang.meaning.schema import (
    SchemaRefusal,
    conform_claims,
    conform_headers,
    conform_query,
    conform_resource,
    root_of,
)
from policy_lang.meaning.voters import Voters
from policy_lang.request import decoded_path
from policy_lang.verdict import ActionCall, Caller, Origin, Question


class Call(Struct, frozen=True):
    """A question that is routed and conforms. `kind` None is the anonymous caller; `place` is the place of the cell in
    `Program.cells`, None where the program has none for the call.
    """

    service: Service
    endpoint: Endpoint
    kind: Kind | None
    cell: Cell
    place: int | None
    environment: Environment


class Refused(Struct, frozen=True):
    """`by` is a word of the closed list; `endpoint` is the id of the endpoint where there was one."""

    by: str
    reason: str
    subject: str = ""
    endpoint: str | None = None


class Admission(Struct, frozen=True):
    """What a program says about admission, with its places to look up built once. `mark` is this program's alone, and
    holds nothing of it.
    """

    program: Program
    router: Router
    cells: Mapping[tuple[int, str | None], int]
    kinds: Mapping[str, Kind]
    columns: Columns
    voters: Voters
    mark: object = field(default_factory=object)

    @classmethod
    def of(cls, program: Program) -> Admission:
        """The admission of a program."""
        return cls(
            program,
            Router.of(program),
            {(cell.endpoint, cell.kind): place for place, cell in enumerate(program.cells)},
            {kind.id: kind for kind in program.kinds},
            {relation.id: tuple(declared for _, declared in relation.columns) for relation in program.relations},
            Voters.of(program),
        )

    def admit(self, question: Question) -> Call | Refused:
        """The call a question makes, or why it makes none."""
        routed = self.router.route(question.service, question.call)
        if isinstance(routed, RouteRefusal):
            return Refused(routed.by, routed.reason)
        index, captures = routed
        service, endpoint = self.router.services[question.service], self.program.endpoints[index]
        given = _given(service, endpoint, question)
        if isinstance(given, SchemaRefusal):
            return Refused("schema", given.reason, given.subject, endpoint.id)
        caller = question.caller
        kind = None if caller.kind is None else self.kinds.get(caller.kind)
        if kind is None and caller.kind is not None:
            return Refused("schema", "schema.kind", caller.kind, endpoint.id)
        claims = {} if kind is None else self._conformed(kind, caller)
        if isinstance(claims, SchemaRefusal):
            return Refused("schema", claims.reason, claims.subject, endpoint.id)
        root = root_of(kind)
        environment = Environment(
            token=claims if root == "token" else {},
            subject=claims if root == "subject" else {},
            resource=given.resource,
            path=captures,
            query=given.query,
            header=given.header,
            request=given.request,
            signal=question.signals,
            unread=frozenset(Attr(root, name) for name in caller.unread) if caller.unread else _NOTHING_UNREAD,
            now_ms=question.now_ms,
            facts=question.facts,
            columns=self.columns,
            tables=self.voters,
        )
        place = self.cells.get((index, caller.kind))
        cell = Cell(index, caller.kind, (), (), (), ()) if place is None else self.program.cells[place]
        return Call(service, endpoint, kind, cell, place, environment)

    def _conformed(self, kind: Kind, caller: Caller) -> Conformed:
        kept = derived(caller, self.mark)
        if kept is None:
            return conform_claims(kind, caller)
        found = kept.conformed.get(kind.id)
        if found is None:
            found = kept.conformed[kind.id] = conform_claims(kind, caller)
        return found


class _Given(Struct, frozen=True):
    """What the call itself holds, by root."""

    request: Values
    resource: Values
    query: Values
    header: Values


_NOTHING: Values = {}
_NOTHING_UNREAD: frozenset[Attr] = frozenset()


def _given(service: Service, endpoint: Endpoint, question: Question) -> _Given | SchemaRefusal:
    call = question.call
    request = _origin(question.origin)
    if isinstance(call, ActionCall):
        properties = conform_resource(endpoint, call)
        return properties if isinstance(properties, SchemaRefusal) else _Given(request, properties, _NOTHING, _NOTHING)
    query = conform_query(endpoint, call.path.query, strict=service.query_strict)
    if isinstance(query, SchemaRefusal):
        return query
    headers = conform_headers(endpoint, call.headers)
    if isinstance(headers, SchemaRefusal):
        return headers
    request["method"] = call.method
    request["path"] = decoded_path(call.path)
    if call.host:
        request["host"] = call.host
    return _Given(request, _NOTHING, query, headers)


def _origin(origin: Origin) -> dict[str, Value]:
    """Where the call comes from; what is not known is left out, and so unknown."""
    known: dict[str, Value] = {"peer": origin.peer, "gateway": origin.gateway}
    if origin.ip is not None:
        known["ip"] = origin.ip
    if origin.tls is not None:
        known["tls"] = origin.tls
    return known
