"""Bindings: what a name means in its module, what is the bundle's, and that a mistake is said once.

The table of mistakes is tests/golden/check/names.chunks.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policy_lang import ir, tree
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError, Diagnostic
from policy_lang.inventory import take_inventory
from policy_lang.names import Parameter, bind_names, walk
from policy_lang.parser import parse

KIND = 'token user { issuer "https://id.example" claim sub: string }\n'
SERVICE = 'service s { audience "s" host "s.example" endpoint one GET /{name} endpoint two GET /a/b }\n'


def codes(files: Mapping[str, str]) -> list[str]:
    try:
        compile_policy({name: text.encode() for name, text in files.items()})
    except CompileError as refused:
        return [f"{each.span.source}:{each.code}" for each in refused.diagnostics]
    return []


BUNDLES = {
    "modules that stand alone": (
        {
            "a.pol": f'module a {KIND} {SERVICE} allow r for any user on s because "-"',
            "b.pol": 'module b token peer { issuer "https://b" } service t { audience "t" host "t.b" }',
        },
        [],
    ),
    "two files of one module": ({"a.pol": "module a", "b.pol": "module a"}, ["b.pol:E206"]),
    "one kind name in two modules": (
        {"a.pol": f"module a {KIND}", "b.pol": 'module b token user { issuer "https://b" }'},
        ["b.pol:E205"],
    ),
    "one issuer in two modules": (
        {"a.pol": f"module a {KIND}", "b.pol": 'module b token peer { issuer "https://id.example" }'},
        ["b.pol:E207"],
    ),
    "one service name in two modules": (
        {"a.pol": f"module a {SERVICE}", "b.pol": 'module b service s { audience "b" host "b" }'},
        ["b.pol:E205"],
    ),
    "one host of two services": (
        {"a.pol": f"module a {SERVICE}", "b.pol": 'module b service t { audience "b" host "s.example" }'},
        [],
    ),
    "one relation, condition, label and rule name in two modules": (
        {
            "a.pol": 'module a relation r (a: string) condition c = 1 == 1 label l deny d on any endpoint because "-"',
            "b.pol": 'module b relation r (a: int) condition c = 1 == 2 label l deny d on any endpoint because "-"',
        },
        [],
    ),
    "a service of another module": (
        {"a.pol": f"module a {SERVICE}", "b.pol": 'module b deny d on s because "-"'},
        ["b.pol:E201"],
    ),
    "a kind of another module": (
        {"a.pol": f"module a {KIND} {SERVICE}", "b.pol": 'module b deny d for any user on any endpoint because "-"'},
        ["b.pol:E200"],
    ),
    "a claim of another module's kind": (
        {
            "a.pol": f"module a {KIND} {SERVICE}",
            "b.pol": 'module b token peer { issuer "https://b" } '
            'deny d on any endpoint when token has sub and token.sub == "x" because "-"',
        },
        [],
    ),
    "a guard rail over services it has never heard of": (
        {
            "a.pol": f"module a label money {SERVICE.replace('/a/b', '/a/b tagged money')}",
            "b.pol": 'module b label money deny d on any endpoint tagged money because "-"',
        },
        [],
    ),
    "an allow that reaches into another module": (
        {"a.pol": f"module a {KIND} {SERVICE}", "b.pol": 'module b allow d for anyone on any endpoint because "-"'},
        ["b.pol:E506"],
    ),
    "an allow on every endpoint of the only module": (
        {"a.pol": f'module a {KIND} {SERVICE} allow d for anyone on any endpoint because "-"'},
        [],
    ),
    "what a file that did not parse would have declared": (
        {"a.pol": f'module a tokn user {{ }}\n{SERVICE}\nallow r for any user on s because "-"'},
        ["a.pol:E101"],
    ),
    "unknown names of a file that did parse, beside one that did not": (
        {"a.pol": "module a ?", "b.pol": 'module b deny d on s because "-"'},
        ["a.pol:E101", "b.pol:E201"],
    ),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_bundles(name: str) -> None:
    files, wanted = BUNDLES[name]
    assert codes(files) == wanted


def test_bindings_are_kept_by_node() -> None:
    text = f"""module m
        {KIND} {SERVICE}
        relation rows (a: string)
        condition owns (a: string) = rows(a) and a == token.sub and path has name
        allow r for any user on s.one when owns(path.name) and now > now - 1m because "-"
    """
    module = parse("m.pol", text.encode()).module
    assert module is not None
    found: list[Diagnostic] = []
    inventory = take_inventory([module], found)
    names = bind_names(inventory, found)["m"]
    assert found == []
    condition = inventory.modules[0].conditions["owns"]
    rule = inventory.modules[0].rules["r"]
    clause = next(each for each in rule.clauses if isinstance(each, tree.WhenClause))
    bound = [names.inputs[node.id] for node in walk(condition.decl.body) if isinstance(node, tree.Ref | tree.Has)]
    assert bound == [Parameter("a"), Parameter("a"), ir.Attr("token", "sub"), ir.Attr("path", "name")]
    calls = [names.calls[node.id] for node in walk(clause.condition) if isinstance(node, tree.Call)]
    assert calls == [condition]
    on = next(each for each in rule.clauses if isinstance(each, tree.OnClause))
    assert [inventory.endpoints[index].endpoint.id for index in names.targets[on.id]] == ["s.one"]


TARGETS = {
    "any endpoint": {"s.one", "s.two", "s.three", "s.four"},
    "s": {"s.one", "s.two", "s.three", "s.four"},
    "s.two": {"s.two"},
    "s GET /a/b": {"s.two"},
    "s GET /a/b, s GET /{x}": {"s.one", "s.two"},
    "s GET /**": {"s.one", "s.two"},
    "s POST /a/**": {"s.three", "s.four"},
    "s POST /a/b": {"s.four"},
    "s GET|POST /**": {"s.one", "s.two", "s.three", "s.four"},
    "s ANY /**": {"s.one", "s.two", "s.three", "s.four"},
    "s.one, s POST /**": {"s.one", "s.three", "s.four"},
    "any endpoint tagged money": {"s.two", "s.three"},
    "any endpoint tagged money or pii": {"s.two", "s.three"},
    "any endpoint tagged money and pii": {"s.three"},
    "s.one tagged money": set(),
    "s POST /** tagged pii": {"s.three"},
}


@pytest.mark.parametrize("on", TARGETS)
def test_targets(on: str) -> None:
    program = compile_policy(
        {
            "m.pol": f"""module m label money, pii {KIND}
            service s {{ audience "s" host "s.example" endpoint one GET /{{name}}
                         endpoint two GET /a/b tagged money endpoint three POST /a/{{c}} tagged money, pii
                         endpoint four POST /a/b }}
            deny d on {on} because "-" """.encode()
        }
    ).program
    assert {program.endpoints[cell.endpoint].id for cell in program.cells if cell.deny} == TARGETS[on]


def refusal(text: str) -> Diagnostic:
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": f"module m {KIND} {SERVICE} {text}".encode()})
    (only,) = refused.value.diagnostics
    return only


def test_an_unknown_factor_is_said_to_be_missing_where_it_was_looked_for() -> None:
    factor = refusal("require r on s needs factor mfa")
    assert (factor.code, factor.label_text) == ("E200", "no token kind of the policy declares it")
    condition = refusal('deny r on s when mfa() because "-"')
    assert (condition.code, condition.label_text) == ("E200", "not declared in this module")


def test_a_factor_of_another_module_is_known() -> None:
    kind = 'module b token peer { issuer "https://b" claim at: time factor mfa at token.at }'
    assert codes({"a.pol": f"module a {KIND} {SERVICE} require r on s needs factor mfa", "b.pol": kind}) == []


def test_an_unknown_type_has_a_hint_and_what_rests_on_it_no_mistake_of_its_own() -> None:
    kind = 'token peer { issuer "https://b" claim a: strin } '
    unknown = refusal(kind + 'deny d on s when token is peer and token.a == "x" because "-"')
    assert (unknown.code, unknown.message, unknown.hint) == (
        "E204",
        "unknown type `strin`",
        "did you mean `string`?",
    )


def test_a_long_chain_of_conditions_is_walked_without_recursion() -> None:
    links = "\n".join(f"condition c{i} = c{i + 1}()" for i in range(2000))
    last = 'condition c2000 = token.sub == "x" allow r for any user on s when c0() because "-"'
    assert codes({"m.pol": f"module m {KIND} {SERVICE} {links} {last}"}) == ["m.pol:E801"]
