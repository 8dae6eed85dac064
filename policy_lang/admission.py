"""Steps 1 and 2 of a decision: from a question to the endpoint, the cell and the typed inputs of its guards.

In comes a `Question`, out goes a `Call`, or a `Refused` by `route`, `path` or `schema`. The query is judged before the
claims. What the guards may read is settled here, once: the claims of the caller (`token.*`), captures (`path.*`),
declared query parameters (`query.*`) and `request.method`, `request.path`, `request.host`.
Source: language.md 5.1, 5.2; contracts.md "Requests".

Decision (2026-11-21): `request.path` is the decoded path, as captures and literals are. `request.host` is not there
where the host was matched before and is not told.
Decision (2026-11-21): where a program has no cell for the endpoint and the kind, the cell is an empty one, so that the
call is refused by `default`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policy_lang.evaluation import Columns, Environment
from policy_lang.ir import Attr, Cell, Endpoint, Kind, Program, Service, Value
from policy_lang.routing import Routed, Router, RouteRefusal
from policy_lang.schema import SchemaRefusal, conform_claims, conform_query
from policy_lang.verdict import Caller, Question


@dataclass(frozen=True, slots=True)
class Call:
    """A question that is routed and conforms."""

    service: Service
    endpoint: Endpoint
    cell: Cell
    environment: Environment


@dataclass(frozen=True, slots=True)
class Refused:
    """`by` is a word of the closed list; `endpoint` is the id of the endpoint where there was one."""

    by: str
    reason: str
    subject: str = ""
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """What a program says about admission, with its places to look up built once."""

    program: Program
    router: Router
    cells: Mapping[tuple[int, str | None], Cell]
    kinds: Mapping[str, Kind]
    columns: Columns

    @classmethod
    def of(cls, program: Program) -> Admission:
        """The admission of a program."""
        return cls(
            program,
            Router.of(program),
            {(cell.endpoint, cell.kind): cell for cell in program.cells},
            {kind.id: kind for kind in program.kinds},
            {relation.id: tuple(declared for _, declared in relation.columns) for relation in program.relations},
        )

    def admit(self, question: Question) -> Call | Refused:
        """The call a question makes, or why it makes none."""
        routed = self.router.route(question.service, question.method, question.path, question.host)
        if isinstance(routed, RouteRefusal):
            return Refused(routed.by, routed.reason)
        endpoint = self.program.endpoints[routed.endpoint]
        query = conform_query(endpoint, question.path.query)
        if isinstance(query, SchemaRefusal):
            return Refused("schema", query.reason, query.subject, endpoint.id)
        claims = self._claims(question.caller)
        if isinstance(claims, SchemaRefusal):
            return Refused("schema", claims.reason, claims.subject, endpoint.id)
        place = (routed.endpoint, question.caller.kind)
        cell = self.cells.get(place) or Cell(*place, deny=(), allow=(), require=())
        environment = self._environment(question, routed, query, claims)
        return Call(self.router.services[question.service], endpoint, cell, environment)

    def _claims(self, caller: Caller) -> Mapping[str, Value] | SchemaRefusal:
        if caller.kind is None:
            return {}
        kind = self.kinds.get(caller.kind)
        return SchemaRefusal("schema.kind", caller.kind) if kind is None else conform_claims(kind, caller)

    def _environment(
        self, question: Question, routed: Routed, query: Mapping[str, Value], claims: Mapping[str, Value]
    ) -> Environment:
        path = question.path
        written = "/" + "/".join(path.segments) + ("/" if path.trailing_slash else "")
        values: dict[Attr, Value] = {Attr("request", "method"): question.method, Attr("request", "path"): written}
        if question.host:
            values[Attr("request", "host")] = question.host
        values |= {Attr("path", name): value for name, value in routed.captures.items()}
        values |= {Attr("query", name): value for name, value in query.items()}
        values |= {Attr("token", name): value for name, value in claims.items()}
        unread = frozenset(Attr("token", name) for name in question.caller.unread)
        return Environment(values, unread, question.now_ms, question.facts, self.columns)
