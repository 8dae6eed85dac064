"""Bindings: what a name means in its module, what is the bundle's, and that a mistake is said once.

The table of mistakes is tests/golden/check/names.chunks.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policy_lang import ir, tree
from policy_lang.compile import compile_policy
from policy_lang.declared.entries import ConditionEntry, Fixed, Names, NetworkEntry, Parameter, RoleEntry, TagRead
from policy_lang.declared.walking import walk
from policy_lang.diagnostics import CompileError, Diagnostic
from policy_lang.typesystem import EnumType, IntType, Scalar
from tests.lang.bundles import bundle

KIND = 'token user { issuer "https://id.example" claim sub: string }\n'
SERVICE = 'service s { audience "s" host "s.example" endpoint one GET /{name} endpoint two GET /a/b }\n'


LEVEL = EnumType("m.level", ("low", "high"), ordered=True)


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
    "one relation, condition, label and rule name in two modules, each its own": (
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
            "a.pol": f"module a import b (money) {SERVICE.replace('/a/b', '/a/b tagged money')}",
            "b.pol": 'module b label money deny d on any endpoint tagged money because "-"',
        },
        [],
    ),
    "an imported service, kind, relation, condition and label": (
        {
            "a.pol": f"module a label l {KIND} {SERVICE.replace('/a/b', '/a/b tagged l')} relation r (a: string) "
            "condition c (a: string) = a == token.sub",
            "b.pol": "module b import a (user, s, r, c, l) "
            'deny d for any user on s tagged l when r(token.sub) and c("x") and token is user because "-"',
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
    "what a module that did not parse whole would have exported": (
        {
            "a.pol": f"module a tokn user {{ }} {SERVICE}",
            "b.pol": 'module b import a (s, user, level) import c (x) deny d for any user on s because "-"',
        },
        ["a.pol:E101"],
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


EVERYTHING = """module m
    setting limit: int = 5
    setting lan: network = 10.0.0.0/8
    enum level = low < high
    network office = 192.0.2.0/24
    workload edge = "spiffe://prod/edge"
    token user { issuer "https://id.example" claim sub: string claim groups: set of string claim at: time
        factor mfa at token.at when token.groups overlaps ["otp"] }
    subject staff { type "staff" property dept: string }
    roles for user from token.groups { role clerk }
    relation holds (who: string, as: role)
    signal risk: int from "context.risk" key (token.sub, endpoint) within 5ms else unknown
    condition mine (name: string) = name == token.sub
    condition calm = signal.risk < limit
    service s { audience "s" host "s.example" tag level = low header device: string optional
        endpoint one GET /one/{name} query page: int optional }
    service t { audience none accepts staff endpoint act action "read" on "document" property kind: string optional }
