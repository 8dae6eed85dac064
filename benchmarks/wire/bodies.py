"""One question as each contestant is asked it, and what its reply says: whole calls, made before anything is timed.

A check is 763 bytes of CheckRequest, with a signed token and with the claims of the token in headers beside it: ours
reads the token, OPA the headers, which it believes. OPA's own server gets as JSON what its Envoy plugin makes of the
same check. Cerbos has messages of its own (cerbos.svc.v1), of which few fields are needed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Value
from msgspec import Struct

from benchmarks.wire.http2 import GRPC, JSON, Call, grpc_body
from benchmarks.wire.questions import Question, expected
from pdp.transports.messages import CheckResponse
from tests.support.asking import CHECK, check_request
from tests.support.issuing import TestIssuer

SIZE = 763
PADDING = "user-agent"
FORBIDDEN = 403
OPA_PATH = "/v1/data/bench/allow"
CERBOS_PATH = "/cerbos.svc.v1.CerbosService/CheckResources"
CERBOS_ALLOW, CERBOS_DENY = 1, 2


class OpaReply(Struct, frozen=True):
    """What is read of a reply of OPA's server; where the document is undefined it has no result."""

    result: bool | None = None


class Asking:
    """Makes the calls for one size of the policy, with tokens of one issuer."""

    def __init__(self, rules: int) -> None:
        self.issuer = TestIssuer()
        self._rules = rules
        self._now = int(time.time())
        self._tokens: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}

    def check(self, question: Question) -> Call:
        """For ext_authz."""
        return Call(CHECK, GRPC, grpc_body(self._check_request(question)), expected(question, self._rules), read_check)

    def check_of_constant(self, question: Question) -> Call:
        """The same for who allows whatever parses."""
        return Call(CHECK, GRPC, grpc_body(self._check_request(question)), allowed=True, read=read_check)

    def opa(self, question: Question) -> Call:
        """For OPA's own server."""
        asked = msgspec.json.encode({"input": self.opa_input(question)})
        return Call(OPA_PATH, JSON, asked, expected(question, self._rules), read_opa)

    def opa_input(self, question: Question) -> dict[str, object]:
        """What OPA's Envoy plugin makes of a check, as far as a policy like ours looks."""
        http = {
            "method": question.method,
            "host": "bench.example",
            "path": question.path,
            "headers": self._headers(question),
        }
        source = {"address": {"socketAddress": {"address": "203.0.113.7"}}}
        return {
            "attributes": {"request": {"http": http}, "source": source},
            "parsed_path": question.path.strip("/").split("/"),
            "parsed_query": {},
        }

    def cerbos(self, question: Question) -> Call:
        """For Cerbos: CheckResources of one resource and one action."""
        principal = _text(1, "u1") + b"".join(_text(3, role) for role in ("user", *question.roles))
        principal += _attribute("accounts", question.accounts)
        resource = _text(1, f"r{question.endpoint}") + _text(3, question.account)
        resource += _attribute("account", question.account)
        entry = _text(1, question.method) + _field(2, resource)
        message = _field(3, principal) + _field(4, entry)
        read = _reader_of_cerbos(question.method)
        return Call(CERBOS_PATH, GRPC, grpc_body(message), expected(question, self._rules), read)

    def _headers(self, question: Question) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._token(question)}",
            "x-accounts": ",".join(question.accounts),
            "x-roles": ",".join(question.roles),
        }

    def _check_request(self, question: Question) -> bytes:
        headers = self._headers(question)

        def made(padding: int) -> bytes:
            padded = headers | {PADDING: "x" * padding}
            return check_request(question.method, "bench.example", question.path, service="bench", headers=padded)

        padding = SIZE - len(made(0))
        # Lengths are numbers of one or two bytes: a longer text may take a byte more than its own.
        while padding >= 0 and len(found := made(padding)) > SIZE:
            padding -= 1
        if padding < 0 or len(found) != SIZE:
            raise SystemExit(f"no check of {SIZE} bytes can be made of {question}")
        return found

    def _token(self, question: Question) -> str:
        held = (question.accounts, question.roles)
        if held not in self._tokens:
            claims = {"sub": "u1", "accounts": held[0], "roles": held[1], "aud": "bench"}
            self._tokens[held] = self.issuer.mint(claims, self._now)
        return self._tokens[held]


def read_check(reply: bytes) -> bool | None:
    """What a CheckResponse says, in its frame of gRPC: only a 403 counts as a refusal."""
    if not reply:
        return None
    try:
        said = CheckResponse.FromString(reply[5:])
    except DecodeError:
        return None
    if said.status.code == 0:
        return True
    # OPA's plugin leaves the status of a refusal out, and Envoy then answers 403.
    return False if said.denied_response.status.code in {0, FORBIDDEN} else None


def read_opa(reply: bytes) -> bool | None:
    """What OPA's server says."""
    try:
        return msgspec.json.decode(reply, type=OpaReply).result
    except msgspec.DecodeError:
        return None


def _reader_of_cerbos(action: str) -> Callable[[bytes], bool | None]:
    """Looks for the one entry of `actions` (map<string, Effect>) that was asked for."""
    allow, deny = (_text(1, action) + bytes((0x10, effect)) for effect in (CERBOS_ALLOW, CERBOS_DENY))

    def read(reply: bytes) -> bool | None:
        found = (allow in reply, deny in reply)
        return {(True, False): True, (False, True): False}.get(found)

    return read


def _field(number: int, data: bytes) -> bytes:
    """A field of a length (protobuf, wire type 2)."""
    return bytes((number << 3 | 2,)) + _length(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _attribute(name: str, value: str | tuple[str, ...]) -> bytes:
    """An entry of `attr` (map<string, google.protobuf.Value>), field 4 of principal and resource alike."""
    said = Value(string_value=value) if isinstance(value, str) else Value()
    if not isinstance(value, str):
        said.list_value.extend(value)
    return _field(4, _text(1, name) + _field(2, said.SerializeToString()))


def _length(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))
