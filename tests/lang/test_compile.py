"""The whole way: bundles of several files, all mistakes in one run, tests to cases, and what is hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang import ir
from policy_lang.compile import Compiled, compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render
from policy_lang.syntax.parser import MOST_BYTES, parse

MODULE = b"""module m
token user { issuer "https://id.example"
  claim sub: string
  claim at: time
  claim left: duration optional
  claim roles: set of string optional from "realm" "roles"
  claim deep: int optional from "realm" "level"
  factor mfa at token.at }
relation rows (a: string, n: int)
relation more (a: string)
service s { audience "s" host "s.example" endpoint one GET /one/{a} }
allow r for any user on s when rows(token.sub, 1) and more(token.sub) because "-"
require q for any user on s needs factor mfa within 5m must log full strict
"""


def compiled(extra: str) -> Compiled:
    return compile_policy({"m.pol": MODULE + extra.encode()})


def codes(files: dict[str, bytes]) -> list[str]:
    with pytest.raises(CompileError) as refused:
        compile_policy(files)
    return [f"{each.span.source}:{each.code}" for each in refused.value.diagnostics]


# ---------------------------------------------------------------- bundles


@pytest.mark.parametrize("files", [{}, {"README.md": b"x"}, {"facts/m.rows.csv": b"a,n\n"}, {"policy.pol.bak": MODULE}])
def test_a_bundle_without_a_policy_is_refused(files: dict[str, bytes]) -> None:
    assert codes(files) == ["policy:E113"]


def test_a_policy_without_rules_allows_nothing() -> None:
    program = compile_policy({"m.pol": b"module m"}).program
    assert program.modules == ("m",)
    assert program.cells == ()


def test_other_files_are_not_looked_at() -> None:
    plain = compile_policy({"m.pol": MODULE})
    beside = compile_policy({"m.pol": MODULE, "facts/m.rows.csv": b"\xff", "notes.txt": b"module m"})
    assert plain.program == beside.program
    assert list(beside.sources) == ["m.pol"]


def test_files_in_folders_are_policies_too() -> None:
    assert compile_policy({"a/b/m.pol": MODULE}).program.rules[0].place.file == "a/b/m.pol"


def test_the_mistakes_of_all_files_come_in_one_run_sorted() -> None:
    files = {
        "z.pol": b'module z deny d on nowhere because "-"',
        "a.pol": b'module a deny d on s because "-"\ndeny e on s',
        "b.pol": b"\xff",
        "c.pol": b"",
        "m.pol": MODULE,
    }
    assert codes(files) == ["a.pol:E201", "a.pol:E502", "a.pol:E201", "b.pol:E100", "c.pol:E102", "z.pol:E201"]


def test_warnings_are_kept_back_where_there_is_an_error() -> None:
    warned = b"module m label l service s { audience none }"
    assert [each.code for each in compile_policy({"m.pol": warned}).warnings] == ["W806", "W809", "W815", "W815"]
    assert codes({"m.pol": warned + b" deny d on s"}) == ["m.pol:E502"]


def test_proofs_are_listed_by_title() -> None:
    assert compiled('prove "never" never allow for anyone on s prove "too" always allow').proofs == ("never", "too")


HOSTILE = {
    "bytes that are no text": b"\xff\xfe\x00",
    "a byte order mark": b"\xef\xbb\xbfmodule m allow r",
    "an empty file": b"",
    "only a comment": b"# nothing",
    "a megabyte and a byte": b" " * (MOST_BYTES + 1),
    "a null": b"module m\x00",
    "windows line ends": b"module m\r\nallow r\r\n",
    "brackets without end": b"module m condition c = " + b"(" * 5000,
    "negations without end": b"module m condition c = " + b"not " * 5000 + b"true",
    "a sum without end": b"module m condition c = now" + b" + 1s" * 5000 + b" < now",
    "a chain without end": b"module m condition c = true" + b" and true" * 5000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_its_text_can_be_shown(name: str) -> None:
    files = {"m.pol": HOSTILE[name]}
    with pytest.raises(CompileError) as refused:
        compile_policy(files)
    assert render(refused.value.diagnostics, sources_of(files))
    assert sources_of(files)["m.pol"] == parse("m.pol", HOSTILE[name]).source


WORDS = (MODULE.decode() + 'test "t" { given anonymous call s GET /one/x expect deny by default }').split(" ")


@given(st.lists(st.sampled_from(WORDS), max_size=30), st.integers(0, len(WORDS)), st.integers(0, 6))
def test_any_shuffled_policy_compiles_or_is_refused(words: list[str], at: int, dropped: int) -> None:
    """A policy with words dropped and others put in between raises CompileError with an error, or nothing."""
    text = " ".join([*WORDS[:at], *words, *WORDS[at + dropped :]])
    try:
        compile_policy({"m.pol": text.encode()})
    except CompileError as refused:
        assert any(each.severity == "error" for each in refused.diagnostics)
        assert render(refused.diagnostics, sources_of({"m.pol": text.encode()}))


def test_many_rules_share_what_they_have_in_common() -> None:
    rules = "\n".join(f'allow x{n} for any user on s when more("v{n % 10}") because "-"' for n in range(500))
    program = compiled(rules).program
    assert len(program.rules) == 502
    assert len(program.atoms) == 13


def test_the_longest_chain_that_parses_compiles() -> None:
    chain = " or ".join(f'token.sub == "v{n}"' for n in range(500))
    assert len(compiled(f'deny d for any user on s when {chain} because "-"').program.atoms) > 500


# ---------------------------------------------------------------- tests and settings

TEST = """
test "t" {
  given token user { sub: "u", at: now - 1m, aud: ["s"] }
  call s GET /one/a?x=1 expect allow by r and log full strict
  call s GET /one/a expect step_up mfa by m.q
}
"""


def test_cases_come_with_the_program() -> None:
    first, second = compiled(TEST).tests
    assert (first.title, first.service, first.text) == (
        "t",
        "s",
        "call s GET /one/a?x=1 expect allow by r and log full strict",
    )
    assert (first.expected.by, second.expected.by) == (("m.r",), ("m.q",))


SETTINGS = {
    "m.pol": MODULE + b'setting limit: int = 1\ndeny d for any user on s when rows("x", limit) because "-"',
    "settings/prod.toml": b"limit = 5",
    "settings/broken.toml": b"limit =",
}


def lookups(files: dict[str, bytes], settings: str | None) -> set[ir.Operand]:
    atoms = compile_policy(files, settings).program.atoms
    return {each.arguments[1] for each in atoms if isinstance(each, ir.Lookup) and each.relation == "m.rows"}


def test_settings_are_those_of_the_chosen_environment() -> None:
    assert lookups(SETTINGS, None) == {ir.Const(1)}
    assert lookups(SETTINGS, "prod") == {ir.Const(1), ir.Const(5)}


@pytest.mark.parametrize("name", ["broken", "none", "../m"])
def test_settings_that_cannot_be_read_are_a_refusal_that_can_be_shown(name: str) -> None:
    files = {**SETTINGS, "z.pol": b"module z deny"}
    with pytest.raises(CompileError) as refused:
        compile_policy(files, name)
    assert {each.span.source for each in refused.value.diagnostics} > {"z.pol"}
    assert render(refused.value.diagnostics, sources_of(files))


def test_a_module_that_did_not_parse_whole_is_not_blamed_on_who_imports_from_it() -> None:
    files = {
        "a.pol": b"module a network office = office = 10.0.0.0/8",
        "b.pol": b"module b import a (office) import c (x) condition k = request.ip in office",
        "c.pol": b"modul c",
    }
    assert {each.split(":")[0] for each in codes(files)} == {"a.pol", "c.pol"}


def test_a_policy_that_costs_too_much_is_refused() -> None:
    conditions = [" and ".join(f'token.sub != "{n}-{i}"' for i in range(100)) for n in range(6)]
    rules = "".join(f'deny x{n} for any user on s when {each} because "-"\n' for n, each in enumerate(conditions))
    assert codes({"m.pol": MODULE + rules.encode()}) == ["m.pol:E801"]


def test_a_decider_of_another_module_is_named_in_full() -> None:
    other = b'module n label l deny d on any endpoint because "-"'
    call = b'test "t" { given anonymous call s GET /one/a expect deny by n.d }'
    (case,) = compile_policy({"m.pol": MODULE + call, "n.pol": other}).tests
    assert case.expected.by == ("n.d",)


def test_the_shipped_policies_compile() -> None:
    policies = Path(__file__).parents[2] / "policies"
    folders = {path.parent for path in policies.rglob("*.pol")}
    assert folders
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        compile_policy({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
