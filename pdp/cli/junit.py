"""Test results as JUnit XML, for whoever collects the results of a build.

Results go in, the bytes of a document come out: one `testsuite` a test block, one `testcase` a call with its file and
line, a `failure` with what was expected, what came and why; of a policy without results, one `error` that says why; in
several environments, the suites of each. The format has no schema of record; this is the part of it that readers agree
on. No times are given, so that the same results are the same bytes.

SECURITY: titles and values are text of a policy. What XML 1.0 cannot hold (controls, surrogates, U+FFFE, U+FFFF) is
left out; the rest is escaped by the library.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from itertools import groupby

from msgspec import Struct

from policy_lang.trials.runner import TestResult

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Ran(Struct, frozen=True):
    """The results in one environment (None: without one); `why` explains a case that failed."""

    environment: str | None
    results: Sequence[TestResult]
    why: Callable[[TestResult], str]


class Broken(Struct, frozen=True):
    """A policy that came to no results: its name, what kept it from them in a few words, and in full."""

    name: str
    message: str
    why: str


def junit_xml(runs: Sequence[Ran | Broken]) -> bytes:
    """The document of these runs, in their order."""
    results = [result for run in runs if isinstance(run, Ran) for result in run.results]
    broken = sum(isinstance(run, Broken) for run in runs)
    failed = sum(not result.passed for result in results)
    root = ET.Element(
        "testsuites", name="pdp test", tests=str(len(results) + broken), failures=str(failed), errors=str(broken)
    )
    for run in runs:
        if isinstance(run, Broken):
            _broken(root, run)
            continue
        for (_, title), block in groupby(run.results, key=lambda result: (result.case.place.file, result.case.title)):
            _suite(
                root, title if run.environment is None else f"{title} (settings {run.environment})", list(block), run
            )
    return _document(root)


def _broken(root: ET.Element, run: Broken) -> None:
    """One case, which stands for the policy and has an error."""
    name = _clean(run.name)
    suite = ET.SubElement(root, "testsuite", name=name, tests="1", failures="0", errors="1", skipped="0")
    case = ET.SubElement(suite, "testcase", name="policy", classname=name)
    ET.SubElement(case, "error", type="policy", message=_clean(run.message)).text = _clean(run.why)


def _document(root: ET.Element) -> bytes:
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(root: ET.Element, title: str, block: Sequence[TestResult], run: Ran) -> None:
    failed = sum(not result.passed for result in block)
    file = block[0].case.place.file
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_clean(title),
        file=_clean(file),
        tests=str(len(block)),
        failures=str(failed),
        errors="0",
        skipped="0",
    )
    for result in block:
        place = result.case.place
        case = ET.SubElement(
            suite,
            "testcase",
            name=_clean(f"{place.line}: {result.case.text}"),
            classname=_clean(f"{file}.{title}"),
            file=_clean(file),
            line=str(place.line),
        )
        if not result.passed:
            message = _clean(f"expected {result.expected}, got {result.got}")
            failure = ET.SubElement(case, "failure", type="mismatch", message=message)
            failure.text = _clean(run.why(result))


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)
