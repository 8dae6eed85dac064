"""What roles, workloads, tags, networks, enums, ends and duties come to in cells, and the order that cells keep."""

from __future__ import annotations

import pytest

from policy_lang import ir
from policy_lang.compile import compile_policy
from tests.lang.guards import guard_text

HEAD = """module m
setting limit: int = 50
enum size = small < medium < large
network office = 192.0.2.0/24
workload edge = "spiffe://prod/edge"
workload batch = "spiffe://prod/batch"
signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown
token user { issuer "https://id.example"
  claim sub: string
  claim size: size
  claim other: size
  claim groups: set of string
}
token partner { issuer "https://partner.example" claim sub: string claim role: string optional }
subject employee { type "employee" property department: string optional }
roles for user from token.groups { role reader role writer from "W", "w" includes reader role owner includes writer }
roles for partner from token.role { role seller }
roles for employee from none { role viewer role keeper includes viewer }
relation member (who: string, as: role)
service s { audience "s" host "s.example" tag size = medium
  endpoint one GET /one tag size = large
  endpoint two GET /two
}
service docs { audience "docs" accepts employee
  endpoint read action "read" on "doc" property owner: string
}
"""


def program_of(rules: str) -> ir.Program:
    return compile_policy({"m.pol": (HEAD + rules).encode()}).program


def bodies(program: ir.Program, rule: str) -> dict[tuple[str, str | None], ir.Body]:
    """What a rule comes to by endpoint and kind."""
    return {
        (program.endpoints[cell.endpoint].id, cell.kind): program.bodies[each.body]
        for cell in program.cells
        for each in ir.rules_of(cell)
        if program.rules[each.rule].id == f"m.{rule}"
    }


def held(program: ir.Program, rule: str) -> dict[tuple[str, str | None], list[str]]:
    return {
        where: [guard_text(program, clause.guard) for clause in body.clauses]
        for where, body in bodies(program, rule).items()
    }


EDGE, BATCH = 'request.peer == "spiffe://prod/edge"', 'request.peer == "spiffe://prod/batch"'
BELOW_MEDIUM = 'all(token.size in ["small"], token.other in ["large", "medium"])'
BELOW_LARGE = 'all(token.size in ["medium"], token.other in ["large"])'
KINDS = ("partner", "user", None)

