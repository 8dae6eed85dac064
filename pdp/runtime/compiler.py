"""Compiling beside the running service: a child process takes a bundle and hands back serialised IR.

`python -m pdp.runtime.compiler` reads the archive of a bundle on standard input and writes one JSON object on standard
output: `{"ir": "…", "warnings": "…"}`, or `{"problems": "…"}` with the rendered diagnostics. A child that crashes, says
nothing or takes too long is a refusal like any other: what was in force stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys

from pdp.errors import PolicyError
from pdp.runtime.bundle import Bundle, pack, unpack
from pdp.runtime.engine import Engine, load_compiled
from policy_lang import ir_codec
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render

COMPILE_TIMEOUT_S = 120.0
"""A policy at the size limits compiles in a fraction of this; beyond it something is wrong with it."""

MOST_MEMORY_BYTES = 4 * 1024**3


async def compile_beside(bundle: Bundle, timeout_s: float = COMPILE_TIMEOUT_S) -> tuple[Engine, str]:
    """The engine of a bundle, compiled in a child process, and the rendered warnings ("" without any).

    Errors: PolicyError P120 with the diagnostics of a policy that does not compile, P121 when the child failed or took
    longer than `timeout_s`, P110 to P112 as the engine says.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing is imported from the folder that the service was started in
        "-m",
        "pdp.runtime.compiler",
        bundle.digest,
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
    try:
        answer = await asyncio.to_thread(json.loads, out)
        problems, compiled = answer.get("problems"), answer.get("ir")
    except (ValueError, AttributeError) as error:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no word from it"]
        raise PolicyError("P121", f"the compiler ended with {child.returncode}: {last[0]}") from error
    if not isinstance(compiled, str):
        raise PolicyError("P120", f"the policy does not compile:\n{problems}")
    engine = await asyncio.to_thread(load_compiled, bundle, compiled.encode())
    return engine, str(answer.get("warnings", ""))


def main() -> int:
    """The child; what it may take of the machine is bounded, also should its parent be gone."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(COMPILE_TIMEOUT_S), int(COMPILE_TIMEOUT_S)))
    bundle = unpack(sys.stdin.buffer.read(), sys.argv[1])
    try:
        compiled = compile_policy(bundle.files)
    except CompileError as error:
        answer = {"problems": render(error.diagnostics, sources_of(bundle.files))}
    else:
        answer = {
            "ir": ir_codec.dump(compiled.program).decode(),
            "warnings": render(compiled.warnings, compiled.sources),
        }
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
