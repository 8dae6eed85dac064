"""The usual call of the benchmarks of the log, and a writer on the disk of this repository.

The call: an owner lists the orders of an account of theirs, by the policy of the shop, with a token that was seen
before.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from pdp.audit.files import open_log_file
from pdp.audit.keys import create_keys
from pdp.audit.record import Entry
from pdp.audit.usual_record import Records
from pdp.audit.writer import LogWriter, Receipt
from pdp.evaluate import Evaluation, Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import EXT_AUTHZ, Inquiry, Json, Principal
from pdp.runtime.bundle import read_folder
from pdp.runtime.compiled import engine_of
from policy_lang.verdict import KnownClaims
from tests.support.process import ROOT

ORIGIN = "pdp.example.com/prod"
NOW_S = 1_800_000_000
NOW_US = NOW_S * 1_000_000
CONTEXT = "6553f1000100000000070a1b2c3d4e5f"
"""The id of the leaf that says who calls."""


class Usual(Struct, frozen=True):
    """The usual call and what was decided of it."""

    evaluator: Evaluator
    inquiry: Inquiry
    evaluation: Evaluation
    records: Records

    def entry(self) -> Entry:
        """Its record, made anew."""
        made = self.evaluation
        return self.records.entry(made.decision, made.evidence, made.engine, NOW_US, "edge", CONTEXT)


def usual() -> Usual:
    """The usual call."""
    engine = engine_of(read_folder(ROOT / "policies" / "shop"), planned=True)
    evaluator = Evaluator(lambda: engine, Identity(Verifier([])), service_from_host=False, issues_tokens=True)
    claims: dict[str, Json] = {
        "iss": "https://id.shop.example",
        "sub": "u-ann",
        "accounts": ["a-1001", "a-1002"],
        "auth_time": NOW_S - 3_600,
        "amr": ["pwd"],
        "aud": ["orders"],
        "scope": "orders.read orders.write",
        "exp": NOW_S + 300,
        "jti": "5c0c0f3a-1111-4222-8333-9c9c9c9c9c9c",
        "client_id": "web",
    }
    inquiry = Inquiry(
        service="orders",
        method="GET",
        path="/accounts/a-1001/orders",
        host="orders.shop.example",
        headers=(),
        gateway="edge",
        identity="spiffe://shop.example/edge",
        capabilities=EXT_AUTHZ,
        ip="203.0.113.7",
        request_id="2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11",
        principal=Principal("token", "user", KnownClaims(claims), expires_at=NOW_S + 300, credential=bytes(32)),
    )
    evaluation = evaluator.evaluate(inquiry, NOW_US)
    if evaluation.decision.outcome != "allow":
        raise SystemExit(f"the usual call is refused: {evaluation.decision.reason}")
    return Usual(evaluator, inquiry, evaluation, Records())


# ---------------------------------------------------------------- a writer


@contextmanager
def state_folder() -> Iterator[Path]:
    """A state folder on the disk of this repository, with the folder of the write-ahead logs."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="log-cost-") as name:
        state = Path(name)
        (state / "wal").mkdir()
        yield state


@contextmanager
def writing(state: Path, settled: Callable[[Sequence[Receipt]], None]) -> Iterator[LogWriter]:
    """A writer at work in a state folder."""
    writer = LogWriter(
        state / "wal",
        0,
        create_keys(state / "keys", ORIGIN, os.urandom),
        open_file=open_log_file,
        entropy=os.urandom,
        clock_us=lambda: time.time_ns() // 1_000,
        on_settled=settled,
        software="benchmark",
    )
    writer.start()
    try:
        yield writer
    finally:
        writer.close(60)


def at(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return sorted(values)[len(values) * percent // 100]
