"""Draws the services of a bundle and their endpoints: HTTP, gRPC and actions, with everything an endpoint may declare.

`draw_services` completes a `World`. The patterns of one service are chosen from a catalogue whose members go together
in any combination, so that no inventory is ambiguous.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.typesystem import IntType, Scalar, SetType, Type
from tests.support.generator.pools import SCOPES, quoted
from tests.support.generator.world import Endpoint, Env, Field, Service, World


class Template(Struct, frozen=True):
    """A route of the catalogue; `route` is a path pattern, `package.Service/Method` or the name of an action."""

    name: str
    form: Literal["http", "grpc", "action"]
    methods: tuple[str, ...]
    route: str
    captures: tuple[Field, ...] = ()

    @property
    def pattern(self) -> str:
        """The pattern of its paths, empty for an action."""
        return {"http": self.route, "grpc": f"/{self.route}", "action": ""}[self.form]

    def written(self, resource: str) -> str:
        """The route as a policy writes it; `resource` is what an action is on."""
        match self.form:
            case "http":
                return f"{' | '.join(self.methods)} {self.route}"
            case "grpc":
                return f"grpc {self.route}"
            case "action":
                return f'action "{self.route}" on "{resource}"'


_ACCOUNT = Field("account", Scalar.STRING)
_ITEM = Field("item", Scalar.UUID)
_N = Field("n", IntType())
_PROJECT = Field("project", Scalar.STRING)
_HTTP = (
    Template("list_all", "http", ("GET",), "/orders"),
    Template("place", "http", ("POST",), "/orders"),
    Template("probe", "http", ("HEAD",), "/orders"),
    Template("slash", "http", ("GET",), "/orders/"),
    Template("read_one", "http", ("GET",), "/orders/{account}", (_ACCOUNT,)),
    Template("change", "http", ("PUT", "DELETE"), "/orders/{account}", (_ACCOUNT,)),
    Template("latest", "http", ("GET",), "/orders/latest"),
    Template("mine", "http", ("GET",), "/orders/@me"),
    Template("item", "http", ("GET",), "/orders/{account}/items/{item: uuid}", (_ACCOUNT, _ITEM)),
    Template("line", "http", ("GET",), "/orders/{account}/lines/{n: int}", (_ACCOUNT, _N)),
    Template("notes", "http", ("ANY",), "/orders/{account}/notes", (_ACCOUNT,)),
    Template("blob", "http", ("GET",), "/blobs/{project: opaque}", (_PROJECT,)),
    Template("meta", "http", ("GET",), "/blobs/{project: opaque}/meta/{n: int}", (_PROJECT, _N)),
    Template("head", "http", ("GET",), "/tree/*/head"),
    Template("tree", "http", ("GET", "POST"), "/tree/**"),
    Template("root", "http", ("GET",), "/"),
    Template("preflight", "http", ("OPTIONS",), "/**"),
)
_GRPC = (
    Template("watch", "grpc", ("POST",), "shop.v1.Orders/Watch"),
    Template("reserve", "grpc", ("POST",), "shop.v1.Orders/Reserve"),
)
_ACTIONS = (
    Template("open_doc", "action", (), "open"),
    Template("seal_doc", "action", (), "seal"),
    Template("share_doc", "action", (), "share"),
)


def draw_services(
    rng: random.Random, world: World, modules: Sequence[str], own_labels: Mapping[str, frozenset[str]]
) -> World:
    """The world with its services, each in one of `modules`; `own_labels` are those that a module declares itself."""
    services: list[Service] = []
    endpoints: list[Endpoint] = []
    for number, name in enumerate(("shop", "files", "docs")[: rng.choice([1, 2, 2, 3])]):
        module = modules[number % len(modules)]
        drawn = _Drawing(rng, world, name, module, own_labels)
        service, own = drawn.service(modules)
        services.append(service)
        endpoints += own
    envs = frozenset(_envs(world, services, endpoints))
    return replace(world, services=tuple(services), endpoints=tuple(endpoints), envs=envs)


def _envs(world: World, services: Sequence[Service], endpoints: Sequence[Endpoint]) -> list[Env]:
    accepts = {service.name: service.accepts for service in services}
    return [
        (kind, index)
        for index, endpoint in enumerate(endpoints)
        for kind in (
            None,
            *(kind.name for kind in world.kinds if kind.form == "token"),
            *(accepts[endpoint.service] if endpoint.form == "action" else ()),
        )
    ]


class _Drawing:
    """Draws one service."""

    def __init__(
        self, rng: random.Random, world: World, name: str, module: str, own_labels: Mapping[str, frozenset[str]]
    ) -> None:
        self._rng = rng
        self._world = world
        self._name = name
        self._module = module
        self._own_labels = own_labels
        self._tags: dict[str, Type] = {}

    def service(self, modules: Sequence[str]) -> tuple[Service, list[Endpoint]]:
        """The service and its endpoints."""
        rng, name = self._rng, self._name
        templates = self._templates()
        subjects = [kind.name for kind in self._world.kinds if kind.form == "subject"]
        with_action = any(template.form == "action" for template in templates)
        accepts = tuple(subjects) if with_action and rng.random() < 0.85 else ()
        grants = (self._module, *(each for each in modules if each != self._module and rng.random() < 0.6))
        lines = [self._audience(only_actions=all(template.form == "action" for template in templates))]
        hosts = [f"{name}.example", f"{name}.internal"][: rng.choice([1, 2])]
        by_setting = name == "shop" and rng.random() < 0.2
        lines.append("host shop_host" if by_setting else f"host {quoted(hosts)}")
        if len(grants) > 1 or rng.random() < 0.3:
            lines.append(f"grants by {', '.join(grants)}")
        if accepts:
            lines.append(f"accepts {', '.join(accepts)}")
        if rng.random() < 0.07:
            lines.append("observe until 2026-03-02")
        if rng.random() < 0.2:
            lines.append("query strict")
        lines += self._service_tags()
        headers = self._headers(rng.sample(range(3), rng.choice([0, 1])))
        lines += [field.text("header") for field in headers]
        drawn = [self._endpoint(template, headers) for template in templates]
        head = "".join(f"  {line}\n" for line in lines)
        texts = tuple(text for text, _ in drawn)
        return Service(name, self._module, head, texts, grants, accepts), [endpoint for _, endpoint in drawn]

    def _templates(self) -> list[Template]:
        rng = self._rng
        if self._name == "docs":
            return [*rng.sample(_ACTIONS, 2), *rng.sample(_HTTP, rng.choice([0, 1]))]
        if rng.random() < 0.2:
            return rng.sample(_HTTP[:8], 1)  # one endpoint, so that all rules meet there
        actions = rng.sample(_ACTIONS, 1) if rng.random() < 0.35 else []
        return [*rng.sample(_HTTP, rng.randint(2, 6)), *rng.sample(_GRPC, rng.choice([0, 0, 1, 2])), *actions]

    def _audience(self, *, only_actions: bool) -> str:
        rng, name = self._rng, self._name
        if rng.random() < (0.5 if only_actions else 0.06):
            return "audience none"
        if name == "shop" and rng.random() < 0.3:
            return "audience orders_audience"
        return f"audience {quoted([name, 'all'][: rng.choice([1, 2])])}"

    def _service_tags(self) -> list[str]:
        level, region = self._world.enums
        lines = []
        if self._rng.random() < 0.6:
            lines.append(f"tag level = {self._rng.choice(level.values)}")
            self._tags["level"] = level
        if self._rng.random() < 0.4:
            lines.append(f"tag region = {self._rng.choice(region.values)}")
            self._tags["region"] = region
        if self._rng.random() < 0.5:
            lines.append(f'tag owner = "{self._rng.choice(["acme", "u1"])}"')
            self._tags["owner"] = Scalar.STRING
        return lines

    # ------------------------------------------------------------ endpoints

    def _endpoint(self, template: Template, service_headers: Sequence[Field]) -> tuple[str, Endpoint]:
        rng, level, action = self._rng, self._world.enums[0], template.form == "action"
        labels = sorted(label for label in self._world.labels if rng.random() < 0.35)
        items = [f"tagged {', '.join(labels)}"] if labels else []
        if rng.random() < 0.22:
            items.append(f"scope {quoted(rng.sample(SCOPES, rng.choice([1, 1, 2])))}")
        tags = dict(self._tags)
        if rng.random() < 0.5:
            items.append(f"tag level = {rng.choice(level.values)}")
            tags["level"] = level
        query = self._query() if template.form == "http" else ()
        taken = {each.name for each in service_headers}
        free = [place for place, (name, _, _) in enumerate(_HEADERS) if name not in taken and rng.random() < 0.15]
        headers = () if action else self._headers(free)
        properties = self._properties() if action else ()
        items += [field.text("query") for field in query]
        items += [field.text("header") for field in headers]
        items += [field.text("property") for field in properties]
        closed = rng.random() < 0.03
        if closed:
            items.append("closed")
        rng.shuffle(items)
        lines = "".join(f"\n    {item}" for item in items)
        endpoint = Endpoint(
            self._name,
            template.name,
            template.form,
            template.methods,
            template.pattern,
            template.captures,
            query,
            () if action else (*service_headers, *headers),
            properties,
            frozenset(self._label_id(label) for label in labels),
            tags,
            dict(self._tags),
            closed,
        )
        return f"endpoint {template.name} {template.written(f'{self._name}_doc')}{lines}", endpoint

    def _label_id(self, label: str) -> str:
        return f"{self._module}.{label}" if label in self._own_labels.get(self._module, ()) else label

    def _query(self) -> tuple[Field, ...]:
        rng, level = self._rng, self._world.enums[0]
        catalogue: list[tuple[str, Type]] = [
            ("limit", IntType(1, 200)),
            ("after", Scalar.STRING),
            ("since", Scalar.TIME),
            ("max_age", Scalar.DURATION),
            ("from_ip", Scalar.IP),
            ("grade", level),
            ("ids", SetType(Scalar.STRING)),
            ("flag", Scalar.BOOL),
            ("ref", Scalar.UUID),
        ]
        drawn = rng.sample(catalogue, rng.choice([0, 0, 1, 2, 3]))
        return tuple(Field(name, type_, optional=rng.random() < 0.85) for name, type_ in drawn)

    def _headers(self, places: Sequence[int]) -> tuple[Field, ...]:
        return tuple(
            Field(name, type_, optional=self._rng.random() < 0.85, source=source)
            for name, type_, source in (_HEADERS[place] for place in places)
        )

    def _properties(self) -> tuple[Field, ...]:
        rng, level = self._rng, self._world.enums[0]
        catalogue: list[tuple[str, Type, tuple[str, ...]]] = [
            ("department", Scalar.STRING, ("ownerDepartment",)),
            ("sealed", Scalar.BOOL, ()),
            ("size", IntType(0, 100), ()),
            ("grade", level, ()),
            ("created", Scalar.TIME, ()),
            ("owners", SetType(Scalar.STRING), ("meta", "owners")),
        ]
        drawn = rng.sample(catalogue, rng.choice([0, 1, 2, 3]))
        return tuple(Field(name, type_, optional=rng.random() < 0.8, source=way) for name, type_, way in drawn)


_HEADERS: tuple[tuple[str, Type, tuple[str, ...]], ...] = (
    ("device", Scalar.STRING, ("X-Device-Id",)),
    ("trace_id", Scalar.UUID, ()),
    ("zones", SetType(Scalar.STRING), ("x-zones",)),
    ("hops", IntType(0, 9), ()),
    ("client_ip", Scalar.IP, ()),
)
