"""Services and their endpoints: patterns read, hosts and scopes checked, ambiguous routes refused.

One `tree.ServiceDecl` goes in; `ServiceEntry` comes out with every mistake in it.
INVARIANT: of two endpoints of a service that may take one call, one is the more specific, or they differ in that one
declares HEAD and the other is GET, which HEAD otherwise follows.
INVARIANT: `EndpointEntry.methods` are the methods of the calls that routing gives to the endpoint, HEAD included where
it follows GET.
Source: language.md 4.4, point L; contracts.md "Requests".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from policy_lang import ir, tree
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.fields import Slot, checked_scope, checked_text, duplicate, fields_of, is_canonical_host
from policy_lang.mistakes.names import BadHost, BadPattern, UnknownLabel
from policy_lang.mistakes.rules import AmbiguousEndpoints
from policy_lang.pattern_index import PatternIndex
from policy_lang.patterns import Pattern, PatternFault, more_specific, overlap, parse_pattern, same_shape
from policy_lang.source import Source, Span
from policy_lang.typesystem import IntType, Scalar, Type

_CAPTURE_NAME = re.compile(r"\{\s*([a-z][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class EndpointEntry:
    """`path` and `query` are what expressions may read; `follows` says that HEAD comes here because GET does."""

    endpoint: ir.Endpoint
    decl: tree.EndpointDecl
    module: str
    pattern: Pattern
    path: Mapping[str, Slot]
    query: Mapping[str, Slot]
    follows: bool

    @property
    def methods(self) -> frozenset[str]:
        """The methods that calls to the endpoint may have; `ANY` stands for all."""
        return frozenset((*self.endpoint.methods, *(("HEAD",) if self.follows else ())))

    def takes(self, method: str) -> bool:
        """Whether calls by a method come here, but for those that a more specific endpoint takes; `ANY` asks of all."""
        return method in self.methods or "ANY" in self.methods


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service with its endpoints by name; `broken_*` are captures and parameters that went wrong."""

    service: ir.Service
    decl: tree.ServiceDecl
    endpoints: Mapping[str, EndpointEntry]
    broken_endpoints: frozenset[str]
    broken_captures: frozenset[str]
    broken_parameters: frozenset[str]


