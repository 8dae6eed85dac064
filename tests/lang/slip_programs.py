"""A small right policy with a place for each kind of slip, and what is said of one that is put there."""

from __future__ import annotations

import re
from collections.abc import Iterable

from policy_lang.diagnostics import Diagnostic
from policy_lang.syntax.parser import parse
from policy_lang.syntax.slip_rows import Row

PLACES = {
    "a claim": "",
    "a declaration": "",
    "a line of a service": "",
    "an endpoint": "",
    "a rule": 'for any user on api because "b"',
    "a test": "call api GET /users/1 expect allow",
}
"""What stands in each place while nothing is wrong there."""


def policy(**written: str) -> str:
    """The policy with these texts at their places, `a_claim` for "a claim"."""
    at = {place: written.get(place.replace(" ", "_"), right) for place, right in PLACES.items()}
    return f"""module m
token user {{
  issuer "https://id.example"
  claim sub: string
  {at["a claim"]}
}}
{at["a declaration"]}
service api {{
  audience "api" {at["a line of a service"]}
  endpoint read GET /users/{{id}}
  {at["an endpoint"]}
}}
allow a
  {at["a rule"]}
test "t" {{
  {at["a test"]}
}}
"""


def only(**written: str) -> Diagnostic:
    """The one mistake that the parser finds."""
    (diagnostic,) = parse("m.pol", policy(**written).encode()).diagnostics
    return diagnostic


def remedy(diagnostic: Diagnostic) -> str:
    """What a person is told to write."""
    return diagnostic.label_text if diagnostic.code == "E101" else diagnostic.helps[-1]


_HOLE = re.compile(r"\{\w+(?::\w+)?\}")


def silent(rows: Iterable[Row], slips: Iterable[Diagnostic]) -> list[str]:
    """The rows by which none of `slips` was told, as far as their words show."""
    said = [f"{slip.message}\n{remedy(slip)}" for slip in slips]
    return [row.found for row in rows if not any(re.fullmatch(_worded(row), each) for each in said)]


def _worded(row: Row) -> str:
    """An expression for what a row says; a path has its own title."""
    return f"(?:{_open(row.what)}|.* does not belong in a path)\n{_open(row.remedy)}"


def _open(template: str) -> str:
    return ".*".join(re.escape(part) for part in _HOLE.split(template))
