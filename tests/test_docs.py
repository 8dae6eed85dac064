"""The documents tell the truth: README blocks run, `--help` fits the README, generated documents are current."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from pdp.cli import cli
from pdp.demo.envoy import HTTP_MANAGER
from pdp.identity.jwt import LONGEST_TOKEN
from pdp.runtime.bundle import MOST_BYTES as MOST_BUNDLE_BYTES
from pdp.runtime.bundle import MOST_FILES
from policy_lang.checking.cost import MOST_ATOMS
from policy_lang.checking.expressions import MOST_ORDERED
from policy_lang.checking.operands import MOST_NESTED, MOST_NODES
from policy_lang.compile import compile_policy
from policy_lang.declared.fields import LONGEST_NAME
from policy_lang.declared.inventory import DECIDERS
from policy_lang.declared.networks import MOST_RANGES
from policy_lang.declared.roles import MOST_PAIRS, MOST_STEPS
from policy_lang.declared.scopes import ROOTS
from policy_lang.declared.signals_declared import LONGEST_WAIT_MS
from policy_lang.diagnostics import MOST_SHOWN
from policy_lang.layout.formatter import formatted
from policy_lang.meaning.obligations import LONGEST_VALUE
from policy_lang.meaning.schema import MAX_SET
from policy_lang.request import MAX_PARAMETERS, MAX_PATH, MAX_SEGMENTS
from policy_lang.spiffe import LONGEST_IDENTITY
from policy_lang.syntax.draft import LONGEST_STRING
from policy_lang.syntax.expression_builder import LONGEST_CHAIN
from policy_lang.syntax.parser import MOST_BYTES
from policy_lang.syntax.scan import DEEPEST, RESERVED
from policy_lang.trials.runner import run_tests
from tests.support.envoy import envoy_binary
from tests.support.process import ROOT
from tests.support.readme import WRITING, blocks, replay_document

README = ROOT / "README.md"
LANGUAGE = ROOT / "policy_lang" / "README.md"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("policies/*/*.md")]
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """`pdp` on the path, and nothing of the terminal that runs the tests."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    pdp = bin_folder / "pdp"
    pdp.write_text(f'#!/bin/sh\nexec {sys.executable} -m pdp "$@"\n')
    pdp.chmod(0o755)
    python = bin_folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def test_the_readme_runs_from_the_first_policy_to_the_last_decision(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert replay_document(README, tmp_path, environment, skip=frozenset({"demo", "envoy"})) >= 5


def _is_sound(path: Path) -> None:
    """The bundle of a policy file compiles in its environments, its tests pass, and the file is laid out."""
    bundle = {each.relative_to(path.parent).as_posix(): each.read_bytes() for each in path.parent.rglob("*.*")}
    environments: list[str | None] = [Path(name).stem for name in bundle if name.startswith("settings/")]
    for settings in environments or [None]:
        compiled = compile_policy(bundle, settings=settings)
        results = run_tests(compiled.program, compiled.tests)
        assert [(each.case.text, each.got) for each in results if not each.passed] == [], path
    assert formatted(path.name, path.read_bytes()) == path.read_text()


@pytest.mark.timeout(300)  # some forty commands, each a process
def test_the_language_reference_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copytree(ROOT / "policies" / "examples", tmp_path / "policies" / "examples")
    assert replay_document(LANGUAGE, tmp_path, environment, skip=frozenset(), settled=_is_sound) >= 30


def test_every_block_of_the_language_reference_is_run_or_written() -> None:
    idle = [each.text for each in blocks(LANGUAGE) if each.kind != "console" and each.verb not in WRITING]
    assert idle == []


def _section(title: str) -> str:
    """The text of a section of the language reference, whose heading is `## title`."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^#|\Z)", LANGUAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def test_the_language_reference_lists_every_word_that_cannot_be_a_name() -> None:
    words, inputs, deciders = (
        frozenset(listed.split()) for listed in re.findall(r": `([a-z_\s]{60,})`", _section("Reserved words"))
    )
    assert words == RESERVED
    assert inputs == frozenset(ROOTS)
    assert deciders == frozenset(DECIDERS)


def test_the_steps_of_a_decision_name_every_word_that_decides() -> None:
    steps = _section("How a call is decided")
    assert [word for word in DECIDERS if f"`{word}`" not in steps] == []


LIMITS = {
    "bytes of a file": "1 MiB" if MOST_BYTES == 1 << 20 else "",
    "characters of a string": f"{LONGEST_STRING:,} characters",
    "nesting, and expanded": f"{DEEPEST}; {MOST_NESTED}",
    "operands of a chain": f"| {LONGEST_CHAIN} |",
    "parts of an expression": f"{MOST_NODES:,} parts",
    "values of an ordered enum": f"| {MOST_ORDERED} |",
    "ranges of networks": f"| {MOST_RANGES:,} |",
    "roles": f"{MOST_STEPS:,}; {MOST_PAIRS:,}",
    "conditions of a call": f"| {MOST_ATOMS} |",
    "a token, members of a set": f"{LONGEST_TOKEN // 1024} KiB; {MAX_SET:,}",
    "a request": f"{MAX_PATH:,} characters; {MAX_SEGMENTS}; {MAX_PARAMETERS}",
    "a header, an identity, a host": f"{LONGEST_VALUE:,}; {LONGEST_IDENTITY:,}; {LONGEST_NAME}",
    "a bundle": f"{MOST_FILES:,} files, {MOST_BUNDLE_BYTES >> 20} MiB",
    "diagnostics": f"| {MOST_SHOWN} |",
    "the wait for a signal": f"{LONGEST_WAIT_MS // 1000} second",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_the_limits_of_the_language_reference_are_those_of_the_code(limit: str) -> None:
    assert LIMITS[limit]
    assert LIMITS[limit] in _section("Limits")


def test_the_envoy_snippet_is_valid_for_the_real_envoy(tmp_path: Path) -> None:
    (snippet,) = [block for block in blocks(README) if block.note == "envoy"]
    parts = yaml.safe_load(snippet.text)
    manager = {
        "@type": f"type.googleapis.com/{HTTP_MANAGER}",
        "stat_prefix": "edge",
        "route_config": {"virtual_hosts": parts["virtual_hosts"]},
        "http_filters": parts["http_filters"],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    listener = {
        "address": address,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters: list[dict[str, object]] = [
        {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": []}}
        for name in ("pdp", "upstream")
    ]
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}))
    done = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def _verbs(group: click.Command, above: str) -> Iterator[str]:
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            assert command is not None
            yield from _verbs(command, f"{above} {name}")
    else:
        yield above


VERBS = sorted(_verbs(cli, "pdp"))


def test_there_are_no_more_commands_than_a_person_can_hold() -> None:
    assert len(VERBS) <= 32


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_is_in_the_readme_and_helps(verb: str) -> None:
    text = README.read_text()
    assert verb in text
    done = subprocess.run(
        [sys.executable, "-m", *verb.split(), "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "Usage: " + verb in done.stdout
    for option in re.findall(rf"{verb}[^`\n|]* (--[a-z-]+)", text):
        if verb in {"pdp decide", "pdp audit show", "pdp audit verify"}:
            assert option in done.stdout, f"{verb} has no {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_test_that_a_promise_names_exists() -> None:
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_language_reference_has_a_row_for_every_diagnostic_and_no_other() -> None:
    codes: set[str] = set()
    for path in [*(ROOT / "policy_lang").rglob("*.py"), *(ROOT / "pdp").rglob("*.py")]:
        codes |= set(re.findall(r'"([EW]\d{3})"', path.read_text()))
    rows = re.findall(r"^\| ([EW]\d{3}) \| [^|]+ \| [^|]+ \|$", LANGUAGE.read_text(), re.MULTILINE)
    assert len(codes) > 100
    assert rows == sorted(codes)


REASON = re.compile(rf'"((?:{"|".join(DECIDERS)}|host|header|address|request|mint)\.[a-z_]+)"')


def test_every_reason_and_error_code_is_documented() -> None:
    text = (ROOT / "docs" / "codes.md").read_text()
    said: set[str] = set()
    for path in [*(ROOT / "pdp").rglob("*.py"), *(ROOT / "policy_lang").rglob("*.py")]:
        source = path.read_text()
        said |= set(re.findall(r'"([ACDINPS]\d{3})"', source)) | set(REASON.findall(source))
    said -= {"audit.reidentify"}  # the kind of a record
    assert sorted(word for word in said if not word.endswith("_") and f"`{word}`" not in text) == []


KEY_REASON = re.compile(r'"((?:fetch|discovery|set|key|stored|source)\.[a-z_]+)"')


def test_every_word_on_the_keys_of_an_issuer_is_documented_and_no_other() -> None:
    said = {word for path in (ROOT / "pdp" / "identity").glob("*.py") for word in KEY_REASON.findall(path.read_text())}
    text = (ROOT / "docs" / "codes.md").read_text()
    section = text.split("\n## The keys of an issuer\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    rows = [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]
    assert len(said) > 30
    assert sorted(rows) == sorted(said)


def _anchors(document: Path) -> set[str]:
    """What a link may name in a document: its headings, as they are made into names."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_one(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
        assert anchor in _anchors(document.parent / target if target else document), f"{target}#{anchor}"
