"""What one check takes in process, from the bytes of a CheckRequest to the bytes of the answer, step by step.

    build/venv/bin/python -m benchmarks.check_path [--seconds 5] [--rounds 20]

The call: an owner reads an account by the policy of the decision cases, with a token that was seen before, asked by
Envoy in some 700 bytes. First each step alone, in rounds that take turns, p50 and p50 of the quickest round. Then the
whole call through `CheckCall`, the service, and a log writer with its thread and file, so many in flight at a time:
checks a second, and the processor's time that each takes of the loop's thread and of the process. No wire: what gRPC
takes besides is measured by `benchmarks.gateway` and `make bench`. Pin it to one core (`taskset -c 1`).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Callable
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.log_cost import EACH, taken_us
from benchmarks.usual import at, state_folder, writing
from pdp.audit.record import decision_entry
from pdp.evaluate import Evaluator
from pdp.gateways import Gateway
from pdp.identity.bearer import Identity
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, Verifier
from pdp.metrics import Metrics
from pdp.service import DecisionService, Receipts
from pdp.transports.check import CheckCall
from pdp.transports.ext_authz import read
from pdp.transports.messages import CheckRequest, CheckResponse, Wire
from pdp.transports.replies import Replies
from tests.support.cases import NOW, engine
from tests.support.issuing import TestIssuer

NOW_US = NOW * 1_000_000
GATEWAY = Gateway("edge", frozenset({"ledger"}))
IN_FLIGHT = (1, 64, 256)


class Asked(Struct, frozen=True):
    """The bytes of a CheckRequest, and an evaluator that knows who asks in it."""

    data: bytes
    evaluator: Evaluator


def asked() -> Asked:
    """The call."""
    issuer = TestIssuer()
    keys = cast("KeySet", read_key_set(json.dumps(issuer.key_set()).encode()))
    trusted = Issuer(url=issuer.url, keys=keys, algorithms=frozenset({"ES256"}), types=frozenset({"at+jwt"}))
    token = issuer.mint({"sub": "u1", "aud": "ledger", "accounts": ["a1", "a2"], "scope": "ledger.read"}, NOW)
    evaluator = Evaluator(engine, Identity(Verifier([trusted])), service_from_host=False)
    return Asked(_request(token).SerializeToString(), evaluator)


def _request(token: str) -> Wire:
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host, http.scheme = "GET", "/accounts/a1", "ledger.example", "https"
    sent = {
        ":authority": "ledger.example",
        ":method": "GET",
        ":path": "/accounts/a1",
        ":scheme": "https",
        "user-agent": "curl/8.1.2",
        "accept": "*/*",
        "x-request-id": "2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11",
        "x-forwarded-proto": "https",
        "authorization": f"Bearer {token}",
    }
    for name, value in sent.items():
        http.headers[name] = value
    message.attributes.source.address.socket_address.address = "203.0.113.7"
    message.attributes.context_extensions["portcullis.service"] = "ledger"
    return message


def steps(call: Asked) -> dict[str, Callable[[], object]]:
    """What is measured alone, by name."""
    data, evaluator, replies = call.data, call.evaluator, Replies({})
    message = CheckRequest.FromString(data)
    inquiry = read(message, GATEWAY)
    made = evaluator.evaluate(inquiry, NOW_US)
    told = replace(made.decision, id="0" * 32)
    return {
        "parse": lambda: CheckRequest.FromString(data),
        "read": lambda: read(message, GATEWAY),
        "evaluate": lambda: evaluator.evaluate(inquiry, NOW_US),
        "record (box and leaf: `log_cost`)": lambda: decision_entry(
            told, made.evidence, made.engine, NOW_US, "edge", None
        ),
        "reply": lambda: replies.write(told, inquiry),
    }


def print_steps(call: Asked, rounds: int) -> None:
    """The table of steps."""
    named = steps(call)
    found: dict[str, list[list[float]]] = {name: [] for name in named}
    for _ in range(rounds):
        for name, work in named.items():
            found[name].append(taken_us(work, EACH))
    print("| step | p50, µs | p50 of the quickest round, µs |\n|---|---|---|")
    for name, each in found.items():
        whole = [one for taken in each for one in taken]
        print(f"| {name} | {at(whole, 50):.1f} | {min(at(taken, 50) for taken in each):.1f} |")


async def print_whole(call: Asked, seconds: float) -> None:
    """The table of whole calls. SystemExit where one is refused."""
    receipts = Receipts(asyncio.get_running_loop())
    print("\n| in flight | checks/s | p50, ms | p99, ms | loop's thread, µs each | process, µs each |")
    print("|---|---|---|---|---|---|")
    with state_folder() as state, writing(state, receipts.settled) as writer:
        service = DecisionService(
            call.evaluator, writer, receipts, Metrics(), strict_methods=frozenset(), monotonic=time.monotonic
        )
        checks = CheckCall(service, GATEWAY, clock_us=lambda: NOW_US, metrics=Metrics(), acr_values={})
        if CheckResponse.FromString(await checks.answer(call.data, (), 1.0)).status.code:
            raise SystemExit("the call is refused: there is nothing to measure")
        for in_flight in IN_FLIGHT:
            taken: list[float] = []
            until = time.perf_counter() + seconds

            async def asking(until: float = until, taken: list[float] = taken) -> None:
                while (began := time.perf_counter()) < until:
                    await checks.answer(call.data, (), 1.0)
                    taken.append(time.perf_counter() - began)

            began, own, whole = time.perf_counter(), time.thread_time(), time.process_time()
            await asyncio.gather(*(asking() for _ in range(in_flight)))
            took, count = time.perf_counter() - began, len(taken)
            own, whole = time.thread_time() - own, time.process_time() - whole
            print(
                f"| {in_flight} | {count / took:,.0f} | {at(taken, 50) * 1e3:.2f} | {at(taken, 99) * 1e3:.2f} "
                f"| {own / count * 1e6:.0f} | {whole / count * 1e6:.0f} |"
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what one check takes in process")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    call = asked()
    gc.freeze()  # as `serve` does once a policy is loaded
    print_steps(call, given.rounds)
    asyncio.run(print_whole(call, given.seconds))


if __name__ == "__main__":
    main()
