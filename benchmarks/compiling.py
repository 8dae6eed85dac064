"""How long a large policy takes from source to decisions: `python -m benchmarks.compiling [RULES]`.

Each arrangement in a process of its own, so that the memory is its own: source text of RULES rules (10,000 without an
argument) spread over a tenth as many endpoints, or all on one endpoint told apart by tenant. Printed: seconds to
compile, to load the serialised program, to build its plans, and the most memory that compiling held (resident set).
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Mapping, Sequence
from time import perf_counter

from policy_lang.compile import compile_policy
from policy_lang.ir import codec as ir_codec
from policy_lang.plan.plans import Plans

RULES = 10_000

HEAD = """language 1
module bench

token user {
  issuer "https://id.example"
  claim sub: string
  claim tenant: string
  claim groups: set of string
  claim accounts: set of string
}

roles for user from token.groups {
  role reader
  role editor includes reader
}
"""


MODULE = """language 1
module bench.m{number}
import bench (user, reader, editor{more})

"""
A_FILE = 2_000
"""Rules in one file: a file may hold 1 MiB."""


def spread(rules: int) -> Mapping[str, str]:
    """Ten rules for each endpoint, in services of a hundred endpoints, a file for each service."""
    files = {"bench.pol": HEAD}
    for first in range(0, rules // 10, 100):
        endpoints = range(first, min(first + 100, rules // 10))
        parts = [MODULE.format(number=first, more="")]
        parts.append(f'service s{first} {{\n  audience "s{first}"\n  host "s{first}.example"\n')
        parts += [f"  endpoint e{number} GET /accounts/{{account}}/r{number}\n" for number in endpoints]
        parts.append("}\n")
        parts += [
            f"allow r{endpoint}_{number}\n  for role {('reader', 'editor')[number % 2]}\n  on s{first}.e{endpoint}\n"
            f'  when path.account in token.accounts and token.tenant == "t{number}"\n'
            f'  because "Tenant {number} reads its accounts"\n'
            for endpoint in endpoints
            for number in range(10)
        ]
        files[f"m{first}.pol"] = "".join(parts)
    return files


def one(rules: int) -> Mapping[str, str]:
    """Every rule on one endpoint."""
    firsts = range(0, rules, A_FILE)
    modules = ", ".join(f"bench.m{first}" for first in firsts)
    inside = f'audience "s"\n  host "s.example"\n  grants by {modules}\n  endpoint e GET /a/{{account}}'
    files = {"bench.pol": f"{HEAD}service s {{\n  {inside}\n}}\n"}
    for first in firsts:
        parts = [MODULE.format(number=first, more=", s")]
        parts += [
            f'allow r{number}\n  for role reader\n  on s.e\n  when token.tenant == "t{number}"\n'
            f'  when path.account in token.accounts\n  because "Tenant {number} reads its accounts"\n'
            for number in range(first, min(first + A_FILE, rules))
        ]
        files[f"m{first}.pol"] = "".join(parts)
    return files


ARRANGEMENTS = {"spread": spread, "one endpoint": one}


def measure(name: str, rules: int) -> None:
    """One line of the table."""
    files = {name: text.encode() for name, text in ARRANGEMENTS[name](rules).items()}
    size = sum(map(len, files.values()))
    begin = perf_counter()
    compiled = compile_policy(files)
    compiled_at = perf_counter()
    data = ir_codec.dump(compiled.program)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    dumped_at = perf_counter()
    program = ir_codec.load(data)
    loaded_at = perf_counter()
    Plans.of(program)
    columns = (compiled_at - begin, loaded_at - dumped_at, perf_counter() - loaded_at)
    seconds = "".join(f"{each:>10.2f}" for each in columns)
    print(f"{name:13}{rules:>8}{size / 1024:>9.0f}{seconds}{held:>9.0f}{len(data) / 1024:>9.0f}", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Measure each arrangement."""
    rules = int(arguments[0]) if arguments else RULES
    print(f"{'arranged':13}{'rules':>8}{'KiB':>9}{'compile s':>10}{'load s':>10}{'plans s':>10}{'MiB':>9}{'IR KiB':>9}")
    context = multiprocessing.get_context("spawn")
    for name in ARRANGEMENTS:
        process = context.Process(target=measure, args=(name, rules))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main(sys.argv[1:])
