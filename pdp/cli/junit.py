"""Test results as JUnit XML, for whoever collects the results of a build.

Results go in, the bytes of a document come out: one `testsuite` a test block, one `testcase` a call with its file and
line, a `failure` with what was expected, what came and why. The format has no schema of record; this is the part of it
that readers agree on. No times are given, so that the same results are the same bytes.

SECURITY: titles and values are text of a policy. What XML 1.0 cannot hold (controls, surrogates, U+FFFE, U+FFFF) is
left out; the rest is escaped by the library.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from itertools import groupby

from policy_lang.trials.runner import TestResult

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Sequence[TestResult], why: Callable[[TestResult], str]) -> bytes:
    """The document. `why` explains a case that failed."""
    failed = sum(not result.passed for result in results)
    root = ET.Element("testsuites", name="pdp test", tests=str(len(results)), failures=str(failed), errors="0")
    for (file, title), block in groupby(results, key=lambda result: (result.case.place.file, result.case.title)):
        _suite(root, file, title, list(block), why)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(
    root: ET.Element, file: str, title: str, block: Sequence[TestResult], why: Callable[[TestResult], str]
) -> None:
    failed = sum(not result.passed for result in block)
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
            failure.text = _clean(why(result))


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)
