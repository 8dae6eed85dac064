"""A call is for the most specific endpoint that fits, or refused by name."""

from __future__ import annotations

import pytest

from policy_lang.ir import Endpoint
from policy_lang.routing import Routed, Router, RouteRefusal, route
from tests.lang.programs import build, endpoint, path, service

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


def name_of(routed: Routed | RouteRefusal) -> str:
    assert isinstance(routed, Routed), routed
    return PROGRAM.endpoints[routed.endpoint].id.partition(".")[2]


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
    routed = ROUTER.route("s", method, path(target))
    assert name_of(routed) == want
    assert isinstance(routed, Routed)
    assert dict(routed.captures) == captures


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
    "case of a literal": ("GET", "/Accounts", RouteRefusal("route", "route.endpoint")),
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
    assert ROUTER.route("s", method, path(target)) == want


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
    routed = ROUTER.route(service_id, "GET", path("/accounts"), host)
    assert (routed.reason if isinstance(routed, RouteRefusal) else None) == reason


def test_an_empty_inventory_routes_nothing() -> None:
    assert route(build([], [], []), "s", "GET", path("/")) == RouteRefusal("route", "route.service")
    assert route(build([service("s")], [], []), "s", "GET", path("/")) == RouteRefusal("route", "route.endpoint")


def test_the_root_fits_a_rest_at_the_top() -> None:
    program = build([service("s")], [endpoint("s.all", "/**")], [])
    assert isinstance(route(program, "s", "GET", path("/")), Routed)


def test_another_service_is_not_looked_at() -> None:
    program = build([service("s"), service("t")], [endpoint("t.a", "/a"), endpoint("s.b", "/b")], [])
    assert route(program, "s", "GET", path("/a")) == RouteRefusal("route", "route.endpoint")
    assert route(program, "s", "GET", path("/b")) == Routed(1, {})


def test_the_order_of_declaration_does_not_matter() -> None:
    backwards = Router.of(build([service("s")], tuple(reversed(INVENTORY)), []))

    def found(routed: Routed | RouteRefusal, endpoints: tuple[Endpoint, ...]) -> tuple[str, object] | RouteRefusal:
        return (endpoints[routed.endpoint].id, routed.captures) if isinstance(routed, Routed) else routed

    calls = [(method, target) for method, target, *_ in ROUTED.values()]
    calls += [(method, target) for method, target, _ in REFUSED.values()]
    for method, target in calls:
        forwards = found(ROUTER.route("s", method, path(target)), INVENTORY)
        assert found(backwards.route("s", method, path(target)), INVENTORY[::-1]) == forwards
