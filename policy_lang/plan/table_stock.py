"""What a table becomes for its indexes, and what a change of the table changes of it.

In come tables; out come `Stock` and the design that a plan was built to: the conjunctions of the matcher, the columns
that have pattern indexes, and the roles that are ever asked about. Rows, links and row expressions may change under one
design; whatever else changes needs another.
Source: language.md 6.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir.tables import FunctionName, Link, Table
from policy_lang.meaning.role_graphs import Roles
from policy_lang.meaning.tables import Functions
from policy_lang.plan.table_asking import Reading, Stock
from policy_lang.plan.table_conditions import Maker
from policy_lang.plan.table_conjunctions import Conjunction, Fits, Held, conjunctions, reads_row
from policy_lang.plan.table_patterns import PatternIndex
from policy_lang.plan.table_slots import Realigned


class Design(Struct, frozen=True):
    """How the table is taken apart. `indexed` are the columns with a pattern index, and its function; `held` are the
    columns whose values are looked up as roles, by graph; `keyed` all columns by which anything is looked up.
    """

    maker: Maker
    parts: tuple[Conjunction, ...]
    written_reads: bool
    indexed: tuple[tuple[int, FunctionName], ...]
    held: Mapping[int, frozenset[int]]
    keyed: frozenset[int]

    @classmethod
    def of(cls, table: Table, functions: Functions) -> Design:
        """The design for a table."""
        written_reads = _written_reads(table)
        parts = tuple(conjunctions(table.matcher, written_reads=written_reads))
        keys = [key for part in parts for key in part.keyed]
        held: dict[int, frozenset[int]] = {}
        for key in keys:
            if isinstance(key, Held):
                held[key.graph] = held.get(key.graph, frozenset()) | {key.column}
        return cls(
            Maker(table.mode, table.zone, functions),
            parts,
            written_reads,
            tuple(sorted({(key.column, key.function) for key in keys if isinstance(key, Fits)})),
            held,
            frozenset(key.column for key in keys),
        )


def same_design(before: Table, after: Table) -> bool:
    """Whether two tables differ in their rows, links, row expressions and places only."""
    if _fixed_parts(before) != _fixed_parts(after) or _written_reads(before) is not _written_reads(after):
        return False
    if before.expressions is after.expressions:
        return True
    old = dict(before.expressions)
    return all(old[text] is of or repr(old[text]) == repr(of) for text, of in after.expressions if text in old)


def _fixed_parts(table: Table) -> tuple[object, ...]:
    # Not by equality of expressions: Python holds the constants 1 and True for one.
    graphs = tuple(replace(graph, links=()) for graph in table.graphs)
    return table.mode, table.effect, table.parameters, table.columns, repr(table.matcher), graphs, table.zone


def _written_reads(table: Table) -> bool:
    """Whether an expression that stands in a row reads anything of the row."""
    return any(reads_row(of) for _, of in table.expressions)


# ---------------------------------------------------------------- stock


def stocked(table: Table, design: Design) -> Stock:
    """The stock of a table, without questions; slots are ranks."""
    texts = {column: frozenset(row.values[column] for row in table.rows) for column in design.keyed}
    wanted = {graph: _wanted(columns, texts) for graph, columns in design.held.items()}
    return Stock(
        values=[row.values for row in table.rows],
        ranks=range(len(table.rows)),
        roles=tuple(Roles.of(graph, wanted.get(number), mode=table.mode) for number, graph in enumerate(table.graphs)),
        questions=(),
        patterns=tuple(
            PatternIndex.of(function, texts[column], mode=table.mode) for column, function in design.indexed
        ),
        texts=texts,
        written=design.maker.written(dict(table.expressions)),
    )


def restocked(stock: Stock, design: Design, before: Table, after: Table, rows: Realigned) -> Stock:
    """The stock of a table after a change under the same design."""
    added = [row for _, row in rows.added]
    texts = dict(stock.texts)
    for column in design.keyed:
        more = {row.values[column] for row in added} - texts[column]
        if more:
            texts[column] |= more
    roles = list(stock.roles)
    for number, (old, new) in enumerate(zip(before.graphs, after.graphs, strict=True)):
        add, remove = _links_changed(old.links, new.links)
        if add or remove:
            roles[number] = roles[number].changed(add, remove)
        columns = design.held.get(number, frozenset())
        if any(texts[column] is not stock.texts[column] for column in columns):
            roles[number] = roles[number].wanting(_wanted(columns, texts))
    return replace(
        stock,
        values=[*stock.values, *(row.values for row in added)] if added else stock.values,
        ranks=_ranks(stock, rows),
        roles=tuple(roles),
        patterns=tuple(
            index.having(row.values[column] for row in added)
            for index, (column, _) in zip(stock.patterns, design.indexed, strict=True)
        ),
        texts=texts,
        written=_written(stock, design.maker, before, after),
    )


def _wanted(columns: Iterable[int], texts: Mapping[int, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*(texts[column] for column in columns))


def _ranks(stock: Stock, rows: Realigned) -> Sequence[int]:
    if not rows.added and not rows.gone:
        return stock.ranks
    first = len(rows.slots) - len(rows.added)
    if not rows.gone and rows.slots[first:] == tuple(slot for slot, _ in rows.added):
        return [*stock.ranks, *range(first, len(rows.slots))]
    ranks = [0] * (len(stock.values) + len(rows.added))
    for rank, slot in enumerate(rows.slots):
        ranks[slot] = rank
    return ranks


def _written(stock: Stock, maker: Maker, before: Table, after: Table) -> Mapping[str, Reading]:
    if before.expressions is after.expressions:
        return stock.written
    made = maker.written({text: of for text, of in after.expressions if text not in stock.written})
    return {text: made.get(text) or stock.written[text] for text, _ in after.expressions}


def _links_changed(before: Sequence[Link], after: Sequence[Link]) -> tuple[list[Link], list[Link]]:
    """The links that are new and those that are gone: links are a set, their lines apart."""
    if before is after:
        return [], []
    shorter = min(len(before), len(after))
    front = next((place for place in range(shorter) if before[place] is not after[place]), shorter)
    old, new = {_key(link): link for link in before[front:]}, {_key(link): link for link in after[front:]}
    members = {link.member for link in (*old.values(), *new.values())}
    stays = {_key(link) for link in before[:front] if link.member in members}
    more = [link for key, link in new.items() if key not in old and key not in stays]
    gone = [link for key, link in old.items() if key not in new and key not in stays]
    return more, gone


def _key(link: Link) -> tuple[object, ...]:
    return link.member, link.role, link.domain, link.condition
