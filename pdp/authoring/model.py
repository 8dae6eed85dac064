"""What an import says, whichever document it came from: operations with their routes, and what was left out.

The readers (`openapi`, `proto`) write these values, `merge` turns them into policy text. A `Key` tells which calls an
endpoint is for, whatever its captures are named or typed: two endpoints of one key are one endpoint.
INVARIANT: what a document says and an `Imported` does not hold stands in its findings, with its place and a remedy.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from pdp.errors import PdpError

Key = tuple[str, str]
"""The method and the shape of the pattern (`/users/{}`), or `grpc` and the full name of a method."""


class AuthoringError(PdpError):
    """A document or a folder that policy text cannot be made from. Nothing was written."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, printable(detail))


def printable(text: str) -> str:
    """What a stranger wrote, without what could move a terminal's cursor but line ends."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


class Parameter(Struct, frozen=True):
    """A query or header parameter. `source` is its name in a request, `type` is written as a policy writes it."""

    kind: Literal["query", "header"]
    source: str
    type: str
    optional: bool


class HttpRoute(Struct, frozen=True):
    """One method and one pattern, which `policy_lang.meaning.patterns` reads."""

    method: str
    pattern: str


class GrpcRoute(Struct, frozen=True):
    """`package.Service/Method`."""

    method: str


class Operation(Struct, frozen=True):
    """One endpoint to be. `name` is an identifier, unique in its import; `tags` are as the document spells them.

    `comments` are lines without the `#`; `place` says where in the document it stands.
    """

    name: str
    route: HttpRoute | GrpcRoute
    parameters: tuple[Parameter, ...]
    scopes: tuple[str, ...]
    tags: tuple[str, ...]
    comments: tuple[str, ...]
    place: str


class Finding(Struct, frozen=True):
    """What is worth knowing of one place: something left out, or only something to look at."""

    place: str
    message: str
    left_out: bool = False


class Imported(Struct, frozen=True):
    """A document, read. `file` is its name without folders; `refused` are the keys of operations that were left out.

    A key of `refused` may have the method `ANY`: every operation of that shape was left out.
    `kinds` says which endpoints the document speaks of at all: others are none of its business.
    """

    file: str
    title: str
    hosts: tuple[str, ...]
    operations: tuple[Operation, ...]
    refused: frozenset[Key]
    findings: tuple[Finding, ...]
    kinds: frozenset[Literal["http", "grpc"]]


def key_of(route: HttpRoute | GrpcRoute) -> Key:
    """The key of a route."""
    if isinstance(route, GrpcRoute):
        return ("grpc", route.method)
    return (route.method, shape(route.pattern))


def shape(pattern: str) -> str:
    """A pattern whose captures have lost their names and types."""
    return "/".join("{}" if part.startswith("{") else part for part in pattern.split("/"))
