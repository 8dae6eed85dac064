"""A policy compiled in this process: for the command line, which has nothing to stall."""

from __future__ import annotations

from pdp.errors import PolicyError
from pdp.runtime.bundle import Bundle
from pdp.runtime.engine import Engine, load_engine
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render


def engine_of(bundle: Bundle) -> Engine:
    """The engine of a bundle. Errors: PolicyError P120 with the diagnostics, and those of `load_engine`."""
    try:
        return load_engine(bundle, compile_policy(bundle.files).program)
    except CompileError as error:
        rendered = render(error.diagnostics, sources_of(bundle.files))
        raise PolicyError("P120", f"the policy does not compile:\n{rendered}") from error
