"""A gRPC server that parses each check and allows it: what the transport costs by itself, beside which we are measured.

    build/venv/bin/python -m benchmarks.constant PORT

The same library, event loop and options as our listener, in a process that is run as ours; it reads the message as we
must, decides nothing and records nothing. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

import grpc

from pdp.model import Decision
from pdp.process import in_turn, run_loop
from pdp.transports.ext_authz import write
from pdp.transports.grpc_server import OPTIONS
from pdp.transports.messages import AUTHORIZATION, CheckRequest, Wire

ALLOW = write(Decision(outcome="allow", by=("constant",), reason="rule", id="constant"), None, {})


async def check(data: bytes, _context: Wire) -> bytes:
    """An allow for whatever parses."""
    CheckRequest.FromString(data)
    return ALLOW


async def serve(port: int) -> None:
    """Answer until the standard input ends."""
    server = grpc.aio.server(options=OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(AUTHORIZATION, {"Check": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    in_turn()
    run_loop(serve(int(sys.argv[1])))
