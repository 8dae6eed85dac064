"""Records of a `casbin_rule` table as the text of a policy, one line each.

INVARIANT: the text is read as the records it was made of, or it is not made. Where a record ends is said by
policy_lang/casbin/rows.py, whose decision on empty values this one follows.
Source: Casbin's documentation, "Policy storage"; policy_lang/casbin/row_lines.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pdp.authoring.model import AuthoringError
from policy_lang.casbin.row_lines import bracketed_values_of


def rows_text(records: Iterable[Sequence[str | None]], takes: Mapping[str, int]) -> str:
    """The lines; `takes` are the numbers of values that types have (policy_lang/casbin/row_reading.py).

    Errors: AuthoringError I432 for a record that a line cannot say, by its number.
    """
    lines: list[str] = []
    for number, record in enumerate(records, 1):
        values = _values(record, takes)
        line = ", ".join(values).rstrip()
        read, wrong = bracketed_values_of(line)
        if not values or read != values or wrong is not None or line[:1] in {"", "#", "\ufeff"} or _breaks(line):
            why = "a comma, a bracket, a line end or a `#` in a value is something else in a line of a policy"
            raise AuthoringError("I432", f"record {number} cannot be written as a line: {why}")
        lines.append(f"{line}\n")
    return "".join(lines)


def _values(record: Sequence[str | None], takes: Mapping[str, int]) -> list[str]:
    """The values of a record as far as it goes: those that its type takes, empty ones too."""
    values = [(value or "").strip() for value in record]
    ended = next((at for at, value in enumerate(record) if value is None and not any(values[at:])), len(values))
    del values[ended:]
    longer = bool(values) and len(values) > 1 + takes.get(values[0], 0)
    while longer and values and not values[-1]:
        values.pop()
    return values


def _breaks(line: str) -> bool:
    return "\n" in line or "\r" in line
