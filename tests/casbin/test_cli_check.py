"""`pdp casbin check`: what it finds, what it says of a model that compiles, and how it ends."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from pdp.cli import cli
from tests.support.command import Pdp

CHECKED = """\
r             sub, obj, act
p             sub, obj, act, eft
g             _, _
e             allow and deny
m             g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act
rows of p     3 (2 allow, 1 deny)
links of g    4
asked: roles  g(r.sub, p.sub)
asked: trie   keyMatch2(r.obj, p.obj)
asked: hash   r.act == p.act
opaque        nothing
dead rows     0
traps met     none
model.conf, policy.csv: no problems (3 rows, 4 links, 0 warnings)
"""

CHECK = ("casbin", "check", "model.conf", "policy.csv")


def change(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new))


def test_a_model_that_compiles_is_told(folder: Path, pdp: Pdp) -> None:
    done = pdp(*CHECK)
    assert (done.code, done.out, done.err) == (0, CHECKED, "")


def test_a_mistake_is_shown_with_its_line_and_ends_1(folder: Path, pdp: Pdp) -> None:
    change(folder, "policy.csv", "PUT, allow", "PUT, Allow")
    done = pdp(*CHECK)
    assert done.code == 1
    assert done.out == ""
    assert "error[E607]" in done.err
    assert "policy.csv:2:26" in done.err
    assert done.err.endswith("model.conf, policy.csv: 1 problem\n")


def test_compat_passes_with_a_warning_of_the_same_number(folder: Path, pdp: Pdp) -> None:
    change(folder, "policy.csv", "PUT, allow", "PUT, Allow")
    done = pdp(*CHECK, "--mode", "compat")
    assert done.code == 0
    assert "warning[W607]" in done.err
    assert "traps met     W607 (1)" in done.out
    assert "1 allow, 1 deny, 1 no vote" in done.out


FILES = {
    "a policy that may be an address": ["casbin", "check", "model.conf"],
    "the model of a new folder": ["new", "--from-casbin"],
}


@pytest.mark.parametrize("case", FILES)
def test_a_shell_completes_files(case: str) -> None:
    offered = ShellComplete(cli, {}, "pdp", "_PDP_COMPLETE").get_completions(FILES[case], "po")
    assert [(each.type, each.value) for each in offered] == [("file", "po")]


def test_dead_rows_are_counted(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("p, a, /x, GET, allow\np, a, /x, GET, allow\n")
    done = pdp(*CHECK)
    assert "dead rows" in done.out
    assert [line.split()[-1] for line in done.out.splitlines() if line.startswith("dead rows")] == ["1"]
    assert "warning[W627]" in done.err


def test_an_empty_policy_is_said_to_allow_nothing(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("")
    assert "rows of p     0 (nothing is allowed)\n" in pdp(*CHECK).out


def test_a_disjunction_is_told_part_by_part(folder: Path, pdp: Pdp) -> None:
    change(folder, "model.conf", "&& r.act == p.act", '&& regexMatch(r.act, p.act) || r.sub == "root" && p.act == "x"')
    told = [line for line in pdp(*CHECK).out.splitlines() if line.startswith("asked")]
    assert [" ".join(line.split()) for line in told] == [
        "asked 1: roles g(r.sub, p.sub)",
        "asked 1: trie keyMatch2(r.obj, p.obj)",
        "asked 1: patterns regexMatch(r.act, p.act)",
        'asked 2: once (r.sub == "root")',
        'asked 2: at load (p.act == "x")',
    ]


def test_definitions_that_are_not_asked_stand_in_brackets(folder: Path, pdp: Pdp) -> None:
    change(folder, "model.conf", "p = sub, obj, act, eft", "p = sub, obj, act, eft\np2 = sub, act")
    change(folder, "model.conf", "[matchers]", "[matchers]\nm2 = r.sub == p2.sub && r.act == p2.act")
    done = pdp(*CHECK, "--use", "p2", "--use", "m2")
    assert done.code == 0
    shown = [line.split()[0] for line in done.out.splitlines()[:7]]
    assert shown == ["r", "(p)", "p2", "g", "e", "(m)", "m2"]
    assert "rows of p2" in done.out


def test_the_report_for_programs_has_all_of_it(folder: Path, pdp: Pdp) -> None:
    report = pdp(*CHECK, "--json").json
    assert report["passed"] is True
    assert report["rows"] == {"p": 3}
    assert report["links"] == {"g": 4}
    assert [part["how"] for part in report["answered"][0]] == ["roles", "trie", "hash"]
    assert report["definitions"]["p"] == ["sub", "obj", "act", "eft"]
    change(folder, "policy.csv", "p, reader", "q, reader")
    refused = pdp(*CHECK, "--json")
    assert refused.code == 1
    assert [each["code"] for each in refused.json["diagnostics"]] == ["E614"]
    assert "answered" not in refused.json


def test_a_code_scanner_gets_places(folder: Path, pdp: Pdp) -> None:
    change(folder, "policy.csv", "p, reader", "q, reader")
    done = pdp(*CHECK, "--format", "sarif")
    assert done.code == 1
    (found,) = done.json["runs"][0]["results"]
    assert found["ruleId"] == "E614"
    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "policy.csv"


BAD = {
    "a model that is not there": (("none.conf", "policy.csv"), "I411"),
    "a policy that is not there": (("model.conf", "none.csv"), "I411"),
    "a policy that is a folder": (("model.conf", "."), "I411"),
    "a policy that is not UTF-8": (("model.conf", "latin.csv"), "latin.csv:2 is not UTF-8"),
    "a database that is not there": (("model.conf", "sqlite:none.db"), "I403"),
    "a definition that there is not": (("model.conf", "policy.csv", "--use", "p2"), "I412"),
    "a definition of no letter": (("model.conf", "policy.csv", "--use", "x"), "I412"),
    "a function that there is not": (("model.conf", "policy.csv", "--match", "g=keymatch"), "did you mean"),
    "a function without its definition": (("model.conf", "policy.csv", "--match", "keyMatch"), "as g=keyMatch2"),
    "a definition with two functions": (
        ("model.conf", "policy.csv", "--match", "g=keyMatch", "--match", "g=keyMatch2"),
        "once",
    ),
    "two forms of a report": (("model.conf", "policy.csv", "--json", "--format", "sarif"), "--json goes with no"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_named_and_ends_2(folder: Path, pdp: Pdp, case: str) -> None:
    (folder / "latin.csv").write_bytes(b"p, a, b, c, allow\np, \xe9, b, c, allow\n")
    arguments, said = BAD[case]
    done = pdp("casbin", "check", *arguments)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""


def test_options_reach_the_table(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("p, /staff/*, /x, GET, allow\ng, /staff/*, reader\n")
    done = pdp(*CHECK, "--match", "g=keyMatch", "--zone", "Europe/Berlin")
    assert done.code == 0
    assert "1 (names by keyMatch)" in done.out
    assert pdp(*CHECK, "--zone", "Nowhere/At_All").code == 1


def test_a_table_of_a_database_is_a_policy(folder: Path, pdp: Pdp) -> None:
    with sqlite3.connect(folder / "rules.db") as connection:
        connection.execute("CREATE TABLE casbin_rule (id INTEGER, ptype, v0, v1, v2, v3, v4, v5)")
        rows = [("p", "reader", "/wiki/*", "GET", "allow"), ("p", "x", "/y", "GET", "Deny"), ("g", "bob", "reader")]
        for number, row in enumerate(rows, 1):
            filled = (number, *row, *[None] * (7 - len(row)))
            connection.execute("INSERT INTO casbin_rule VALUES (?, ?, ?, ?, ?, ?, ?, ?)", filled)
    connection.close()
    done = pdp("casbin", "check", "model.conf", "sqlite:rules.db")
    assert done.code == 1
    assert "sqlite:rules.db:2:16" in done.err
    compat = pdp("casbin", "check", "model.conf", "sqlite:rules.db", "--mode", "compat")
    assert compat.code == 0
    assert "no problems (2 rows, 1 link, 1 warning)" in compat.out


def test_what_a_policy_holds_moves_no_cursor(folder: Path, pdp: Pdp) -> None:
    change(folder, "policy.csv", "p, reader", "\x1b[2J, reader")
    done = pdp(*CHECK)
    assert done.code == 1
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize("verb", ["check", "convert", "verify"])
def test_a_model_and_a_policy_that_are_swapped_are_told_so_first(folder: Path, pdp: Pdp, verb: str) -> None:
    done = pdp("casbin", verb, "policy.csv", "model.conf")
    assert done.code == 2
    assert "MODEL comes first, then POLICY" in done.err
    assert "error[" not in done.err


def test_a_model_in_place_of_both_is_checked_as_it_is(folder: Path, pdp: Pdp) -> None:
    done = pdp("casbin", "check", "model.conf", "model.conf")
    assert done.code == 1
    assert "MODEL comes first" not in done.err
