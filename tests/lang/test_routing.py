"""A call is for the most specific endpoint that fits, or refused by name."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from policy_lang.ir import Capture, Endpoint, Http
from policy_lang.meaning.routing import Routed, Router, RouteRefusal, route
from policy_lang.verdict import ActionCall, HttpCall
from tests.lang.programs import action, build, endpoint, grpc, path, service

UUID = "6F1C7C1E-3f0e-4a57-9d5f-0d6c8c7c2b11"

INVENTORY = (
    endpoint("s.root", "/"),
    endpoint("s.accounts", "/accounts"),
    endpoint("s.account", "/accounts/{account}"),
    endpoint("s.me", "/accounts/me"),
    endpoint("s.numbered", "/accounts/{number: int}"),
    endpoint("s.entry", "/accounts/{account}/entries/{entry: uuid}"),
    endpoint("s.post_entry", "/accounts/{account}/entries", ["POST"]),
    endpoint("s.any_action", "/actions/*", ["POST"]),
    endpoint("s.action", "/actions/{action}/run", ["POST"]),
    endpoint("s.files", "/files/**", ["ANY"]),
    endpoint("s.file_index", "/files/index", ["GET"]),
    endpoint("s.slash", "/slash/", ["GET"]),
    endpoint("s.head", "/headed/{x}", ["GET"]),
    endpoint("s.head_itself", "/headed/{y}", ["HEAD"]),
    endpoint("s.space", "/my%20file"),
    endpoint("s.colon", "/v1/items:batch", ["POST"]),
    endpoint("s.item", "/v1/{item}"),
    endpoint("s.deep_colon", "/v2/{a}/x:y/z"),
    endpoint("s.v2", "/v2/**"),
)
PROGRAM = build(
    [service("s"), service("bare", hosts=()), service("two", hosts=("a.example", "b.example"))], INVENTORY, []
)
ROUTER = Router.of(PROGRAM)


def opaque(plain: Endpoint) -> Endpoint:
    """The endpoint with its captures taking `%2F` as data."""
    assert isinstance(plain.route, Http)
    parts = tuple(Capture(p.name, "opaque") if isinstance(p, Capture) else p for p in plain.route.segments)
    return replace(plain, route=replace(plain.route, segments=parts))


def call(method: str, target: str) -> HttpCall:
    return HttpCall(method, path(target), "")


def name_of(routed: Routed | RouteRefusal) -> str:
    assert isinstance(routed, tuple), routed
    return PROGRAM.endpoints[routed[0]].id.partition(".")[2]


ROUTED: dict[str, tuple[str, str, str, dict[str, int | str]]] = {
    "the root": ("GET", "/", "root", {}),
    "a literal": ("GET", "/accounts", "accounts", {}),
    "a capture": ("GET", "/accounts/a1", "account", {"account": "a1"}),
    "a literal before a capture": ("GET", "/accounts/me", "me", {}),
    "a typed capture before an untyped one": ("GET", "/accounts/17", "numbered", {"number": 17}),
    "a negative integer": ("GET", "/accounts/-3", "numbered", {"number": -3}),
    "leading zeros are no integer": ("GET", "/accounts/017", "account", {"account": "017"}),
    "an integer past 64 bits is none": ("GET", f"/accounts/{2**63}", "account", {"account": str(2**63)}),
    "a uuid in lower case": ("GET", f"/accounts/a1/entries/{UUID}", "entry", {"account": "a1", "entry": UUID.lower()}),
    "captures are decoded": ("GET", "/accounts/a%20b", "account", {"account": "a b"}),
    "one segment": ("POST", "/actions/x", "any_action", {}),
    "a capture within": ("POST", "/actions/x/run", "action", {"action": "x"}),
    "nothing is rest": ("GET", "/files", "files", {}),
    "much is rest": ("GET", "/files/a/b/c", "files", {}),
    "a literal before the rest": ("GET", "/files/index", "file_index", {}),
    "any method": ("PURGE", "/files/a", "files", {}),
    "the rest for a method that the literal does not take": ("DELETE", "/files/index", "files", {}),
    "a trailing slash that is declared": ("GET", "/slash/", "slash", {}),
    "HEAD follows GET": ("HEAD", "/accounts/a1", "account", {"account": "a1"}),
    "HEAD follows the most specific GET": ("HEAD", "/files/index", "file_index", {}),
    "HEAD that is declared": ("HEAD", "/headed/1", "head_itself", {"y": "1"}),
    "GET beside a HEAD that is declared": ("GET", "/headed/1", "head", {"x": "1"}),
    "an escape that a literal needs": ("GET", "/my%20file", "space", {}),
    "a literal with a colon": ("POST", "/v1/items:batch", "colon", {}),
    "a needless escape in a capture alone": ("GET", "/v1/a%3Ab", "item", {"item": "a:b"}),
    "a needless escape at another place than the literal's": ("GET", "/v2/x%3Ay/q", "v2", {}),
}


@pytest.mark.parametrize("case", ROUTED)
def test_routed(case: str) -> None:
    method, target, want, captures = ROUTED[case]
    routed = ROUTER.route("s", call(method, target))
    assert name_of(routed) == want
    assert isinstance(routed, tuple)
    assert dict(routed[1]) == captures


REFUSED: dict[str, tuple[str, str, RouteRefusal]] = {
    "an undeclared path": ("GET", "/nowhere", RouteRefusal("route", "route.endpoint")),
    "one segment too many": ("GET", "/accounts/a1/b", RouteRefusal("route", "route.endpoint")),
    "a trailing slash that is not declared": ("GET", "/accounts/", RouteRefusal("route", "route.endpoint")),
    "a trailing slash that is missing": ("GET", "/slash", RouteRefusal("route", "route.endpoint")),
    "a trailing slash behind the rest": ("GET", "/files/index/", RouteRefusal("route", "route.endpoint")),
    "a star takes no empty place": ("POST", "/actions", RouteRefusal("route", "route.endpoint")),
    "a star takes no two segments": ("POST", "/actions/a/b", RouteRefusal("route", "route.endpoint")),
    "a typed capture that does not fit": (
        "GET",
        "/accounts/a1/entries/not-a-uuid",
        RouteRefusal("route", "route.endpoint"),
    ),
    "another method": ("GET", "/accounts/a1/entries", RouteRefusal("route", "route.method")),
    "a method in lower case": ("get", "/accounts", RouteRefusal("route", "route.method")),
    "HEAD does not follow POST": ("HEAD", "/actions/x", RouteRefusal("route", "route.method")),
    "GET does not follow HEAD or POST": ("GET", "/v1/items:batch/x", RouteRefusal("route", "route.endpoint")),
    "case of a literal": ("GET", "/Accounts", RouteRefusal("path", "path.lookalike")),
    "case of a literal beside a capture": ("GET", "/accounts/ME", RouteRefusal("path", "path.lookalike")),
    "case of a literal beside the rest": ("PURGE", "/files/Index", RouteRefusal("path", "path.lookalike")),
    "a dot behind a literal": ("GET", "/accounts/me.", RouteRefusal("path", "path.lookalike")),
    "a format behind a literal": ("GET", "/accounts/me.json", RouteRefusal("path", "path.lookalike")),
    "a stream of a literal": ("GET", "/accounts/me::$DATA", RouteRefusal("path", "path.lookalike")),
    "a literal in wide characters": ("GET", "/accounts/%EF%BD%8De", RouteRefusal("path", "path.lookalike")),
    "a literal with a character that does not show": (
        "GET",
        "/accounts/m%C2%ADe",
        RouteRefusal("path", "path.lookalike"),
    ),
    "an i that only folds to one": ("GET", "/files/%C4%B1ndex", RouteRefusal("path", "path.lookalike")),
    "a lookalike on a way that the call would not take": ("GET", "/V2/x/q", RouteRefusal("path", "path.lookalike")),
    "a literal by a needless escape": ("POST", "/v1/items%3Abatch", RouteRefusal("path", "path.encoded_literal")),
    "a literal of another method by a needless escape": (
        "GET",
        "/v1/items%3abatch",
        RouteRefusal("path", "path.encoded_literal"),
    ),
    "a literal within, under a wider endpoint that would fit": (
        "GET",
        "/v2/anything/x%3Ay",
        RouteRefusal("path", "path.encoded_literal"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    method, target, want = REFUSED[case]
    assert ROUTER.route("s", call(method, target)) == want


HOSTS: dict[str, tuple[str, str, str | None]] = {
    "an undeclared service": ("nobody", "s.example", "route.service"),
    "the empty service": ("", "", "route.service"),
    "its host": ("s", "s.example", None),
    "a host matched before": ("s", "", None),
    "another service's host": ("s", "a.example", "route.host"),
    "a host below its host": ("s", "x.s.example", "route.host"),
    "a service without hosts": ("bare", "s.example", "route.host"),
    "a service without hosts, matched before": ("bare", "", "route.host"),
    "the second host": ("two", "b.example", "route.endpoint"),
}


@pytest.mark.parametrize("case", HOSTS)
def test_hosts(case: str) -> None:
    service_id, host, reason = HOSTS[case]
    routed = ROUTER.route(service_id, HttpCall("GET", path("/accounts"), host))
    assert (routed.reason if isinstance(routed, RouteRefusal) else None) == reason


LOOKALIKES: dict[str, tuple[tuple[str, ...], str, int | RouteRefusal]] = {
    "a literal that looks like another way's literal": (
        ("/a/b", "/{x}/B"),
        "/a/b",
        RouteRefusal("path", "path.lookalike"),
    ),
    "the other way's literal": (("/a/b", "/{x}/B"), "/a/B", RouteRefusal("path", "path.lookalike")),
    "a literal under a capture that looks like another way's": (
        ("/a/{x}/b", "/{q}/{r}/B"),
        "/a/5/b",
        RouteRefusal("path", "path.lookalike"),
    ),
    "no literal, on a way beside one": (("/a/{x}/{y}", "/{q}/{r}/b"), "/a/5/B", RouteRefusal("path", "path.lookalike")),
    "a way that the call cannot take": (("/{n: int}/b", "/{n: int}"), "/x/B", RouteRefusal("route", "route.endpoint")),
    "a literal on several ways": (("/a/b", "/{x}/b"), "/a/b", 0),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("case", LOOKALIKES)
def test_lookalikes_on_other_ways(case: str, method: str) -> None:
    patterns, target, wanted = LOOKALIKES[case]
    inventory = [endpoint(f"s.e{index}", pattern) for index, pattern in enumerate(patterns)]
    routed = route(build([service("s")], inventory, []), "s", call(method, target))
    assert (routed if isinstance(routed, RouteRefusal) else routed[0]) == wanted


def test_an_empty_inventory_routes_nothing() -> None:
    assert route(build([], [], []), "s", call("GET", "/")) == RouteRefusal("route", "route.service")
    assert route(build([service("s")], [], []), "s", call("GET", "/")) == RouteRefusal("route", "route.endpoint")


def test_the_root_fits_a_rest_at_the_top() -> None:
    program = build([service("s")], [endpoint("s.all", "/**")], [])
    assert isinstance(route(program, "s", call("GET", "/")), tuple)


def test_another_service_is_not_looked_at() -> None:
    program = build([service("s"), service("t")], [endpoint("t.a", "/a"), endpoint("s.b", "/b")], [])
    assert route(program, "s", call("GET", "/a")) == RouteRefusal("route", "route.endpoint")
    assert route(program, "s", call("GET", "/b")) == (1, {})


def test_the_order_of_declaration_does_not_matter() -> None:
    backwards = Router.of(build([service("s")], tuple(reversed(INVENTORY)), []))

    def found(routed: Routed | RouteRefusal, endpoints: tuple[Endpoint, ...]) -> tuple[str, object] | RouteRefusal:
        return (endpoints[routed[0]].id, routed[1]) if isinstance(routed, tuple) else routed

    calls = [(method, target) for method, target, *_ in ROUTED.values()]
    calls += [(method, target) for method, target, _ in REFUSED.values()]
    for method, target in calls:
        forwards = found(ROUTER.route("s", call(method, target)), INVENTORY)
        assert found(backwards.route("s", call(method, target)), INVENTORY[::-1]) == forwards


# ---------------------------------------------------------------- opaque segments

OPAQUE = Router.of(
    build(
        [service("s")],
        [
            opaque(endpoint("s.project", "/projects/{project}")),
            endpoint("s.named", "/projects/{project}/files/{name}"),
            endpoint("s.me", "/projects/me"),
            endpoint("s.tree", "/tree/**"),
            endpoint("s.star", "/star/*"),
            opaque(endpoint("s.posted", "/posts/{post}", ["POST"])),
        ],
        [],
    )
)

SLASHED: dict[str, tuple[str, Routed | RouteRefusal]] = {
    "data in an opaque segment": ("/projects/a%2Fb%2fc", (0, {"project": "a/b/c"})),
    "an opaque segment without one": ("/projects/a", (0, {"project": "a"})),
    "a literal before an opaque segment": ("/projects/me", (2, {})),
    "a string segment": ("/projects/a/files/b%2Fc", RouteRefusal("path", "path.encoded_slash")),
    "an opaque segment of another pattern": ("/projects/a%2Fb/files/c", RouteRefusal("path", "path.encoded_slash")),
    "in the rest": ("/tree/a%2Fb", RouteRefusal("path", "path.encoded_slash")),
    "in a star": ("/star/a%2Fb", RouteRefusal("path", "path.encoded_slash")),
    "where nothing is declared": ("/nowhere/a%2Fb", RouteRefusal("path", "path.encoded_slash")),
    "under another method": ("/posts/a%2Fb", RouteRefusal("route", "route.method")),
    "a literal behind one, to who decodes first": ("/projects/x%2Ffiles", RouteRefusal("path", "path.encoded_literal")),
    "a literal before one": ("/projects/me%2Fx", RouteRefusal("path", "path.encoded_literal")),
    "what looks like a literal behind one": ("/projects/x%2FFILES", RouteRefusal("path", "path.encoded_literal")),
    "what looks like a literal before one": ("/projects/me.%2Fx", RouteRefusal("path", "path.lookalike")),
    "a literal at another place": ("/projects/x%2Fy%2Ffiles", (0, {"project": "x/y/files"})),
}


@pytest.mark.parametrize("case", SLASHED)
def test_an_escaped_slash(case: str) -> None:
    target, want = SLASHED[case]
    assert OPAQUE.route("s", call("GET", target)) == want


# ---------------------------------------------------------------- gRPC

GRPC = (
    grpc("s.watch", "shop.v1.Orders", "Watch"),
    endpoint("s.page", "/shop.v1.Orders/Watch", ["GET"]),
    grpc("s.check", "shop.v1.Orders", "Check"),
    endpoint("s.all", "/**", ["ANY"]),
)
GRPC_ROUTER = Router.of(build([service("s"), service("t")], GRPC, []))


def grpc_call(target: str = "/shop.v1.Orders/Check", *types: str, method: str = "POST") -> HttpCall:
    headers = {"content-type": types} if types else {}
    return HttpCall(method, path(target), "", headers)


NOT_GRPC = RouteRefusal("route", "route.not_grpc")
GRPC_CALLS: dict[str, tuple[HttpCall, Routed | RouteRefusal]] = {
    "a method": (grpc_call("/shop.v1.Orders/Check", "application/grpc"), (2, {})),
    "with a codec": (grpc_call("/shop.v1.Orders/Check", "application/grpc+proto"), (2, {})),
    "with a parameter": (grpc_call("/shop.v1.Orders/Check", "application/grpc;x=y"), (2, {})),
    "gRPC-Web is not gRPC": (grpc_call("/shop.v1.Orders/Check", "application/grpc-web"), NOT_GRPC),
    "another type": (grpc_call("/shop.v1.Orders/Check", "application/json"), NOT_GRPC),
    "another case": (grpc_call("/shop.v1.Orders/Check", "Application/gRPC"), NOT_GRPC),
    "a space before it": (grpc_call("/shop.v1.Orders/Check", " application/grpc"), NOT_GRPC),
    "no type": (grpc_call(), NOT_GRPC),
    "two types": (grpc_call("/shop.v1.Orders/Check", "application/grpc", "application/grpc"), NOT_GRPC),
    "GET": (grpc_call("/shop.v1.Orders/Check", "application/grpc", method="GET"), NOT_GRPC),
    "PUT, though a wider endpoint would take it": (grpc_call(method="PUT"), NOT_GRPC),
    "a query": (grpc_call("/shop.v1.Orders/Check?a=b", "application/grpc"), NOT_GRPC),
    "an empty query": (grpc_call("/shop.v1.Orders/Check?", "application/grpc"), NOT_GRPC),
    "another method": (grpc_call("/shop.v1.Orders/Drop", "application/grpc"), (3, {})),
    "a trailing slash": (
        grpc_call("/shop.v1.Orders/Check/", "application/grpc"),
        RouteRefusal("route", "route.endpoint"),
    ),
    "gRPC beside a page of that very path": (grpc_call("/shop.v1.Orders/Watch", "application/grpc"), (0, {})),
    "the page of that very path": (grpc_call("/shop.v1.Orders/Watch", method="GET"), (1, {})),
    "neither gRPC nor the page": (grpc_call("/shop.v1.Orders/Watch", "text/html"), NOT_GRPC),
}


@pytest.mark.parametrize("case", GRPC_CALLS)
def test_grpc(case: str) -> None:
    asked, want = GRPC_CALLS[case]
    assert GRPC_ROUTER.route("s", asked) == want


# ---------------------------------------------------------------- actions

ACTIONS = Router.of(
    build(
        [service("d", hosts=()), service("e")],
        [action("d.read", "read", "document"), action("e.read", "read", "note"), endpoint("e.page", "/read/note")],
        [],
    )
)

ACTION_CALLS: dict[str, tuple[str, str, str, Routed | RouteRefusal]] = {
    "an action": ("d", "read", "document", (0, {})),
    "another action": ("d", "write", "document", RouteRefusal("route", "route.action")),
    "another type": ("d", "read", "note", RouteRefusal("route", "route.action")),
    "another service's action": ("e", "read", "document", RouteRefusal("route", "route.action")),
    "the empty action": ("d", "", "", RouteRefusal("route", "route.action")),
    "an undeclared service": ("x", "read", "document", RouteRefusal("route", "route.service")),
}


@pytest.mark.parametrize("case", ACTION_CALLS)
def test_actions(case: str) -> None:
    service_id, name, resource, want = ACTION_CALLS[case]
    assert ACTIONS.route(service_id, ActionCall(name, resource, "r1")) == want


def test_no_path_leads_to_an_action() -> None:
    assert ACTIONS.route("e", call("GET", "/read/document")) == RouteRefusal("route", "route.endpoint")
    assert ACTIONS.route("d", call("GET", "/read")) == RouteRefusal("route", "route.host")
