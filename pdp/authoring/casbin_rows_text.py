"""Records of a `casbin_rule` table as the text of a policy, one line each.

INVARIANT: the text is read as the records it was made of, or it is not made.
Source: Casbin's documentation, "Policy storage"; policy_lang/casbin/row_lines.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from pdp.authoring.model import AuthoringError
from policy_lang.casbin.row_lines import bracketed_values_of


def rows_text(records: Iterable[tuple[str | None, ...]]) -> str:
    """The lines. Errors: AuthoringError I432 for a record that a line cannot say, by its number."""
    lines: list[str] = []
    for number, record in enumerate(records, 1):
        values = [(value or "").strip() for value in record]
        while values and not values[-1]:
            values.pop()
        line = ", ".join(values)
        read, wrong = bracketed_values_of(line)
        if not values or read != values or wrong is not None or line[:1] in {"#", "\ufeff"} or _breaks(line):
            why = "a comma, a bracket, a line end or a `#` in a value is something else in a line of a policy"
            raise AuthoringError("I432", f"record {number} cannot be written as a line: {why}")
        lines.append(f"{line}\n")
    return "".join(lines)


def _breaks(line: str) -> bool:
    return "\n" in line or "\r" in line
