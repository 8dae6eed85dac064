"""Imports: explicit, from where a name is declared, without circles; and what a module sees then."""

from __future__ import annotations

import pytest

from policy_lang.declared.entries import EnumEntry, EnumValue, LabelEntry
from tests.lang.bundles import KIND, SERVICE, bundle

COMMON = f"""module common
    enum level = low < high
    label money
    network office = 10.0.0.0/8
    workload edge = "spiffe://p/edge"
    {KIND}
    roles for user from token.groups {{ role clerk }}
    signal risk: int from "context.risk" key token.sub within 5ms else unknown
    relation holds (who: string)
    condition mine = token is user and token.sub == "x"
    setting limit: int = 5
    subject staff {{ type "staff" }}
"""

LEGAL = {
    "nothing": "module b",
    "one name": 'module b import common (money) deny d on any endpoint tagged money because "-"',
    "several imports of one module": "module b import common (money) import common (edge)",
    "an enum and a value of it": "module b import common (level, low)",
    "a value without its enum": f'module b import common (low) {SERVICE} deny d on s when low == low because "-"',
    "a value that the enum brings": (
        f'module b import common (level) {SERVICE} deny d on s when low == high because "-"'
    ),
    "a tag of an imported enum": 'module b import common (level) service s { audience "s" tag level = low }',
    "a network, a workload, a signal, a relation, a condition, a setting, a role, kinds": (
        f"module b import common (office, edge, risk, holds, mine, limit, clerk, user, staff) {SERVICE}"
        "deny d for any user, role clerk, workload edge, any staff via edge on s "
        "when request.ip in office and signal.risk < limit and mine "
        'unless token is user and holds(token.sub) because "-"'
    ),
    "claims of a kind that is not imported": f'module b {SERVICE} deny d on s when token has sub because "-"',
    "a type of an imported enum": "module b import common (level) relation r (a: level)",
    "a role of an imported kind": "module b import common (clerk) relation r (a: role)",
    "a name that another module has too": "module b import common (low) label high",
}


@pytest.mark.parametrize("case", LEGAL)
def test_what_a_module_may_import(case: str) -> None:
    assert bundle({"a.pol": COMMON, "b.pol": LEGAL[case]}).messages == []