FOLDED = {
    "a role is the values that give it or a role above": (
        'deny r for role writer on s.one because "-"',
        {("s.one", "user"): ['token.groups overlaps ["W", "owner", "w"]']},
    ),
    "roles of several kinds meet their own": (
        'deny r for role owner or seller on s.one because "-"',
        {
            ("s.one", "partner"): ['all(token has role, token.role in ["seller"])'],
            ("s.one", "user"): ['token.groups overlaps ["owner"]'],
        },
    ),
    "a role in a condition is false for other kinds": (
        'deny r on s.one unless role reader because "-"',
        {
            ("s.one", "partner"): ["all()", "all()"],
            ("s.one", "user"): ["all()", 'not token.groups overlaps ["W", "owner", "reader", "w"]'],
            ("s.one", None): ["all()", "all()"],
        },
    ),
    "a role that no claim gives is held by nobody": (
        'deny r for role viewer, any user on docs because "-"',
        {("docs.read", "user"): ["all()"]},
    ),
    "a role asked of a relation is that role or one above": (
        'deny r for any employee on docs when member(subject.id, viewer) because "-"',
        {("docs.read", "employee"): ["all()", 'any(m.member(subject.id, "keeper"), m.member(subject.id, "viewer"))']},
    ),
    "a workload is the peer, whoever calls": (
        'deny r for workload edge on s.one because "-"',
        {("s.one", kind): [EDGE] for kind in KINDS},
    ),
    "via is the peer or the gateway": (
        'deny r for any user via edge on s.one because "-"',
        {("s.one", "user"): [f'any({EDGE}, request.gateway == "spiffe://prod/edge")']},
    ),
    "several subjects are one of them": (
        'deny r for any user, workload edge or batch on s.one because "-"',
        {
            ("s.one", "partner"): [f"any({EDGE}, {BATCH})"],
            ("s.one", "user"): ["all()"],
            ("s.one", None): [f"any({EDGE}, {BATCH})"],
        },
    ),
    "an end is a clause before the conditions": (
        'deny r for any user on s.one when token.sub == "x" until 2026-04-01 because "-"',
        {("s.one", "user"): ["all()", "now < 1775001600000", 'token.sub == "x"']},
    ),
    "a tag is a constant of its endpoint": (
        'deny r for any user on s when endpoint.size > medium because "-"',
        {("s.one", "user"): ["all()", "all()"]},
    ),
    "a service's tag is the service's": (
        'deny r for any user on s when service.size < large because "-"',
        {("s.one", "user"): ["all()", "all()"], ("s.two", "user"): ["all()", "all()"]},
    ),
    "an enum is compared by membership": (
        'deny r for any user on s.one when token.size < large and medium <= token.size because "-"',
        {("s.one", "user"): ["all()", 'all(token.size in ["medium", "small"], token.size in ["large", "medium"])']},
    ),
    "two inputs of an enum are a disjunction": (
        'deny r for any user on s.one when token.size < token.other because "-"',
        {
            ("s.one", "user"): [
                "all()",
                f"any({BELOW_MEDIUM}, {BELOW_LARGE})",
            ]
        },
    ),
    "settings and workloads are constants": (
        'deny r for any user on s.one when signal.risk < limit when request.peer in [edge, batch] because "-"',
        {
            ("s.one", "user"): [
                "all()",
                "signal.m.risk < 50",
                'request.peer in ["spiffe://prod/batch", "spiffe://prod/edge"]',
            ]
        },
    ),
    "a subject kind calls actions only": (
        'deny r for any employee on any endpoint because "-"',
        {("docs.read", "employee"): ["all()"]},
    ),
    "is asks of a subject too": (
        'deny r on docs when subject is employee and subject has department because "-"',
        {("docs.read", "employee"): ["all()", "subject has department"]},
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folds(name: str) -> None:
    text, wanted = FOLDED[name]
    assert held(program_of(text), "r") == wanted


def test_a_network_is_its_ranges() -> None:
    program = program_of('deny r for any user on s.one when request.ip in office because "-"')
    base = (0xFFFF << 32) + (192 << 24) + (2 << 8)
    assert program.atoms == (ir.InNetwork(ir.Attr("request", "ip"), "office", ((base, base + 255),)),)


def test_there_is_a_cell_for_each_kind_that_can_call() -> None:
    program = program_of("")
    assert [(program.endpoints[cell.endpoint].id, cell.kind) for cell in program.cells] == [
        *(("docs.read", kind) for kind in ("employee", *KINDS)),
        *(("s.one", kind) for kind in KINDS),
        *(("s.two", kind) for kind in KINDS),
    ]


# ---------------------------------------------------------------- groups and their order


def test_shadow_rules_of_every_effect_stand_apart() -> None:
    program = program_of(
        """shadow allow a for any user on s.one because "-"
        shadow deny b for any user on s.one because "-"
        shadow require c for any user on s.one must log full
        deny d for any user on s.one because "-" """
    )
    cell = next(cell for cell in program.cells if cell.shadow)
    assert [program.rules[each.rule].id for each in cell.shadow] == ["m.a", "m.b", "m.c"]
    assert [program.rules[each.rule].id for each in cell.deny] == ["m.d"]
    assert (cell.allow, cell.require) == ((), ())
    assert [rule.shadow for rule in program.rules] == [True, True, True, False]


def test_rules_that_read_no_signal_stand_first() -> None:
    program = program_of(
        """deny a for any user on s when signal.risk > 1 because "-"
        deny b for any user on s when endpoint.size == small and signal.risk > 1 because "-"
        deny c for any user on s.one when endpoint.size == large or signal.risk > 1 because "-"
        deny d for any user on s because "-"
        require e for any user on s must set header "x-risk" to signal.risk
        require f for any user on s needs signal.risk < 1 else challenge "calm"
        require g for any user on s must log full """
    )
    cell = next(cell for cell in program.cells if cell.deny)
    assert [program.rules[each.rule].id for each in cell.deny] == ["m.c", "m.d", "m.a"]
    assert [program.rules[each.rule].id for each in cell.require] == ["m.g", "m.e", "m.f"]


def test_cells_that_hold_the_same_rules_share_them() -> None:
    program = program_of('deny a on s because "-"\ndeny b on s because "-"\nallow c for any user on s.one because "-"')
    groups = {id(cell.deny) for cell in program.cells if cell.deny}
    assert len(groups) == 1
    assert len(program.bodies) == 2  # a and b come to the same


# ---------------------------------------------------------------- duties


def test_duties_are_those_written() -> None:
    program = program_of(
        """require r for any user on s.one
          must set header "X-Sub" to token.sub
          must remove header "X-Old"
          must redact "/b", "/a", "/b"
          must issue token with scope "w", "r"
          must issue token
          must alert "soc"
          should set header "x-one" to 1
          should set header "x-true" to true
        deny d for any user on s.one must answer 404 should alert "soc" because "-" """
    )
    (required,) = bodies(program, "r").values()
    assert required.must == (
        ir.SetHeader("x-sub", ir.Attr("token", "sub")),
        ir.RemoveHeader("x-old"),
        ir.Redact(("/a", "/b")),
        ir.IssueToken(("r", "w")),
        ir.IssueToken(None),
        ir.Alert("soc"),
    )
    assert required.should == (ir.SetHeader("x-one", ir.Const("1")), ir.SetHeader("x-true", ir.Const("true")))
    (refused,) = bodies(program, "d").values()
    assert (refused.must, refused.should) == ((ir.Answer(404),), (ir.Alert("soc"),))


def test_a_constant_in_a_header_is_the_text_that_is_sent() -> None:
    program = program_of(
        'require a for any user on s.one must set header "x" to 1\n'
        'require b for any user on s.one must set header "x" to true\n'
        'require c for any user on s.one must set header "x" to 2026-04-01\n'
        'require d for any user on s.one must set header "x" to 5m'
    )
    values = [
        each.value
        for rule in "abcd"
        for body in bodies(program, rule).values()
        for each in body.must
        if isinstance(each, ir.SetHeader) and isinstance(each.value, ir.Const)
    ]
    assert [each.value for each in values] == ["1", "true", "2026-04-01T00:00:00Z", "300000"]


def test_a_header_is_typed_where_the_conditions_hold() -> None:
    program = program_of('require r on s.one when token is user must set header "x" to token.sub')
    assert set(bodies(program, "r")) == {("s.one", "user")}
