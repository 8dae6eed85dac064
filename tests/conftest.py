"""What the tests of every folder share: `--update-golden` rewrites the golden files, by a person and never in CI."""

from __future__ import annotations

import gc
import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files; review them as a diff")


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: what looks for garbage need not walk through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def update_golden(pytestconfig: pytest.Config) -> bool:
    asked = bool(pytestconfig.getoption("--update-golden"))
    if asked and os.environ.get("CI"):
        pytest.fail("--update-golden is refused in CI")
    return asked
