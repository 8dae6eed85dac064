"""How a process that answers is run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

POLICIES = "import os; print(os.sched_getscheduler(0))"


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no such policy")
def test_a_process_and_what_it_starts_do_not_interrupt_their_own_threads() -> None:
    """Its later threads and its children have the policy too."""
    told = _told(
        "import os, subprocess, sys, threading; from pdp.process import in_turn; in_turn(); found = [];"
        "thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0))); thread.start();"
        f"thread.join(); print(*found); subprocess.run([sys.executable, '-c', {POLICIES!r}], check=True)"
    )
    assert told == [str(os.SCHED_BATCH)] * 2


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system has no such policy")
def test_a_policy_that_was_chosen_stays() -> None:
    told = _told(
        "import os; from pdp.process import in_turn; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0));"
        "in_turn(); print(os.sched_getscheduler(0))"
    )
    assert told == [str(os.SCHED_IDLE)]


@pytest.mark.parametrize("call", ["sched_getscheduler", "sched_setscheduler"])
def test_a_host_that_forbids_it_is_no_error(call: str) -> None:
    told = _told(
        "import os; from pdp.process import in_turn\n"
        "def forbidden(*_): raise PermissionError\n"
        f"os.{call} = forbidden; in_turn(); print('on')"
    )
    assert told == ["on"]


def _told(program: str) -> list[str]:
    made = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    return made.stdout.split()
