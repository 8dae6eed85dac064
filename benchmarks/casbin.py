"""RBAC with keyMatch2 against pycasbin, in one process, side by side: `python -m benchmarks.casbin [ROWS ...]`.

The model is the usual one, `g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act`. For each number of rows the
same requests go to both: half are hits, each made from a row at random, half misses. Printed: median microseconds of
each, how many times faster, 99 of 100, seconds to compile, and milliseconds to add a row and a link. Every answer of
pycasbin is compared with ours; it is asked as many requests as fit its seconds, ours all of them.
Then the growth of a process that compiles a policy of 100,000 users, 1,000 roles and 10,000 rows, and answers.
"""

from __future__ import annotations

import gc
import multiprocessing
import random
import resource
import sys
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from time import perf_counter, perf_counter_ns

from casbin import Enforcer
from casbin.model import Model
from casbin.persist.adapters import StringAdapter
from msgspec import Struct

from policy_lang.casbin.program import CasbinProgram, compile_casbin

SIZES = (10, 1_000, 10_000, 100_000)
MOST_FOR_PYCASBIN = 10_000
SECONDS_FOR_PYCASBIN = 15.0
REQUESTS = 2_000

MODEL = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && {act}
"""
ACTS = {"==": "r.act == p.act", "regexMatch": "regexMatch(r.act, p.act)"}

Request = tuple[str, str, str]


class Load(Struct, frozen=True):
    """A policy and what is asked of it; the requests are shuffled."""

    policy: str
    requests: tuple[Request, ...]


def load(rows: int, users: int, roles: int, how: str) -> Load:
    """Rows spread over roles, each user with one role, requests for random rows and for none."""
    drawn = random.Random(rows)  # noqa: S311 - no secret is drawn
    acts = acts_of(how)
    asked = ("GET", "POST", "PUT") if how == "==" else ("GET", "HEAD", "PUT")
    held = [(f"role{n % roles}", f"/area{n // roles}/:id/part{n % 7}", n % 3) for n in range(rows)]
    lines = [f"p, {role}, {path}, {acts[act]}" for role, path, act in held]
    lines += [f"g, user{n}, role{n % roles}" for n in range(users)]
    requests = []
    for number in range(REQUESTS):
        role, path, act = drawn.choice(held)
        user = f"user{int(role[4:]) + roles * drawn.randrange(users // roles)}"
        path = path.replace(":id", str(drawn.randrange(10**9)))
        # A miss differs from a hit by its last segment only.
        requests.append((user, path if number % 2 else f"{path}x", asked[act]))
    drawn.shuffle(requests)
    return Load("\n".join(lines), tuple(requests))


def acts_of(how: str) -> tuple[str, str, str]:
    """What stands in the column of the action."""
    return ("GET", "POST", "PUT") if how == "==" else ("^GET$", "^(GET|HEAD)$", "^P(OST|UT)$")


def timed(ask: Callable[..., bool], requests: Sequence[Request], seconds: float) -> tuple[list[int], list[bool]]:
    """Nanoseconds and answers, of as many requests as fit the time."""
    until = perf_counter() + seconds
    times: list[int] = []
    answers: list[bool] = []
    for request in requests:
        began = perf_counter_ns()
        answer = ask(*request)
        times.append(perf_counter_ns() - began)
        answers.append(answer)
        if perf_counter() > until:
            break
    return times, answers


def compared(rows: int, how: str) -> str:
    """A line of the table."""
    roles = max(2, min(1_000, rows // 10))
    work = load(rows, max(100, rows), roles, how)
    model = MODEL.format(act=ACTS[how])
    began = perf_counter()
    program = compile_casbin(model, work.policy)
    seconds = perf_counter() - began
    gc.collect()
    gc.freeze()
    timed(program.enforce, work.requests, 60)
    ours, said = timed(program.enforce, work.requests, 60)
    row, link = (
        _changing(program, ("p", "role0", "/new/:id", acts_of(how)[0])),
        _changing(program, ("g", "new", "role0")),
    )
    changes = f"{row:>8.1f}{link:>8.1f}"
    line = f"{how:12}{rows:>8}  {median(ours) / 1000:>9.1f}{quantiles(ours, n=100)[98] / 1000:>9.1f}"
    if rows > MOST_FOR_PYCASBIN:
        return f"{line}{'':>36}{sum(said):>7}{seconds:>9.2f}{changes}"
    adapter = StringAdapter(work.policy)
    loaded = Model()
    loaded.load_model_from_text(model)
    theirs, wanted = timed(Enforcer(loaded, adapter).enforce, work.requests, SECONDS_FOR_PYCASBIN)
    if wanted != said[: len(wanted)]:
        raise SystemExit(f"{rows} rows: pycasbin answers otherwise")
    ratio = median(theirs) / median(ours[: len(theirs)])
    return f"{line}{median(theirs) / 1000:>12.0f}{ratio:>10.0f}x{len(wanted):>13}{sum(said):>7}{seconds:>9.2f}{changes}"


def _changing(program: CasbinProgram, row: tuple[str, ...]) -> float:
    """Milliseconds to add a row, the best of five."""
    times = []
    for _ in range(5):
        began = perf_counter()
        program.updated(add=[row])
        times.append((perf_counter() - began) * 1000)
    return min(times)


def grown(users: int, roles: int, rows: int) -> float:
    """MiB by which this process grows, at its peak, over a policy that is compiled and asked; the text included."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work = load(rows, users, roles, "==")
    program = compile_casbin(MODEL.format(act=ACTS["=="]), work.policy)
    asked = sum(program.enforce(f"user{n}", "/area0/1/part0", "GET") for n in range(users))
    if not asked:
        raise SystemExit("nobody is allowed")
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    # First: what a forked process has in common with its parent is no growth.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        memory = pool.apply(grown, (100_000, 1_000, 10_000))
    print(f"100,000 users, 1,000 roles, 10,000 rows: the process grows by {memory:.0f} MiB at its peak")
    print(
        f"{'act':12}{'rows':>8}  {'ours µs':>9}{'p99':>9}{'pycasbin µs':>12}{'faster':>11}{'compared':>13}"
        f"{'hits':>7}{'build s':>9}{'row ms':>8}{'link ms':>8}"
    )
    for how in ACTS:
        for rows in [int(each) for each in arguments] or SIZES:
            print(compared(rows, how), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
