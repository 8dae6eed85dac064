"""Hostile request targets against two policies: none that some back end reads as protected is allowed, clean ones are.

The targets and what back ends make of them: tests/support/corpus. The same through a real Envoy: tests/e2e.
"""

from __future__ import annotations

from collections import Counter

import pytest

from pdp.runtime.bundle import read_folder
from pdp.runtime.compiled import engine_of
from policy_lang.request import PathRefusal, canonical_path
from policy_lang.verdict import Caller, HttpCall, Question
from tests.support.corpus.readings import reaches
from tests.support.corpus.targets import PROTECTED, clean_targets, hostile_targets
from tests.support.process import ROOT

ENGINE = engine_of(read_folder(ROOT / "tests" / "golden" / "hostile"))
CLAIMS = {"iss": "https://id.example", "sub": "u1", "aud": "site"}


def reason(service: str, target: bytes) -> str:
    """Why a target is refused to a user, "" where it is allowed."""
    path = canonical_path(target.decode("utf-8", "surrogateescape"))
    if isinstance(path, PathRefusal):
        return path.reason
    call = HttpCall("GET", path, f"{service}.example")
    verdict = ENGINE.decide(Question(service, call, Caller("user", CLAIMS), 0, {}))
    return "" if verdict.outcome == "allow" else verdict.reason


@pytest.mark.parametrize("service", ["wide", "narrow"])
def test_no_target_that_some_back_end_reads_as_protected_is_allowed(service: str) -> None:
    seen = Counter[str]()
    for target in hostile_targets(1, 3_000):
        read = reaches(target, "/admin")
        why = reason(service, target)
        assert why or not read, target
        seen["reaching" if read else "not reaching"] += 1
        seen[why] += 1
    assert seen["reaching"] > 1_500
    assert len(seen) > 15  # refused for many reasons, not for one that hides the others


@pytest.mark.parametrize("path", PROTECTED)
def test_the_corpus_is_about_what_it_says(path: str) -> None:
    assert reaches(path.encode(), "/admin")
    assert reason("wide", path.encode()) == "rule"
    assert not reason("wide", b"/public/a")
    assert not reason("narrow", b"/public/a")


def test_clean_targets_are_not_refused() -> None:
    refused = [target for target in clean_targets(1, 10_000) if reason("wide", target)]
    assert len(refused) <= 10, refused[:10]
