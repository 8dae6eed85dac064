"""Loading beside the calls: what it comes to, and that nobody who gave up has to wait for it."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping

import pytest

from pdp.errors import PolicyError
from pdp.runtime.acceptance import UNCONDITIONAL
from pdp.runtime.bundle import Bundle, bundle_of, pack
from pdp.runtime.engine import load_engine
from pdp.runtime.loading import load_beside
from policy_lang.compile import compile_policy
from policy_lang.ir import codec as ir_codec
from tests.support.crowded import crowded

FILES = {"m.pol": crowded(3)}
BUNDLE = bundle_of(FILES)


def _loading() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "policy-loading"]


def test_a_compiled_policy_is_loaded_and_the_collector_goes_on() -> None:
    compiled = ir_codec.dump(compile_policy(FILES).program)
    try:
        made = asyncio.run(load_beside(BUNDLE, compiled, UNCONDITIONAL))
        assert made.digest == BUNDLE.digest
        assert gc.get_freeze_count() > 0
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_what_a_policy_was_compiled_to_is_freed_with_it() -> None:
    """By reference counts alone: the collector does not look at what a policy in force holds."""
    engine = load_engine(BUNDLE, compile_policy(FILES).program)
    assert engine.plans is not None
    plans = engine.plans._plans
    tests = [weakref.ref(test) for plan in plans for part in plan.allow.entries for _, test, _ in part]
    assert tests
    gc.disable()
    try:
        del engine, plans
        assert [each() for each in tests] == [None] * len(tests)
    finally:
        gc.enable()


def test_the_compiler_keeps_nothing_open_that_its_parent_might_have_passed_on() -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", "pdp.runtime.compiler", BUNDLE.digest, "0"]
    with os.fdopen(reading, "rb") as end:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(writing,))
        try:
            os.close(writing)
            assert end.read() == b""  # the child still waits for its bundle
            assert child.poll() is None
        finally:
            out, _ = child.communicate(pack(BUNDLE), timeout=60)
    assert out.startswith(b'{"warnings"')


def test_what_is_wrong_with_a_policy_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(PolicyError) as refused:
        asyncio.run(load_beside(BUNDLE, b"{}", UNCONDITIONAL))
    assert refused.value.code == "P112"


class _Held(Mapping[str, bytes]):
    """No files, which whoever lists them waits for until they are `released`."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __getitem__(self, path: str) -> bytes:
        raise KeyError(path)

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[str]:
        assert self.released.wait(60)
        return iter(())


def test_nobody_who_gave_up_waits_for_the_thread_and_it_ends() -> None:
    compiled = ir_codec.dump(compile_policy(FILES).program)
    held = _Held()

    async def give_up() -> None:
        task = asyncio.ensure_future(load_beside(Bundle(held, BUNDLE.digest), compiled, UNCONDITIONAL))
        await asyncio.sleep(0)  # the thread is started
        assert _loading()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    try:
        asyncio.run(give_up())
        threads = _loading()
        assert threads  # amidst a step that is not over
    finally:
        held.released.set()
    for thread in threads:
        assert thread.daemon
        thread.join(30)
    assert _loading() == []
    gc.unfreeze()
