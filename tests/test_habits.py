"""The habits that tools hold: lint, layout and strict types, over the whole repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TOOLS = {
    "no mistake that ruff knows": ("ruff", "check", "--no-cache", "."),
    "one layout": ("ruff", "format", "--check", "--no-cache", "."),
    "strict types in what we ship": ("mypy",),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", TOOLS.values(), ids=TOOLS.keys())
def test_holds(command: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
