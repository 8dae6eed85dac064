"""Which inputs have a value in every call in which a well-typed policy may read them (language.md 4.2).

A program goes in; the inputs come out for which compiled code need not ask. What is optional anywhere is left out, so
that one function can serve all kinds and endpoints; so are signals, and of the request what may not be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy_lang.ir import Attr, Capture, FieldSchema, Http, Program, Root
from policy_lang.meaning.schema import root_of

_REQUEST = (Attr("request", "method"), Attr("request", "path"), Attr("request", "peer"), Attr("request", "gateway"))
_IMPLICIT = (Attr("token", "aud"), Attr("token", "scope"), Attr("subject", "id"), Attr("resource", "id"))


def always_present(program: Program) -> frozenset[Attr]:
    """The inputs that are never without a value where they are read."""
    fields = list(_fields(program))
    optional = {attr for attr, field in fields if field.optional}
    captures = {
        Attr("path", segment.name)
        for endpoint in program.endpoints
        if isinstance(endpoint.route, Http)
        for segment in endpoint.route.segments
        if isinstance(segment, Capture)
    }
    return frozenset(({attr for attr, _ in fields} - optional) | captures | {*_REQUEST, *_IMPLICIT})


def _fields(program: Program) -> Iterator[tuple[Attr, FieldSchema]]:
    for kind in program.kinds:
        yield from _named(root_of(kind), kind.claims)
    for endpoint in program.endpoints:
        yield from _named("query", endpoint.query)
        yield from _named("header", endpoint.headers)
        yield from _named("resource", endpoint.properties)


def _named(root: Root, fields: Iterable[FieldSchema]) -> Iterator[tuple[Attr, FieldSchema]]:
    return ((Attr(root, field.name), field) for field in fields)
