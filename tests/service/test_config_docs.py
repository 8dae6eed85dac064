"""`docs/configuration.md` is what the code says, and the file it shows is one that works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pdp.config import Config, parse_config
from pdp.config_tables import ARRAYS, TABLES
from pdp.toml_keys import keys_of
from tools.config_docs import TARGET, render

ROOT = Path(__file__).resolve().parents[2]


def test_the_document_is_current() -> None:
    assert TARGET == ROOT / "docs" / "configuration.md"
    assert TARGET.read_text() == render(), "run make docs"


def test_every_key_has_its_row() -> None:
    lines = render().splitlines()
    for section in (Config, *TABLES.values(), *ARRAYS.values()):
        for declared in keys_of(section):
            (row,) = {
                line for line in lines if line.startswith(f"| `{declared.name}` |") and declared.key.meaning in line
            }
            assert row.count("|") == 6


def test_the_example_is_a_configuration() -> None:
    example = render().split("```toml\n")[1].split("```")[0]
    config = parse_config(example, Path("/etc/pdp"))
    assert config.gateways[0].services == ("orders", "payments")
    assert config.issuers[0].max_lifetime_s == 3600
    assert config.challenges


def test_check_tells_a_stale_document_from_a_current_one(tmp_path: Path) -> None:
    """The tool finds its target beside itself: a copy of it has a document of its own."""
    (tmp_path / "tools").mkdir()
    tool = tmp_path / "tools" / "config_docs.py"
    tool.write_text((ROOT / "tools" / "config_docs.py").read_text())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, str(tool), *arguments], capture_output=True, text=True, env=environment, check=False
        )
        return done.returncode, done.stderr

    code, said = run("--check")
    assert code == 1
    assert "is not current: run make docs" in said
    assert run() == (0, "")
    assert run("--check") == (0, "")
    (tmp_path / "docs" / "configuration.md").write_text("old")
    assert run("--check")[0] == 1
    assert run("--nonsense")[0] == 2
