"""Proofs are resolved and typed in each of their environments, and kept; mistakes in them are whole_rules.chunks."""

from __future__ import annotations

from policy_lang import ir
from policy_lang.checking.guards import Leaf
from policy_lang.checking.policy import check
from policy_lang.checking.proofs import CheckedProof
from policy_lang.declared.inventory import take_inventory
from policy_lang.declared.names import bind_names
from policy_lang.declared.settings import NO_SETTINGS
from policy_lang.diagnostics import Diagnostic
from policy_lang.syntax.parser import parse

HEAD = """module m
token user { issuer "https://id.example" claim sub: string claim groups: set of string }
token partner { issuer "https://partner.example" claim sub: string }
roles for user from token.groups { role reader }
service s { audience "s" host "s.example" endpoint one GET /one endpoint two GET /two }
"""


def proofs(text: str) -> tuple[CheckedProof, ...]:
    module = parse("m.pol", (HEAD + text).encode()).module
    assert module is not None
    found: list[Diagnostic] = []
    inventory = take_inventory([module], NO_SETTINGS, found)
    checked = check(inventory, bind_names(inventory, found), found)
    assert [each for each in found if each.severity == "error"] == []
    return checked.proofs


def test_a_proof_speaks_of_the_environments_where_its_clauses_can_hold() -> None:
    (proof,) = proofs('prove "p" never allow for role reader on s when token.sub == "x" unless request.ip == ::1')
    assert (proof.title, proof.quantifier, proof.place, proof.refused) == ("p", "never", ir.Place("m.pol", 6, 7), False)
    (placed,) = proof.placed
    assert (placed.endpoints, placed.kinds) == ((0, 1), ("user",))
    assert [(clause.label, clause.text, clause.formula) for clause in placed.clauses] == [
        ("for", "role reader", Leaf(ir.Overlap(ir.Attr("token", "groups"), ir.Const(frozenset({"reader"}))))),
        ("when 1", 'token.sub == "x"', Leaf(ir.Compare("eq", ir.Attr("token", "sub"), ir.Const("x")))),
        ("unless 2", "request.ip == ::1", Leaf(ir.Compare("eq", ir.Attr("request", "ip"), ir.Const("::1")), True)),
    ]


def test_a_proof_without_clauses_speaks_of_everything() -> None:
    (proof,) = proofs('prove "p" always allow')
    (placed,) = proof.placed
    assert (placed.endpoints, set(placed.kinds)) == ((0, 1), {"partner", "user", None})


def test_a_proof_that_can_hold_nowhere_speaks_of_nothing() -> None:
    (proof,) = proofs('prove "p" always allow for any user on s when token is partner')
    assert proof.placed == ()


def test_proofs_stand_in_the_order_they_are_written() -> None:
    assert [each.title for each in proofs('prove "z" never allow prove "a" never allow on s.one')] == ["z", "a"]