ILLEGAL = {
    "an unknown module": ("module b import comon (money)", ["E220: unknown module `comon`"]),
    "a name that is not there": (
        "module b import common (mony)",
        ["E220: module `common` has no `mony` to import"],
    ),
    "a name twice": ("module b import common (money, money)", ["E205: `money` is declared twice"]),
    "a name of two imports": (
        "module b import common (money) import common (money)",
        ["E205: `money` is declared twice"],
    ),
    "a name that it declares": ("module b import common (money) label money", ["E205: `money` is declared twice"]),
    "an enum whose value it declares": (
        "module b import common (level) label low",
        ["E205: `low` is declared twice"],
    ),
    "itself": ("module b import b (x)", ["E220: the module `b` imports itself: `b` -> `b`"]),
    "a value that is not imported": (
        f'module b {SERVICE} deny d on s when low == low because "-"',
        ["E200: unknown name `low`", "E200: unknown name `low`"],
    ),
    "a label that is not imported": (
        'module b deny d on any endpoint tagged money because "-"',
        ["E210: unknown label `money`"],
    ),
    "a label on an endpoint that is not imported": (
        'module b service s { audience "s" endpoint one GET /one tagged money }',
        ["E210: unknown label `money`"],
    ),
    "a signal that is not imported": (
        f'module b {SERVICE} deny d on s when signal.risk == 1 because "-"',
        ["E203: unknown attribute `signal.risk`: no such signal is declared in this module or imported"],
    ),
    "a role that is not imported": (
        'module b deny d for role clerk on any endpoint because "-"',
        ["E200: unknown role `clerk`"],
    ),
    "a kind that is not imported": (
        'module b deny d for any user on any endpoint because "-"',
        ["E200: unknown kind `user`"],
    ),
    "an imported name for something else": (
        'module b import common (money) deny d for role money on any endpoint tagged money because "-"',
        ["E200: unknown role `money`"],
    ),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_what_it_may_not(case: str) -> None:
    text, wanted = ILLEGAL[case]
    assert bundle({"a.pol": COMMON, "b.pol": text}).messages == wanted


def test_a_missing_name_is_said_with_the_place_and_the_remedy() -> None:
    files = {
        "a.pol": 'module a label money deny rule on any endpoint tagged money because "-"',
        "b.pol": "module b import a (money)",
        "c.pol": "module c\nimport b (money)\nimport a (mony, rule)",
    }
    wanted = """\
error[E220]: module `b` has no `money` to import
  --> c.pol:2:11
  |
2 | import b (money)
  |           ^^^^^ it imports that itself: import it from `a`

error[E220]: module `a` has no `mony` to import
  --> c.pol:3:11
  |
3 | import a (mony, rule)
  |           ^^^^ not declared there
   = help: did you mean `money`?

error[E220]: module `a` has no `rule` to import
  --> c.pol:3:17
  |
3 | import a (mony, rule)
  |                 ^^^^ this is a rule, which nobody refers to"""
    assert bundle(files).rendered == wanted


def test_a_circle_of_imports_is_shown_as_a_way_and_its_names_still_mean_something() -> None:
    files = {
        "a.pol": "module a import b (two) label one",
        "b.pol": "module b import c (three) label two",
        "c.pol": 'module c import a (one) label three deny d on any endpoint tagged one because "-"',
        "d.pol": "module d import a (one)",
    }
    taken = bundle(files)
    assert taken.codes == ["a.pol:E220"]
    assert taken.messages == ["E220: the module `a` imports itself: `a` -> `b` -> `c` -> `a`"]


def test_two_enums_that_bring_one_value() -> None:
    files = {
        "a.pol": "module a enum level = low < high",
        "b.pol": "module b enum price = low < steep",
        "c.pol": "module c import a (level) import b (price)",
    }
    taken = bundle(files)
    assert taken.messages == ["E205: `low` is declared twice"]
    value = taken.module("c").scope["low"]
    assert isinstance(value, EnumValue)
    assert value.type.id == "a.level"


def test_what_is_missing_from_a_broken_import_is_said_once() -> None:
    text = f"""module b import nowhere (user, office, risk, edge, clerk, level, money, s, mine, holds)
        {SERVICE.replace("service s", "service t")}
        relation r (a: level, b: role)
        deny d for any user, role clerk, workload edge via edge on t, s tagged money
        when request.ip in office and signal.risk == 1 and mine and holds("x") and factor mfa because "-"
    """
    assert bundle({"b.pol": text}).codes == ["b.pol:E220"]


def test_the_scope_is_what_is_declared_and_what_is_imported() -> None:
    taken = bundle({"a.pol": COMMON, "b.pol": "module b import common (level, money) label own"})
    entry = taken.module("b")
    assert set(entry.own) == {"own"}
    assert set(entry.scope) == {"own", "level", "low", "high", "money"}
    assert {name: where.text for name, where in entry.imported.items()} == {"level": "level", "money": "money"}
    label, enum = entry.scope["money"], entry.scope["level"]
    assert isinstance(label, LabelEntry)
    assert label.id == "common.money"
    assert isinstance(enum, EnumEntry)
    assert (enum.type.id, enum.type.values, enum.type.ordered) == ("common.level", ("low", "high"), True)


def test_labels_of_one_name_in_two_modules_are_two() -> None:
    files = {
        "a.pol": f"module a label money {SERVICE.replace('/two', '/two tagged money')}",
        "b.pol": 'module b label money deny d on any endpoint tagged money because "-"',
    }
    taken = bundle(files)
    assert list(taken.names["b"].targets.values()) == [()]
    assert [entry.endpoint.labels for entry in taken.inventory.endpoints] == [(), ("a.money",)]


@pytest.mark.parametrize("order", [("a.pol", "b.pol"), ("b.pol", "a.pol")])
def test_the_order_of_files_has_no_meaning(order: tuple[str, str]) -> None:
    files = {"a.pol": COMMON, "b.pol": "module b import common (level, mony) import b (x)"}
    taken = bundle({name: files[name] for name in order})
    assert taken.messages == [
        "E220: module `common` has no `mony` to import",
        "E220: the module `b` imports itself: `b` -> `b`",
    ]
    assert [entry.name for entry in taken.inventory.modules] == ["b", "common"]
