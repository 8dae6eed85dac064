"""Policy texts and records to rows and links: what is in them, each with the line it stands on.

In goes a policy (lines such as `p, alice, data1, read`, or the records of a `casbin_rule` table) and the model that
declares its types, out come rows by policy type, links by role definition, and diagnostics. Nothing is ranked yet, and
nothing that a matcher asks of a row is checked: that is for `tables`.
INVARIANT: without an error every row has a value for each column of its type, every link one for each place of its
role definition. Linear in the text; values that repeat are kept once.
Source: Casbin's documentation, "Policy storage"; language.md 6.6, items 2, 17, 22; measured on pycasbin 2.8.

Decision (2026-11-21): a policy of more than 64 MiB is refused by its size: it holds more than a million rows, and what
is kept of them is many times as large as the text.
Decision (2026-11-21): rows of an unknown type, and of an unknown effect, which Casbin passes over in silence, are
passed over in compat with a warning. A row with the wrong number of values, for which Casbin raises at each request
that reaches it, is an error in both modes; a link with more values than places is cut by Casbin, and so in compat.
Decision (2026-11-21): a byte order mark is left out in both modes, with a warning where it stands before a row, which
Casbin for Python loses. Characters that cannot be seen, a CR within a line among them, are refused in strict wherever
they stand, in comments too.
Decision (2026-11-21): values of records are trimmed, as Casbin for Python does; a comma in one is a character of it,
for its limits are known. A record ends before its first NULL; what has as many values as its type asks for has them,
empty ones too. Of a longer one, in a table that holds empty strings where others hold NULL, nobody can tell an empty
value from none: it ends with the last one that is not empty, so that no row gets an empty pattern by accident.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct, field

from policy_lang.casbin.definitions import Model
from policy_lang.casbin.row_lines import BYTE_ORDER_MARK, ODD, line_span, lines, span_of, values_of
from policy_lang.casbin.row_reading import Reading, values_taken
from policy_lang.diagnostics import Diagnostic
from policy_lang.ir.tables import FunctionName, Link, Mode, Row
from policy_lang.mistakes.casbin_rows import HoleInRecord, MarkBeforeRow, PolicyTooLarge
from policy_lang.source import Source, Span

MOST_BYTES = 64 * 2**20
"""The largest policy, in bytes of UTF-8."""


class Options(Struct, frozen=True):
    """How a policy is read. `matching` and `domain_matching` are the functions by which names and domains of a role
    definition are compared, by its name. `zone` is the IANA name of the zone of `timeMatch`; `functions` are the names
    of those that the embedding program gives.
    """

    mode: Mode = "strict"
    matching: Mapping[str, FunctionName] = field(default_factory=dict)
    domain_matching: Mapping[str, FunctionName] = field(default_factory=dict)
    zone: str | None = None
    functions: Collection[str] = ()


STRICT = Options()


class PolicyRows(Struct, frozen=True):
    """Rows by policy type and links by role definition, in the order of the policy; every definition of the model has
    its entry. `source` holds the lines that rows and links name. `diagnostics` are sorted, the first of many.
    """

    source: Source
    rows: Mapping[str, tuple[Row, ...]]
    links: Mapping[str, tuple[Link, ...]]
    diagnostics: tuple[Diagnostic, ...]

    def line_place(self, line: int) -> Span:
        """A whole line."""
        return line_span(self.source, line)

    def place(self, kind: str, line: int, values: Sequence[str], at: int) -> Span:
        """Where `values[at]` stands, of the values of a line of the type `kind`."""
        return span_of(self.source, line, (kind, *values), at + 1)


def read_rows(source: Source, model: Model, options: Options = STRICT) -> PolicyRows:
    """The rows and links of a policy text, one a line.

    Errors: none raised. With an error among the diagnostics, or the model's, the rows are not all there.
    """
    reading = Reading(source, model, options.mode)
    text = source.text
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        return _too_large(reading, size)
    odd = ODD.search(text) is not None
    marked = text.startswith(BYTE_ORDER_MARK)
    for number, start, line in lines(text):
        strange = odd and ODD.search(line)
        if strange:
            reading.look_for_hidden(start, line)
        if line[0] == "#":
            continue
        if marked and number == 1:
            reading.found.note(MarkBeforeRow(span=Span(source.name, start, start + len(line))))
        values = reading.odd_values(start, line) if strange else values_of(line)
        if values is not None:
            reading.take(number, values)
    return _result(reading)


def rows_of(
    records: Iterable[Sequence[str | None]], model: Model, options: Options = STRICT, *, name: str = "casbin_rule"
) -> PolicyRows:
    """The same of records: policy type, then values, as the columns `ptype, v0 … v5` hold them.

    Lines are the numbers of the records, from 1; `source`, of that name, is a text made for excerpts, a line a record.
    Errors: none raised; the size is that of all values.
    """
    taken: list[list[str]] = []
    holes: list[int] = []
    size = 0
    takes = values_taken(model)
    for number, record in enumerate(records, 1):
        # The text that a value holds, whatever a subclass of strings makes of it.
        values = ["" if value is None else str.strip(value) for value in record]
        end = next((at for at, value in enumerate(record) if value is None), None)
        if end is not None:
            if any(values[end:]):
                holes.append(number)
            else:
                del values[end:]
        longer = values and len(values) > 1 + takes.get(values[0], 0)
        while longer and values and not values[-1]:
            values.pop()
        taken.append(values)
        size += sum(len(value.encode("utf-8", "surrogatepass")) + 2 for value in taken[-1])
        if size > MOST_BYTES:
            return _too_large(Reading(Source(name, ""), model, options.mode), size)
    source = Source(name, "\n".join(", ".join(values).translate(_ON_ONE_LINE) for values in taken))
    reading = Reading(source, model, options.mode)
    for number in holes:
        if reading.found.wants("error"):
            reading.found.add(HoleInRecord(span=line_span(source, number)))
    for number, values in enumerate(taken, 1):
        reading.look_into_record(number, values)
        reading.take(number, values)
    return _result(reading)


_ON_ONE_LINE = str.maketrans("\r\n", "\ufffd\ufffd")


def _too_large(reading: Reading, size: int) -> PolicyRows:
    reading.found.note(PolicyTooLarge(span=Span(reading.source.name, 0, 0), size=size, most=MOST_BYTES))
    return _result(reading)


def _result(reading: Reading) -> PolicyRows:
    rows = {name: tuple(each) for name, each in reading.rows.items()}
    links = {name: tuple(each) for name, each in reading.links.items()}
    return PolicyRows(reading.source, rows, links, reading.found.all())
