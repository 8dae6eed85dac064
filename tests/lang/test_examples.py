"""The examples of `policies/examples`: each compiles, passes its own tests, and is laid out as `pdp fmt` would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from policy_lang.compile import Compiled, compile_policy
from policy_lang.layout.formatter import formatted
from policy_lang.meaning.facts import load_facts
from policy_lang.trials.runner import run_tests

EXAMPLES = Path(__file__).resolve().parents[2] / "policies" / "examples"
TODAY_MS = 1_795_219_200_000
"""2026-11-21: the day on which the examples are looked at, since some warnings depend on it."""

NAMES = ("casbin", "documents", "gateway", "mesh", "minimal", "ownership", "roles", "signals", "stepup", "tenants")
WARNED = {"signals": ["W807", "W810"]}
"""What an example is warned of, on purpose; its README says why."""

CASES = {
    "casbin": 7, "documents": 5, "gateway": 15, "mesh": 8, "minimal": 3, "ownership": 7, "roles": 9, "signals": 7,
    "stepup": 6, "tenants": 5,
}  # fmt: skip
"""How many cases each has, so that none is lost."""

WORDS = (
    "import", "enum", "label", "network", "workload", "token", "subject", "roles", "relation", "signal", "condition",
    "service", "test", "prove", "shadow", "exclusive", "except", "via", "until", "needs", "must", "should", "closed",
    "grpc", "action", "accepts", "table", "grants", "casbin",
)  # fmt: skip


def files_of(name: str) -> Mapping[str, bytes]:
    folder = EXAMPLES / name
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def compiled(name: str) -> Compiled:
    return compile_policy(files_of(name), today_ms=TODAY_MS)


def test_the_folder_holds_these_examples_and_its_readme_names_each() -> None:
    assert tuple(sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())) == NAMES
    readme = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*/*.pol"):
        assert f"({path.relative_to(EXAMPLES)})" in readme


@pytest.mark.parametrize("name", NAMES)
def test_an_example_compiles_with_no_warning_but_those_that_are_meant(name: str) -> None:
    assert sorted(each.code for each in compiled(name).warnings) == WARNED.get(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_every_test_within_passes(name: str) -> None:
    bundle = compiled(name)
    results = list(run_tests(bundle.program, bundle.tests))
    assert [(each.case.text, each.got) for each in results if not each.passed] == []
    assert len(results) == CASES[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_there_and_empty(name: str) -> None:
    assert not any(load_facts(compiled(name).program, files_of(name)).values())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.pol")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_a_file_says_its_language_and_is_laid_out(path: Path) -> None:
    data = path.read_bytes()
    assert formatted(path.name, data) == data.decode()
    assert "\nlanguage 1\n" in data.decode()


def test_the_examples_together_show_the_language() -> None:
    text = " ".join(path.read_text() for path in EXAMPLES.glob("*/*.pol")).split()
    assert [word for word in WORDS if word not in text] == []
