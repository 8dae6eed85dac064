"""What the log costs: a record in microseconds and bytes, records a second of one writer, decisions a second.

    build/venv/bin/python -m benchmarks.log_cost [--seconds 5] [--rounds 40]

Each step of a record of the usual call (benchmarks/usual.py) is measured in rounds that take turns, alone on its
thread. `floor` is what its parts take that no Python has a hand in (HMAC, AES-GCM, SHA-256, base64, two texts of JSON)
for as many bytes. On a machine whose speed comes and goes, p50 of the quickest round says what the code takes, and p50
what it took.
Then a writer with its thread and its file: records in a row, and `paced`, with 200 µs of sleep between two, as a
service has other things to do, and the processor's time that each takes of the thread that appends and of both. Last,
what benchmarks/log_rates.py measures.
"""

from __future__ import annotations

import argparse
import binascii
import gc
import hmac
import os
import time
import zlib
from collections.abc import Callable
from hashlib import sha256

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.log_rates import print_decisions, print_sustained
from benchmarks.usual import CONTEXT, NOW_US, ORIGIN, Usual, at, state_folder, usual, writing
from pdp.audit.box import Sealer
from pdp.audit.ids import IdKey
from pdp.audit.inputs import sealed_inputs
from pdp.audit.leaf import Sealed, encode
from pdp.audit.record import Entry

EACH = 1_000
"""Calls of one step in one round."""

MOST_WAITING = 8_000
BUNDLE = 256
"""Records in an entry bundle."""


def steps(call: Usual) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    ids, sealer = IdKey(bytes(32)), Sealer(bytes(32), bytes(32), ORIGIN, os.urandom)
    decision, evidence = call.evaluation.decision, call.evaluation.evidence
    entry = call.entry()
    inputs = entry.inputs or b""
    record_id = ids.make(1, 0, 7)
    sealed = sealer.seal(7, record_id, inputs)

    def whole() -> bytes:
        made = call.entry()
        own = ids.make(1, 0, 7)
        return leaf(made, own, sealer.seal(7, own, made.inputs or b""))

    return {
        "record": call.entry,
        "of it, the inputs as bytes": lambda: sealed_inputs(decision, evidence, entry.clear, 60_000),
        "id": lambda: ids.make(1, 0, 7),
        "box": lambda: sealer.seal(7, record_id, inputs),
        "leaf": lambda: leaf(entry, record_id, sealed),
        "all of these": whole,
        "floor": floor(len(inputs), entry),
    }


def leaf(entry: Entry, record_id: str, sealed: Sealed) -> bytes:
    """The leaf of a record, as a writer makes it (pdp/audit/boot.py)."""
    if entry.form is None:
        return encode(entry.kind, record_id, entry.clear, sealed)
    return entry.form.leaf(record_id, entry.clear, sealed)


def floor(size: int, entry: Entry) -> Callable[[], object]:
    """HMAC, AES-GCM, SHA-256, base64 and JSON of a record, without anything around them."""
    cipher, mac = AESGCM(bytes(32)), hmac.new(bytes(32), digestmod="sha256")
    plaintext, nonce, place = bytes(size + 32), bytes(12), bytes(10)
    inputs, clear = orjson.loads(entry.inputs or b""), dict(entry.clear)

    def work() -> None:
        one = mac.copy()
        one.update(place)
        one.digest()
        orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)
        box = binascii.b2a_base64(cipher.encrypt(nonce, plaintext, place), newline=False).decode()
        orjson.dumps(clear | {"in": box, "ic": sha256(plaintext).hexdigest()}, option=orjson.OPT_SORT_KEYS)

    return work


def taken_us(work: Callable[[], object], count: int) -> list[float]:
    """Microseconds of each of so many calls."""
    found = []
    for _ in range(count):
        began = time.perf_counter_ns()
        work()
        found.append((time.perf_counter_ns() - began) / 1e3)
    return found


def print_steps(call: Usual, rounds: int) -> None:
    """The table of steps."""
    named = steps(call)
    found: dict[str, list[list[float]]] = {name: [] for name in named}
    for _ in range(rounds):
        for name, work in named.items():
            found[name].append(taken_us(work, EACH))
    print("| step | p50, µs | p50 of the quickest round, µs | p99, µs |\n|---|---|---|---|")
    for name, each in found.items():
        whole = [one for taken in each for one in taken]
        quickest = min(at(taken, 50) for taken in each)
        print(f"| {name} | {at(whole, 50):.1f} | {quickest:.1f} | {at(whole, 99):.1f} |")


# ---------------------------------------------------------------- bytes


def print_sizes(call: Usual) -> None:
    """What one record takes, and one of a bundle that is compressed."""
    ids, sealer, entry = IdKey(bytes(32)), Sealer(bytes(32), bytes(32), ORIGIN, os.urandom), call.entry()
    inputs = entry.inputs or b""
    leaves = []
    for seq in range(BUNDLE):
        own = ids.make(1, 0, seq)
        clear = {**entry.clear, "t": NOW_US + 137 * seq}
        leaves.append(encode(entry.kind, own, clear, sealer.seal(seq, own, inputs)))
    box = len(sealer.seal(0, CONTEXT, inputs).box)
    packed = len(zlib.compress(b"".join(leaves), 6)) // BUNDLE
    print("\n| bytes of a record | |\n|---|---|")
    print(f"| the leaf | {len(leaves[0])} |")
    print(f"| of it, the box in base64 | {box} |")
    print(f"| in the box: inputs; random bytes, key id, nonce and tag | {len(inputs)}; 68 |")
    print(f"| of it, id, commitment and policy digest | {32 + 64 + 64} |")
    print(f"| in a bundle of {BUNDLE} packed by zlib | {packed} |")


def print_appends(call: Usual, rounds: int) -> None:
    """Record and append, with the writer's thread at work."""
    print("\n| record and append, µs | p50 | of it, append | p99 | thread's own | whole process |")
    print("|---|---|---|---|---|---|")
    for name, pause_s in (("in a row", 0.0), ("paced", 0.0002)):
        made: list[float] = []
        appended: list[float] = []
        with state_folder() as state, writing(state, lambda _: None) as writer:
            own, whole = time.thread_time(), time.process_time()
            for _ in range(rounds * EACH // 4):
                began = time.perf_counter_ns()
                entry = call.entry()
                between = time.perf_counter_ns()
                writer.append(entry.kind, entry.clear, entry.inputs, strict=False, form=entry.form)
                ended = time.perf_counter_ns()
                made.append((ended - began) / 1e3)
                appended.append((ended - between) / 1e3)
                if pause_s or len(made) % 100 == 0:
                    time.sleep(pause_s)
                    while writer.status().pending > MOST_WAITING:
                        time.sleep(0.001)
            own, whole = time.thread_time() - own, time.process_time() - whole
        used = f"{own / len(made) * 1e6:.1f} | {whole / len(made) * 1e6:.1f}"
        print(f"| {name} | {at(made, 50):.1f} | {at(appended, 50):.1f} | {at(made, 99):.1f} | {used} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what the log costs")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    call = usual()
    gc.freeze()  # as `serve` does once a policy is loaded
    print_steps(call, given.rounds)
    print_sizes(call)
    print_appends(call, given.rounds)
    print_sustained(call, given.seconds)
    print_decisions(call, given.seconds)


if __name__ == "__main__":
    main()
