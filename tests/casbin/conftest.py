"""What the tests of `pdp casbin` share: `pdp` in this process, and a model with its policy in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Done, Pdp, run_pdp

MODEL = """\
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act
"""

POLICY = """\
p, reader, /wiki/*, GET, allow
p, editor, /wiki/*, PUT, allow
p, intern, /wiki/secret/:page, GET, deny
g, alice, editor
g, alice, reader
g, bob, reader
g, bob, intern
"""


@pytest.fixture
def pdp(capfd: pytest.CaptureFixture[str]) -> Pdp:
    """`pdp` in this process."""

    def run(*arguments: str | Path) -> Done:
        return run_pdp(capfd, *arguments)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `model.conf` and `policy.csv`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.conf").write_text(MODEL)
    (tmp_path / "policy.csv").write_text(POLICY)
    return tmp_path
