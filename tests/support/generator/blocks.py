"""Draws `casbin` blocks for a bundle: what a service's calls always have, bound to a model with rows that meet them.

`draw_blocks` takes a completed `World`; out come blocks as text, each with its module and with the files that it names.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from policy_lang.typesystem import IntType, Scalar, SetType, Type
from tests.support.generator.pools import ADDRESSES, NETWORKS, json_value, text_of
from tests.support.generator.world import Endpoint, Service, World

_PLAIN = re.compile(r"[A-Za-z0-9_./:é-]+")
"""What a row holds as a value without a warning that strict makes an error of."""

_EFFECTS = (
    "some(where (p.eft == allow))",
    "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    "priority(p.eft) || deny",
)
_PATHS = ("/orders", "/orders/*", "/orders/:account", "/blobs/*", "/tree/*", "/orders/:account/lines/:n", "/*")
_METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE")


class BlockText(Struct, frozen=True):
    """A block of a module, and the files it names, which stand beside those of the policy."""

    module: str
    text: str
    files: Mapping[str, bytes]


class _Input(Struct, frozen=True):
    """An input as a block binds it, its type, and values that a row may hold for it; none: values of its type."""

    ref: str
    type: Type
    values: tuple[str, ...] = ()


def draw_blocks(rng: random.Random, world: World, names: Sequence[str]) -> Iterator[BlockText]:
    """A few blocks, or none."""
    for number in range(rng.choice([0, 1, 1, 2, 3])):
        service = rng.choice(world.services)
        homes = [name for name in service.grants_by if names.index(name) >= names.index(service.module)]
        endpoints = [each for each in world.endpoints if each.service == service.name and not each.closed]
        if homes and endpoints:
            yield _Drawing(rng, world, service, endpoints).block(f"block{number}", rng.choice(homes))


class _Drawing:
    """Draws one block."""

    def __init__(self, rng: random.Random, world: World, service: Service, endpoints: Sequence[Endpoint]) -> None:
        self._rng = rng
        self._world = world
        self._service = service
        whole = rng.random() < 0.4 and not any(each.closed for each in world.endpoints if each.service == service.name)
        self._endpoints = list(endpoints) if whole else [rng.choice(endpoints)]
        self._target = service.name if whole else f"{service.name}.{self._endpoints[0].name}"

    def block(self, name: str, module: str) -> BlockText:
        """The block of a name in a module."""
        rng = self._rng
        inputs = rng.sample(known := list(self._inputs()), min(len(known), rng.choice([1, 1, 2, 3])))
        effect = rng.choice(_EFFECTS)
        compat = rng.random() < 0.25
        if compat and rng.random() < 0.3:
            effect = "!some(where (p.eft == deny))"
        conditions = [self._condition(place, each) for place, each in enumerate(inputs)]
        if len(conditions) > 1 and rng.random() < 0.15:
            conditions[-2:] = [f"({conditions[-2]} || {conditions[-1]})"]
        roles = any("g(" in each for each in conditions)
        model = "\n".join(
            [
                "[request_definition]",
                f"r = {', '.join(f'a{place}' for place in range(len(inputs)))}",
                "[policy_definition]",
                f"p = {', '.join(f'c{place}' for place in range(len(inputs)))}, eft",
                *(["[role_definition]", "g = _, _"] if roles else []),
                "[policy_effect]",
                f"e = {effect}",
                "[matchers]",
                f"m = {' && '.join(conditions)}",
                "",
            ]
        )
        bound = [f"a{place} = {each.ref}" for place, each in enumerate(inputs)]
        rng.shuffle(bound)
        items = [
            f'model "models/{name}.conf"',
            f'policy "models/{name}.csv"',
            f"bind {', '.join(bound)}",
            f"on {self._target}",
            f"as {rng.choice(['full', 'full', 'grants_only'])}",
            *(["mode compat"] if compat else []),
        ]
        rng.shuffle(items)
        rows = "".join(f"{', '.join(row)}\n" for row in self._rows(inputs, roles=roles))
        files = {f"models/{name}.conf": model.encode(), f"models/{name}.csv": rows.encode()}
        return BlockText(module, f"casbin {name} {{\n" + "".join(f"  {item}\n" for item in items) + "}", files)

    def _condition(self, place: int, of: _Input) -> str:
        """What the matcher asks of one parameter."""
        rng, asked, column = self._rng, f"r.a{place}", f"p.c{place}"
        match of.type:
            case SetType():
                return f"{column} in {asked}"
            case Scalar.BOOL:
                return rng.choice([asked, f"(not {asked})", f"{asked} == true"])
            case IntType():
                return rng.choice([f"{asked} > {rng.choice([0, 2, 10])}", f"{asked} <= {rng.choice([1, 3, 50])}"])
            case Scalar.IP:
                return f"ipMatch({asked}, {column})"
            case _ if of.ref == "request.path":
                return f"keyMatch2({asked}, {column})"
            case _:
                return rng.choice([f"{asked} == {column}", f"{asked} == {column}", f"g({asked}, {column})"])

    def _rows(self, inputs: Sequence[_Input], *, roles: bool) -> Iterator[list[str]]:
        rng = self._rng
        for _ in range(rng.choice([0, 3, 8, 16])):
            values = [self._value(each) for each in inputs]
            yield ["p", *values, rng.choice(["allow", "allow", "deny"])]
        for _ in range(rng.choice([1, 3]) if roles else 0):
            yield ["g", self._value(rng.choice(inputs)), self._value(rng.choice(inputs))]

    def _value(self, of: _Input) -> str:
        """A value of a row."""
        rng = self._rng
        if of.values:
            return rng.choice(of.values)
        element = of.type.element if isinstance(of.type, SetType) else of.type
        if element is Scalar.IP:
            return rng.choice(NETWORKS) if rng.random() < 0.7 else rng.choice(ADDRESSES)
        text = text_of(json_value(rng, element))
        return text if _PLAIN.fullmatch(text) else "x"

    # ------------------------------------------------------------ what every call has

    def _inputs(self) -> Iterator[_Input]:
        """The inputs that every call of the endpoints has, of those kinds of caller that have them at all."""
        yield _Input("request.ip", Scalar.IP)
        yield _Input("request.peer", Scalar.WORKLOAD)
        yield _Input("token.scope", SetType(Scalar.STRING), ("orders.read", "orders.write", "admin"))
        if all(each.form != "action" for each in self._endpoints):
            yield _Input("request.path", Scalar.STRING, _PATHS)
            yield _Input("request.method", Scalar.STRING, _METHODS)
        if all(each.form == "action" for each in self._endpoints):
            yield _Input("resource.id", Scalar.STRING)
        yield from self._claims()
        first, *others = self._endpoints
        for root, of in (("path", first.captures), ("query", first.query), ("header", first.headers)):
            for each in of if not others else ():
                if not each.optional and _may_be_asked(each.type):
                    yield _Input(f"{root}.{each.name}", each.type)

    def _claims(self) -> Iterator[_Input]:
        """The claims that no kind of token may lack which has them."""
        kinds = [kind for kind in self._world.kinds if kind.form == "token"]
        found: dict[str, list[tuple[Type, bool]]] = {}
        for kind in kinds:
            for claim in kind.fields:
                found.setdefault(claim.name, []).append((claim.type, claim.optional))
        for name, declared in found.items():
            types = {type_ for type_, _ in declared}
            if len(types) == 1 and not any(optional for _, optional in declared) and all(map(_may_be_asked, types)):
                yield _Input(f"token.{name}", declared[0][0])


def _may_be_asked(type_: Type) -> bool:
    """Whether a row can hold a value of it: of sets only texts are drawn."""
    return (
        type_ == SetType(Scalar.STRING) if isinstance(type_, SetType) else type_ not in {Scalar.TIME, Scalar.DURATION}
    )
