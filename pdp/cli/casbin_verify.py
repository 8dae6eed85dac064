"""`pdp casbin verify`: one policy, asked of Casbin itself and of ours, and every answer in which the two differ.

In go a model, a policy and requests, given or drawn from the policy's own values; out comes each difference with its
code or its reason.
INVARIANT: a difference is told whether it is known or not; that one has a reason hides nothing.
Source: language.md 6.6.

SECURITY: the distribution `casbin` is the frozen former name of pycasbin, with the same package inside. Where it is
installed nobody can tell which of the two answers, so it is refused, not asked.

Decision (2026-11-21): it ends 1 where one answer differs, with a reason or without, as `check` does for findings. What
Casbin raises is a difference only where ours allows: to refuse what cannot be asked is what ours says of itself. Such
a request was not compared; where all are such nothing was, which is no agreement either, and ends 1.
Decision (2026-11-21): Casbin compares times in the zone of the process, ours in that of `--zone`; the difference is
named, and the process is left as it is.
Decision (2026-11-21): what is missing is told by the name `pycasbin`, not by ours with the extra: under our name an
index of packages may hold another's.
"""

from __future__ import annotations

import importlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from random import Random
from typing import Protocol

import click
from msgspec import Struct

from pdp.authoring.casbin_requests import Drawer
from pdp.cli.casbin_input import CasbinInputError, Taken, Wishes, casbin_options, program_of, taken
from pdp.cli.casbin_requests import Request, requests_of_file
from pdp.cli.check_progress import working
from pdp.cli.options import json_option, path_type
from policy_lang.casbin.parts import all_in
from policy_lang.diagnostics import printable
from policy_lang.ir import tables
from policy_lang.ir.tables import Table
from policy_lang.plan.tables import TablePlan

COUNT = 1_000
"""Requests that are drawn where none are given."""

MOST_COUNT = 1_000_000
MOST_SHOWN = 100
"""Differences that are shown; the others are counted."""

LEAST_VERSION = (2, 8)

_CLASS = re.compile(r"\\[dDwWsSbB]")
_NOT_ASCII = re.compile("[^\x00-\x7f]|[\x0b\x1c-\x1f]")
"""What is a digit, a letter or a blank to Python and not to RE2 is among these."""

INSTALL = "pip install 'pycasbin>=2.8'"

UNKNOWN = "no reason is known: it is a fault of ours or of Casbin's"


class Asked(Protocol):
    """What stands for Casbin: `casbin_original.Original`."""

    def answer(self, request: Sequence[object]) -> bool | str: ...


class Difference(Struct, frozen=True):
    """`theirs`: whether Casbin allows, or what it raises. `row` is where ours decided; `reason` begins with a code or
    with the number of a trap of the documentation where there is one.
    """

    request: Request
    theirs: bool | str
    ours: bool
    row: str
    reason: str


class Compared(Struct, frozen=True):
    """`allowed` and `raised` count answers of Casbin's."""

    asked: int
    allowed: int
    raised: int
    differences: tuple[Difference, ...]

    @property
    def compared(self) -> int:
        """Requests that Casbin answered."""
        return self.asked - self.raised

    @property
    def agreed(self) -> bool:
        """Whether something was compared, and nothing differs."""
        return self.compared > 0 and not self.differences


