"""Which endpoint of a policy a request is for. The rules are those of policy_lang/meaning/routing.py.

The most specific pattern that the path has and that takes the method; before that, refusals of segments that some
server might take for a literal of another pattern.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pdp.audit.standalone.policy import Endpoint
from pdp.audit.standalone.reading import Json, Name, Value
from pdp.audit.standalone.request import INVISIBLE, Target

INT = re.compile(r"0|-?[1-9][0-9]{0,18}")
UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
STEPS: Mapping[str, int] = {"fixed": 0, "int": 1, "uuid": 1, "string": 2, "opaque": 3, "any": 4, "rest": 5}
"""Kinds of segments, the most specific first."""
Prefix = tuple[str, ...]


class Http(NamedTuple):
    method: str
    target: Target
    host: str
    headers: Mapping[str, list[str]]


class Act(NamedTuple):
    action: str
    resource: str
    id: str
    properties: Mapping[str, Json]


class Refusal(NamedTuple):
    by: str
    reason: str
    subject: str = ""


def folded(segment: str) -> str:
    """A segment without regard to case and form."""
    if segment.isascii():
        return segment.lower()
    form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", segment).upper().casefold())
    return form.translate({**INVISIBLE, 0x0307: None})


def spellings(segment: str) -> set[str]:
    """What a careless server may look the segment up by: without case, blanks and dots at the end, or a format."""
    plain = folded(segment)
    if plain.isalnum():
        return {plain}
    name = re.sub(r"::?\$.*", "", plain, flags=re.DOTALL).rstrip(". +")
    return {name, name.partition(".")[0], name.rpartition(".")[0]} - {""} or {name}


def capture(type_: str, segment: str) -> Value | None:
    """The value of a segment under a capture; None where it does not fit."""
    if type_ == "int":
        return int(segment) if INT.fullmatch(segment) and -(2**63) <= int(segment) < 2**63 else None
    if type_ == "uuid":
        return segment.lower() if UUID.fullmatch(segment) else None
    return segment


class Paths:
    """The patterns of one service. A prefix of a pattern is the row of its steps: `=text`, a type of capture, `any`."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.endpoints = [each for each in endpoints if each.form != "action"]
        self.after: dict[Prefix, set[str]] = {}
        self.ends: dict[Prefix, list[Endpoint]] = {}
        for endpoint in self.endpoints:
            prefix: Prefix = ()
            for word, *name in endpoint.segments:
                if word != "rest":
                    step = f"={name[0]}" if word == "fixed" else word
                    self.after.setdefault(prefix, set()).add(step)
                    prefix = (*prefix, step)
            if not endpoint.segments or endpoint.segments[-1] != ["rest"]:
                self.ends.setdefault(prefix, []).append(endpoint)

    def looks_alike(self, prefix: Prefix, segment: str) -> bool:
        """Whether a segment is no literal here, and looks like one."""
        literals = {step[1:] for step in self.after.get(prefix, ()) if step.startswith("=")}
        return segment not in literals and not {folded(each) for each in literals}.isdisjoint(spellings(segment))

    def walked(self, segments: Sequence[str]) -> Iterator[list[Prefix]]:
        """Where the segments before each one lead."""
        here: list[Prefix] = [()]
        for segment in segments:
            yield here
            below = [(prefix, step) for prefix in here for step in self.after.get(prefix, ())]
            here = [(*prefix, step) for prefix, step in below if self.fits(step, segment)]

    def fits(self, step: str, segment: str) -> bool:
        return segment == step[1:] if step.startswith("=") else capture(step, segment) is not None

    def fitting(self, target: Target) -> list[Endpoint]:
        """The endpoints whose patterns the path has, also at its end."""
        found = []
        for endpoint in self.endpoints:
            own, given = endpoint.segments, target.segments
            is_open = bool(own) and own[-1] == ["rest"]
            own = own[:-1] if is_open else own
            steps = [f"={name[0]}" if word == "fixed" else word for word, *name in own]
            long_enough = len(given) >= len(own) if is_open else len(given) == len(own)
            opaque = {place for place, each in enumerate(own) if each[0] == "opaque"}
            ends = endpoint.slash == target.slash
            if long_enough and ends and all(map(self.fits, steps, given)):
                found += [endpoint] if target.slashed <= opaque else []
        return found

    def route(self, call: Http) -> Endpoint | Refusal:
        """The most specific endpoint that the path fits and that takes the method."""
        target, method = call.target, call.method
        if self.is_literal(target.segments, target.escaped):
            return Refusal("path", "path.encoded_literal")
        if self.is_alike(target.segments):
            return Refusal("path", "path.lookalike")
        fits = self.fitting(target)
        takes = [
            each for each in fits if each.form == "grpc" or {method, "ANY"} & {*each.methods} or follows(each, method)
        ]
        if not takes and target.slashed and not fits:
            return Refusal("path", "path.encoded_slash")
        if not takes:
            return Refusal("route", "route.method" if fits else "route.endpoint")
        if target.slashed and self.hides_literal(target):
            return Refusal("path", "path.encoded_literal")
        as_grpc = is_grpc(call)

        def rank(each: Endpoint) -> tuple[list[int], bool, bool, str]:
            known = bool({method, "ANY"} & {*each.methods})
            return [STEPS[word] for word, *_ in each.segments], (each.form == "grpc") != as_grpc, not known, each.id

        best = min(takes, key=rank)
        return Refusal("route", "route.not_grpc") if best.form == "grpc" and not as_grpc else best

    def is_literal(self, segments: Sequence[str], places: frozenset[int]) -> bool:
        """Whether a segment at one of these places is a literal there."""
        walk = enumerate(self.walked(segments))
        return any(
            place in places and any(f"={segments[place]}" in self.after.get(prefix, ()) for prefix in here)
            for place, here in walk
        )

    def is_alike(self, segments: Sequence[str]) -> bool:
        walk = enumerate(self.walked(segments))
        return any(self.looks_alike(prefix, segments[place]) for place, here in walk for prefix in here)

    def hides_literal(self, target: Target) -> bool:
        """Whether a piece between `%2F` is, or looks like, a literal to a server that decodes first."""
        pieces: list[str] = []
        places: set[int] = set()
        for place, segment in enumerate(target.segments):
            written = segment.split("/")
            places |= {*range(len(pieces), len(pieces) + len(written))} if place in target.slashed else set()
            pieces += written
        return self.is_literal(pieces, frozenset(places)) or self.is_alike(pieces)


def follows(endpoint: Endpoint, method: str) -> bool:
    return method == "HEAD" and "GET" in endpoint.methods


def captures(endpoint: Endpoint, target: Target) -> dict[Name, Value] | None:
    found: dict[Name, Value] = {}
    for (word, *name), segment in zip(endpoint.segments, target.segments, strict=False):
        if word in {"int", "uuid", "string", "opaque"}:
            value = capture(word, segment)
            if value is None:
                return None
            found["path", name[0]] = value
    return found


def is_grpc(call: Http) -> bool:
    types = call.headers.get("content-type", [])
    typed = len(types) == 1 and re.match(r"application/grpc(?:[+;]|\Z)", types[0])
    return bool(typed) and call.method == "POST" and call.target.query is None
