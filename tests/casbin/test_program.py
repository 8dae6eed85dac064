"""Programs made of a model and a policy given as texts: asking, changing, combining, and what each refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from policy_lang.casbin.program import CasbinProgram, compile_casbin
from policy_lang.diagnostics import CompileError

PARTS = """
[request_definition]
r = {r}
[policy_definition]
p = {p}
{more}
[policy_effect]
e = {e}
[matchers]
m = {m}
"""
ALLOW = "some(where (p.eft == allow))"


def model(m: str, *, r: str = "sub, obj, act", p: str = "sub, obj, act", e: str = ALLOW, more: str = "") -> str:
    return PARTS.format(r=r, p=p, e=e, m=m, more=more)


ROLES = "[role_definition]\ng = _, _"
RBAC = model("g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act", more=ROLES)
POLICY = """
p, admin, /accounts/:id, GET
p, admin, /accounts/:id, PUT
p, bob, /reports, GET
g, alice, admin
"""


def rbac() -> CasbinProgram:
    return compile_casbin(RBAC, POLICY)


def codes(refused: pytest.ExceptionInfo[CompileError]) -> set[str]:
    return {each.code for each in refused.value.diagnostics if each.severity == "error"}


# ---------------------------------------------------------------- asking


def test_a_request_is_allowed_or_not_and_nothing_else() -> None:
    program = rbac()
    assert program.enforce("alice", "/accounts/7", "PUT") is True
    assert program.enforce("alice", "/accounts/7", "DELETE") is False
    assert program.enforce("mallory", "/accounts/7", "GET") is False


def test_the_row_that_decided_is_told() -> None:
    program = rbac()
    assert program.enforce_ex("alice", "/accounts/7", "PUT") == (True, ("admin", "/accounts/:id", "PUT"))
    assert program.enforce_ex("mallory", "/accounts/7", "PUT") == (False, ())


def test_a_row_that_denies_is_told_too() -> None:
    text = model(
        "r.sub == p.sub && r.act == p.act",
        r="sub, act",
        p="sub, act, eft",
        e=f"{ALLOW} && !some(where (p.eft == deny))",
    )
    program = compile_casbin(text, "p, bob, GET, allow\np, bob, PUT, allow\np, bob, PUT, deny\n")
    assert program.enforce_ex("bob", "GET") == (True, ("bob", "GET", "allow"))
    assert program.enforce_ex("bob", "PUT") == (False, ("bob", "PUT", "deny"))


def test_a_batch_is_answered_in_its_order() -> None:
    requests = [("bob", "/reports", "GET"), ("bob", "/reports", "PUT"), ("alice", "/accounts/1", "GET")]
    assert rbac().batch_enforce(requests) == [True, False, True]
    assert rbac().batch_enforce([]) == []


ODD: Mapping[str, object] = {
    "nothing": None,
    "a number": 7,
    "not a number": float("nan"),
    "a list": ["bob"],
    "a set": {"bob"},
    "a mapping": {"name": "bob"},
    "bytes": b"bob",
    "an object": object(),
}


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize("case", ODD)
def test_a_value_that_is_no_string_is_refused_and_no_crash(case: str, mode: str) -> None:
    program = compile_casbin(RBAC, POLICY, mode="strict" if mode == "strict" else "compat")
    for request in ((ODD[case], "/reports", "GET"), ("bob", ODD[case], "GET"), ("bob", "/reports", ODD[case])):
        assert program.enforce(*request) is False


def test_a_request_of_another_length_is_a_mistake_of_the_caller() -> None:
    for request in ((), ("bob", "/reports"), ("bob", "/reports", "GET", "more")):
        with pytest.raises(ValueError, match=rf"3 values \(sub, obj, act\), not {len(request)}"):
            rbac().enforce(*request)
        with pytest.raises(ValueError, match="3 values"):
            rbac().enforce_ex(*request)


def test_an_empty_policy_grants_nothing() -> None:
    for text in (RBAC, model('r.sub == p.sub || r.sub == "root"')):
        program = compile_casbin(text, "", mode="compat")
        assert not program.enforce("", "", "")
        assert not program.enforce("root", "/", "GET")


def test_a_row_with_an_empty_last_value_is_added_and_removed() -> None:
    program = compile_casbin(model("r.sub == p.sub && r.act == p.act", r="sub, act", p="sub, act"), "p, bob, GET\n")
    more = program.updated(add=[("p", "alice", "")])
    assert (more.enforce("alice", ""), more.enforce("alice", "GET")) == (True, False)
    assert not more.updated(remove=[("p", "alice", "")]).enforce("alice", "")


def test_attributes_are_read_from_mappings() -> None:
    program = compile_casbin(
        model("r.sub.Age > 18 && r.obj == p.obj", r="sub, obj", p="sub, obj"), "p, anyone, /data\n", mode="compat"
    )
    assert program.enforce({"Age": 19}, "/data")
    assert not program.enforce({"Age": 18}, "/data")
    assert not program.enforce({}, "/data")
    assert not program.enforce("bob", "/data")


def test_the_clock_is_the_one_that_is_given() -> None:
    now = [0]
    text = model("r.sub == p.sub && timeMatch(p.start, p.end)", r="sub", p="sub, start, end")
    policy = "p, bob, 2030-01-01 00:00:00, 2030-12-31 00:00:00\n"
    program = compile_casbin(text, policy, zone="UTC", clock=lambda: now[0])
    assert not program.enforce("bob")
    now[0] = 1_900_000_000_000
    assert program.enforce("bob")


# ---------------------------------------------------------------- somebody's own functions


def own(function: Callable[..., object]) -> CasbinProgram:
    text = model("r.sub == p.sub && mine(r.sub, p.obj)", r="sub", p="sub, obj")
    return compile_casbin(text, "p, bob, x\n", functions={"mine": function})


def test_a_function_of_the_program_is_asked() -> None:
    assert own(lambda sub, obj: (sub, obj) == ("bob", "x")).enforce("bob")
    assert not own(lambda _sub, _obj: False).enforce("bob")


def test_an_exception_in_a_function_is_never_an_allow() -> None:
    def raises(_sub: object, _obj: object) -> bool:
        raise KeyError("gone")

    assert not own(raises).enforce("bob")


def test_a_function_that_says_no_truth_is_never_an_allow() -> None:
    assert not own(lambda _sub, _obj: "yes").enforce("bob")
    assert not own(lambda _sub, _obj: object()).enforce("bob")


def test_a_function_that_is_not_given_is_refused() -> None:
    with pytest.raises(CompileError) as refused:
        compile_casbin(model("mine(r.sub)", r="sub", p="sub"), "p, bob\n")
    assert codes(refused) == {"E604"}


# ---------------------------------------------------------------- refused texts


def test_a_policy_with_one_wrong_row_is_refused_whole() -> None:
    with pytest.raises(CompileError) as refused:
        compile_casbin(RBAC, f"{POLICY}\np, too, short\n")
    assert codes(refused) == {"E617"}
    assert {each.span.source for each in refused.value.diagnostics} == {"policy.csv"}


def test_an_empty_model_is_refused() -> None:
    with pytest.raises(CompileError) as refused:
        compile_casbin("", POLICY)
    assert codes(refused) == {"E602"}


def test_a_mode_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no mode is called `lenient`"):
        compile_casbin(RBAC, POLICY, mode="lenient")  # type: ignore[arg-type]


def test_warnings_stay_with_the_program() -> None:
    program = compile_casbin(model('r.sub == p.sub || r.sub == "root"'), "p, bob, x, y\n")
    assert [each.code for each in program.diagnostics] == ["W626"]


# ---------------------------------------------------------------- updates


def test_rows_and_links_are_added_and_removed() -> None:
    before = rbac()
    after = before.updated(
        add=[("p", "carol", "/new/:id", "GET"), ("g", "bob", "admin")],
        remove=[("p", "admin", "/accounts/:id", "PUT"), ("g", "alice", "admin")],
    )
    asked = {
        ("carol", "/new/1", "GET"): (False, True),
        ("bob", "/accounts/1", "GET"): (False, True),
        ("alice", "/accounts/1", "GET"): (True, False),
        ("bob", "/accounts/1", "PUT"): (False, False),
        ("bob", "/reports", "GET"): (True, True),
    }
    assert {request: (before.enforce(*request), after.enforce(*request)) for request in asked} == asked


def test_an_update_of_nothing_answers_the_same() -> None:
    program = rbac().updated()
    assert program.enforce("alice", "/accounts/7", "PUT")
    assert program.table.rows == rbac().table.rows


def test_a_row_is_removed_however_often_it_stands_there() -> None:
    program = compile_casbin(RBAC, f"{POLICY}\np, bob, /reports, GET\n").updated(
        remove=[("p", "bob", "/reports", "GET")]
    )
    assert not program.enforce("bob", "/reports", "GET")


def test_everything_may_be_removed_and_come_back() -> None:
    rows = [tuple(line.split(", ")) for line in POLICY.split("\n") if line]
    empty = rbac().updated(remove=rows)
    assert not empty.enforce("bob", "/reports", "GET")
    assert empty.updated(add=rows).enforce("alice", "/accounts/7", "PUT")


MISSING: Mapping[str, tuple[tuple[str, ...], str]] = {
    "a row that is not there": (("p", "bob", "/reports", "PUT"), "there is no `p, bob, /reports, PUT`"),
    "a link that is not there": (("g", "bob", "admin"), "there is no `g, bob, admin`"),
    "a row of another number of values": (("p", "bob"), "there is no `p, bob`"),
    "a row of a type that is not declared": (("p2", "bob"), "type `p2`"),
    "a row without anything": ((), "type ``"),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_to_be_removed_has_to_be_there(case: str) -> None:
    row, said = MISSING[case]
    with pytest.raises(ValueError, match=said):
        rbac().updated(remove=[row])


WRONG: Mapping[str, tuple[tuple[str, ...], str]] = {
    "a row of another number of values": (("p", "bob"), "E617"),
    "a row of a type that is not declared": (("p2", "bob", "x", "y"), "E614"),
    "a row with a quotation mark": (("p", "bob", '"x"', "y"), "E615"),
    "a pattern that means otherwise than it looks": (("p", "bob", "/a.b/:id", "GET"), "E610"),
    "a link of another number of values": (("g", "bob"), "E617"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_added_is_checked_as_what_is_loaded(case: str) -> None:
    row, code = WRONG[case]
    with pytest.raises(CompileError) as refused:
        rbac().updated(add=[("p", "fine", "/fine", "GET"), row])
    assert codes(refused) == {code}


def test_an_added_row_ranks_by_its_priority() -> None:
    text = model("r.sub == p.sub", r="sub", p="priority, sub, eft", e="priority(p.eft) || deny")
    program = compile_casbin(text, "p, 10, bob, allow\np, 20, bob, allow\n")
    after = program.updated(add=[("p", "5", "bob", "deny"), ("p", "1", "eve", "deny")])
    assert after.enforce_ex("bob") == (False, ("5", "bob", "deny"))
    assert after.updated(remove=[("p", "5", "bob", "deny")]).enforce("bob")
    assert [row.values[0] for row in after.table.rows] == ["1", "5", "10", "20"]


def test_an_added_link_ranks_the_rows_by_subject_anew() -> None:
    text = model("g(r.sub, p.sub)", r="sub", p="sub, eft", e="subjectPriority(p.eft) || deny", more=ROLES)
    program = compile_casbin(text, "p, staff, deny\np, lead, allow\ng, alice, staff\ng, alice, lead\n")
    assert not program.enforce("alice")
    assert program.updated(add=[("g", "lead", "staff")]).enforce("alice")
    with pytest.raises(CompileError) as refused:
        program.updated(add=[("g", "lead", "staff"), ("g", "staff", "lead")])
    assert codes(refused) == {"E623"}


def test_an_added_row_brings_its_expression() -> None:
    text = model("eval(p.rule) && r.obj == p.obj", r="sub, obj", p="rule, obj")
    program = compile_casbin(text, "p, r.sub.Age > 18, /a\n")
    after = program.updated(add=[("p", "r.sub.Age > 60", "/b")])
    assert after.enforce({"Age": 61}, "/b")
    assert not after.enforce({"Age": 19}, "/b")
    assert after.enforce({"Age": 19}, "/a")


def test_links_with_domains_and_conditions_are_removed_by_all_their_values() -> None:
    text = model("g(r.sub, p.sub, r.dom)", r="sub, dom", p="sub", more="[role_definition]\ng = _, _, _, (_, _)")
    link = ("g", "bob", "admin", "one", "_", "2100-01-01 00:00:00")
    program = compile_casbin(text, f"p, admin\n{', '.join(link)}\n", zone="UTC")
    assert program.enforce("bob", "one")
    assert not program.enforce("bob", "two")
    assert not program.updated(remove=[link]).enforce("bob", "one")
    with pytest.raises(ValueError, match="no row to remove"):
        program.updated(remove=[link[:4]])


# ---------------------------------------------------------------- several definitions

SEVERAL = """
[request_definition]
r = sub, obj
r2 = sub
[policy_definition]
p = sub, obj
p2 = sub, rank
[policy_effect]
e = some(where (p.eft == allow))
e2 = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj
m2 = r2.sub == p2.sub
"""


def test_other_definitions_are_combined() -> None:
    program = compile_casbin(SEVERAL, "p, bob, x\np2, carol, 1\n")
    second = program.using(r="r2", p="p2", e="e2", m="m2")
    assert program.enforce("bob", "x")
    assert second.enforce("carol")
    assert not second.enforce("bob")
    assert second.enforce_ex("carol") == (True, ("carol", "1"))


def test_definitions_are_combined_after_an_update_too() -> None:
    program = compile_casbin(SEVERAL, "p, bob, x\np2, carol, 1\n").updated(
        add=[("p2", "dave", "2"), ("p", "eve", "y")], remove=[("p2", "carol", "1")]
    )
    second = program.using("r2", "p2", "e2", "m2")
    assert program.enforce("eve", "y")
    assert second.batch_enforce([("dave",), ("carol",)]) == [True, False]
    assert second.updated(add=[("p2", "frank", "3")]).enforce("frank")


@pytest.mark.parametrize("name", ["r", "p", "e", "m"])
def test_a_definition_that_is_not_there_is_told_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"the model has no `{name}9`: there is `{name}`"):
        rbac().using(**{name: f"{name}9"})


def test_definitions_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(CompileError):
        compile_casbin(SEVERAL, "").using(p="p2")


# ---------------------------------------------------------------- threads


def test_threads_ask_and_update_at_once() -> None:
    program = rbac()
    wrong: list[object] = []

    def ask(number: int) -> None:
        for step in range(60):
            mine = program.updated(add=[("g", f"user{number}", "admin"), ("p", f"user{number}", f"/mine{step}", "GET")])
            answers = mine.batch_enforce(
                [(f"user{number}", f"/accounts/{step}", "GET"), (f"user{number}", f"/mine{step}", "GET")]
            )
            answers += [not mine.enforce(f"user{number + 1}", f"/accounts/{step}", "GET")]
            answers += [program.enforce("alice", f"/accounts/{step}", "GET")]
            answers += [not program.enforce(f"user{number}", f"/accounts/{step}", "GET")]
            if not all(answers):
                wrong.append(answers)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