@click.command(short_help="Ask Casbin itself, and report every difference.")
@casbin_options
@click.option("--requests", "file", type=path_type, metavar="FILE", help="A file of requests, a line each; - is stdin.")
@click.option(
    "--count",
    type=click.IntRange(1, MOST_COUNT),
    default=COUNT,
    show_default=True,
    help="How many are drawn without --requests.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The seed they are drawn from.")
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    model: Path,
    policy: str,
    wishes: Wishes,
    file: Path | None,
    count: int,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Ask Casbin itself, and report every difference.

    It needs the extra `pycasbin`. Without --requests the requests are drawn from what the policy names. Casbin reads
    every row for every request: over many rows ask a smaller --count.

    Ends 0 where every answer is the same, 1 where one differs, or where Casbin answers none.
    """
    why = refusal(_installed)
    if why:
        raise CasbinInputError("I420", why)
    found = taken(model, policy, wishes)
    table = program_of(found)
    requests = _drawn(table, count, seed) if file is None else requests_of_file(file, table.parameters)
    # Loaded where it is used: pycasbin is an extra, and which distribution answers is known only now.
    make: Callable[[Taken], Asked] = vars(importlib.import_module("pdp.cli.casbin_original"))["Original"].of
    with working(f"asking Casbin about {len(requests)} requests, over {len(table.rows)} rows each"):
        compared = compare(found, table, requests, make, time.time_ns() // 1_000_000)
    for line in [json.dumps(_json(compared), indent=2)] if as_json else _lines(compared):
        click.echo(line)
    ctx.exit(0 if compared.agreed else 1)


# ---------------------------------------------------------------- which Casbin


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def refusal(installed: Callable[[str], str | None]) -> str:
    """Why Casbin cannot be asked, empty where it can; `installed` gives the version of a distribution."""
    former = installed("casbin")
    if former is not None:
        why = f"the distribution `casbin` {former} is installed, which is the frozen former name of pycasbin"
        return f"{why}: pip uninstall casbin pycasbin, then {INSTALL}"
    there = installed("pycasbin")
    if there is None:
        return f"Casbin itself is not installed: {INSTALL}"
    numbers = tuple(int(part) for part in there.split(".")[:2] if part.isdecimal())
    return "" if numbers >= LEAST_VERSION else f"pycasbin {there} is installed, and 2.8 or newer is asked: {INSTALL}"


# ---------------------------------------------------------------- comparing


def _drawn(table: Table, count: int, seed: int) -> list[Request]:
    drawer, random = Drawer.of(table), Random(seed)  # noqa: S311 - requests for a comparison, no secret
    values = [drawer.drawn(random) for _ in range(count)]
    return [Request(each, ", ".join(_written(value) for value in each)) for each in values]


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def compare(
    found: Taken, table: Table, requests: Sequence[Request], make: Callable[[Taken], Asked], now_ms: int
) -> Compared:
    """Ask both; `make` gives a Casbin that was asked nothing yet."""
    plan, theirs = TablePlan.of(table), make(found)
    allowed = raised = 0
    differences: list[Difference] = []
    for request in requests:
        answer = theirs.answer(request.values)
        said = plan.said(request.values, now_ms=now_ms)
        ours = said.vote == "allow"
        allowed += answer is True
        raised += isinstance(answer, str)
        if ours is not (answer is True):
            row = "no row" if said.row is None else f"{table.file}:{table.rows[said.row].line}"
            reason = "; ".join(_reasons(found, table, request, answer, ours=ours, make=make)) or UNKNOWN
            differences.append(Difference(request, answer, ours, row, reason))
    return Compared(len(requests), allowed, raised, tuple(differences))


_OF_WARNINGS = {
    "W625": "strict follows chains of any length, Casbin 9 links",
    "W609": "Casbin asks plain roles as equal names where others have conditions",
    "W610": "a pattern means something else to one of the two",
    "W621": "times are compared in UTC, by Casbin in the zone of the process",
}
"""Warnings of a model or a policy under which the two may differ."""


def _has_classes(table: Table) -> bool:
    """Whether a pattern, of a row, a role or the matcher, may hold one of the classes that engines read differently."""
    constants = (str(part.value) for part in all_in(table.matcher) if isinstance(part, tables.Constant))
    names = (name for graph in table.graphs for link in graph.links for name in (link.member, link.role, link.domain))
    values = (value for row in table.rows for value in row.values)
    return any(_CLASS.search(text) for text in chain(constants, names, values))


def _reasons(
    found: Taken,
    table: Table,
    request: Request,
    theirs: bool | str,
    *,
    ours: bool,
    make: Callable[[Taken], Asked],
) -> Iterator[str]:
    """What is known to make the two differ, as far as it is so here."""
    if isinstance(theirs, str):
        yield "trap 17: a row at which Casbin raises is unknown, and the others are asked"
        return
    if not table.rows:
        yield "trap 18: a table without rows says nothing, Casbin asks the matcher of empty columns"
    if make(found).answer(request.values) is ours:
        yield "trap 6: Casbin's answer depends on the names that it was asked about before"
    if any("\n" in value for value in request.values if isinstance(value, str)):
        yield "trap 9: `$` of a pattern stands before a final line end too in Casbin"
    if _has_classes(table) and any(_NOT_ASCII.search(value) for value in request.values if isinstance(value, str)):
        yield "trap 9: `\\d`, `\\w`, `\\s` and `\\b` of a pattern are of all scripts in Casbin, of ASCII in RE2"
    functions = {part.function for part in all_in(table.matcher) if isinstance(part, tables.BuiltIn)}
    if "ipMatch" in functions and any("::ffff:" in str(value).lower() for value in request.values):
        yield "trap 13: an IPv4 address written as IPv6 is that IPv4 address"
    if "timeMatch" in functions or any(link.condition for graph in table.graphs for link in graph.links):
        yield f"trap 25: times are compared in {table.zone}, by Casbin in the zone of the process"
    codes = {each.code for each in found.diagnostics}
    yield from (f"{code}: {said}" for code, said in _OF_WARNINGS.items() if code in codes)


# ---------------------------------------------------------------- telling


def _lines(compared: Compared) -> Iterator[str]:
    for each in compared.differences[:MOST_SHOWN]:
        theirs = f"raises {each.theirs}" if isinstance(each.theirs, str) else _word(allowed=each.theirs)
        place = f"line {each.request.line}: " if each.request.line else ""
        yield printable(f"{place}{each.request.written}")
        yield printable(f"    Casbin {theirs}, ours {_word(allowed=each.ours)} ({each.row})")
        yield printable(f"    {each.reason}")
    more = len(compared.differences) - MOST_SHOWN
    if more > 0:
        yield f"{more} more not shown"
    reasons = Counter(each.reason for each in compared.differences)
    if len(compared.differences) > 1:
        yield from (printable(f"{count} times {reason}") for reason, count in reasons.most_common())
    if not compared.compared:
        yield "nothing was compared: Casbin answers none of the requests; give some that it can be asked, by --requests"
    count = len(compared.differences)
    answered = f"{compared.raised} raised" + (f" and {compared.compared} compared" if compared.raised else "")
    asked = f"{compared.asked} requests, {compared.allowed} allowed by Casbin, {answered}"
    yield f"{asked}, {count} difference{'' if count == 1 else 's'}"


def _word(*, allowed: bool) -> str:
    return "allows" if allowed else "refuses"


def _json(compared: Compared) -> dict[str, object]:
    return {
        "asked": compared.asked,
        "compared": compared.compared,
        "allowed": compared.allowed,
        "raised": compared.raised,
        "differences": [
            {
                "request": list(each.request.values),
                "line": each.request.line or None,
                "theirs": each.theirs,
                "ours": each.ours,
                "row": each.row,
                "reason": each.reason,
            }
            for each in compared.differences
        ],
    }
