"""Services and endpoints of every form, as the inventory and the IR have them.

The table of mistakes is tests/golden/check/declarations.chunks and names.chunks.
"""

from __future__ import annotations

import pytest

from policy_lang import ir
from policy_lang.declared.endpoints import EndpointEntry, ServiceEntry
from policy_lang.declared.fields import header_fault
from policy_lang.spiffe import identity_fault
from policy_lang.typesystem import EnumType, IntType, Scalar, SetType
from tests.lang.bundles import KIND, Bundle, bundle, module

LEVEL = EnumType("m.level", ("low", "high"), ordered=True)

TEXT = f"""{KIND}
subject staff {{ type "staff" }} subject agent {{ type "agent" }}
enum level = low < high
label pii, money
service s {{
  audience "one", "two", "one"
  host "s.example"
  grants by m
  accepts staff, agent
  observe until 2026-04-01
  query strict
  tag level = low
  tag owner = "team"
  header device_id: string optional
  header trace: string from "X-Trace"
  endpoint read GET|HEAD /a/{{id: uuid}}/{{n: int}}/{{name}}/{{rest: opaque}}/ scope "a.read", "a.read"
    tagged pii, money, pii tag level = high query limit: int 1..9 optional header tenants: set of string
  endpoint stream grpc shop.v1.Orders/Watch closed
  endpoint seal action "seal" on "document" property dept: string optional from "owner" "dept"
}}
"""


@pytest.fixture(scope="module")
def taken() -> Bundle:
    return module(TEXT)


def endpoint(taken: Bundle, name: str) -> EndpointEntry:
    return next(each for each in taken.inventory.endpoints if each.endpoint.id == f"s.{name}")


def test_the_service(taken: Bundle) -> None:
    assert taken.messages == []
    (service,) = taken.inventory.services
    assert service.service == ir.Service(
        id="s",
        audiences=("one", "two"),
        hosts=("s.example",),
        accepts=("agent", "staff"),
        observe_until_ms=1_775_001_600_000,
        query_strict=True,
        tags=(("level", "low"), ("owner", "team")),
    )
    assert (service.module, service.grants_by) == ("m", {"m"})
    assert [entry.endpoint.id for entry in taken.inventory.endpoints] == ["s.read", "s.seal", "s.stream"]


def test_an_http_endpoint(taken: Bundle) -> None:
    entry = endpoint(taken, "read")
    segments = (
        ir.Fixed("a"),
        ir.Capture("id", "uuid"),
        ir.Capture("n", "int"),
        ir.Capture("name", "string"),
        ir.Capture("rest", "opaque"),
    )
    headers = (
        ir.FieldSchema("device_id", Scalar.STRING, optional=True, private=False, source=("device-id",)),
        ir.FieldSchema("trace", Scalar.STRING, optional=False, private=False, source=("x-trace",)),
        ir.FieldSchema("tenants", SetType(Scalar.STRING), optional=False, private=False, source=("tenants",)),
    )
    assert entry.endpoint == ir.Endpoint(
        id="s.read",
        service="s",
        route=ir.Http(("GET", "HEAD"), segments, trailing_slash=True),
        written="/a/{id: uuid}/{n: int}/{name}/{rest: opaque}/",
        scopes=("a.read",),
        labels=("m.money", "m.pii"),
        tags=(("level", "high"), ("owner", "team")),
        query=(ir.FieldSchema("limit", IntType(1, 9), optional=True, private=False, source=("limit",)),),
        headers=headers,
        properties=(),
        closed=False,
        place=entry.endpoint.place,
    )
    assert {name: slot.type for name, slot in entry.path.items()} == {
        "id": Scalar.UUID,
        "n": IntType(),
        "name": Scalar.STRING,
        "rest": Scalar.STRING,
    }
    assert set(entry.headers) == {"device_id", "trace", "tenants"}
    assert entry.headers["device_id"].optional
    assert (entry.properties, entry.methods) == ({}, {"GET", "HEAD"})
    assert {name: (tag.value, tag.type) for name, tag in entry.tags.items()} == {
        "level": ("high", LEVEL),
        "owner": ("team", Scalar.STRING),
    }
    assert entry.service_tags["level"].value == "low"


def test_a_grpc_endpoint(taken: Bundle) -> None:
    entry = endpoint(taken, "stream")
    assert entry.endpoint.route == ir.Grpc("shop.v1.Orders", "Watch")
    assert (entry.endpoint.written, entry.endpoint.closed) == ("shop.v1.Orders/Watch", True)
    assert (entry.methods, entry.path) == ({"POST"}, {})
    assert [field.name for field in entry.endpoint.headers] == ["device_id", "trace"]


def test_an_action_endpoint(taken: Bundle) -> None:
    entry = endpoint(taken, "seal")
    assert entry.endpoint.route == ir.Action("seal", "document")
    assert entry.endpoint.written == "seal on document"
    assert (entry.pattern, entry.methods, entry.headers, entry.endpoint.headers) == (None, frozenset(), {}, ())
    assert {name: (slot.type, slot.optional) for name, slot in entry.properties.items()} == {
        "id": (Scalar.STRING, False),
        "dept": (Scalar.STRING, True),
    }
    assert [field.source for field in entry.endpoint.properties] == [("owner", "dept")]


