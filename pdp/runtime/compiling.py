"""Compiling beside the running service: a child process takes a bundle and hands back serialised IR.

A child (`pdp.runtime.compiler`) that crashes, says nothing or takes too long is a refusal like any other: what was in
force stays. Nothing of the parser is loaded into the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time

from pdp.errors import PolicyError
from pdp.runtime.acceptance import UNCONDITIONAL, Conditions
from pdp.runtime.bundle import Bundle, pack
from pdp.runtime.engine import Engine
from pdp.runtime.loading import load_beside

COMPILE_TIMEOUT_S = 120.0
"""A policy at the size limits compiles in a fraction of this; beyond it something is wrong with it."""


async def compile_beside(
    bundle: Bundle, conditions: Conditions = UNCONDITIONAL, timeout_s: float = COMPILE_TIMEOUT_S
) -> tuple[Engine, str]:
    """The engine of a bundle, compiled in a child process, and the rendered warnings ("" without any).

    Errors: PolicyError P120 with the diagnostics of a policy that does not compile, P121 when the child failed or took
    longer than `timeout_s`, E411 and P110 to P113 as the engine says.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing is imported from the folder that the service was started in
        "-m",
        "pdp.runtime.compiler",
        bundle.digest,
        str(time.time_ns() // 1_000_000),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        packed = await asyncio.to_thread(pack, bundle)
        out, err = await asyncio.wait_for(child.communicate(packed), timeout_s)
    except TimeoutError as error:
        raise PolicyError("P121", f"the policy took more than {timeout_s:.0f} s to compile") from error
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    head, _, compiled = out.partition(b"\n")
    try:
        answer = json.loads(head)
        problems, warnings = answer.get("problems"), answer.get("warnings", "")
    except (ValueError, AttributeError) as error:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no word from it"]
        raise PolicyError("P121", f"the compiler ended with {child.returncode}: {last[0]}") from error
    if problems is not None:
        raise PolicyError("P120", f"the policy does not compile:\n{problems}")
    return await load_beside(bundle, compiled, conditions), str(warnings)
