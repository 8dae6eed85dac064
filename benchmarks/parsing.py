"""KiB of policy text parsed a second, and the time that 64 KiB of hostile text take.

    build/venv/bin/python benchmarks/parsing.py [--kib 512] [--rounds 5] [--seed 1]

Writes a policy of the size asked for (services, and rules of several shapes; the same for the same seed), parses it as
`policy_lang.syntax.parser.parse` does for every file, and prints a line of Markdown each; the time is the processor's,
the best round counts. The generated text has to parse without a mistake, else the figures would be of something else.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from policy_lang.syntax.parser import parse  # noqa: E402 - the path is set above

HEAD = """\
# Generated: one module of a marketplace.
language 1
module market

label money, pii

token user {
  issuer "https://id.market.example"
  claim sub: string
  claim accounts: set of string optional
  claim auth_time: time
  claim amr: set of string
  claim country: string optional
  factor mfa at token.auth_time when token.amr overlaps ["otp", "hwk"]
}

relation shared_with (account: string, user: string)

condition owns (account: string) =
  token has accounts and account in token.accounts
"""

CONDITIONS = (
    "owns(path.account)",
    "token.sub == path.account or shared_with(path.account, token.sub)",
    "now - 15m < token.auth_time",
    'token has country and token.country in ["DE", "FR", "IT", "ES"]',
    "not (query has limit and query.limit > 1_000)",
    'request.header.accept like "application/*"',
    "factor mfa within 30m",
)

SMALL = "module m\ndeny x on any endpoint when "
HOSTILE = {
    "open parentheses": "module m\n" + "(" * 65_536,
    "ten thousand nested parentheses": SMALL + "(" * 10_000 + "a" + ")" * 10_000,
    "one character, 65,536 times": "@" * 65_536,
    "a sum of names": SMALL + "a-" * 32_000 + "a",
    "a sum of names with a slip at its end": SMALL + "a-" * 32_000 + "a)",
    "a list of names": "module m\nlabel a" + ",a" * 32_000,
    "a chain of not": SMALL + "not " * 16_000 + "a",
    "a mistake on each line": "module m\n" + "allow x when a =\n" * 3_800,
    "a misspelt word on each line": "module m\n" + "alow x for anyone\n" * 3_600,
    "a quote on each line": "module m\n" + '"\n' * 32_000,
    "a string that does not end": SMALL + 'a == "' + "x" * 65_000,
}


def policy(kib: int, seed: int) -> str:
    """A policy of at least `kib` KiB."""
    parts, size = [HEAD], len(HEAD)
    for part in _parts(random.Random(seed)):  # noqa: S311 - text to measure with, no secret
        if size >= kib * 1024:
            break
        parts.append(part)
        size += len(part)
    return "\n".join(parts)


def _parts(chance: random.Random) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield _service(number)
        for rule in range(chance.randrange(20, 40)):
            yield _rule(chance, number, rule)


def _service(number: int) -> str:
    return f"""\
service shop_{number} {{
  audience "shop-{number}"
  host "shop-{number}.market.example"
  endpoint list_orders  GET  /accounts/{{account}}/orders
                        scope "orders.read" tagged pii
                        query limit: int 1..200 optional
  endpoint read_order   GET  /accounts/{{account}}/orders/{{order: uuid}}  # one of them
  endpoint place_order  POST /accounts/{{account}}/orders
                        scope "orders.write" tagged money, pii
}}
"""


def _rule(chance: random.Random, service: int, number: int) -> str:
    joined = "\n    and ".join(chance.sample(CONDITIONS, chance.randrange(1, 4)))
    endpoint = chance.choice(("list_orders", "read_order", "place_order"))
    effect = chance.choice(("allow", "allow", "deny"))
    needs = chance.choice(("", "  needs factor mfa within 5m\n", "  must log full\n"))
    return f"""\
# Rule {number} of shop {service}.
{effect} rule_{service}_{number}
  for any user
  on shop_{service}.{endpoint}
  when {joined}
{needs}  because "customers of shop {service} see, place and cancel orders of their own accounts"
"""


def seconds(data: bytes, rounds: int) -> float:
    """The best of `rounds` times to parse `data`."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        parse("measured.pol", data)
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="KiB of policy text parsed a second")
    parser.add_argument("--kib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.process_time()
    parse("first.pol", b"module m")
    print(f"first parse of the process, tables loaded: {(time.process_time() - began) * 1e3:.0f} ms\n")
    data = policy(given.kib, given.seed).encode()
    mistakes = parse("measured.pol", data).diagnostics
    if mistakes:
        raise SystemExit(f"the generated policy has a mistake: {mistakes[0].message}")
    print("| text | KiB | ms | KiB/s |\n|---|---|---|---|")
    rows = {"generated policy": data, **{name: text.encode() for name, text in HOSTILE.items()}}
    for name, text in rows.items():
        kib, taken = len(text) / 1024, seconds(text, given.rounds)
        print(f"| {name} | {kib:.0f} | {taken * 1e3:.0f} | {kib / taken:.0f} |")


if __name__ == "__main__":
    main()