"""

REFERENCES: dict[str, tuple[str, list[object]]] = {
    "a claim": ('token.sub == "x"', [ir.Attr("token", "sub")]),
    "a claim that every token has": ("token.aud is empty", [ir.Attr("token", "aud")]),
    "a property of the subject, and its id": (
        "subject.dept == subject.id",
        [ir.Attr("subject", "dept"), ir.Attr("subject", "id")],
    ),
    "a property of the resource, and its id": (
        "resource has kind and resource.kind == resource.id",
        [ir.Attr("resource", "kind"), ir.Attr("resource", "kind"), ir.Attr("resource", "id")],
    ),
    "a capture, a parameter, a header": (
        "path.name == header.device and query has page",
        [ir.Attr("path", "name"), ir.Attr("header", "device"), ir.Attr("query", "page")],
    ),
    "the request": (
        "request.peer == request.gateway and request.ip in office and request.tls",
        [
            ir.Attr("request", "peer"),
            ir.Attr("request", "gateway"),
            ir.Attr("request", "ip"),
            "office",
            ir.Attr("request", "tls"),
        ],
    ),
    "tags": (
        "endpoint has level and endpoint.level == service.level",
        [TagRead("endpoint", "level"), TagRead("endpoint", "level"), TagRead("service", "level")],
    ),
    "a signal by its module": ("signal.risk > limit", [ir.Attr("signal", "m.risk"), Fixed(5, IntType())]),
    "the instant": ("now > now - 1m", [ir.Now(), ir.Now()]),
    "a value of an enum": ("endpoint.level < high", [TagRead("endpoint", "level"), Fixed("high", LEVEL)]),
    "a workload": (
        "request.peer == edge",
        [ir.Attr("request", "peer"), Fixed("spiffe://prod/edge", Scalar.WORKLOAD)],
    ),
    "a network that is a setting": ("request.ip in lan", [ir.Attr("request", "ip"), "lan"]),
    "a role as an argument": ("holds(token.sub, clerk)", [ir.Attr("token", "sub"), "m.clerk"]),
}


def bound(names: Names, expr: tree.Expr) -> list[object]:
    """What the references of an expression are bound to; networks and roles by name."""
    found: list[object] = []
    for node in walk(expr):
        match names.inputs.get(node.id):
            case NetworkEntry(name=name):
                found.append(name)
            case RoleEntry(id=id_):
                found.append(id_)
            case None:
                pass
            case other:
                found.append(other)
    return found


@pytest.mark.parametrize("case", REFERENCES)
def test_references_are_bound_by_node(case: str) -> None:
    text, wanted = REFERENCES[case]
    taken = bundle({"m.pol": f'{EVERYTHING} deny d on s when {text} because "-"'})
    assert taken.messages == []
    (when,) = (each for each in taken.module("m").rules["d"].clauses if isinstance(each, tree.WhenClause))
    assert bound(taken.names["m"], when.condition) == wanted


def test_calls_kinds_roles_workloads_and_targets_are_bound_by_node() -> None:
    rule = """deny d for any user, role clerk, workload edge via edge on s.one
        when mine(path.name) and calm and calm() and role clerk and token is user and holds(token.sub, clerk)
        must set header "x-a" to token.sub because "-" """
    taken = bundle({"m.pol": EVERYTHING + rule})
    assert taken.messages == []
    names, entry = taken.names["m"], taken.module("m")
    who, on, when, must, _ = entry.rules["d"].clauses
    assert isinstance(who, tree.ForClause)
    assert isinstance(on, tree.OnClause)
    assert isinstance(when, tree.WhenClause)
    assert [names.kinds.get(each.id) for each in who.subjects] == ["user", None, None]
    assert [names.workloads[each.id].workload.id for each in who.via] == ["m.edge"]
    assert len(names.workloads) == 2
    assert {each.id for each in names.roles.values()} == {"m.clerk"}
    assert len(names.roles) == 2
    assert [taken.inventory.endpoints[index].endpoint.id for index in names.targets[on.id]] == ["s.one"]
    calls = [names.calls[node.id].decl.name.text for node in walk(when.condition) if node.id in names.calls]
    assert calls == ["mine", "calm", "calm", "holds"]
    assert [names.kinds[n.id] for n in walk(when.condition) if isinstance(n, tree.IsKind)] == ["user"]
    assert isinstance(must, tree.MustClause)
    assert isinstance(must.obligation, tree.SetHeader)
    assert bound(names, must.obligation.value) == [ir.Attr("token", "sub")]


def test_a_parameter_is_no_other_name_of_an_expression() -> None:
    """`role lead` with a parameter `lead` beside a role `lead` would mean the role, and `r(lead)` the parameter."""
    taken = bundle({"m.pol": f"{EVERYTHING} condition c (edge: string, n: int) = edge == token.sub and n == 1"})
    assert taken.messages == ["E205: `edge` has a meaning of its own: this module declares or imports it"]


def test_a_condition_means_what_it_means_in_its_own_module() -> None:
    files = {
        "a.pol": "module a setting limit: int = 1 condition c (n: int) = n == limit and k() condition k = 1 == 1",
        "b.pol": f'module b import a (c) setting limit: int = 2 {SERVICE} deny d on s when c(limit) because "-"',
    }
    taken = bundle(files)
    assert taken.messages == []
    when = taken.module("b").rules["d"].clauses[1]
    assert isinstance(when, tree.WhenClause)
    (call,) = (node for node in walk(when.condition) if isinstance(node, tree.Call))
    callee = taken.names["b"].calls[call.id]
    assert isinstance(callee, ConditionEntry)
    assert callee.module == "a"
    assert bound(taken.names["b"], when.condition) == [Fixed(2, IntType())]
    assert bound(taken.names["a"], callee.decl.body) == [Parameter("n"), Fixed(1, IntType())]


def test_conditions_of_two_modules_that_need_each_other_are_not_bound() -> None:
    files = {
        "a.pol": "module a import b (two) condition one = two()",
        "b.pol": "module b import a (one) condition two = one() condition three = two()",
    }
    taken = bundle(files)
    assert taken.messages == [
        "E220: the module `a` imports itself: `a` -> `b` -> `a`",
        "E230: the condition `one` needs itself: `a.one` -> `b.two` -> `a.one`",
    ]
    assert not taken.names["a"].calls
    assert not taken.names["b"].calls


PROOFS = {
    "a proof is bound like a rule": ("for any user on s.one when path.name == token.sub", []),
    "an unknown service": ("for any user on t", ["E201: unknown service `t`"]),
    "an unknown claim": ("for any user on s when token.nothing == 1", ["E203: unknown attribute"]),
}


@pytest.mark.parametrize("case", PROOFS)
def test_proofs(case: str) -> None:
    clauses, wanted = PROOFS[case]
    taken = bundle({"m.pol": f'module m {KIND} {SERVICE} prove "p" never allow {clauses}'})
    assert [message[: len(start)] for message, start in zip(taken.messages, wanted, strict=True)] == wanted


def test_a_proof_about_another_modules_service_is_no_grant() -> None:
    files = {
        "a.pol": f"module a {KIND} {SERVICE}",
        "b.pol": 'module b import a (s) prove "p" never allow for anyone on s',
    }
    assert bundle(files).messages == []


GAUGE = 'signal g: int from "context.g" key token.sub within 1ms else 1 '

USED = {
    "nothing": ("", set()),
    "a label that an endpoint carries": ('label l service t { audience "t" endpoint x GET /x tagged l }', {"l"}),
    "a label of a rule": ('label l deny d on any endpoint tagged l because "-"', {"l"}),
    "an enum by one of its values": ('enum e = x | y deny d on s when token.sub == x because "-"', {"e", "x"}),
    "an enum as a type": ("enum e = x | y relation r (a: e)", {"e"}),
    "an enum by a tag": ('enum e = x | y service t { audience "t" tag e = x endpoint z GET /z }', {"e"}),
    "a kind by its factor": (
        'token k { issuer "https://k" claim at: time factor f at token.at } require r on s needs factor f',
        {"k"},
    ),
    "a network nested in another": ("network n = 10.0.0.0/8 network o = n", {"n"}),
    "a setting": ('setting i: string = "https://k" token k { issuer i }', {"i"}),
    "a role that another includes": ("roles for user from none { role p role q includes p }", {"p", "user"}),
    "a workload of a test": ('workload w = "spiffe://p/w" test "t" { given request { peer: w } }', {"w"}),
    "a signal of a test": (GAUGE + 'test "t" { given signal g = 1 }', {"g"}),
    "a relation of a test": ('relation r (a: string) test "t" { given fact r ("x") }', {"r"}),
    "a kind of a test": ('test "t" { given token user { } }', {"user"}),
    "what a column of a table reads": (
        GAUGE + 'test "t" { table | call | signal.g | expect | | s GET /one/x | 1 | deny | }',
        {"g", "s"},
    ),
    "a condition of a proof": ('condition c = 1 == 1 prove "p" never allow for anyone on s when c', {"c", "s"}),
    "a subject kind that a service accepts": ('subject k { type "k" } service t { audience none accepts k }', {"k"}),
    "a header's value": ('setting v: string = "x" require r on s must set header "a" to v', {"v", "s"}),
}


@pytest.mark.parametrize("case", USED)
def test_used_names(case: str) -> None:
    text, wanted = USED[case]
    names = bundle({"m.pol": f"module m {KIND} {SERVICE} {text}"}).names["m"].used
    assert wanted <= names
    assert names - {"s"} <= wanted


def test_what_another_module_imports_is_used_and_an_import_is_where_it_is_mentioned() -> None:
    files = {
        "a.pol": "module a label l, m enum e = x | y",
        "b.pol": 'module b import a (l, m, e) deny d on any endpoint tagged l because "-"',
    }
    taken = bundle(files)
    assert taken.names["a"].used == {"l", "m", "e"}
    assert taken.names["b"].used == {"l"}
    assert set(taken.module("b").imported) == {"l", "m", "e"}


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
    assert (factor.code, factor.label_text) == ("E200", "no kind declares it that this module declares or imports")
    condition = refusal('deny r on s when mfa() because "-"')
    assert (condition.code, condition.label_text) == ("E200", "neither declared in this module nor imported")


def test_a_factor_comes_with_its_kind() -> None:
    kind = 'module b token peer { issuer "https://b" claim at: time factor mfa at token.at }'
    rule = f"{KIND} {SERVICE} require r on s needs factor mfa"
    assert codes({"a.pol": f"module a {rule}", "b.pol": kind}) == ["a.pol:E200"]
    assert codes({"a.pol": f"module a import b (peer) {rule}", "b.pol": kind}) == []


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
