"""A policy compiled in this process: for the command line, which has nothing to stall."""

from __future__ import annotations

from pdp.errors import PolicyError
from pdp.runtime.acceptance import UNCONDITIONAL, Conditions
from pdp.runtime.bundle import Bundle
from pdp.runtime.engine import Engine, load_engine
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render


def engine_of(bundle: Bundle, conditions: Conditions = UNCONDITIONAL, *, planned: bool = False) -> Engine:
    """The engine of a bundle. Errors: PolicyError P120 with the diagnostics, and those of `load_engine`."""
    try:
        program = compile_policy(bundle.files, bundle.settings).program
    except CompileError as error:
        rendered = render(error.diagnostics, sources_of(bundle.files))
        raise PolicyError("P120", f"the policy does not compile:\n{rendered}") from error
    return load_engine(bundle, program, conditions, planned=planned)