def test_who_may_grant_is_the_declaring_module_unless_said() -> None:
    taken = module('service s { audience "s" }')
    (service,) = taken.inventory.services
    assert service.grants_by == {"m"}
    assert (service.service.observe_until_ms, service.service.query_strict, service.tags) == (None, False, {})


def test_a_service_without_tokens() -> None:
    taken = module('subject staff { type "staff" } service s { audience none accepts staff }')
    assert taken.messages == []
    assert taken.inventory.services[0].service.audiences == ()


HEADS = {
    "GET alone takes HEAD": ("endpoint a GET /a", {"a": {"GET", "HEAD"}}),
    "HEAD that is declared": ("endpoint a GET /a endpoint b HEAD /a", {"a": {"GET"}, "b": {"HEAD"}}),
    "HEAD of another pattern": ("endpoint a GET /{x} endpoint b HEAD /a", {"a": {"GET", "HEAD"}, "b": {"HEAD"}}),
    "HEAD of the same pattern by other names": (
        "endpoint a GET /{x: int} endpoint b HEAD /{y: int}",
        {"a": {"GET"}, "b": {"HEAD"}},
    ),
    "HEAD of another type": (
        "endpoint a GET /{x: int} endpoint b HEAD /{y: uuid}",
        {"a": {"GET", "HEAD"}, "b": {"HEAD"}},
    ),
    "any method": ("endpoint a ANY /a", {"a": {"ANY"}}),
}


@pytest.mark.parametrize("case", HEADS)
def test_whose_head_is(case: str) -> None:
    endpoints, wanted = HEADS[case]
    taken = module(f'service s {{ audience "s" {endpoints} }}')
    assert taken.messages == []
    assert {each.decl.name.text: each.methods for each in taken.inventory.endpoints} == wanted


def test_actions_are_the_bundles() -> None:
    endpoint = 'audience "s" endpoint read action "read" on'
    files = {
        "a.pol": f'module a service s {{ {endpoint} "document" }}',
        "b.pol": f'module b service t {{ {endpoint} "document" }} service u {{ {endpoint} "folder" }}',
    }
    assert bundle(files).messages == ["E412: `t.read` and `s.read` are both `read` on `document`"]


def test_a_service_that_is_declared_twice_is_left_out_with_its_inputs_known() -> None:
    again = 'service s { audience "x" tag owner = "x" header h: string endpoint e GET /{p} query q: int }'
    rule = 'deny d on s when path has p and query has q and header has h and endpoint has owner because "-"'
    taken = bundle({"a.pol": 'module a service s { audience "s" }', "m.pol": f"module m import a (s) {again} {rule}"})
    assert taken.codes == ["m.pol:E205", "m.pol:E205"]
    taken = bundle({"a.pol": 'module a service s { audience "s" }', "m.pol": f"module m {again} {rule}"})
    assert taken.messages == ["E205: `s` is declared twice"]


IDENTITIES = {
    "spiffe://prod/ns/edge/sa/gateway": True,
    "spiffe://prod.example-1_a/x": True,
    "spiffe://" + "a" * 255 + "/x": True,
    "spiffe://" + "a" * 256 + "/x": False,
    "spiffe://p/" + "a" * 2038: False,
    "SPIFFE://prod/x": False,
    "spiffe:///x": False,
    "spiffe://prod/x/": False,
    "spiffe://prod/./x": False,
    "spiffe://prod/%41": False,
    "spiffe://prod/x\n": False,
    "spiffe://prod/é": False,
    "": False,
}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_identities(identity: str) -> None:
    assert (identity_fault(identity) is None) == IDENTITIES[identity]


HEADER_NAMES = {
    "x-device": True,
    "sec-fetch-site": True,
    "authorization": False,
    "cookie": False,
    "host": False,
    "x-portcullis-decision": False,
    ":path": False,
    "a b": False,
    "a\r\nb": False,
    "X-Upper": False,
    "": False,
}


@pytest.mark.parametrize("name", HEADER_NAMES)
def test_header_names(name: str) -> None:
    assert (header_fault(name) is None) == HEADER_NAMES[name]


HOSTILE = {
    "two thousand of one pattern": "\n".join(f"endpoint e{i} GET /{{x}}" for i in range(2000)),
    "two thousand literals and as many wildcards": "\n".join(
        f"endpoint e{i} GET /a{i} endpoint w{i} GET /**" for i in range(2000)
    ),
    "four hundred that differ after a hundred segments": "\n".join(
        f"endpoint e{i} GET {'/a' * 100}/b{i}" for i in range(400)
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_inventories_are_read_in_time(case: str) -> None:
    taken = module(f'service s {{ audience "s" {HOSTILE[case]} }}')
    assert {each.code for each in taken.found} <= {"E410"}
    assert all(isinstance(each, ServiceEntry) for each in taken.inventory.services)
