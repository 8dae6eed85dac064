"""Microseconds for the identity step of one call: a token that was seen before, and one that is new.

    build/venv/bin/python -m benchmarks.identity

Medians of many calls in process. Each call brings its text anew, as a request does, so that nothing of it is known to
the interpreter; what making the text costs is measured by itself and taken off.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable
from typing import cast

from pdp.identity.bearer import Identity, Proven
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, Verifier
from tests.support.issuing import TestIssuer

ROUNDS = 20_001


def median_us(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median time of one piece of work."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1e3


def main() -> None:
    """Measure and print."""
    issuer, now = TestIssuer(), int(time.time())
    keys = cast("KeySet", read_key_set(json.dumps(issuer.key_set()).encode()))
    trusted = Issuer(url=issuer.url, keys=keys, algorithms=frozenset({"ES256"}), types=frozenset({"at+jwt"}))
    print("| characters of the token | seen before, µs | SHA-256 of it, µs | seen for the first time, µs |")
    print("|---|---|---|---|")
    for roles in (1, 40, 80):
        token = issuer.mint({"sub": "u1", "roles": [f"role-{number}" for number in range(roles)]}, now)
        known, forgetful = Identity(Verifier([trusted])), Identity(Verifier([trusted]), capacity=0)

        def value(token: str = token) -> tuple[str]:
            return ("".join(("Bearer ", token)),)

        if not isinstance(known.prove(value(), now), Proven):
            raise SystemExit("the token is refused")
        text = median_us(value)
        seen = median_us(lambda known=known, value=value: known.prove(value(), now)) - text
        digest = median_us(lambda value=value: hashlib.sha256(value()[0].encode("ascii")).digest()) - text
        new = median_us(lambda forgetful=forgetful, value=value: forgetful.prove(value(), now), 501) - text
        print(f"| {len(token)} | {seen:.2f} | {digest:.2f} | {new:.0f} |")


if __name__ == "__main__":
    main()
