"""The inventory: everything of a bundle by id, sorted, whatever order it was written in; and what went wrong, once.

The tables of mistakes are tests/golden/check/names.chunks and declarations.chunks.
"""

from __future__ import annotations

import random

import pytest

from policy_lang import ir
from policy_lang.declared.entries import EnumEntry, EnumValue, KindEntry, SettingEntry, SignalEntry, WorkloadEntry
from policy_lang.typesystem import EnumType, IntType, Scalar, SetType
from tests.lang.bundles import KIND, SERVICE, bundle, module

DECLARATIONS = [
    "setting limit: int = 5",
    "enum level = low < high",
    "enum env = dev | prod",
    "label pii, money",
    "network office = 10.0.0.0/8",
    'workload edge = "spiffe://p/edge"',
    (
        'token user { issuer "https://id" claim sub: string claim grade: level claim groups: set of string '
        "claim from_where: ip optional claim who: workload optional }"
    ),
    'token peer { issuer "https://peer" }',
    'subject staff { type "staff" property dept: string private }',
    "roles for user from token.groups { role clerk role lead includes clerk }",
    "relation holds (who: string, as: role, at: level, from_where: ip)",
    'signal risk: int 0..9 from "context.risk" key (token.sub, endpoint) within 5ms else 3',
    "condition mine (who: string, as: role) = who == token.sub and holds(who, as, low, request.ip)",
    'service t { audience "t" host "t.example" tag level = high endpoint one GET /one }',
    'service s { audience none accepts staff endpoint act action "read" on "document" }',
    'deny d on any endpoint because "-"',
]


def test_everything_is_listed_by_id() -> None:
    taken = bundle(
        {
            "m.pol": "module m " + "\n".join(DECLARATIONS),
            "a.pol": f"module a {SERVICE.replace('service s', 'service u')}",
        }
    )
    assert taken.messages == []
    inventory = taken.inventory
    assert [each.name for each in inventory.modules] == ["a", "m"]
    assert [each.kind.id for each in inventory.kinds] == ["peer", "staff", "user"]
    assert [each.id for each in inventory.relations] == ["m.holds"]
    assert inventory.workloads == (ir.Workload("m.edge", "spiffe://p/edge"),)
    assert inventory.signals == (ir.Signal("m.risk", IntType(0, 9), "context.risk", ("token.sub", "endpoint"), 5, 3),)
    assert [each.service.id for each in inventory.services] == ["s", "t", "u"]
    assert [each.endpoint.id for each in inventory.endpoints] == ["s.act", "t.one", "u.one", "u.two"]
    assert set(taken.module("m").rules) == {"d"}


def test_the_order_of_declarations_has_no_meaning() -> None:
    straight = bundle({"m.pol": "module m " + "\n".join(DECLARATIONS)}).inventory
    shuffled = list(DECLARATIONS)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        taken = bundle({"m.pol": "module m " + "\n".join(shuffled)})
        assert taken.messages == []
        assert [each.kind for each in taken.inventory.kinds] == [each.kind for each in straight.kinds]
        assert taken.inventory.relations == straight.relations
        assert taken.inventory.signals == straight.signals
        assert [each.service for each in taken.inventory.services] == [each.service for each in straight.services]
        tags = [each.endpoint.tags for each in taken.inventory.endpoints]
        assert tags == [each.endpoint.tags for each in straight.endpoints]


def test_a_token_kind() -> None:
    user = bundle({"m.pol": "module m " + "\n".join(DECLARATIONS)}).module("m").own["user"]
    assert isinstance(user, KindEntry)
    assert (user.kind.id, user.kind.form, user.kind.name, user.module) == ("user", "token", "https://id", "m")
    level = EnumType("m.level", ("low", "high"), ordered=True)
    assert {name: (slot.type, slot.optional) for name, slot in user.slots.items()} == {
        "aud": (SetType(Scalar.STRING), False),
        "scope": (SetType(Scalar.STRING), False),
        "sub": (Scalar.STRING, False),
        "grade": (level, False),
        "groups": (SetType(Scalar.STRING), False),
        "from_where": (Scalar.IP, True),
        "who": (Scalar.WORKLOAD, True),
    }
    assert [field.name for field in user.kind.claims] == ["sub", "grade", "groups", "from_where", "who"]


