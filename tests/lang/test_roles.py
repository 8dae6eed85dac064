"""Roles: what gives them, who includes whom, what may not meet; and how a kind hears of it.

The table of mistakes is tests/golden/check/declarations.chunks.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang import ir
from policy_lang.declared.entries import KindEntry, RelationEntry, RoleEntry
from policy_lang.declared.roles import MOST_PAIRS, MOST_STEPS
from policy_lang.typesystem import RoleType
from tests.lang.bundles import KIND, Bundle, bundle, module


def role(taken: Bundle, name: str) -> RoleEntry:
    entry = taken.module("m").scope[name]
    assert isinstance(entry, RoleEntry)
    return entry


def kind(taken: Bundle, name: str = "user") -> KindEntry:
    (found,) = (each for each in taken.inventory.kinds if each.kind.id == name)
    return found


def test_a_role_is_given_by_its_values_and_those_of_what_includes_it() -> None:
    taken = module(
        f"""{KIND} roles for user from token.groups {{
            role staff role clerk from "HR-Clerks", "clerk" includes staff role lead includes clerk role other }}"""
    )
    assert taken.messages == []
    staff, clerk, lead, other = (role(taken, name) for name in ("staff", "clerk", "lead", "other"))
    assert (staff.id, staff.name, staff.kind) == ("m.staff", "staff", "user")
    assert staff.above == {"m.staff", "m.clerk", "m.lead"}
    assert staff.values == {"staff", "HR-Clerks", "clerk", "lead"}
    assert (clerk.above, clerk.values) == ({"m.clerk", "m.lead"}, {"HR-Clerks", "clerk", "lead"})
    assert (lead.above, lead.values) == ({"m.lead"}, {"lead"})
    assert (other.above, other.values) == ({"m.other"}, {"other"})


def test_the_kind_is_told_its_source_and_its_exclusive_pairs() -> None:
    taken = module(f'{KIND} roles for user from token.groups {{ role c role b role a from "A" exclusive c, a, b }}')
    assert taken.messages == []
    found = kind(taken)
    assert found.role_source == ir.Attr("token", "groups")
    assert found.kind.role_claim == "groups"
    assert found.kind.exclusive == (
        ir.Exclusive("a", frozenset({"A"}), "b", frozenset({"b"})),
        ir.Exclusive("a", frozenset({"A"}), "c", frozenset({"c"})),
        ir.Exclusive("b", frozenset({"b"}), "c", frozenset({"c"})),
    )
    assert taken.module("m").own["user"] == found


def test_an_exclusive_role_counts_with_the_values_of_what_includes_it() -> None:
    taken = module(f"{KIND} roles for user from token.groups {{ role a role b role top includes a exclusive a, b }}")
    (pair,) = kind(taken).kind.exclusive
    assert (pair.left_values, pair.right_values) == ({"a", "top"}, {"b"})


def test_a_pair_said_twice_is_one() -> None:
    taken = module(f"{KIND} roles for user from token.groups {{ role a role b exclusive a, b exclusive b, a }}")
    assert taken.messages == []
    assert len(kind(taken).kind.exclusive) == 1


SOURCES = {
    "a set of string": "claim groups: set of string",
    "a string": "claim groups: string",
    "an optional string": "claim groups: string optional",
    "an enum": "claim groups: rank",
    "a set of an enum": "claim groups: set of rank",
    "a claim from elsewhere": 'claim groups: set of string from "realm" "roles"',
}


@pytest.mark.parametrize("case", SOURCES)
def test_sources(case: str) -> None:
    text = f"""enum rank = low | high token user {{ issuer "https://i" {SOURCES[case]} }}
        roles for user from token.groups {{ role clerk from "low" role boss from "low", "high" }}"""
    taken = module(text)
    assert taken.messages == []
    assert role(taken, "clerk").values == {"low"}
    assert role(taken, "boss").values == {"low", "high"}


def test_one_value_may_give_two_roles_that_do_not_exclude_each_other() -> None:
    taken = module(f'{KIND} roles for user from token.groups {{ role a from "x" role b from "x" }}')
    assert taken.messages == []
    assert role(taken, "a").values == role(taken, "b").values == {"x"}


def test_roles_of_a_subject_come_from_a_property() -> None:
    taken = module(
        'subject staff { type "staff" property jobs: set of string } roles for staff from subject.jobs { role a }'
    )
    assert taken.messages == []
    assert kind(taken, "staff").role_source == ir.Attr("subject", "jobs")


def test_roles_from_none_have_no_values_and_relations_name_them() -> None:
    taken = module(f"{KIND} roles for user from none {{ role a role b includes a }} relation r (who: string, as: role)")
    assert taken.messages == []
    assert (kind(taken).role_source, kind(taken).kind.role_claim, kind(taken).kind.exclusive) == (None, None, ())
    assert (role(taken, "a").above, role(taken, "a").values) == ({"m.a", "m.b"}, frozenset())
    entry = taken.module("m").own["r"]
    assert isinstance(entry, RelationEntry)
    assert entry.relation.columns[1] == ("as", RoleType(("a", "b")))
    assert entry.role_ids == {"a": "m.a", "b": "m.b"}


def test_a_relation_without_a_role_column_holds_no_roles() -> None:
    taken = module(f"{KIND} roles for user from none {{ role a }} relation r (who: string)")
    entry = taken.module("m").own["r"]
    assert isinstance(entry, RelationEntry)
    assert entry.role_ids == {}


def test_a_role_column_means_the_roles_that_its_module_sees() -> None:
    files = {
        "a.pol": f"module a {KIND} roles for user from none {{ role one role two }}",
        "m.pol": 'module m import a (one) token peer { issuer "https://p" } roles for peer from none { role own } '
        "relation r (as: role)",
    }
    taken = bundle(files)
    assert taken.messages == []
    entry = taken.module("m").own["r"]
    assert isinstance(entry, RelationEntry)
    assert entry.role_ids == {"one": "a.one", "own": "m.own"}


def test_roles_of_an_imported_kind() -> None:
    files = {
        "a.pol": f"module a {KIND}",
        "m.pol": "module m import a (user) roles for user from token.groups { role clerk }",
    }
    taken = bundle(files)
    assert taken.messages == []
    assert kind(taken).role_source == ir.Attr("token", "groups")
    assert role(taken, "clerk").kind == "user"


def test_a_kind_has_one_hierarchy_in_a_bundle() -> None:
    files = {
        "a.pol": f"module a {KIND} roles for user from none {{ role one }}",
        "b.pol": "module b import a (user) roles for user from token.groups { role two }",
    }
    assert bundle(files).codes == ["b.pol:E221"]


def test_a_circle_of_roles_is_left_out_and_the_rest_stands() -> None:
    taken = module(f"{KIND} roles for user from token.groups {{ role a includes b, c role b includes a role c }}")
    assert taken.messages == ["E230: the role `a` needs itself: `a` -> `b` -> `a`"]
    assert taken.module("m").broken == {"a", "b"}
    assert role(taken, "c").above == {"m.c"}


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8))
def test_above_is_everything_that_leads_to_a_role(includes: list[list[int]]) -> None:
    """above(r) = {r} + above of all that include r; values likewise; of roles that include only later ones."""
    lower = [sorted({n for n in each if n > i and n < len(includes)}) for i, each in enumerate(includes)]
    written = " ".join(
        f"role r{i}" + (f" includes {', '.join(f'r{n}' for n in each)}" if each else "") for i, each in enumerate(lower)
    )
    taken = module(f"{KIND} roles for user from token.groups {{ {written} }}")
    assert taken.messages == []
    above: list[set[int]] = []
    for i in range(len(lower)):
        above.append({i}.union(*(above[j] for j in range(i) if i in lower[j])))
        assert role(taken, f"r{i}").above == {f"m.r{n}" for n in above[i]}
        assert role(taken, f"r{i}").values == {f"r{n}" for n in above[i]}


def test_a_hierarchy_too_deep_to_hand_down_is_refused() -> None:
    line = "\n".join(f"role r{i} includes r{i - 1}" for i in range(1, 2000))
    taken = module(f"{KIND} roles for user from token.groups {{ role r0\n{line} }}")
    assert taken.messages == [
        f"E232: roles are too many: what each holds, and what gives it, is more than {MOST_STEPS} in all"
    ]
    assert not any(isinstance(entry, RoleEntry) for entry in taken.module("m").own.values())


def test_ten_thousand_roles_side_by_side() -> None:
    roles = "\n".join(f"role r{i} includes r0" for i in range(1, 10_000))
    taken = module(f"{KIND} roles for user from token.groups {{ role r0\n{roles} }}")
    assert taken.messages == []
    assert len(role(taken, "r0").above) == 10_000


def test_more_exclusive_pairs_than_a_call_can_look_at() -> None:
    names = [f"r{i}" for i in range(60)]
    roles = " ".join(f"role {name}" for name in names)
    taken = module(f"{KIND} roles for user from token.groups {{ {roles} exclusive {', '.join(names)} }}")
    why = f"every pair is looked at on every call, and there are more than {MOST_PAIRS}"
    assert taken.messages == [f"E232: exclusive roles are too many: {why}"]
