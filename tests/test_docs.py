"""The documents tell the truth: README blocks run, `--help` fits the README, generated documents are current."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from pdp.cli import cli
from pdp.demo.envoy import HTTP_MANAGER
from tests.support.envoy import envoy_binary
from tests.support.process import ROOT
from tests.support.readme import blocks, replay_document

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


def test_the_language_reference_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    assert replay_document(LANGUAGE, tmp_path, environment, skip=frozenset()) > 0


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
    clusters = [
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


def test_every_diagnostic_has_its_row_in_the_language_reference() -> None:
    codes = set()
    for path in (ROOT / "policy_lang").rglob("*.py"):
        codes |= set(re.findall(r'^\s+code[^=\n]*= "([EW]\d{3})"', path.read_text(), re.MULTILINE))
    assert len(codes) > 40
    text = LANGUAGE.read_text()
    assert sorted(code for code in codes if f"| {code} |" not in text) == []


DECIDERS = "token|path|host|header|address|request|route|schema|audience|scope|default|internal|deadline|audit"
REASON = re.compile(rf'"((?:{DECIDERS})\.[a-z_]+)"')


def test_every_reason_and_error_code_is_documented() -> None:
    text = (ROOT / "docs" / "codes.md").read_text()
    said: set[str] = set()
    for path in [*(ROOT / "pdp").rglob("*.py"), *(ROOT / "policy_lang").rglob("*.py")]:
        source = path.read_text()
        said |= set(re.findall(r'"([ACDNPS]\d{3})"', source)) | set(REASON.findall(source))
    said -= {"audit.reidentify"}  # the kind of a record
    assert sorted(word for word in said if not word.endswith("_") and f"`{word}`" not in text) == []
