"""What imports write is policy: it checks without a warning, and its endpoints are what the document says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.authoring.merge import Wishes, merged
from pdp.authoring.pol_text import LONGEST_IDENTIFIER, RESERVED, ROOTS
from pdp.authoring.scaffold import bundle_files
from pdp.cli import main
from policy_lang.compile import compile_policy
from policy_lang.declared.scopes import ROOTS as INPUTS
from policy_lang.diagnostics import CompileError
from policy_lang.meaning.facts import load_facts
from policy_lang.trials.runner import run_tests
from policy_lang.verdict import Json
from tests.service.test_authoring_openapi import PATTERNS
from tests.service.test_authoring_openapi_parameters import LIMIT, QUERY
from tests.support.authoring import imported, text_of
from tests.support.process import ROOT as REPOSITORY

DATA = REPOSITORY / "tests" / "data" / "authoring"


@pytest.mark.parametrize("name", ["library.pol", "protos/orders.pol"])
def test_an_import_checks_without_a_warning(name: str) -> None:
    data = (DATA / name).read_bytes()
    compiled = compile_policy({"policy.pol": data})
    assert compiled.warnings == ()
    assert len(compiled.program.endpoints) == data.count(b"  endpoint ")


def test_the_roots_that_names_avoid_are_those_of_the_language() -> None:
    assert set(INPUTS) <= ROOTS | RESERVED


@pytest.mark.parametrize("service", ["notes", "x" * LONGEST_IDENTIFIER])
def test_what_new_writes_checks_without_a_warning_and_its_tests_pass(service: str) -> None:
    files = {name: text.encode() for name, text in bundle_files(service).items()}
    compiled = compile_policy(files)
    assert compiled.warnings == ()
    results = list(run_tests(compiled.program, compiled.tests))
    assert len(results) == 14
    assert [result.case.text for result in results if not result.passed] == []
    assert load_facts(compiled.program, files) == {f"{service}.shared_with": frozenset()}


def test_every_kind_of_parameter_compiles_without_a_warning() -> None:
    parameters: list[Json] = [
        {"name": f"p {number}", "in": "query", **parameter} for number, (parameter, _) in enumerate(QUERY.values())
    ]
    read_in = imported({"/a": {"get": {"parameters": parameters}}, **_paths_of_patterns()}, components=LIMIT)
    compiled = compile_policy({"policy.pol": text_of(read_in).encode()})
    assert compiled.warnings == ()
    declared = next(each for each in compiled.program.endpoints if each.id == "shop.get_a")
    assert [str(each.type) for each in declared.query] == [type_ for _, type_ in QUERY.values()]


def _paths_of_patterns() -> dict[str, Json]:
    """All paths of `PATTERNS` but those that share paths with each other."""
    return {path: item for paths, _ in PATTERNS.values() if isinstance(paths, dict) for path, item in paths.items()}


def test_an_allow_of_the_file_opens_no_new_endpoint() -> None:
    paths: dict[str, Json] = {"/a": {"get": {}}}
    opened = text_of(imported(paths)).replace(" closed", "") + (
        '\nallow all for anyone on shop because "the whole service is public"\n'
    )
    assert compile_policy({"shop.pol": opened.encode()}).warnings == ()
    grown = merged(opened, "shop.pol", imported({**paths, "/b": {"get": {}}}), Wishes()).text
    with pytest.raises(CompileError) as refused:
        compile_policy({"shop.pol": grown.encode()})
    assert [each.code for each in refused.value.diagnostics] == ["E505"]


VERBS = [("check",), ("test",), ("fmt", "--check")]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_steps_of_the_ci_file_pass_on_what_new_writes(verb: tuple[str, ...], tmp_path: Path) -> None:
    for arguments in (["new", str(tmp_path), "--service", "notes"], [*verb, str(tmp_path)]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code
