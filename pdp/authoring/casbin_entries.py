"""A Casbin table read as grants and refusals: who, on what, doing what; and what cannot be read so.

In goes a table; out come entries, one for each row and each way in which the matcher can be true of it, and findings,
each with the place and the reason, for what is left out.
INVARIANT: an entry holds of a request exactly where its row casts its vote by its way of the matcher, of requests whose
values are text. Rows that refuse say nothing under the effect that asks for grants alone.
SECURITY: what is left out of the rows that refuse would be allowed: then nothing is converted at all (`Refused`).
Source: language.md 6.4; policy_lang/plan/table_conjunctions.py.

Decision (2026-11-21): which actions a row takes is found by asking its condition of each action there is, methods of
HTTP or those that rows name; so any function over actions is read, regular expressions included.
Decision (2026-11-21): rows whose paths cross those of others (`/a/:x/c` and `/a/b/:y`) are left out, since of two
endpoints that share paths one is the narrower (E410).
Decision (2026-11-21): a table whose effect is `priority` is converted where its refusals rank before its grants, or
where it has none: rules have no order. Default allow, domains, conditions on links and matching functions of role
definitions are not converted: the `casbin` block keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pdp.authoring.casbin_parameters import ANYTHING, meanings
from pdp.authoring.casbin_shapes import EVERYTHING, MOST_SHAPES, Shape, crossed, shape_of
from pdp.authoring.model import Finding
from pdp.authoring.pol_text import METHODS
from policy_lang.casbin.parts import all_in
from policy_lang.ir import tables
from policy_lang.ir.table_text import print_expression
from policy_lang.ir.tables import Expression, FunctionName, Row, Table, Vote
from policy_lang.meaning.tables import TableMeaning
from policy_lang.meaning.values import FALSE, TRUE
from policy_lang.plan.table_conjunctions import Among, Conjunction, Distinct, Equal, Fits, Held, Keyed, conjunctions

MOST_ACTIONS = 50


class Who(Struct, frozen=True):
    """Everybody (`name` None), the one of this name, or (`graph`) those who have it as a role in that graph."""

    name: str | None
    graph: int | None = None


class Thing(Struct, frozen=True):
    """Something that has a name and no path: everything, this name, or those that begin so."""

    how: Literal["any", "is", "begins"]
    name: str = ""


class Entry(Struct, frozen=True):
    """`actions` in the order of `Entries.actions`; `line` of the policy."""

    who: Who
    what: Shape | Thing
    actions: tuple[str, ...]
    vote: Vote
    line: int


class Places(Struct, frozen=True):
    """The parameters by what they are; None where the model has none such. `paths`: `what` is a path."""

    who: int | None
    what: int | None
    action: int | None
    paths: bool


class Entries(Struct, frozen=True):
    """`actions` are all there are."""

    places: Places
    actions: tuple[str, ...]
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]


class Refused(Struct, frozen=True):
    """Why nothing of the table can be converted."""

    why: str


def entries_of(table: Table) -> Entries | Refused:
    """The entries of a table."""
    why = _refused(table)
    places = _places(table)
    if why or isinstance(places, str):
        return Refused(why or str(places))
    actions = METHODS if places.paths else _named_actions(table, places)
    if len(actions) > MOST_ACTIONS:
        return Refused(f"rows name more than {MOST_ACTIONS} actions")
    reader = _Reader(table, places, actions)
    found: dict[Entry, None] = {}
    left: dict[Finding, None] = {}
    for way in conjunctions(table.matcher, written_reads=True):
        for row in table.rows:
            if row.vote is None or (row.vote == "deny" and table.effect == "allow_override"):
                continue
            said = reader.entry(way, row)
            if isinstance(said, Entry):
                found[said] = None
            elif said is not None:
                if row.vote == "deny":
                    return Refused(f"{said.place} refuses, and cannot be converted: {said.message}")
                left[said] = None
    parted = _parted(table, list(found))
    if isinstance(parted, Refused):
        return parted
    return Entries(places, actions, parted[0], (*left, *parted[1]))


def _parted(table: Table, entries: list[Entry]) -> tuple[tuple[Entry, ...], tuple[Finding, ...]] | Refused:
    """The entries whose paths lie within one another or apart; those that cross others are left out. Those that refuse
    come first, so that none of them is.
    """
    kept: dict[Shape, int] = {}
    findings: dict[Finding, None] = {}
    for entry in sorted(entries, key=lambda each: each.vote == "allow"):
        if not isinstance(entry.what, Shape) or entry.what in kept:
            continue
        if len(kept) == MOST_SHAPES:
            return Refused(f"its rows name more than {MOST_SHAPES} different paths")
        other = crossed(entry.what, kept)
        if other is None:
            kept[entry.what] = entry.line
            continue
        why = f"its paths {entry.what.text()} cross {other.text()} of line {kept[other]}, which no inventory can hold"
        if entry.vote == "deny":
            return Refused(f"{table.file}:{entry.line} refuses, and cannot be converted: {why}")
        findings[Finding(f"{table.file}:{entry.line}", why, left_out=True)] = None
    left = tuple(each for each in entries if not isinstance(each.what, Shape) or each.what in kept)
    return left, tuple(findings)


def _refused(table: Table) -> str:
    votes = [row.vote for row in table.rows if row.vote is not None]
    ordered = "allow" not in votes or "deny" not in votes[votes.index("allow") :]
    if table.effect == "deny_override":
        return "its effect allows what no row refuses, and a policy allows nothing by itself"
    if table.effect == "priority" and not ordered:
        return "rows that refuse stand behind rows that allow, and rules have no order: a refusal beats every grant"
    for graph in table.graphs:
        if graph.domains or graph.matching or any(link.condition for link in graph.links):
            return f"`{graph.name}` has domains, conditions or a matching function"
    return ""


def _places(table: Table) -> Places | str:
    meant = meanings(table)
    who = meant.index("subject") if "subject" in meant else None
    others = [place for place, each in enumerate(meant) if each in {"other", "address"}]
    action = meant.index("method") if "method" in meant else None
    if "path" in meant:
        return _unread(table, others) or Places(who, meant.index("path"), action, paths=True)
    if not others:
        return "no parameter of a request is what is asked for"
    if action is None and len(others) > 1:
        action = others.pop()
    return _unread(table, others[1:]) or Places(who, others[0], action, paths=False)


def _unread(table: Table, places: Sequence[int]) -> str:
    names = ", ".join(f"`r.{table.parameters[place]}`" for place in places)
    return f"{names} is neither who asks, nor what for, nor an action" if names else ""


def _named_actions(table: Table, places: Places) -> tuple[str, ...]:
    """The actions that rows and the matcher name."""
    if places.action is None:
        return ("use",)
    beside: dict[str, None] = {}
    for part in all_in(table.matcher):
        pair: tuple[Expression, ...] = ()
        match part:
            case tables.Comparison(_, left, right) | tables.Within(left, right):
                pair = (left, right)
            case tables.BuiltIn(_, arguments):
                pair = arguments
            case _:
                pass
        if tables.Parameter(places.action) in pair:
            for each in pair:
                beside |= dict.fromkeys(_texts(each, table))
    return tuple(text for text in beside if text not in ANYTHING and text.isprintable())


def _texts(of: Expression, table: Table) -> Iterator[str]:
    match of:
        case tables.Column(column):
            yield from (row.values[column] for row in table.rows)
        case tables.Constant(str() as value):
            yield value
        case tables.Listed(parts):
            for part in parts:
                yield from _texts(part, table)
        case _:
            pass


# ---------------------------------------------------------------- one way, one row


class _Unread(Struct, frozen=True):
    why: str


_Said = Who | Shape | Thing | tuple[str, ...] | _Unread
"""What a condition asks for: a tuple is of actions."""


class _Reader(Struct, frozen=True):
    table: Table
    places: Places
    actions: tuple[str, ...]

    def entry(self, way: Conjunction, row: Row) -> Entry | Finding | None:
        """What the row says by this way; None where the way is never true of it."""
        who, what = Who(None), EVERYTHING if self.places.paths else Thing("any")
        actions = self.actions
        seen: set[type] = set()
        if not all(self._holds(each, row, "") for each in way.fixed):
            return None
        for condition in (*way.keyed, *way.alone, *way.rest):
            read = self._read(condition, row)
            if isinstance(read, _Unread) or (not isinstance(read, tuple) and type(read) in seen):
                why = read.why if isinstance(read, _Unread) else "two conditions of one parameter are not joined"
                return Finding(f"{self.table.file}:{row.line}", why, left_out=True)
            match read:
                case Who():
                    who = read
                case Shape() | Thing():
                    what = read
                case _:
                    actions = tuple(each for each in actions if each in read)
            seen.add(type(read))
        if row.vote is None or not actions:
            return None
        return Entry(who, what, actions, row.vote, row.line)

    def _read(self, condition: Keyed | Expression, row: Row) -> _Said:
        match condition:
            case Equal(column, tables.Parameter(place)):
                return self._named(row, place, None, row.values[column])
            case Fits(column, function, tables.Parameter(place)):
                return self._named(row, place, function, row.values[column])
            case Held(column, graph, tables.Parameter(place), None) if place == self.places.who:
                return Who(row.values[column], graph)
            case tables.Comparison("eq", tables.Parameter(place), tables.Constant(str() as text)):
                return self._named(row, place, None, text)
            case tables.Comparison("eq", tables.Constant(str() as text), tables.Parameter(place)):
                return self._named(row, place, None, text)
            case Among(_, expression) | Distinct(_, expression) if self._of_action(expression):
                return self._asked(expression, row)
            case Among(_, expression) | Distinct(_, expression):
                return self._unread(expression)
            case Equal() | Fits() | Held():
                return _Unread("a value of its row is compared with what no rule can ask for")
            case expression:
                if self._of_action(expression):
                    return self._asked(expression, row)
                return self._unread(expression)

    def _unread(self, expression: Expression) -> _Unread:
        if any(isinstance(part, tables.Written) for part in all_in(expression)):
            return _Unread(f"a condition stands in the row itself, by `{print_expression(self.table, expression)}`")
        return _Unread(f"a rule cannot ask for `{print_expression(self.table, expression)}`")

    def _named(self, row: Row, place: int, function: FunctionName | None, text: str) -> _Said:
        if place == self.places.action:
            if function is None:
                return tuple(action for action in self.actions if action == text)
            condition = tables.BuiltIn(function, (tables.Parameter(place), tables.Constant(text)))
            return self._asked(condition, row)
        if place == self.places.who:
            return Who(text) if function is None else _Unread(f"who asks is compared by {function}")
        if not self.places.paths:
            return _thing(function, text)
        shape = shape_of(function, text)
        return _Unread(f"`{text}`: {shape}") if isinstance(shape, str) else shape

    def _of_action(self, expression: Expression) -> bool:
        """Whether nothing of the request but the action is asked for."""
        parts = list(all_in(expression))
        asked = {part.place for part in parts if isinstance(part, tables.Parameter)}
        others = any(isinstance(part, tables.Linked | tables.Own | tables.Written) for part in parts)
        timed = any(isinstance(part, tables.BuiltIn) and part.function == "timeMatch" for part in parts)
        return asked == {self.places.action} and not others and not timed

    def _asked(self, expression: Expression, row: Row) -> tuple[str, ...]:
        return tuple(action for action in self.actions if self._holds(expression, row, action))

    def _holds(self, expression: Expression, row: Row, action: str) -> bool:
        """Whether a row casts its vote, as far as an expression goes that reads no more than the action: an allow row
        where it is true, a deny row where it is not false.
        """
        meaning = TableMeaning.of(replace(self.table, matcher=expression, rows=(row,), graphs=()))
        request = [action if place == self.places.action else "" for place in range(len(self.table.parameters))]
        truth = meaning.truth_of_row(0, request, now_ms=0)
        return truth is TRUE if row.vote == "allow" else truth is not FALSE


def _thing(function: FunctionName | None, text: str) -> Thing | _Unread:
    if function is None:
        return Thing("is", text)
    begins, star, _ = text.partition("*")
    if function != "keyMatch" or "*" in begins:
        return _Unread(f"names are compared by {function}: only a prefix can be asked for (`like`)")
    return Thing("begins" if begins else "any", begins) if star else Thing("is", text)
