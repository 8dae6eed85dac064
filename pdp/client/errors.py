"""Why a decision could not be had, by name.

ClientError
├── InquiryError         the inquiry cannot be sent, or the service could not read it: a fault of the program that asks
├── UnreachableError     no connection, or one that broke
├── LateError            no reply before the deadline
├── EndedError           the call was cancelled: the client was closed, or the service ended
├── UnknownCallerError   the service does not know who asks
├── NotPermittedError    who asks may not ask so
├── RateError            more decisions a second than may be had
├── FailedError          a failure of the service
└── ReplyError           a reply that cannot be taken for a decision

None of them is an allow. A message holds nothing of what was asked; what the service said is printable.
"""

from __future__ import annotations

import grpc

LONGEST_DETAIL = 500
"""Characters of what the service or the transport says that are kept."""


class ClientError(Exception):
    """A decision could not be had."""


class InquiryError(ClientError):
    """The inquiry cannot be sent, or could not be read."""


class UnreachableError(ClientError):
    """The service cannot be reached, proved to be another, or the connection broke."""


class LateError(ClientError):
    """The deadline passed."""


class EndedError(ClientError):
    """The call was cancelled by something else than its caller."""


class UnknownCallerError(ClientError):
    """The service does not know who asks."""


class NotPermittedError(ClientError):
    """The service knows who asks, and that it may not."""


class RateError(ClientError):
    """Too many decisions were asked for."""


class FailedError(ClientError):
    """The service failed."""


class ReplyError(ClientError):
    """What came back is no decision."""


_BY_CODE: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InquiryError,
    grpc.StatusCode.UNAVAILABLE: UnreachableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: LateError,
    grpc.StatusCode.CANCELLED: EndedError,
    grpc.StatusCode.UNAUTHENTICATED: UnknownCallerError,
    grpc.StatusCode.PERMISSION_DENIED: NotPermittedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateError,
}


def error_of(code: grpc.StatusCode | None, details: str | None) -> ClientError:
    """The error that a status of a call is, OK included: an OK that raised gave no reply."""
    kind = FailedError if code is None else _BY_CODE.get(code, FailedError)
    word = "no status" if code is None else code.name.lower().replace("_", " ")
    return kind(f"{word}: {_printable(details or 'no reason given')}")


def _printable(text: str) -> str:
    """SECURITY: nothing that the other side says writes a line of its own into a log."""
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST_DETAIL])
