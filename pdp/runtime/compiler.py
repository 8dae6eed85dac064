"""The child that compiles: `python -m pdp.runtime.compiler DIGEST DAY_MS`.

It reads the archive of a bundle on standard input and writes on standard output one line of JSON, `{"warnings": "…"}`,
and behind it the serialised IR as it is; or the line `{"problems": "…"}` with the rendered diagnostics. What it may
take of the machine is bounded. Its parent is `pdp.runtime.compiling`, which decides calls at the same time: IR within
JSON would have to be read there twice.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from pdp.runtime.bundle import unpack
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render
from policy_lang.ir import codec as ir_codec

MOST_CPU_S = 120
MOST_MEMORY_BYTES = 4 * 1024**3


def main() -> int:
    """The child; its limits hold also should its parent be gone."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
    bundle = unpack(sys.stdin.buffer.read(), sys.argv[1])
    try:
        compiled = compile_policy(bundle.files, bundle.settings, int(sys.argv[2]))
    except CompileError as error:
        problems = render(error.diagnostics, sources_of(bundle.files))
        sys.stdout.buffer.write(json.dumps({"problems": problems}).encode() + b"\n")
        return 0
    head = {"warnings": render(compiled.warnings, compiled.sources)}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    sys.stdout.buffer.write(ir_codec.dump(compiled.program))
    return 0


if __name__ == "__main__":
    # A child of uvloop has what its parent may pass on to others: a listening socket, a supervisor's channel.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.exit(main())
