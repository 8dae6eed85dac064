"""Services and endpoints as the inventory lists them, and the patterns of both rules and endpoints where they stand.

Values only; `services` makes them, `targets`, `names` and `check` read them.
INVARIANT: `EndpointEntry.methods` are the methods of the calls that routing gives to the endpoint, HEAD included where
it follows GET.
Source: language.md 4.4, points B, J, L; contracts.md "Requests".

Decision: 2026-11-21. A gRPC endpoint has the pattern of its path and the method POST, so a rule on `POST /**` speaks of
it too: a guard rail over a service leaves none of its calls out. Its path is its own under any method, as in routing.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.declared.fields import Slot, Tag
from policy_lang.declared.foreign_patterns import segment_hint
from policy_lang.diagnostics import Diagnostic
from policy_lang.meaning.patterns import Pattern, PatternFault, parse_pattern
from policy_lang.mistakes.names import BadPattern
from policy_lang.source import Source, Span


class EndpointEntry(Struct, frozen=True):
    """An endpoint. `pattern` is None for an action.

    `path`, `query`, `headers` (its service's with its own) and `properties` (with `id`, of an action) are what
    expressions may read; `tags` are its own and those of its service, `service_tags` the latter alone. `follows` says
    that HEAD comes here because GET does.
    """

    endpoint: ir.Endpoint
    decl: tree.EndpointDecl
    module: str
    pattern: Pattern | None
    path: Mapping[str, Slot]
    query: Mapping[str, Slot]
    headers: Mapping[str, Slot]
    properties: Mapping[str, Slot]
    tags: Mapping[str, Tag]
    service_tags: Mapping[str, Tag]
    follows: bool

    @property
    def methods(self) -> frozenset[str]:
        """The methods that calls to the endpoint may have; `ANY` stands for all; none for an action."""
        match self.endpoint.route:
            case ir.Http(methods=methods):
                return frozenset((*methods, *(("HEAD",) if self.follows else ())))
            case ir.Grpc():
                return frozenset({"POST"})
            case ir.Action():
                return frozenset()

    def takes(self, method: str) -> bool:
        """Whether calls by a method come here, or end here, but for those that a more specific endpoint takes; `ANY`
        asks of all.
        """
        if isinstance(self.endpoint.route, ir.Grpc):
            return True
        return method in self.methods or "ANY" in self.methods


class ServiceEntry(Struct, frozen=True):
    """A service with its endpoints by name. `grants_by` are the modules that may write an allow for it."""

    service: ir.Service
    decl: tree.ServiceDecl
    module: str
    endpoints: Mapping[str, EndpointEntry]
    broken_endpoints: frozenset[str]
    tags: Mapping[str, Tag]
    grants_by: frozenset[str]


def read_pattern(text: tree.Text, found: list[Diagnostic]) -> Pattern | None:
    """A pattern where it stands; a fault is shown at its place within the pattern."""
    pattern = parse_pattern(text.value)
    if isinstance(pattern, Pattern):
        return pattern
    hint = segment_hint(text.value[pattern.start : pattern.end])
    found.append(BadPattern(span=_within(text.span, pattern), why=pattern.why, hint=hint))
    return None


def _within(span: Span, fault: PatternFault) -> Span:
    start = min(span.start + fault.start, span.end)
    return Span(span.source, start, max(start, min(span.start + fault.end, span.end)))


def place_of(source: Source, span: Span) -> ir.Place:
    """Where a span begins, as the IR says it."""
    at = source.position(span.start)
    return ir.Place(source.name, at.line, at.column)
