"""The upstream of the demo: answers every call with the method, the path and the headers it received.

In: a port on 127.0.0.1. Out: 200, `text/plain`, one line each, and what the services of the shop make of the token that
came along. What stands behind a gateway sees what the gateway let through: that is what this one is for.

Decision: 2026-11-21. The value of `authorization` is shown by its first characters only. The answer ends on terminals
and in their history, where a token that is good for an hour has no business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from pdp.demo.web import Answered, Asked, serving

SHOWN_OF_CREDENTIALS = 16

Told = Callable[[str, str], Sequence[str]]
"""What is said of a token: lines for the values of `host` and `authorization`."""


def silent(_host: str, _authorization: str) -> Sequence[str]:
    """Says nothing of any token."""
    return ()


def describe(method: str, target: str, headers: Iterable[tuple[str, str]]) -> str:
    """The text of the answer: the request line, then each header as it came, repeats kept."""
    shown = [f"{name.lower()}: {_shown(name, value)}" for name, value in headers]
    return "\n".join(["the upstream received:", f"{method} {target}", *shown]) + "\n"


def _shown(name: str, value: str) -> str:
    if name.lower() != "authorization" or len(value) <= SHOWN_OF_CREDENTIALS:
        return value
    return f"{value[:SHOWN_OF_CREDENTIALS]}... ({len(value)} characters)"


@contextmanager
def running_upstream(port: int, told: Told = silent) -> Iterator[int]:
    """Answer on 127.0.0.1:`port` (0: any free one) while the block runs; give the port.

    Errors: ConfigError D120 when the port cannot be taken.
    """

    def answer(asked: Asked) -> Answered:
        text = describe(asked.method, asked.target, asked.headers)
        host = next((value for name, value in asked.headers if name.lower() == "host"), "")
        tokens = [value for name, value in asked.headers if name.lower() == "authorization"]
        said = [line for token in tokens for line in ("", *told(host, token))]
        return Answered("".join([text, *(f"{line}\n" for line in said)]))

    with serving("the demo upstream", port, answer) as listening:
        yield listening
