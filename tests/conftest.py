"""What the tests of every folder share: `--update-golden` rewrites the golden files, by a person and never in CI."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite", settings.default, max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")
"""Laws that do not say how often they are tried: more of them is what nightly runs are for. How long a law takes says
how busy the machine is, and is no reason to fail."""

LONGEST = (
    "test_habits.py",
    "test_setup_env.py",
    "test_role_laws.py",
    "test_differential.py",
    "test_log_faults.py",
    "test_archive.py",
    "test_reference_laws.py",
    "test_receipt.py",
    "test_language_laws.py",
    "test_start.py",
    "test_attacks.py",
    "test_plan_laws.py",
    "test_hostile_envoy.py",
    "test_random_edits.py",
    "test_demo.py",
    "test_writer_kills.py",
    "test_kill.py",
    "test_log_cuts.py",
)
"""By name; those of mypy, real installs, processes and disks, and of ten seconds and more."""


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for servers, and not for a core."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files; review them as a diff")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, whatever order is drawn: one that comes last keeps a single core busy."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay until the end: what looks for garbage need not walk through them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture
def update_golden(pytestconfig: pytest.Config) -> bool:
    asked = bool(pytestconfig.getoption("--update-golden"))
    if asked and os.environ.get("CI"):
        pytest.fail("--update-golden is refused in CI")
    return asked