def test_a_subject_kind() -> None:
    staff = bundle({"m.pol": "module m " + "\n".join(DECLARATIONS)}).module("m").own["staff"]
    assert isinstance(staff, KindEntry)
    schema = ir.FieldSchema("dept", Scalar.STRING, optional=False, private=True, source=("dept",))
    assert staff.kind == ir.Kind("staff", "subject", "staff", (schema,), None, ())
    assert {name: slot.type for name, slot in staff.slots.items()} == {"id": Scalar.STRING, "dept": Scalar.STRING}


def test_names_of_one_module() -> None:
    own = bundle({"m.pol": "module m " + "\n".join(DECLARATIONS)}).module("m").own
    enum, value, setting, signal, workload = (own[name] for name in ("env", "prod", "limit", "risk", "edge"))
    assert isinstance(enum, EnumEntry)
    assert (enum.type.id, enum.type.ordered) == ("m.env", False)
    assert isinstance(value, EnumValue)
    assert (value.value, value.type) == ("prod", enum.type)
    assert isinstance(setting, SettingEntry)
    assert (setting.value, setting.type) == (5, IntType())
    assert isinstance(signal, SignalEntry)
    assert isinstance(workload, WorkloadEntry)
    assert "d" not in own


def test_an_empty_bundle_has_an_empty_inventory() -> None:
    taken = bundle({})
    assert taken.messages == []
    assert (taken.inventory.modules, taken.inventory.endpoints, taken.inventory.broken) == ((), (), frozenset())


def test_an_empty_module_has_no_names() -> None:
    taken = module("")
    assert (taken.module("m").scope, taken.module("m").broken) == ({}, frozenset())


UNIQUE = {
    "a kind": (KIND, KIND.replace("https://id.example", "https://other"), ["b.pol:E205"]),
    "an issuer": (KIND, KIND.replace("token user", "token other"), ["b.pol:E207"]),
    "a service": (SERVICE, SERVICE, ["b.pol:E205"]),
    "a type of subjects": ('subject k { type "t" }', 'subject l { type "t" }', ["b.pol:E208"]),
    "a token kind and a subject kind": (KIND, 'subject user { type "user" }', ["b.pol:E205"]),
    "a host": (SERVICE, SERVICE.replace("service s", "service t"), []),
    "a label": ("label l", "label l", []),
    "an enum": ("enum e = x | y", "enum e = x | y", []),
    "a network": ("network n = 10.0.0.1", "network n = 10.0.0.2", []),
    "a workload": ('workload w = "spiffe://p/w"', 'workload w = "spiffe://p/w"', []),
    "a relation": ("relation r (a: string)", "relation r (a: int)", []),
    "a setting": ("setting s: int = 1", "setting s: int = 2", []),
}


@pytest.mark.parametrize("case", UNIQUE)
def test_what_is_unique_in_a_bundle(case: str) -> None:
    first, second, wanted = UNIQUE[case]
    assert bundle({"a.pol": f"module a {first}", "b.pol": f"module b {second}"}).codes == wanted


ONE_NAMESPACE = [
    "setting x: int = 1", "enum x = p | q", "enum other = x | y", "label x", "network x = 10.0.0.1",
    'workload x = "spiffe://p/x"', 'token x { issuer "https://x" }', 'subject x { type "x" }',
    "roles for user from none { role x }", "relation x (a: string)",
    'signal x: int from "context.x" key token.sub within 1ms else 1', "condition x = 1 == 1",
    'service x { audience "x" }', 'deny x on any endpoint because "-"',
]  # fmt: skip


@pytest.mark.parametrize("other", ONE_NAMESPACE)
def test_a_name_means_one_thing_in_a_module(other: str) -> None:
    for first in ("label x", "condition x = 1 == 1"):
        again = module(f"{KIND} {first} {other}")
        assert again.messages == ["E205: `x` is declared twice"]


@pytest.mark.parametrize("other", ONE_NAMESPACE)
def test_a_root_is_no_name(other: str) -> None:
    for root in ("path", "now"):
        found = module(f"{KIND} {other}".replace(" x", f" {root}").replace("context.x", "context.y")).messages
        assert found == [f"E205: `{root}` has a meaning of its own: it is an input of every rule"]


def test_claims_of_a_kind_that_was_left_out_are_not_missing() -> None:
    text = f"""{KIND} token user {{ issuer "https://x" claim other: string factor strong at token.at claim at: time }}
        {SERVICE} deny d on s when token has other because "-" require r on s needs factor strong"""
    assert module(text).messages == ["E205: `user` is declared twice"]
