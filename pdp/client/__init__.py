"""Portcullis from Python: ask the service for decisions, in threads or with asyncio.

    from pdp.client import Action, Call, Client, ClientError, Subject

    call = Call("GET", "/orders/4711", "orders.example", service="orders", authorization="Bearer …")
    with Client("127.0.0.1:9191") as client:
        decision = client.decide_or_refuse(call)
        if not decision.allowed:
            print("refused:", decision.answer.status, decision.answer.title)

        try:
            read = Action("read", "order", "4711", subject=Subject("employee", "u1"))
            decision = client.decide(read, timeout_s=0.2)
            print("allowed" if decision.allowed else "refused", "by the record", decision.id)
        except ClientError as error:
            print("no decision:", error)

Ask `decision.allowed`; a decision is neither true nor false by itself, and `if client.decide(call):` raises. What an
allow orders stands in `decision.obligations`, and only what the inquiry lists among its `capabilities` is ever ordered:
a program that lists nothing has nothing to do but to let the call pass.

`decide` raises a ClientError where there is no decision: no connection, no reply in time, a reply that is none (see
`pdp.client.errors`). `decide_or_refuse` gives a refusal then, with that error as its `cause`. Neither ever gives an
allow that the service did not give. `decide_batch` asks up to 100 inquiries at once; `explain` says which rules
decided.

A call has one second unless `timeout_s` says otherwise, the time to connect and to try again included. What is made
again is what was never sent: see `Retries`. Another host is reached with `Tls(authorities, certificate, private_key)`
alone. `AsyncClient` has the same methods, to be awaited.

The client needs grpcio and protobuf, and nothing else of Portcullis.
"""

from pdp.client.aio import AsyncClient
from pdp.client.connection import Retries, Tls
from pdp.client.errors import (
    ClientError,
    EndedError,
    FailedError,
    InquiryError,
    LateError,
    NotPermittedError,
    RateError,
    ReplyError,
    UnknownCallerError,
    UnreachableError,
)
from pdp.client.model import (
    Action,
    Answer,
    Call,
    Capability,
    Challenge,
    Clause,
    Decision,
    Duties,
    Explained,
    Inquiry,
    Json,
    Observed,
    Outcome,
    Rule,
    Subject,
)
from pdp.client.sync import Client

__all__ = [
    "Action", "Answer", "AsyncClient", "Call", "Capability", "Challenge", "Clause", "Client", "ClientError", "Decision",
    "Duties", "EndedError", "Explained", "FailedError", "Inquiry", "InquiryError", "Json", "LateError",
    "NotPermittedError", "Observed", "Outcome", "RateError", "ReplyError", "Retries", "Rule", "Subject", "Tls",
    "UnknownCallerError", "UnreachableError",
]  # fmt: skip
