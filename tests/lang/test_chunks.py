"""Runs `tests/golden/check/*.chunks`: sources with the diagnostics they deserve written on their lines.

Format: sources separated by a line `---`; `### "regexp"` on a line, several times if need be, asks for one diagnostic
each that starts on that line and whose "CODE: message" the expression matches. Each must come, and nothing else may.
What is named here goes to the parser alone; the others go through the whole compiler, warnings included.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError, Diagnostic
from policy_lang.source import Source
from policy_lang.syntax.parser import parse

FOLDER = Path(__file__).parents[1] / "golden" / "check"
OF_THE_PARSER = ("syntax.chunks", "slips.chunks")
EXPECTED = re.compile(r'### "((?:[^"\\]|\\.)*)"')


def chunks() -> list[Any]:
    """Every source as a parameter named by its file and line."""
    found = []
    for file in sorted(FOLDER.glob("*.chunks")):
        line = 1
        for text in re.split(r"(?m)^---\n", file.read_text("utf-8")):
            found.append(pytest.param(file.name, text, id=f"{file.name}:{line}"))
            line += text.count("\n") + 1
    return found


def diagnostics_of(file: str, text: str) -> tuple[Diagnostic, ...]:
    if file in OF_THE_PARSER:
        return parse("chunk.pol", text.encode()).diagnostics
    try:
        return tuple(compile_policy({"chunk.pol": text.encode()}).warnings)
    except CompileError as refused:
        return refused.diagnostics


@pytest.mark.parametrize(("file", "text"), chunks())
def test_reports_exactly_what_the_lines_say(file: str, text: str) -> None:
    source = Source("chunk.pol", text)
    reported = [(source.position(d.span.start).line, f"{d.code}: {d.message}") for d in diagnostics_of(file, text)]
    missing = []
    for number, line in enumerate(text.split("\n"), start=1):
        for pattern in EXPECTED.findall(line):
            met = next((r for r in reported if r[0] == number and re.search(pattern, r[1])), None)
            if met is None:
                missing.append((number, pattern))
            else:
                reported.remove(met)
    assert (missing, reported) == ([], [])


def test_the_folder_holds_sources() -> None:
    assert len(chunks()) > 20
