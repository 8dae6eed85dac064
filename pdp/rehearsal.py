"""One call through every station but the log, before the first gateway asks: so that none meets anything cold.

The gateways and the evaluator come in, nothing goes out: no decision made here is recorded, counted or told to anybody.
Each transport reads a request of its form for each gateway and writes the answer to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pdp.audit.record import decision_entry
from pdp.evaluate import Evaluator
from pdp.gateways import Gateway
from pdp.model import Decision, Inquiry
from pdp.transports import authzen, ext_authz, forward_auth, native
from pdp.transports.messages import CheckRequest, DecideRequest

EVALUATION = b'{"subject":{"type":"user","id":"1"},"action":{"name":"read"},"resource":{"type":"thing","id":"1"}}'
FORWARDED = tuple(
    (f"x-forwarded-{name}", value)
    for name, value in (("method", "GET"), ("uri", "/"), ("host", "localhost"), ("proto", "https"), ("for", "::1"))
)

Write = Callable[[Decision], object]


def rehearse(evaluator: Evaluator, gateways: Iterable[Gateway], now_us: int, acr_values: Mapping[str, str]) -> None:
    """Read, decide and write a call for each gateway over each transport. `now_us` in Unix microseconds."""
    for gateway in gateways:
        for inquiry, write in _calls(gateway, acr_values):
            made = evaluator.evaluate(inquiry, now_us)
            decision_entry(made.decision, made.evidence, made.engine, now_us, gateway.name, None)
            write(made.decision)


def _calls(gateway: Gateway, acr_values: Mapping[str, str]) -> Iterator[tuple[Inquiry, Write]]:
    """A call over each transport, and how its answer is written."""
    check = ext_authz.read(CheckRequest.FromString(b""), gateway)
    yield check, lambda decision: ext_authz.write(decision, check, acr_values)
    forwarded = forward_auth.read(FORWARDED, "", gateway)
    yield forwarded, lambda decision: forward_auth.write(decision, forwarded, acr_values)
    called = native.read(DecideRequest().inquiry, gateway)
    if isinstance(called, Inquiry):
        yield called, lambda decision: native.write(decision, called, acr_values)
    evaluation = authzen.read_evaluation(EVALUATION)
    if isinstance(evaluation, authzen.Evaluation):
        asked = authzen.inquiry_of(evaluation, gateway, None)
        yield asked, lambda decision: authzen.write(decision, asked, acr_values, item=False)
