"""The builders: what each construct of the grammar becomes, and where its nodes stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from policy_lang import tree
from policy_lang.syntax.parser import Parsed, parse
from policy_lang.tree import Case, Decl, Module, Name, Node, Table, TestDecl, Text

WHOLE = (Path(__file__).parents[1] / "golden" / "check" / "whole_language.pol").read_text("utf-8")


def compact(value: object) -> str:
    """A node in one line: its class and its fields, names bare, texts quoted, without ids and places; `-` is None."""
    match value:
        case Name():
            return value.text
        case Text():
            return f'"{value.value}"'
        case Node():
            parts = [compact(getattr(value, name)) for name in value.__struct_fields__ if name not in ("id", "span")]
            return f"{type(value).__name__}({', '.join(parts)})"
        case tuple():
            return f"[{', '.join(map(compact, value))}]"
        case None:
            return "-"
        case _:
            return str(value)


def nodes(value: object) -> Iterator[tuple[Node, Node | None]]:
    """Every node within `value`, each with the node that holds it."""
    stack: list[tuple[object, Node | None]] = [(value, None)]
    while stack:
        item, holder = stack.pop()
        if isinstance(item, Node):
            yield item, holder
            holder = item
        if isinstance(item, tuple):
            stack += [(part, holder) for part in item]
        elif isinstance(item, Struct):
            stack += [(getattr(item, name), holder) for name in item.__struct_fields__]


def module_of(text: str) -> Module:
    parsed = parse("x.pol", f"module m\n{text}".encode())
    assert parsed.diagnostics == ()
    assert parsed.module is not None
    return parsed.module


def only(text: str) -> Decl:
    (built,) = module_of(text).declarations
    return built


# ---------------------------------------------------------------- vocabulary and principals


VOCABULARY = {
    "a setting": ("setting idp: string", "SettingDecl(idp, string, -)"),
    "a setting with a default": ("setting most: int = -5", "SettingDecl(most, int, IntLit(-5))"),
    "a duration setting": ("setting d: duration = 1m", "SettingDecl(d, duration, DurationLit(60000))"),
    "a network setting": (
        "setting n : network = [10.0.0.0/8, other]",
        "SettingDecl(n, network, SetLit([CidrLit(10.0.0.0/8), Ref(other, [])]))",
    ),
    "an enum": ("enum env = dev | prod", "EnumDecl(env, [dev, prod], False)"),
    "an enum of one value": ("enum env = dev", "EnumDecl(env, [dev], False)"),
    "an ordered enum": ("enum level = low < middle < high", "EnumDecl(level, [low, middle, high], True)"),
    "labels": ("label a, b", "LabelDecl([a, b])"),
    "a network of a range": ("network n = 10.1.2.3/8", "NetworkDecl(n, [CidrLit(10.1.2.3/8)], [])"),
    "a network with everything": (
        "network n = 192.0.2.0/24, 2001:DB8::/32, ::ffff:10.0.0.1, branch except 192.0.2.9, guests",
        (
            "NetworkDecl(n, [CidrLit(192.0.2.0/24), CidrLit(2001:DB8::/32), IpLit(10.0.0.1), branch], "
            "[IpLit(192.0.2.9), guests])"
        ),
    ),
    "a workload": ('workload edge = "spiffe://prod/edge"', 'WorkloadDecl(edge, "spiffe://prod/edge")'),
    "a workload of a setting": ("workload edge = edge_id", "WorkloadDecl(edge, edge_id)"),
    "a token kind": (
        (
            'token user { issuer "i" claim sub: string factor mfa at token.t when a factor login at token.t\n'
            '  claim g: set of int -1..5 optional private from "a" "b" }'
        ),
        (
            'TokenDecl(user, "i", [Field(sub, TypeExpr(string, -, -, -), False, False, []), '
            "Field(g, TypeExpr(set, -, -, TypeExpr(int, -1, 5, -)), True, True, [a, b])], "
            "[FactorDecl(mfa, Ref(token, [t]), Ref(a, [])), FactorDecl(login, Ref(token, [t]), -)])"
        ),
    ),
    "an issuer of a setting": ("token user { issuer idp }", "TokenDecl(user, idp, [], [])"),
    "a subject kind": (
        'subject employee { type "person" property p: bool optional factor login at subject.t }',
        (
            'SubjectDecl(employee, "person", [Field(p, TypeExpr(bool, -, -, -), True, False, [])], '
            "[FactorDecl(login, Ref(subject, [t]), -)])"
        ),
    ),
    "roles": (
        'roles for user from token.groups { role a role b from "B", "b" includes a, c exclusive a, c role d }',
        (
            "RolesDecl(user, Ref(token, [groups]), "
            '[RoleDecl(a, [], []), RoleDecl(b, ["B", "b"], [a, c]), RoleDecl(d, [], [])], [ExclusiveDecl([a, c])])'
        ),
    ),
    "a role that includes without values of its own": (
        "roles for user from none { role b includes a }",
        "RolesDecl(user, Ref(none, []), [RoleDecl(b, [], [a])], [])",
    ),
    "a relation": (
        "relation r (a: uuid, who: role, at: ip, by: workload, in: colour)",
        (
            "RelationDecl(r, [Column(a, TypeExpr(uuid, -, -, -)), Column(who, TypeExpr(role, -, -, -)), "
            "Column(at, TypeExpr(ip, -, -, -)), Column(by, TypeExpr(workload, -, -, -)), "
            "Column(in, TypeExpr(colour, -, -, -))])"
        ),
    ),
    "a condition": ("condition c = a", "ConditionDecl(c, [], Ref(a, []))"),
    "a condition with parameters": (
        "condition c (x: time, y: duration) = x",
        ("ConditionDecl(c, [Column(x, TypeExpr(time, -, -, -)), Column(y, TypeExpr(duration, -, -, -))], Ref(x, []))"),
    ),
    "a signal": (
        'signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown',
        'SignalDecl(risk, TypeExpr(int, 0, 100, -), "context.risk", [Ref(token, [sub])], 5, UnknownLit())',
    ),
    "a signal with several keys": (
        'signal n: int from "seen.run" key (token.sub, endpoint) within 1s else 0',
        'SignalDecl(n, TypeExpr(int, -, -, -), "seen.run", [Ref(token, [sub]), Ref(endpoint, [])], 1000, IntLit(0))',
    ),
    "a signal that falls back to a set": (
        'signal s: set of string from "context.s" key now within 1ms else ["a"]',
        (
            'SignalDecl(s, TypeExpr(set, -, -, TypeExpr(string, -, -, -)), "context.s", [Ref(now, [])], 1, '
            "SetLit([StringLit(a)]))"
        ),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), VOCABULARY.values(), ids=VOCABULARY.keys())
def test_vocabulary(text: str, wanted: str) -> None:
    assert compact(only(text)) == wanted


def test_imports_come_in_their_order() -> None:
    module = module_of("import a.b (x)\nimport role.set (y, z)")
    assert compact(module.imports) == '[ImportDecl("a.b", [x]), ImportDecl("role.set", [y, z])]'
    assert module.declarations == ()


# ---------------------------------------------------------------- services


PLAIN = "Field({}, TypeExpr({}, -, -, -), False, False, [])"
SERVICE = 'service s {{ audience "a" {} }}'
ENDPOINT = 'service s {{ audience "a" endpoint e {} }}'
CASBIN = {
    "an empty block": ("casbin c {}", "CasbinDecl(c, [])"),
    "files, as they are written": (
        'casbin c { policy "p/q.csv" model "m.conf" }',
        'CasbinDecl(c, [CasbinFile(policy, "p/q.csv"), CasbinFile(model, "m.conf")])',
    ),
    "parameters of any spelling": (
        'casbin c { bind sub = token.sub, ip = request.ip bind "sub.Age" = token.age }',
        (
            'CasbinDecl(c, [CasbinBind([Binding("sub", Ref(token, [sub])), Binding("ip", Ref(request, [ip]))]), '
            'CasbinBind([Binding("sub.Age", Ref(token, [age]))])])'
        ),
    ),
    "targets": (
        "casbin c { on s.e, t tagged a }",
        "CasbinDecl(c, [OnClause([Target(OfEndpoint(s, e), -), Target(OfService(t), TagFilter([a], False))])])",
    ),
    "words": (
        "casbin c { as full mode compat use r2, m2 }",
        "CasbinDecl(c, [CasbinWord(as, full), CasbinWord(mode, compat), CasbinUse([r2, m2])])",
    ),
    "matching functions and a zone": (
        'casbin c { match g = "keyMatch" match_domain g2 = "globMatch" zone "Europe/Berlin" }',
        (
            'CasbinDecl(c, [CasbinMatch(False, g, "keyMatch"), CasbinMatch(True, g2, "globMatch"), '
            'CasbinZone("Europe/Berlin")])'
        ),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), CASBIN.values(), ids=CASBIN.keys())
def test_casbin_blocks(text: str, wanted: str) -> None:
    assert compact(only(text)) == wanted


SERVICES = {
    "nothing but an audience": (
        SERVICE.format(""),
        'ServiceDecl(s, ["a"], [], -, [], -, False, [], [], [])',
    ),
    "no audience": ("service s { audience none }", "ServiceDecl(s, [], [], -, [], -, False, [], [], [])"),
    "settings": (
        'service s { audience aud, "b" host h host "k", l }',
        'ServiceDecl(s, [aud, "b"], [h, "k", l], -, [], -, False, [], [], [])',
    ),
    "who may grant": (
        SERVICE.format("grants by m, role . other"),
        'ServiceDecl(s, ["a"], [], ["m", "role.other"], [], -, False, [], [], [])',
    ),
    "whom it accepts": (
        SERVICE.format("accepts a, b accepts c"),
        'ServiceDecl(s, ["a"], [], -, [a, b, c], -, False, [], [], [])',
    ),
    "observed for a time": (
        SERVICE.format("observe until 1970-01-02"),
        'ServiceDecl(s, ["a"], [], -, [], TimeLit(86400000), False, [], [], [])',
    ),
    "no query but the declared one": (
        SERVICE.format("query strict"),
        'ServiceDecl(s, ["a"], [], -, [], -, True, [], [], [])',
    ),
    "tags": (
        SERVICE.format('tag owner = "team" tag env = prod'),
        'ServiceDecl(s, ["a"], [], -, [], -, False, [TagValue(owner, "team"), TagValue(env, prod)], [], [])',
    ),
    "a header": (
        SERVICE.format('header device: string optional from "x-device"'),
        (
            'ServiceDecl(s, ["a"], [], -, [], -, False, [], '
            "[Field(device, TypeExpr(string, -, -, -), True, False, [x-device])], [])"
        ),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), SERVICES.values(), ids=SERVICES.keys())
def test_service(text: str, wanted: str) -> None:
    assert compact(only(text)) == wanted


ENDPOINTS = {
    "a path": (
        "GET | HEAD /x/{y: int}/**",
        'EndpointDecl(e, HttpRoute([GET, HEAD], "/x/{y: int}/**"), [], [], [], [], [], [], False)',
    ),
    "a gRPC method": (
        "grpc shop.v1.Orders/Watch",
        'EndpointDecl(e, GrpcRoute("shop.v1.Orders/Watch"), [], [], [], [], [], [], False)',
    ),
    "an action": (
        'action "read" on "document" property owner: string',
        (
            'EndpointDecl(e, ActionRoute("read", "document"), [], [], [], [], [], '
            f"[{PLAIN.format('owner', 'string')}], False)"
        ),
    ),
    "scopes and labels, which add up": (
        'GET /x scope "r", "s" tagged a scope "w" tagged b, c',
        'EndpointDecl(e, HttpRoute([GET], "/x"), ["r", "s", "w"], [a, b, c], [], [], [], [], False)',
    ),
    "everything else": (
        'POST /x query q: int tag k = v header h: uuid closed tag l = "t"',
        (
            'EndpointDecl(e, HttpRoute([POST], "/x"), [], [], [TagValue(k, v), TagValue(l, "t")], '
            f"[{PLAIN.format('q', 'int')}], [{PLAIN.format('h', 'uuid')}], [], True)"
        ),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), ENDPOINTS.values(), ids=ENDPOINTS.keys())
def test_endpoint(text: str, wanted: str) -> None:
    service = only(ENDPOINT.format(text))
    assert isinstance(service, tree.ServiceDecl)
    assert compact(service.endpoints) == f"[{wanted}]"


# ---------------------------------------------------------------- rules


def test_a_rule_without_clauses() -> None:
    assert compact(only("deny x")) == "Rule(False, deny, x, [])"


def test_a_shadow_rule() -> None:
    assert compact(only("shadow require x")) == "Rule(True, require, x, [])"


CLAUSES = {
    "for everyone": ("for anyone", "ForClause([Anyone()], [])"),
    "for several": (
        "for anyone, any user, role a or b, workload w or v",
        "ForClause([Anyone(), AnyOfKind(user), OfRole([a, b]), OfWorkload([w, v])], [])",
    ),
    "for one role": ("for role a", "ForClause([OfRole([a])], [])"),
    "via workloads": ("for any user via edge, mesh", "ForClause([AnyOfKind(user)], [edge, mesh])"),
    "on everything": ("on any endpoint", "OnClause([Target(Everything(), -)])"),
    "on labels": (
        "on any endpoint tagged a, s tagged a or b, s tagged a and b",
        (
            "OnClause([Target(Everything(), TagFilter([a], False)), Target(OfService(s), TagFilter([a, b], False)), "
            "Target(OfService(s), TagFilter([a, b], True))])"
        ),
    ),
    "on an endpoint and a pattern": (
        "on s.e, s GET|PUT /p/**",
        'OnClause([Target(OfEndpoint(s, e), -), Target(OfPattern(s, [GET, PUT], "/p/**"), -)])',
    ),
    "when": ("when a", "WhenClause(Ref(a, []), False)"),
    "unless": ("unless a", "WhenClause(Ref(a, []), True)"),
    "until": ("until 1970-01-03", "UntilClause(TimeLit(172800000))"),
    "a factor": ("needs factor f", "NeedsClause(FactorNeed(f, -))"),
    "a fresh factor": ("needs factor f within 1m", "NeedsClause(FactorNeed(f, DurationLit(60000)))"),
    "a factor as fresh as a setting says": ("needs factor f within s", "NeedsClause(FactorNeed(f, s))"),
    "a condition with its challenge": (
        'needs c(a) and b else challenge "device"',
        'NeedsClause(ConditionNeed(And(Call(c, [Ref(a, [])]), Ref(b, [])), "device"))',
    ),
    "because": ('because "x\\ny"', 'BecauseClause("x\ny")'),
    "a header to set": (
        'must set header "x-sub" to token.sub',
        'MustClause(SetHeader("x-sub", Ref(token, [sub])))',
    ),
    "a header to set to a literal in parentheses": (
        'must set header "x" to ("y")',
        'MustClause(SetHeader("x", StringLit(y)))',
    ),
    "a header to remove": ('must remove header "x"', 'MustClause(RemoveHeader("x"))'),
    "what to redact": ('must redact "/a", "/b/0"', 'MustClause(Redact(["/a", "/b/0"]))'),
    "what to log": ("must log full", "MustClause(LogObligation(full, -))"),
    "what to log before the answer": ("must log minimal strict", "MustClause(LogObligation(minimal, strict))"),
    "a token to issue": ("must issue token", "MustClause(IssueToken([]))"),
    "a token to issue with scopes": ('must issue token with scope "a", "b"', 'MustClause(IssueToken(["a", "b"]))'),
    "whom to alert": ('must alert "soc"', 'MustClause(Alert("soc"))'),
    "what to answer": ("must answer 404", "MustClause(AnswerStatus(404))"),
    "advice": ('should alert "soc"', 'ShouldClause(Alert("soc"))'),
}


@pytest.mark.parametrize(("text", "wanted"), CLAUSES.values(), ids=CLAUSES.keys())
def test_clause(text: str, wanted: str) -> None:
    assert compact(only(f"require x {text}")) == f"Rule(False, require, x, [{wanted}])"


def test_clauses_keep_their_order() -> None:
    built = only('deny x when a on s must answer 404 when b because "-"')
    assert isinstance(built, tree.Rule)
    kinds = [type(clause).__name__ for clause in built.clauses]
    assert kinds == ["WhenClause", "OnClause", "MustClause", "WhenClause", "BecauseClause"]


EXPRESSIONS = {
    "a role": ("role support", "HasRole(support)"),
    "a factor": ("factor mfa", "HasFactor(mfa, -)"),
    "a fresh factor": ("factor mfa within 5m", "HasFactor(mfa, DurationLit(300000))"),
    "a factor as fresh as a setting says": ("factor mfa within fresh", "HasFactor(mfa, fresh)"),
    "a bare name": ("request.peer == batch", "Compare(==, Ref(request, [peer]), Ref(batch, []))"),
    "an address": ("request.ip == 10.0.0.1", "Compare(==, Ref(request, [ip]), IpLit(10.0.0.1))"),
    "an address in the IPv4 range of IPv6": ("a == ::ffff:10.0.0.1", "Compare(==, Ref(a, []), IpLit(10.0.0.1))"),
    "an address of version 6": (
        "a == 2001:DB8:0:0:0:0:0:1",
        "Compare(==, Ref(a, []), IpLit(2001:db8::1))",
    ),
    "the unspecified address": ("a == ::", "Compare(==, Ref(a, []), IpLit(::))"),
    "a range": ("a in 10.0.0.0/8", "In(Ref(a, []), CidrLit(10.0.0.0/8), False)"),
    "a range with host bits, which are for later": ("a in 10.1.2.3/0", "In(Ref(a, []), CidrLit(10.1.2.3/0), False)"),
    "a range of version 6": ("a not in 2001:db8::/128", "In(Ref(a, []), CidrLit(2001:db8::/128), True)"),
    "unknown": ("signal.risk == unknown", "Compare(==, Ref(signal, [risk]), UnknownLit())"),
    "the empty set": ("token.groups == []", "Compare(==, Ref(token, [groups]), SetLit([]))"),
    "a set of everything": (
        'a in [1, "x", true, 1970-01-01, 10.0.0.1, b]',
        ("In(Ref(a, []), SetLit([IntLit(1), StringLit(x), BoolLit(True), TimeLit(0), IpLit(10.0.0.1), Ref(b, [])]), "
        "False)"),
    ),
    "a root": ("endpoint has owner", "Has(Ref(endpoint, []), owner)"),
    "a tag": ("service.owner like \"team-*\"", 'Like(Ref(service, [owner]), "team-*")'),
    "the kind of a subject": ("subject is employee", "IsKind(Ref(subject, []), employee)"),
    "every comparison": (
        "a < b and a <= b and a > b and a >= b",
        (
            "And(And(Compare(<, Ref(a, []), Ref(b, [])), Compare(<=, Ref(a, []), Ref(b, []))), "
            "And(Compare(>, Ref(a, []), Ref(b, [])), Compare(>=, Ref(a, []), Ref(b, []))))"
        ),
    ),
    "sets and emptiness": (
        "a overlaps b or a covers b or a is empty",
        (
            "Or(Or(SetTest(overlaps, Ref(a, []), Ref(b, [])), SetTest(covers, Ref(a, []), Ref(b, []))), "
            "IsEmpty(Ref(a, [])))"
        ),
    ),
    "time": (
        "not now - 1m + 2h < token.at",
        (
            "Not(Compare(<, Arithmetic(+, Arithmetic(-, Ref(now, []), DurationLit(60000)), DurationLit(7200000)), "
            "Ref(token, [at])))"
        ),
    ),
    "calls within calls": ("f(g(), unset)", "Call(f, [Call(g, []), UnsetLit()])"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_expression(text: str, wanted: str) -> None:
    assert compact(only(f"condition c = {text}")) == f"ConditionDecl(c, [], {wanted})"


# ---------------------------------------------------------------- tests and proofs


GIVEN = {
    "a token": (
        'given token user { sub: "u", at: now - 1s }',
        "GivenToken(user, [[sub, StringLit(u)], [at, Arithmetic(-, Ref(now, []), DurationLit(1000))]])",
    ),
    "a token without claims": ("given token user {}", "GivenToken(user, [])"),
    "a subject": ('given subject e { id: "e1" }', "GivenSubject(e, [[id, StringLit(e1)]])"),
    "nobody": ("given anonymous", "GivenAnonymous()"),
    "a request": (
        "given request { ip: ::1, peer: edge, tls: true }",
        "GivenRequest([[ip, IpLit(::1)], [peer, Ref(edge, [])], [tls, BoolLit(True)]])",
    ),
    "an instant": ("given now 1970-01-01T00:00:01Z", "GivenNow(TimeLit(1000))"),
    "a signal": ("given signal risk = 10", "GivenSignal(risk, IntLit(10))"),
    "a signal without a value": ("given signal risk = unknown", "GivenSignal(risk, UnknownLit())"),
    "a fact": ('given fact r ("a", keeper)', "GivenFact(r, [StringLit(a), Ref(keeper, [])])"),
}


@pytest.mark.parametrize(("text", "wanted"), GIVEN.values(), ids=GIVEN.keys())
def test_given(text: str, wanted: str) -> None:
    assert compact(only(f'test "t" {{ {text} }}')) == f'TestDecl("t", [{wanted}], [])'


PATH_CALL = 'PathCall(s, GET, "/a")'
STEPS = {
    "a path with a query": (
        "call s GET /a?b=c%20d expect deny",
        'Case(PathCall(s, GET, "/a?b=c%20d"), [], Outcome(deny, -, [], []))',
    ),
    "an endpoint by name": (
        'call s.e { account: "a", id: 1 } expect allow',
        "Case(EndpointCall(s, e, [[account, StringLit(a)], [id, IntLit(1)]]), [], Outcome(allow, -, [], []))",
    ),
    "an endpoint without arguments": (
        "call s.e expect allow",
        "Case(EndpointCall(s, e, []), [], Outcome(allow, -, [], []))",
    ),
    "a gRPC method": (
        "call s grpc a.B/C expect allow",
        'Case(GrpcCall(s, "a.B/C"), [], Outcome(allow, -, [], []))',
    ),
    "changes": (
        "call s GET /a with token.x = unset with now = 1970-01-01T00:00:00Z expect deny",
        (
            f"Case({PATH_CALL}, [Override(Ref(token, [x]), UnsetLit()), Override(Ref(now, []), TimeLit(0))], "
            "Outcome(deny, -, [], []))"
        ),
    ),
    "deciders": (
        "call s GET /a expect deny by m . a, default",
        f'Case({PATH_CALL}, [], Outcome(deny, -, ["m.a", "default"], []))',
    ),
    "a step up": (
        "call s GET /a expect step_up mfa by a",
        f'Case({PATH_CALL}, [], Outcome(step_up, mfa, ["a"], []))',
    ),
    "a step up by whatever rule": (
        "call s GET /a expect step_up mfa",
        f"Case({PATH_CALL}, [], Outcome(step_up, mfa, [], []))",
    ),
    "obligations": (
        (
            'call s GET /a expect allow by r and log full strict and set header "x" to token.sub\n'
            '  and remove header "y" and redact "/z" and alert "soc" and issue token with scope "w"'
        ),
        (
            f'Case({PATH_CALL}, [], Outcome(allow, -, ["r"], [LogObligation(full, strict), '
            'SetHeader("x", Ref(token, [sub])), RemoveHeader("y"), Redact(["/z"]), Alert("soc"), IssueToken(["w"])]))'
        ),
    ),
    "a refusal with its answer": (
        "call s GET /a expect deny and answer 404",
        f"Case({PATH_CALL}, [], Outcome(deny, -, [], [AnswerStatus(404)]))",
    ),
    "a table": (
        """table
          | call     | token.groups | signal.risk | now                  | expect          |
          | s GET /a | ["x"]        | unknown     | 1970-01-01T00:00:00Z | allow by r      |
          | s PUT /b | []           | 5           | 1970-01-01T00:00:00Z | step_up mfa     |""",
        (
            "Table([CallHead(), Ref(token, [groups]), Ref(signal, [risk]), Ref(now, []), ExpectHead()], "
            f"[TableRow([{PATH_CALL}, SetLit([StringLit(x)]), UnknownLit(), TimeLit(0), "
            'Outcome(allow, -, ["r"], [])]), '
            'TableRow([PathCall(s, PUT, "/b"), SetLit([]), IntLit(5), TimeLit(0), Outcome(step_up, mfa, [], [])])])'
        ),
    ),
    "a ragged table with cells where none belong": (
        "table | expect | call | | deny | | s GET /a | x | 1 | deny and log full |",
        (
            f"Table([ExpectHead(), CallHead()], [TableRow([Outcome(deny, -, [], [])]), "
            f"TableRow([{PATH_CALL}, Ref(x, []), IntLit(1), Outcome(deny, -, [], [LogObligation(full, -)])])])"
        ),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), STEPS.values(), ids=STEPS.keys())
def test_step(text: str, wanted: str) -> None:
    assert compact(only(f'test "t" {{ {text} }}')) == f'TestDecl("t", [], [{wanted}])'


def test_calls_and_tables_keep_their_order() -> None:
    call, table = "call s GET /a expect deny", "table | call | expect | | s GET /a | deny |"
    built = only(f'test "t" {{ {call} {table} {call} }}')
    assert isinstance(built, TestDecl)
    assert [type(step) for step in built.steps] == [Case, Table, Case]


PROOFS = {
    "never": (
        'prove "p" never allow for anyone on s.e unless role a',
        (
            'ProveDecl("p", never, [ForClause([Anyone()], []), OnClause([Target(OfEndpoint(s, e), -)]), '
            "WhenClause(HasRole(a), True)])"
        ),
    ),
    "always, with blanks and a comment between": (
        'prove "p" always # never\n   allow when a',
        'ProveDecl("p", always, [WhenClause(Ref(a, []), False)])',
    ),
    "of nothing": ('prove "p" never # always\n allow', 'ProveDecl("p", never, [])'),
}


@pytest.mark.parametrize(("text", "wanted"), PROOFS.values(), ids=PROOFS.keys())
def test_proof(text: str, wanted: str) -> None:
    assert compact(only(text)) == wanted


# ---------------------------------------------------------------- the whole, and its places


EVERYTHING = "\n".join(
    [
        "module m\nimport a.b (x)",
        *(text for table in (VOCABULARY, CASBIN, SERVICES, PROOFS) for text, _ in table.values()),
        *(ENDPOINT.format(text) for text, _ in ENDPOINTS.values()),
        *(f"deny x {text}" for text, _ in CLAUSES.values()),
        *(f"condition c = {text}" for text, _ in EXPRESSIONS.values()),
        *(f'test "t" {{ {text} }}' for table in (GIVEN, STEPS) for text, _ in table.values()),
    ]
)


def everything() -> Parsed:
    parsed = parse("x.pol", EVERYTHING.encode())
    assert parsed.diagnostics == ()
    return parsed


def test_these_tables_build_every_class_of_the_tree() -> None:
    known = {getattr(tree, name) for name in tree.__all__}
    built = {type(node) for node, _ in nodes(everything().module)}
    assert {kind for kind in known if isinstance(kind, type) and issubclass(kind, Node)} - built == {Node}


def test_the_whole_grammar_is_built() -> None:
    parsed = parse("whole.pol", WHOLE.encode())
    assert parsed.diagnostics == ()
    assert parsed.module is not None
    heads = [line.split()[0] for line in WHOLE.splitlines() if line and line[0].isalpha()]
    others = [word for word in heads if word not in ("language", "module", "import")]
    assert len(parsed.module.declarations) == len(others)
    assert len(parsed.module.imports) == 1


def test_ids_are_unique_and_places_lie_within_each_other() -> None:
    """span(child) is within span(holder), and a name or a verbatim text stands where its span says."""
    found = list(nodes(everything().module))
    assert len({node.id for node, _ in found}) == len(found)
    for node, holder in found:
        said = EVERYTHING[node.span.start : node.span.end]
        assert said.strip() == said != ""
        assert holder is None or holder.span.contains(node.span)
        if isinstance(node, Name):
            assert said == node.text
        if isinstance(node, Text) and not said.startswith('"'):
            assert said.replace(" ", "") == node.value.replace(" ", "")


ALONE = {
    "a setting": VOCABULARY["a duration setting"][0],
    "a service": SERVICES["tags"][0],
    "a test with a table": f'test "t" {{ {STEPS["a table"][0]} }}',
    "a proof": PROOFS["always, with blanks and a comment between"][0].replace("# never\n", ""),
}


@pytest.mark.parametrize("text", ALONE.values(), ids=ALONE.keys())
def test_a_declaration_read_alone_is_the_same_as_in_a_file(text: str) -> None:
    """What is read after an error has the nodes of a file without one, each where it stands."""
    parsed = parse("x.pol", f"module m\nlabel ;\n{text}".encode())
    assert [d.code for d in parsed.diagnostics] == ["E101"]
    assert parsed.module is not None
    (alone,) = parsed.module.declarations
    whole = only(text)
    assert compact(alone) == compact(whole)
    moved = len("label ;\n")
    assert [node.span.start - moved for node, _ in nodes(alone)] == [node.span.start for node, _ in nodes(whole)]


PLACES = {
    "a tag": ('tag owner = "team"', "TagValue"),
    "a route": ("GET|PUT /p/{x}", "HttpRoute"),
    "an action route": ('action "read" on "document"', "ActionRoute"),
    "a subject of a rule": ("role a or b", "OfRole"),
    "a target with its labels": ("s.e tagged a and b", "Target"),
    "a clause": ("for any user via edge", "ForClause"),
    "an obligation": ('set header "x" to token.sub', "SetHeader"),
    "an address as written": ("2001:DB8::1", "IpLit"),
    "a role that is asked for": ("role q", "HasRole"),
    "a cell that calls": ("s DELETE /d", "PathCall"),
    "a cell that expects": ("step_up mfa by r", "Outcome"),
    "the head of a column": ("expect", "ExpectHead"),
    "an import": ("import a.b (x, y)", "ImportDecl"),
}
PLACED = """module m
import a.b (x, y)
service s { audience "a" tag owner = "team"
  endpoint e GET|PUT /p/{x}
  endpoint f action "read" on "document" }
require r
  for any user via edge
  on s.e tagged a and b
  when ( role q ) or a == 2001:DB8::1
  must set header "x" to token.sub
deny t for role a or b
test "t" { table | call | expect | | s DELETE /d | step_up mfa by r | }
"""


@pytest.mark.parametrize(("said", "kind"), PLACES.values(), ids=PLACES.keys())
def test_place(said: str, kind: str) -> None:
    found = [node for node, _ in nodes(parse("x.pol", PLACED.encode()).module) if type(node).__name__ == kind]
    assert said in [PLACED[node.span.start : node.span.end] for node in found]
