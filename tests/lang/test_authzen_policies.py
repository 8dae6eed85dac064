"""The policies of the AuthZEN scenarios: each compiles, passes its own tests, has its facts, and is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from policy_lang.compile import compile_policy
from policy_lang.layout.formatter import formatted
from policy_lang.meaning.facts import load_facts
from policy_lang.trials.runner import run_tests

POLICIES = Path(__file__).resolve().parents[2] / "policies"
CASES = {"todo": 22, "api_gateway": 15}
"""How many cases each has, so that none is lost."""

ROWS = {"todo": {"todo.holds": 6, "todo.mailbox": 5}, "api_gateway": {"api_gateway.holds": 5}}


def files_of(name: str) -> Mapping[str, bytes]:
    folder = POLICIES / name
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", CASES)
def test_it_compiles_without_a_warning_and_passes_its_tests(name: str) -> None:
    compiled = compile_policy(files_of(name))
    assert [each.code for each in compiled.warnings] == []
    results = list(run_tests(compiled.program, compiled.tests))
    assert [each.case.text for each in results if not each.passed] == []
    assert len(results) == CASES[name]


@pytest.mark.parametrize("name", ROWS)
def test_its_facts_are_whole(name: str) -> None:
    files = files_of(name)
    facts = load_facts(compile_policy(files).program, files)
    assert {relation: len(rows) for relation, rows in facts.items()} == ROWS[name]


@pytest.mark.parametrize("name", CASES)
def test_it_is_laid_out(name: str) -> None:
    for path in (POLICIES / name).glob("*.pol"):
        assert formatted(path.name, path.read_bytes()) == path.read_text()
