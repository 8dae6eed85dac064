"""Draws questions near a program: mostly calls that are routed and conform, with values that its rules ask about.

`Questioner.draw` gives one question; seldom something of it is wrong, missing, unread or unknown. `hostile` gives one
that nobody well-meaning would send. Questions hold values only, so the same seed gives the same question.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import assert_never
from urllib.parse import quote

from msgspec.structs import replace

from policy_lang.ir import (
    Action,
    AnySegment,
    Attr,
    Capture,
    Cell,
    Endpoint,
    FieldSchema,
    Fixed,
    Grpc,
    Http,
    Kind,
    Program,
    Rest,
    Root,
    Value,
    lookups_of,
)
from policy_lang.meaning.admission import Admission, Call
from policy_lang.meaning.evaluation import value_of
from policy_lang.meaning.schema import fields_of, root_of
from policy_lang.meaning.signals import CONTEXT, read_signals
from policy_lang.request import Path, PathRefusal, canonical_path
from policy_lang.typesystem import IntType, Scalar, Type
from policy_lang.verdict import (
    ANONYMOUS,
    CAPABILITIES,
    ActionCall,
    Caller,
    Capability,
    Facts,
    HttpCall,
    Json,
    Origin,
    Question,
    Row,
)
from tests.support.generator.near import Near
from tests.support.generator.pools import NOW_MS, SCOPES, STRANGER, text_of

_CAPTURE_TYPES: Mapping[str, Type] = {
    "string": Scalar.STRING,
    "opaque": Scalar.STRING,
    "int": IntType(),
    "uuid": Scalar.UUID,
}
_RAW = "!$&'()*+,=:@"
"""What may stand raw in a segment of a path, beside what `quote` leaves."""

_WRONG: Sequence[Json] = (
    None,
    True,
    1.5,
    10**30,
    "\ud800",
    {"a": 1},
    [[1]],
    "",
    "x" * 5000,
    -1,
    [1, "a"],
    float("nan"),
)


class Questioner:
    """Draws questions for one program. `facts` are those of its bundle."""

    def __init__(self, program: Program, facts: Facts) -> None:
        self._program = program
        self._facts = facts
        self._near = Near(program)
        self._admission = Admission.of(program)
        self._services = {service.id: service for service in program.services}
        self._weights = [self._weight(cell) for cell in program.cells]

    def draw(self, rng: random.Random) -> Question:
        """A question near the program."""
        program = self._program
        cell = rng.choices(program.cells, self._weights)[0]
        endpoint = program.endpoints[cell.endpoint]
        now_ms = NOW_MS if rng.random() < 0.8 else self._near.instant_ms(rng, NOW_MS)
        call = self._call(rng, endpoint, now_ms)
        caller = self._caller(rng, endpoint, cell.kind, now_ms)
        service = endpoint.service if rng.random() < 0.99 else rng.choice(["elsewhere", *self._services])
        able = CAPABILITIES if rng.random() < 0.88 else _without(rng, CAPABILITIES)
        origin, signals = self._origin(rng), self._signals(rng, now_ms)
        question = Question(service, call, caller, now_ms, self._facts, origin, signals, able)
        return replace(question, facts=self._rows(rng, question))

    def hostile(self, rng: random.Random) -> Question:
        """A question that holds anything its types allow, but for signals and facts, which were read by us."""
        question = self.draw(rng)
        claims = {
            name: rng.choice(_WRONG) if rng.random() < 0.3 else given for name, given in question.caller.claims.items()
        }
        kind = rng.choice([question.caller.kind, question.caller.kind, "ghost", ""])
        caller = Caller(kind, claims, multi_audience=True, unread=frozenset(rng.sample(["sub", "aud", "nothing"], 1)))
        call = question.call
        if isinstance(call, HttpCall):
            headers = {name: (*values, "x" * 300, "\x00") for name, values in call.headers.items()}
            method = rng.choice([call.method, "get", "", "PROPFIND\n"])
            target = rng.choice(["/", "/%2f", "/a" * 200, "/orders/%40me", "/orders/a%2Fb?limit=%00&&=&limit=1"])
            call = HttpCall(method, rng.choice([call.path, _path(target)]), rng.choice([call.host, "\n"]), headers)
        else:
            call = replace(call, id=rng.choice([call.id, "", "\ud800"]), properties={"size": rng.choice(_WRONG)})
        origin = Origin(rng.choice(["not an address", "::ffff:10.20.3.4", "1" * 99, None]), "\n", "spiffe://")
        now_ms = rng.choice([0, -(2**63), 2**63 - 1, 10**40, question.now_ms])
        return Question(question.service, call, caller, now_ms, {}, origin, question.signals, frozenset())

    def _weight(self, cell: Cell) -> float:
        """How often a cell is asked: seldom where nothing can be allowed."""
        ruled = len(cell.deny) + len(cell.allow) + len(cell.require)
        closed = self._closed(cell) or not cell.allow
        return 0.02 + math.sqrt(ruled) * (0.04 if closed else 1 if cell.require else 0.7)

    def _closed(self, cell: Cell) -> bool:
        """Whether a token is presented where none is taken."""
        service = self._services[self._program.endpoints[cell.endpoint].service]
        form = next((kind.form for kind in self._program.kinds if kind.id == cell.kind), None)
        return form == "token" and not service.audiences

    # ------------------------------------------------------------ the call

    def _call(self, rng: random.Random, endpoint: Endpoint, now_ms: int) -> HttpCall | ActionCall:
        match endpoint.route:
            case Http():
                return self._http(rng, endpoint, endpoint.route, now_ms)
            case Grpc(service, method):
                form = (
                    "application/grpc"
                    if rng.random() < 0.95
                    else rng.choice(["application/json", "application/grpc-web"])
                )
                headers = {
                    **self._headers(rng, endpoint, now_ms),
                    "content-type": (form + rng.choice(["", "+proto", ";x"]),),
                }
                verb = "POST" if rng.random() < 0.97 else "GET"
                return HttpCall(verb, _path(f"/{service}/{method}"), self._host(rng, endpoint), headers)
            case Action(action, resource):
                properties = self._fields(rng, "resource", endpoint.properties, now_ms)
                asked = action if rng.random() < 0.97 else "burn"
                return ActionCall(
                    asked,
                    resource,
                    str(self._near.json(rng, Attr("resource", "id"), Scalar.STRING, now_ms)),
                    properties,
                )
            case _:
                assert_never(endpoint.route)

    def _http(self, rng: random.Random, endpoint: Endpoint, route: Http, now_ms: int) -> HttpCall:
        steps = [step for segment in route.segments for step in self._segment(rng, segment, now_ms)]
        target = "/" + "/".join(steps) + ("/" if route.trailing_slash else "")
        if rng.random() < 0.02:
            target = rng.choice(["/nowhere", "/orders/%40me", "/orders/a%2Fb", target + "/x"])
        method = rng.choice(route.methods)
        method = rng.choice(["GET", "PATCH", "POST"]) if method == "ANY" else method
        if rng.random() < 0.04:
            method = rng.choice(["HEAD", "HEAD", "TRACE"])
        query = self._query(rng, endpoint, now_ms)
        path = _path(f"{target}?{query}" if query else target)
        return HttpCall(method, path, self._host(rng, endpoint), self._headers(rng, endpoint, now_ms))

    def _segment(self, rng: random.Random, segment: Fixed | Capture | AnySegment | Rest, now_ms: int) -> list[str]:
        match segment:
            case Fixed(text):
                return [quote(text, safe=_RAW)]
            case Capture(name, type_):
                value = text_of(self._near.json(rng, Attr("path", name), _CAPTURE_TYPES[type_], now_ms))
                return [quote(value, safe=_RAW) + ("%2Fmain" if type_ == "opaque" and rng.random() < 0.3 else "")]
            case AnySegment():
                return [rng.choice(["a1", "b"])]
            case Rest():
                return rng.choice([[], ["a1"], ["a1", "b"]])
            case _:
                assert_never(segment)

    def _host(self, rng: random.Random, endpoint: Endpoint) -> str:
        hosts = self._services[endpoint.service].hosts
        return rng.choice([*hosts, *hosts, *hosts, ""]) if rng.random() < 0.99 else "elsewhere.example"

    def _query(self, rng: random.Random, endpoint: Endpoint, now_ms: int) -> str:
        given = self._texts(rng, "query", endpoint.query, now_ms)
        pairs = [(name, text) for name, texts in given.items() for text in texts]
        if rng.random() < 0.04:
            pairs.append(rng.choice([("extra", "1"), *pairs[:1]]))
        rng.shuffle(pairs)
        return "&".join(f"{name}={quote(text, safe='')}" for name, text in pairs)

    def _headers(self, rng: random.Random, endpoint: Endpoint, now_ms: int) -> dict[str, tuple[str, ...]]:
        given = self._texts(rng, "header", endpoint.headers, now_ms)
        several = {name: texts * 2 if rng.random() < 0.02 else texts for name, texts in given.items()}
        return {**several, "accept": ("*/*",)}

    def _texts(
        self, rng: random.Random, root: Root, fields: Sequence[FieldSchema], now_ms: int
    ) -> dict[str, tuple[str, ...]]:
        texts: dict[str, tuple[str, ...]] = {}
        for field in fields:
            if not self._there(rng, field):
                continue
            value = self._near.json(rng, Attr(root, field.name), field.type, now_ms)
            members = value if isinstance(value, list) else [value]
            if members or root == "query":
                texts[field.source[0]] = tuple(map(text_of, members)) if rng.random() < 0.99 else ("?",)
        return texts

    # ------------------------------------------------------------ the caller

    def _caller(self, rng: random.Random, endpoint: Endpoint, wanted: str | None, now_ms: int) -> Caller:
        if rng.random() < 0.03:
            wanted = rng.choice([None, *(kind.id for kind in self._program.kinds)])
        if wanted is None:
            return ANONYMOUS
        kind = next(kind for kind in self._program.kinds if kind.id == wanted)
        claims = self._fields(rng, root_of(kind), kind.claims, now_ms)
        if kind.form == "token":
            claims |= self._implicit(rng, endpoint)
        elif rng.random() < 0.99:
            claims["id"] = str(self._near.json(rng, Attr("subject", "id"), Scalar.STRING, now_ms))
        claims["undeclared"] = [1]
        unread = self._unread(rng, kind) if rng.random() < 0.05 else frozenset[str]()
        return Caller(kind.id, claims, rng.random() < 0.3, unread)

    def _implicit(self, rng: random.Random, endpoint: Endpoint) -> dict[str, Json]:
        audiences = self._services[endpoint.service].audiences
        aud: Json = [rng.choice(audiences)] if audiences else []
        if not audiences and rng.random() < 0.5:
            aud = ["nobody"]
        if rng.random() < 0.05:
            strange: Sequence[Json] = ([], "shop", ["shop", "files"], "elsewhere", ["all"])
            aud = rng.choice(strange)
        scopes = {*endpoint.scopes, *rng.sample(SCOPES, rng.choice([0, 1, 2]))}
        if rng.random() < 0.08:
            scopes = set(rng.sample(SCOPES, rng.choice([0, 1])))
        listed = sorted(scopes)
        return {"aud": aud, "scope": " ".join(listed) if rng.random() < 0.5 else [*listed]}

    def _fields(self, rng: random.Random, root: Root, fields: Sequence[FieldSchema], now_ms: int) -> dict[str, Json]:
        given: dict[str, Json] = {}
        for field in fields:
            if not self._there(rng, field):
                continue
            value = self._near.json(rng, Attr(root, field.name), field.type, now_ms)
            value = rng.choice(_WRONG) if rng.random() < 0.003 else value
            _put(given, field.source, value)
        return given

    def _there(self, rng: random.Random, field: FieldSchema) -> bool:
        return rng.random() < (0.65 if field.optional else 0.995)

    def _unread(self, rng: random.Random, kind: Kind) -> frozenset[str]:
        names = [field.name for field in fields_of(kind)]
        return frozenset(rng.sample(names, rng.randint(1, len(names))))

    # ------------------------------------------------------------ the rest

    def _origin(self, rng: random.Random) -> Origin:
        identities = [workload.identity for workload in self._program.workloads]
        peer, gateway = (rng.choice([*identities, "", STRANGER]) for _ in range(2))
        address = self._near.json(rng, Attr("request", "ip"), Scalar.IP, NOW_MS)
        known = address if isinstance(address, str) and rng.random() < 0.93 else None
        return Origin(known, peer, gateway, rng.choice([True, True, False, None]))

    def _signals(self, rng: random.Random, now_ms: int) -> Mapping[str, Value]:
        """Most readings are sent; a counter has a value now and then, as if its provider ran."""
        sent: dict[str, Json] = {}
        counted: dict[str, Value] = {}
        for signal in self._program.signals:
            value = self._near.json(rng, Attr("signal", signal.id), signal.type, now_ms)
            if rng.random() < 0.12:
                continue
            if signal.provider.startswith(CONTEXT):
                sent[signal.provider.removeprefix(CONTEXT)] = value if rng.random() < 0.98 else rng.choice(_WRONG)
            elif isinstance(value, int) and rng.random() < 0.9:
                counted[signal.id] = value
        return {**read_signals(self._program.signals, sent), **counted}

    def _rows(self, rng: random.Random, question: Question) -> Facts:
        """The facts of the bundle with some of the rows that this call asks for, and seldom without a relation."""
        facts = dict(question.facts)
        call = self._admission.admit(question)
        if isinstance(call, Call):
            for lookup in sorted(lookups_of(self._program, call.cell), key=repr):
                values = [value_of(argument, call.environment) for argument in lookup.arguments]
                row = tuple(value for value in values if isinstance(value, bool | int | str))
                if len(row) == len(values) and rng.random() < 0.4:
                    facts[lookup.relation] = facts[lookup.relation] | {row}
        for relation in self._program.relations:
            if rng.random() < 0.04:
                del facts[relation.id]
            elif rng.random() < 0.1:
                facts[relation.id] = frozenset[Row]()
        return facts


def _without(rng: random.Random, able: frozenset[Capability]) -> frozenset[Capability]:
    return frozenset(rng.sample(sorted(able), rng.randint(0, len(able) - 1)))


def _path(target: str) -> Path:
    path = canonical_path(target)
    return _ROOT if isinstance(path, PathRefusal) else path


_ROOT = Path("/", (), trailing_slash=False, escaped=frozenset(), query=None)


def _put(given: dict[str, Json], way: Sequence[str], value: Json) -> None:
    """Put a value where its source says."""
    step, *further = way
    if not further:
        given[step] = value
        return
    inner = given.setdefault(step, {})
    if isinstance(inner, dict):
        _put(inner, further, value)
