"""`pdp new --from-casbin`: a folder around a model that checks, and whose tests expect what the rows answer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pdp.authoring.casbin_rows_text import rows_text
from pdp.authoring.model import AuthoringError
from policy_lang.casbin.definitions import read_model
from policy_lang.casbin.row_reading import values_taken
from policy_lang.casbin.rows import Options, read_rows, rows_of
from policy_lang.layout.formatter import formatted
from policy_lang.source import Source
from tests.casbin.conftest import MODEL, POLICY
from tests.support.command import Pdp

NEW = ("new", "--from-casbin", "model.conf", "policy.csv", "made")

NAMES = MODEL.replace("keyMatch2(r.obj, p.obj)", "r.obj == p.obj")
TENANTS = (
    MODEL.replace("sub, obj", "sub, dom, obj")
    .replace("g = _, _", "g = _, _, _")
    .replace("g(r.sub, p.sub)", "g(r.sub, p.sub, r.dom) && r.dom == p.dom")
)
ABAC = MODEL.replace("g(r.sub, p.sub)", "r.sub.Age > 18 && r.sub.team == p.sub").replace(
    "[role_definition]\ng = _, _\n\n", ""
)
ADDRESS = MODEL.replace("sub, obj", "sub, ip, obj").replace("g(r.sub, p.sub)", "g(r.sub, p.sub) && ipMatch(r.ip, p.ip)")

FOLDERS = {
    "paths and methods": (MODEL, POLICY, (), ["obj = request.path", "act = request.method", "mode   strict"]),
    "names and actions": (
        NAMES,
        "p, alice, data1, read, allow\np, bob, data2, write, allow\n",
        (),
        ["obj = path.obj", "act = path.act", "ANY /check/{obj}/{act}"],
    ),
    "tenants over paths": (
        TENANTS,
        "p, admin, t1, /x/*, GET, allow\ng, alice, admin, t1\n",
        (),
        ["dom = token.dom", "claim dom: string"],
    ),
    "tenants over names": (TENANTS, "p, admin, t1, d, read, allow\ng, alice, admin, t1\n", (), ["dom = path.dom"]),
    "parts of a value": (
        ABAC,
        "p, red, /x, GET, allow\n",
        (),
        ['"sub.Age" = token.age', "claim age: int", '"sub.team" = token.team'],
    ),
    "addresses": (ADDRESS, "p, alice, 10.0.0.0/8, /x, GET, allow\n", (), ["ip = request.ip"]),
    "names that are patterns": (
        MODEL,
        "p, staff, /x, GET, allow\ng, /team/*, staff\n",
        ("--match", "g=keyMatch"),
        ['match  g = "keyMatch"'],
    ),
    "a value and a part of it": (
        ABAC.replace("r.sub.team == p.sub", "r.sub == p.sub"),
        "p, alice, /x, GET, allow\n",
        (),
        ["bind   sub = token.sub", '"sub.Age" = token.age', "claim age: int"],
    ),
    "a set that is looked into": (
        ABAC.replace("r.sub.Age > 18 && r.sub.team == p.sub", "p.sub in r.sub.Groups"),
        "p, staff, /x, GET, allow\n",
        (),
        ['"sub.Groups" = token.groups', "claim groups: set of string"],
    ),
    "a parameter that is a set": (
        NAMES.replace("g(r.sub, p.sub)", "p.sub in r.sub").replace("[role_definition]\ng = _, _\n\n", ""),
        "p, staff, data1, read, allow\n",
        (),
        ["sub = token.sub_2", "claim sub_2: set of string"],
    ),
    "a parameter that is a number": (
        TENANTS.replace(
            "g(r.sub, p.sub, r.dom) && r.dom == p.dom", "r.sub == p.sub && r.dom >= 3 && p.dom != ''"
        ).replace("[role_definition]\ng = _, _, _\n\n", ""),
        "p, alice, x, data1, read, allow\n",
        (),
        ["dom = token.dom", "claim dom: int"],
    ),
    "a truth": (
        ABAC.replace("r.sub.Age > 18", "r.sub.vip == true"),
        "p, red, /x, GET, allow\n",
        (),
        ['"sub.vip" = token.vip', "claim vip: bool"],
    ),
    "a part that is reckoned with": (
        ABAC.replace("r.sub.Age > 18", "r.sub.Age + 1 > 2"),
        "p, red, /x, GET, allow\n",
        (),
        ['"sub.Age" = token.age', "claim age: int"],
    ),
    "what only compat takes": (MODEL, POLICY.replace("deny", "Deny"), (), ["mode   compat"]),
    "an empty policy": (MODEL, "", (), ["mode   strict"]),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_the_folder_checks_and_its_tests_pass(folder: Path, pdp: Pdp, case: str) -> None:
    model, policy, options, said = FOLDERS[case]
    (folder / "model.conf").write_text(model)
    (folder / "policy.csv").write_text(policy)
    done = pdp(*NEW, *options)
    assert done.code == 0, done.err
    made = folder / "made"
    text = (made / "policy.pol").read_text()
    assert [each for each in said if each not in text] == []
    assert formatted("policy.pol", text.encode()) == text
    assert (made / "casbin" / "model.conf").read_text() == model
    assert (made / "casbin" / "policy.csv").read_text() == policy
    checked = pdp("check", "made")
    assert checked.code == 0, checked.err
    if "compat" not in case:
        assert "0 warnings" in checked.out, checked.err
    if policy and "compat" not in case:
        assert "expect allow by rows_decide" in text
    assert "expect deny" in text
    tested = pdp("test", "made")
    assert tested.code == 0, tested.out + tested.err


def test_the_folder_has_a_readme_and_a_ci_file(folder: Path, pdp: Pdp) -> None:
    pdp(*NEW, "--service", "wiki")
    written = {path.relative_to(folder / "made").as_posix() for path in (folder / "made").rglob("*") if path.is_file()}
    assert written == {
        "policy.pol",
        "casbin/model.conf",
        "casbin/policy.csv",
        "README.md",
        ".github/workflows/policy.yml",
    }
    assert "# The policy of wiki" in (folder / "made" / "README.md").read_text()
    assert "module wiki" in (folder / "made" / "policy.pol").read_text()


def test_rows_of_a_database_become_lines(folder: Path, pdp: Pdp) -> None:
    with sqlite3.connect(folder / "rules.db") as connection:
        connection.execute("CREATE TABLE casbin_rule (id INTEGER, ptype, v0, v1, v2, v3, v4, v5)")
        for number, line in enumerate(POLICY.splitlines(), 1):
            values = line.split(", ")
            filled = (number, *values, *[None] * (7 - len(values)))
            connection.execute("INSERT INTO casbin_rule VALUES (?, ?, ?, ?, ?, ?, ?, ?)", filled)
    connection.close()
    assert pdp("new", "--from-casbin", "model.conf", "sqlite:rules.db", "made").code == 0
    assert (folder / "made" / "casbin" / "policy.csv").read_text() == POLICY


NO_LINES = {
    "a comma": ("p", "a,b"),
    "a bracket": ("p", "a(b"),
    "a line end": ("p", "a\nb"),
    "a comment": ("#p", "a"),
    "nothing at all": (None, None),
}


@pytest.mark.parametrize("case", NO_LINES)
def test_a_record_that_no_line_can_say_is_refused(case: str) -> None:
    with pytest.raises(AuthoringError, match="I432"):
        rows_text([("p", "alice"), NO_LINES[case]], {})


def test_values_are_trimmed_and_brackets_keep_their_commas() -> None:
    assert rows_text([("p", " a ", "f(x, y)", None, "z", None)], {"p": 4}) == "p, a, f(x, y), , z\n"


EMPTY: dict[str, tuple[tuple[str | None, ...], str]] = {
    "as many values as its type takes, the last one empty": (("p", "a", "b", ""), "p, a, b,\n"),
    "all of them empty": (("p", "", "", ""), "p, , ,\n"),
    "an end that is NULL": (("p", "a", "b", "", None, None), "p, a, b,\n"),
    "more values, empty ones behind": (("p", "a", "b", "c", "", ""), "p, a, b, c\n"),
    "more values, in doubt which of them are": (("p", "a", "b", "", "", ""), "p, a, b\n"),
    "a type that is not declared": (("q", "a", ""), "q, a\n"),
}


@pytest.mark.parametrize("case", EMPTY)
def test_values_that_are_empty_stand_in_lines_as_they_are_read_from_records(case: str) -> None:
    record, line = EMPTY[case]
    model = read_model(Source("model.conf", MODEL.replace("obj, act, eft", "obj, act")), mode="compat")
    assert rows_text([record], values_taken(model)) == line
    of_line = read_rows(Source("policy.csv", line), model, Options(mode="compat"))
    of_record = rows_of([record], model, Options(mode="compat"))
    assert (of_line.rows, of_line.links) == (of_record.rows, of_record.links)
    assert {each.code for each in of_line.diagnostics} == {each.code for each in of_record.diagnostics}


def test_a_row_of_a_database_whose_last_value_is_empty_makes_a_folder(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(MODEL.replace("sub, obj, act, eft", "sub, obj, act, eft, note"))
    with sqlite3.connect(folder / "rules.db") as connection:
        connection.execute("CREATE TABLE casbin_rule (id INTEGER, ptype, v0, v1, v2, v3, v4, v5)")
        connection.execute("INSERT INTO casbin_rule VALUES (1, 'p', 'alice', '/x', 'GET', 'allow', '', NULL)")
    connection.close()
    done = pdp("new", "--from-casbin", "model.conf", "sqlite:rules.db", "made")
    assert done.code == 0, done.err
    assert (folder / "made" / "casbin" / "policy.csv").read_text() == "p, alice, /x, GET, allow,\n"
    assert pdp("test", "made").code == 0


BAD = {
    "a model that neither mode takes": (("broken.conf", "policy.csv", "made"), "I414"),
    "a folder that is not empty": (("model.conf", "policy.csv", "."), "I301"),
    "a model that is not there": (("none.conf", "policy.csv", "made"), "I411"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_made_is_named_and_nothing_is_written(folder: Path, pdp: Pdp, case: str) -> None:
    (folder / "broken.conf").write_text("[matchers]\nm = (\n")
    arguments, said = BAD[case]
    done = pdp("new", "--from-casbin", *arguments)
    assert done.code == 2
    assert said in done.err
    assert not (folder / "made").exists()


NOT_CARRIED = {
    "a number that is compared with texts of rows": (
        ABAC.replace("r.sub.team == p.sub", "r.sub.Age == p.sub"),
        "p, red, /x, GET, allow\n",
        ["E601 policy.pol:", "`token.age` cannot be bound", 'in `bind   "sub.Age" = token.age'],
    ),
    "a table that costs too much": (
        NAMES.replace("g(r.sub, p.sub)", "r.sub < p.sub")
        .replace("[role_definition]\ng = _, _\n\n", "")
        .replace("r.obj == p.obj && r.act == p.act", "r.obj < p.obj && r.act < p.act"),
        "".join(f"p, u{number}, d, r, allow\n" for number in range(600)),
        ["E801 "],
    ),
}


@pytest.mark.parametrize("case", NOT_CARRIED)
def test_a_folder_that_does_not_hold_is_not_written_and_says_what_is_not_carried_over(
    folder: Path, pdp: Pdp, case: str
) -> None:
    model, policy, said = NOT_CARRIED[case]
    (folder / "model.conf").write_text(model)
    (folder / "policy.csv").write_text(policy)
    done = pdp(*NEW)
    assert done.code == 2
    assert "(I442)" in done.err
    assert [each for each in said if each not in done.err] == []
    assert not (folder / "made").exists()


def test_what_compat_refuses_too_is_not_sent_there(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(MODEL.replace("keyMatch2", "keymatch2"))
    done = pdp(*NEW)
    assert done.code == 2
    assert "error[E604]" in done.err
    assert "nor in compat" in done.err
    assert "--mode" not in done.err


def test_options_of_a_model_go_with_one(folder: Path, pdp: Pdp) -> None:
    done = pdp("new", "made", "--zone", "UTC")
    assert done.code == 2
    assert "go with --from-casbin" in done.err