def service_entry(
    module: tree.Module, decl: tree.ServiceDecl, labels: Mapping[str, tree.Name], found: list[Diagnostic]
) -> ServiceEntry:
    """The entry of one service; `labels` are its module's."""
    audiences = [checked_text(text, "audience", found) for text in decl.audiences]
    hosts: dict[str, None] = {}
    for text in decl.hosts:
        if is_canonical_host(text.value):
            hosts[text.value] = None
        else:
            found.append(BadHost(span=text.span, host=text.value))
    first: dict[str, tree.Name] = {}
    entries: dict[str, EndpointEntry] = {}
    broken_endpoints: set[str] = set()
    broken_captures: set[str] = set()
    broken_parameters: set[str] = set()
    for endpoint in decl.endpoints:
        name = endpoint.name.text
        if name in first:
            found.append(duplicate(endpoint.name, first[name]))
            continue
        first[name] = endpoint.name
        read = _endpoint(module, decl, endpoint, labels, found)
        broken_parameters |= read.broken_parameters
        if read.entry is None:
            broken_endpoints.add(name)
            broken_captures |= set(_CAPTURE_NAME.findall(endpoint.pattern.value))
        else:
            entries[name] = read.entry
    service = ir.Service(decl.name.text, tuple(dict.fromkeys(a for a in audiences if a is not None)), tuple(hosts))
    return ServiceEntry(
        service,
        decl,
        {entry.decl.name.text: entry for entry in _beside_each_other(tuple(entries.values()), found)},
        frozenset(broken_endpoints),
        frozenset(broken_captures),
        frozenset(broken_parameters),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    entry: EndpointEntry | None
    broken_parameters: frozenset[str]


def _endpoint(
    module: tree.Module,
    service: tree.ServiceDecl,
    decl: tree.EndpointDecl,
    labels: Mapping[str, tree.Name],
    found: list[Diagnostic],
) -> _Read:
    pattern = read_pattern(decl.pattern, found)
    scopes = [checked_scope(text, found) for text in decl.scopes]
    query = fields_of(decl.query, (), 1, found)
    found += [UnknownLabel(span=each.span, name=each.text) for each in decl.labels if each.text not in labels]
    if pattern is None:
        return _Read(None, query.broken)
    endpoint = ir.Endpoint(
        id=f"{service.name.text}.{decl.name.text}",
        service=service.name.text,
        methods=tuple(dict.fromkeys(decl.methods)),
        route=decl.pattern.value,
        segments=pattern.segments,
        trailing_slash=pattern.trailing_slash,
        scopes=tuple(dict.fromkeys(s for s in scopes if s is not None)),
        labels=tuple(sorted({label.text for label in decl.labels})),
        query=query.schemas,
        place=place_of(module.source, decl.name.span),
    )
    path = {
        segment.name: Slot(_capture_type(segment.type), optional=False, declared=decl.pattern.span)
        for segment in pattern.segments
        if isinstance(segment, ir.Capture)
    }
    entry = EndpointEntry(endpoint, decl, module.name.value, pattern, path, query.slots, follows=False)
    return _Read(entry, query.broken)


def read_pattern(text: tree.Text, found: list[Diagnostic]) -> Pattern | None:
    """A pattern where it stands; a fault is shown at its place within the pattern."""
    pattern = parse_pattern(text.value)
    if isinstance(pattern, Pattern):
        return pattern
    found.append(BadPattern(span=_within(text.span, pattern), why=pattern.why))
    return None


def _within(span: Span, fault: PatternFault) -> Span:
    start = min(span.start + fault.start, span.end)
    return Span(span.source, start, max(start, min(span.start + fault.end, span.end)))


def _capture_type(word: ir.CaptureType) -> Type:
    return IntType() if word == "int" else Scalar(word)


def place_of(source: Source, span: Span) -> ir.Place:
    """Where a span begins, as the IR says it."""
    at = source.position(span.start)
    return ir.Place(source.name, at.line, at.column)


def _beside_each_other(entries: tuple[EndpointEntry, ...], found: list[Diagnostic]) -> list[EndpointEntry]:
    """The endpoints of one service with what each takes in view of the others; ambiguous ones are reported."""
    index = PatternIndex()
    for number, entry in enumerate(entries):
        found += _ambiguous_with(entry, (entries[other] for other in index.near(entry.pattern)))
        index.add(number, entry.pattern)
    return [_with_head(entry, entries, index) for entry in entries]


def _with_head(entry: EndpointEntry, entries: tuple[EndpointEntry, ...], index: PatternIndex) -> EndpointEntry:
    """The entry, with `follows` said: HEAD follows GET unless an endpoint of that very pattern declares HEAD."""
    if "GET" not in entry.endpoint.methods or not {"HEAD", "ANY"}.isdisjoint(entry.endpoint.methods):
        return entry
    declared = any(
        "HEAD" in other.endpoint.methods
        and overlap(other.pattern, entry.pattern)
        and same_shape(other.pattern, entry.pattern)
        for other in (entries[number] for number in index.near(entry.pattern))
    )
    return replace(entry, follows=not declared)


def _ambiguous_with(one: EndpointEntry, others: Iterable[EndpointEntry]) -> list[Diagnostic]:
    return [
        AmbiguousEndpoints(
            span=one.decl.pattern.span,
            one=one.decl.name.text,
            other=other.decl.name.text,
            others=(Label(other.decl.pattern.span, "the other one"),),
        )
        for other in others
        if _ambiguous(one, other)
    ]


def _ambiguous(one: EndpointEntry, other: EndpointEntry) -> bool:
    a, b = one.pattern, other.pattern
    if not overlap(a, b) or more_specific(a, b) or more_specific(b, a):
        return False
    ours, theirs = one.endpoint.methods, other.endpoint.methods
    if "ANY" in ours or "ANY" in theirs or set(ours) & set(theirs):
        return True
    heads = ("GET" in ours and "HEAD" in theirs) or ("HEAD" in ours and "GET" in theirs)
    return heads and not same_shape(a, b)
