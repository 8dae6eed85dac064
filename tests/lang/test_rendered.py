"""Runs `tests/golden/rendered/CODE.txt`: the whole text that a person gets for every diagnostic there is.

Format: cases, each opened by `==== TITLE`. Sections follow, each opened by `---- KEYWORD VALUE`: `file NAME`, whose
content stands below it; `settings NAME`; `today DATE`; `written RULE DATE`; `gateway NAME`; `coverage`, for what
`pdp test --coverage` prints; and last `says`, what is rendered. What could not be read or kept in such a file is
written in guillemets: `«U+202E»` a character, `«byte FF»` a byte, `«TEXT x N»` the text N times, with each `#` in it
the number of the time, from 0.
`--update-golden` rewrites what the cases say.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from pdp.cli.results import coverage_lines
from policy_lang import mistakes
from policy_lang.capabilities import KNOWN, check_gateway
from policy_lang.compile import Compiled, compile_policy, sources_of
from policy_lang.diagnostics import CompileError, Diagnostic, ordered, render
from policy_lang.meaning.facts import FOLDER, FactsError, load_facts
from policy_lang.mistakes.deployment import FactsMisfit
from policy_lang.source import Span
from policy_lang.trials.coverage import Coverage
from policy_lang.trials.runner import run_tests

GOLDEN = Path(__file__).parents[1] / "golden" / "rendered"
OF_COVERAGE = "W813"
OF_CASBIN = "policy_lang.mistakes.casbin_"
SAYS = "---- says\n"
_WRITTEN = re.compile(r"«(?:U\+(?P<point>[0-9A-F]+)|byte (?P<byte>[89A-F][0-9A-F])|(?P<text>[^»]*) x (?P<times>\d+))»")


class Case(Struct, frozen=True):
    """One case: `asked` is its text up to what it says."""

    asked: str
    said: str

    @property
    def title(self) -> str:
        return self.asked.partition("\n")[0]

    def sections(self) -> Iterator[tuple[str, str]]:
        """The line that opens each section, and what stands below it."""
        for section in re.split(r"(?m)^---- ", self.asked)[1:]:
            opening, _, body = section.partition("\n")
            yield opening, body

    def options(self, keyword: str) -> list[str]:
        """The values of the sections with a keyword."""
        opened = (opening.partition(" ") for opening, _ in self.sections())
        return [value for word, _, value in opened if word == keyword]

    def files(self) -> dict[str, bytes]:
        return {
            opening.removeprefix("file "): _WRITTEN.sub(_meant, body).encode("utf-8", "surrogateescape")
            for opening, body in self.sections()
            if opening.startswith("file ")
        }


def _meant(found: re.Match[str]) -> str:
    if found["point"]:
        return chr(int(found["point"], 16))
    if found["byte"]:
        return bytes.fromhex(found["byte"]).decode("ascii", "surrogateescape")
    return "".join(found["text"].replace("#", str(number)) for number in range(int(found["times"])))


def cases_of(text: str) -> list[Case]:
    """The cases of one file."""
    cases = []
    for written in re.split(r"(?m)^==== ", text)[1:]:
        asked, _, said = written.partition(SAYS)
        cases.append(Case(asked, said.strip("\n")))
    return cases


def written_back(case: Case, said: str) -> str:
    return f"==== {case.asked}{SAYS}{said}\n"


def day_ms(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * 1000


# ---------------------------------------------------------------- what is said


def compiled_of(case: Case) -> Compiled:
    settings = next(iter(case.options("settings")), None)
    today = [day_ms(date) for date in case.options("today")]
    written = dict(value.split() for value in case.options("written"))
    ages = {rule: day_ms(date) for rule, date in written.items()}
    return compile_policy(case.files(), settings, today[0] if today else None, ages)


@cache
def found_in(case: Case) -> tuple[Diagnostic, ...]:
    """All that `pdp check` reports."""
    try:
        compiled = compiled_of(case)
    except CompileError as refused:
        return refused.diagnostics
    found = [*compiled.warnings, *misfits(compiled, case.files())]
    for name in case.options("gateway"):
        found += check_gateway(compiled.program, KNOWN[name], compiled.sources)
    return ordered(found)


def misfits(compiled: Compiled, files: Mapping[str, bytes]) -> list[Diagnostic]:
    """What is wrong with facts, where there are any."""
    names = [name for name in files if name.startswith(FOLDER)]
    try:
        if names:
            load_facts(compiled.program, files)
    except FactsError as error:
        return [FactsMisfit(span=Span(names[0], 0, 0), problem=problem) for problem in error.problems]
    return []


@cache
def said_of(case: Case) -> str:
    """What a person reads."""
    if "coverage" in [opening for opening, _ in case.sections()]:
        compiled = compiled_of(case)
        return coverage_lines(
            Coverage.of(compiled.program, run_tests(compiled.program, compiled.tests), compiled.written)
        )
    return render(found_in(case), sources_of(case.files()))


# ---------------------------------------------------------------- the catalogue


@cache
def catalogue() -> frozenset[type[Diagnostic]]:
    """Every diagnostic that the product has a class for; those of Casbin models are held by tests/casbin/golden."""
    for module in pkgutil.iter_modules(mistakes.__path__, "policy_lang.mistakes."):
        importlib.import_module(module.name)
    found: set[type[Diagnostic]] = set()
    todo = [Diagnostic]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        ours = kind.__module__.startswith(("policy_lang.", "pdp."))
        if ours and hasattr(kind, "code") and not kind.__module__.startswith(OF_CASBIN):
            found.add(kind)
    return frozenset(found)


def named(kinds: set[type[Diagnostic]] | frozenset[type[Diagnostic]]) -> set[str]:
    return {f"{kind.code} {kind.__module__}.{kind.__qualname__}" for kind in kinds}


CODES = sorted({kind.code for kind in catalogue()} | {OF_COVERAGE})


@pytest.mark.parametrize("code", CODES)
def test_the_whole_text_of_every_code(code: str, *, update_golden: bool) -> None:
    file = GOLDEN / f"{code}.txt"
    text = file.read_text("utf-8") if file.exists() else ""
    cases = cases_of(text)
    assert cases, f"{file.name} holds no case"
    said = "\n".join(written_back(case, said_of(case)) for case in cases)
    if update_golden:
        file.write_text(said, "utf-8")
    else:
        assert text == said
    without = [case.title for case in cases if f"[{code}]: " not in said_of(case)]
    assert without == [], f"these cases of {file.name} never say {code}"


def test_every_class_of_the_catalogue_is_reached() -> None:
    reached = {
        type(diagnostic)
        for file in GOLDEN.glob("*.txt")
        for case in cases_of(file.read_text("utf-8"))
        if file.stem != OF_COVERAGE
        for diagnostic in found_in(case)
    }
    assert named(catalogue()) - named(reached) == set()


def test_every_file_is_of_a_code() -> None:
    assert sorted(file.name for file in GOLDEN.iterdir()) == [f"{code}.txt" for code in CODES]


def test_titles_are_told_apart() -> None:
    for file in GOLDEN.glob("*.txt"):
        titles = [case.title for case in cases_of(file.read_text("utf-8"))]
        assert len(set(titles)) == len(titles), file.name


def test_what_guillemets_mean() -> None:
    case = Case("t\n---- file a\n«U+202E»«byte FF»«(# x 3»\n", "")
    assert case.files() == {"a": "\u202e".encode() + b"\xff(0(1(2\n"}
