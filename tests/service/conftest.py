"""What the tests of the commands share: `pdp` in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Done, Pdp, run_pdp


@pytest.fixture
def pdp(capfd: pytest.CaptureFixture[str]) -> Pdp:
    """`pdp` in this process."""

    def run(*arguments: str | Path) -> Done:
        return run_pdp(capfd, *arguments)

    return run
