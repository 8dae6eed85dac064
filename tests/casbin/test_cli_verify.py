"""`pdp casbin verify`: Casbin itself is asked, and every difference is told with its code or reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from pdp.authoring.casbin_requests import Drawer
from pdp.cli import casbin_verify
from pdp.cli.casbin_input import Taken, Wishes, taken
from pdp.cli.casbin_requests import Request
from pdp.cli.casbin_verify import UNKNOWN, compare, refusal
from policy_lang.casbin.program import compile_casbin
from tests.casbin.conftest import MODEL, POLICY
from tests.support.command import Pdp
from tests.support.process import ROOT

VERIFY = ("casbin", "verify", "model.conf", "policy.csv")


def test_two_that_agree_end_0(folder: Path, pdp: Pdp) -> None:
    done = pdp(*VERIFY, "--count", "500")
    assert done.code == 0
    assert done.err == ""
    assert done.out.startswith("500 requests, ")
    assert done.out.endswith(" 0 raised, 0 differences\n")


def test_a_seed_draws_the_same_requests_and_a_quarter_is_allowed(folder: Path, pdp: Pdp) -> None:
    first, again, other = (pdp(*VERIFY, "--seed", seed, "--json").json for seed in ("1", "1", "2"))
    assert first == again != other
    assert 0.25 <= first["allowed"] / first["asked"] <= 0.9


def test_a_request_that_is_given_is_asked_alone(folder: Path, pdp: Pdp) -> None:
    (folder / "asked.csv").write_text("alice, /wiki/a, PUT\n")
    assert pdp(*VERIFY, "--requests", "asked.csv").out == "1 requests, 1 allowed by Casbin, 0 raised, 0 differences\n"


def test_chains_of_roles_differ_in_strict_with_their_code_and_agree_in_compat(folder: Path, pdp: Pdp) -> None:
    links = "".join(f"g, r{number}, r{number + 1}\n" for number in range(12))
    (folder / "policy.csv").write_text(f"p, r12, /x, GET, allow\n{links}")
    (folder / "asked.csv").write_text("r0, /x, GET\nr11, /x, GET\n")
    asked = ("--requests", "asked.csv")
    strict = pdp(*VERIFY, *asked)
    assert strict.code == 1
    assert "line 1: r0, /x, GET\n    Casbin refuses, ours allows (policy.csv:1)\n    W625: " in strict.out
    assert strict.out.endswith("2 requests, 1 allowed by Casbin, 0 raised, 1 difference\n")
    assert pdp(*VERIFY, *asked, "--mode", "compat").code == 0


def test_an_empty_policy_differs_with_its_trap(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("")
    (folder / "asked.csv").write_text(", /x, \n")
    (folder / "model.conf").write_text(MODEL.replace("keyMatch2(r.obj, p.obj)", "r.obj != p.obj"))
    done = pdp(*VERIFY, "--requests", "asked.csv")
    assert done.code == 1
    assert "Casbin allows, ours refuses (no row)" in done.out
    assert "trap 18" in done.out


def test_several_differences_end_with_how_often_each_reason_was_met(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("")
    (folder / "asked.csv").write_text(", /x, \n, /y, \n")
    (folder / "model.conf").write_text(MODEL.replace("keyMatch2(r.obj, p.obj)", "r.obj != p.obj"))
    lines = pdp(*VERIFY, "--requests", "asked.csv").out.splitlines()
    assert lines[-2].startswith("2 times trap 18: ")
    assert lines[-1].endswith("2 differences")


def test_every_trap_that_is_a_reason_is_explained() -> None:
    named = set(re.findall(r'yield f?"(trap [0-9]+):', Path(casbin_verify.__file__).read_text()))
    explained = set(re.findall(r"^\| (trap [0-9]+) \|", (ROOT / "docs" / "casbin.md").read_text(), re.MULTILINE))
    assert named
    assert named == explained


def test_a_row_that_raises_is_told_where_ours_allows(folder: Path, pdp: Pdp) -> None:
    model = MODEL.replace("r.act == p.act", "r.sub.Age > 1").replace("g(r.sub, p.sub)", "r.obj != p.sub")
    (folder / "model.conf").write_text(model.replace("r.sub.Age > 1", "(r.sub.Age > 1 || r.act == p.act)"))
    (folder / "policy.csv").write_text("p, x, /x, GET, allow\n")
    (folder / "asked.csv").write_text('{"Name": "y"}, /x, GET\n')
    done = pdp(*VERIFY, "--requests", "asked.csv")
    assert done.code == 1
    assert "Casbin raises " in done.out
    assert "trap 17" in done.out


def test_what_casbin_raises_at_was_not_compared(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(MODEL.replace("g(r.sub, p.sub)", "r.sub.Age > 18"))
    (folder / "policy.csv").write_text("p, x, /x, GET, allow\n")
    (folder / "asked.csv").write_text('bob, /x, GET\n{"Age": 30}, /x, GET\n')
    some = pdp(*VERIFY, "--requests", "asked.csv")
    assert some.code == 0, some.out
    assert some.out == "2 requests, 1 allowed by Casbin, 1 raised and 1 compared, 0 differences\n"
    (folder / "asked.csv").write_text("bob, /x, GET\n")
    none = pdp(*VERIFY, "--requests", "asked.csv")
    assert none.code == 1
    assert none.out.startswith("nothing was compared: ")
    assert none.out.endswith("1 requests, 0 allowed by Casbin, 1 raised and 0 compared, 0 differences\n")
    told = pdp(*VERIFY, "--requests", "asked.csv", "--json")
    assert (told.code, told.json["asked"], told.json["compared"]) == (1, 1, 0)


def test_a_list_that_is_looked_into_is_drawn_as_one(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(MODEL.replace("g(r.sub, p.sub)", "p.sub in r.sub.Groups"))
    done = pdp(*VERIFY, "--count", "200", "--json")
    assert done.code == 0, done.out
    assert (done.json["raised"], done.json["compared"]) == (0, 200)
    assert done.json["allowed"] >= 50


def test_a_table_of_a_database_is_asked_as_an_adapter_gives_it(folder: Path, pdp: Pdp) -> None:
    import sqlite3

    with sqlite3.connect(folder / "rules.db") as connection:
        connection.execute("CREATE TABLE casbin_rule (id INTEGER, ptype, v0, v1, v2, v3, v4, v5)")
        for number, line in enumerate(POLICY.splitlines(), 1):
            values = line.split(", ")
            filled = (number, *values, *[None] * (7 - len(values)))
            connection.execute("INSERT INTO casbin_rule VALUES (?, ?, ?, ?, ?, ?, ?, ?)", filled)
    connection.close()
    done = pdp("casbin", "verify", "model.conf", "sqlite:rules.db", "--count", "300")
    assert done.code == 0
    assert " 0 raised, 0 differences" in done.out


def test_other_definitions_are_asked_of_casbin_too(folder: Path, pdp: Pdp) -> None:
    model = MODEL.replace("p = sub, obj, act, eft", "p = sub, obj, act, eft\np2 = sub, act")
    (folder / "model.conf").write_text(
        model.replace("[matchers]", "[matchers]\nm2 = r2.sub == p2.sub && r2.act == p2.act").replace(
            "r = sub, obj, act", "r = sub, obj, act\nr2 = sub, act"
        )
    )
    (folder / "policy.csv").write_text(POLICY + "p2, alice, look\n")
    (folder / "asked.csv").write_text("alice, look\nbob, look\n")
    use = ("--use", "r2", "--use", "p2", "--use", "m2")
    done = pdp(*VERIFY, *use, "--requests", "asked.csv", "--mode", "compat")
    assert done.out == "2 requests, 1 allowed by Casbin, 0 raised, 0 differences\n"


# ---------------------------------------------------------------- which Casbin


INSTALLED: Mapping[str, tuple[Mapping[str, str], str]] = {
    "the right one": ({"pycasbin": "2.8.0"}, ""),
    "a newer one": ({"pycasbin": "3.0rc1"}, ""),
    "none": ({}, "not installed: pip install 'pycasbin>=2.8'"),
    "an older one": ({"pycasbin": "2.7.9"}, "2.8 or newer"),
    "the former name": ({"casbin": "1.43.0"}, "frozen former name"),
    "both": ({"casbin": "1.43.0", "pycasbin": "2.8.0"}, "pip uninstall casbin pycasbin"),
}


@pytest.mark.parametrize("case", INSTALLED)
def test_only_pycasbin_is_asked(case: str) -> None:
    versions, said = INSTALLED[case]
    why = refusal(versions.get)
    assert said in why
    assert bool(why) is bool(said)


# ---------------------------------------------------------------- comparing


class Says:
    """A Casbin that always says the same."""

    def __init__(self, answer: bool | str) -> None:
        self._answer = answer

    def answer(self, request: Sequence[object]) -> bool | str:
        return self._answer


def always(answer: bool | str) -> Callable[[Taken], Says]:
    return lambda _: Says(answer)


def test_a_difference_without_a_reason_says_so(folder: Path) -> None:
    found = taken(folder / "model.conf", "policy.csv", Wishes("strict", {}, {}, None))
    assert found.table is not None
    request = Request(("alice", "/wiki/a", "PUT"), "alice, /wiki/a, PUT")
    compared = compare(found, found.table, [request], always(False), 0)
    assert [(each.ours, each.reason) for each in compared.differences] == [(True, UNKNOWN)]
    raised = compare(found, found.table, [request], always("ValueError: x"), 0)
    assert [each.theirs for each in raised.differences] == ["ValueError: x"]
    assert raised.raised == 1
    assert compare(found, found.table, [request], always(True), 0).differences == ()


def test_a_policy_that_casbin_does_not_take_is_named(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(MODEL.replace("e = ", "e = some(where (p.eft == allow))\n#"))
    (folder / "policy.csv").write_text("p, x, /x, GET, allow\n")
    assert pdp(*VERIFY).code in {0, 1}
    text = MODEL.replace("p = sub, obj, act, eft", "p = sub, obj, act, eft, priority")
    (folder / "model.conf").write_text(text.replace("e = some", "e = priority(p.eft) || deny\n# some"))
    (folder / "policy.csv").write_text("p, x, /x, GET, allow, -1\np, y, /x, GET, allow, 2\n")
    done = pdp(*VERIFY, "--mode", "compat")
    assert done.code == 2
    assert "I421" in done.err


# ---------------------------------------------------------------- requests that are drawn


def test_a_request_that_is_made_for_a_row_is_met_by_it() -> None:
    program = compile_casbin(MODEL, POLICY.replace("deny", "allow"))
    drawer, random = Drawer.of(program.table), Random(3)
    fitting = [drawer.fitting(row, random) for row in program.table.rows for _ in range(50)]
    assert all(program.enforce(*request) for request in fitting)
    assert len(set(fitting)) > 20


PATTERNS = {
    "keyMatch": "/a/*",
    "keyMatch2": "/a/:id/b/*",
    "keyMatch3": "/a/{id}/b",
    "keyMatch4": "/a/{id}/b/{id}",
    "keyMatch5": "/a/{id}",
    "globMatch": "/a/*",
    "regexMatch": "GET|POST",
    "ipMatch": "10.0.0.0/8",
}


@pytest.mark.parametrize("function", PATTERNS)
def test_a_name_that_is_drawn_for_a_pattern_fits_it(function: str) -> None:
    model = MODEL.replace("keyMatch2(", f"{function}(").replace("g(r.sub, p.sub)", "r.sub == p.sub")
    program = compile_casbin(model, f"p, a, {PATTERNS[function]}, x, allow\n", mode="compat")
    drawer, random = Drawer.of(program.table), Random(4)
    assert all(program.enforce(*drawer.fitting(program.table.rows[0], random)) for _ in range(50))


def test_an_empty_policy_draws_strangers() -> None:
    drawer = Drawer.of(compile_casbin(MODEL, "").table)
    assert all(len(drawer.drawn(Random(seed))) == 3 for seed in range(20))
