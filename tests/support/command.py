"""`pdp` in this process: the words of a command line go in; what it wrote and its exit code come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from pdp.cli import main


class Done(Struct, frozen=True):
    """How a command ended: its exit code and what it wrote to its two outputs."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Pdp = Callable[..., Done]


def run_pdp(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> Done:
    """`pdp ARGUMENTS`, which must end by an exit and not by a traceback; what was captured before is dropped."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return Done(int(end.value.code or 0), out, err)
