"""Casbin models for an embedding program: two texts in, a program that answers requests out.

`compile_casbin` takes a `model.conf` and a policy as texts and gives a `CasbinProgram`, or raises `CompileError` with
every diagnostic. A program is never changed and is safe from many threads; `updated` and `using` make other ones.
INVARIANT: `enforce` says True where the table votes allow, and False for everything else: a deny, nothing, a value that
is missing or of a type that nothing is asked of.
Source: language.md 6.4; Casbin's documentation, "Enforcers", "Management API".

Decision (2026-11-21): a request of another number of values is a mistake of the program that asks, not a request to be
refused: `ValueError`, as for a row that is to be removed and is not there.
Decision (2026-11-21): removing a row removes it however often it stands there; adding one puts it behind the others.
Where rows rank by a column or by their subject, all are ranked anew, and only what the plan makes of them is shared.
Decision (2026-11-21): dead rows and long chains are told of when a text is compiled; an update tells of its own rows,
and no longer of those of the update before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.casbin.changes import by_type, joined, merged, numbered, texts_of
from policy_lang.casbin.conditions import clashes_with
from policy_lang.casbin.definitions import Model, Sections, read_model
from policy_lang.casbin.findings import Findings
from policy_lang.casbin.ranking import PRIORITY_COLUMN
from policy_lang.casbin.rows import Options, PolicyRows, read_rows, rows_of
from policy_lang.casbin.tables import table as table_of
from policy_lang.diagnostics import CompileError, Diagnostic, has_errors, ordered
from policy_lang.ir.tables import FunctionName, Mode, Table
from policy_lang.meaning.tables import NO_FUNCTIONS, Functions
from policy_lang.mistakes.casbin_rows import TwoConditions, TwoConditionsPassed
from policy_lang.plan.tables import TablePlan
from policy_lang.source import Source

MODEL_NAME = "model.conf"
POLICY_NAME = "policy.csv"
ADDED_NAME = "added rows"

Clock = Callable[[], int]
"""The instant, in milliseconds since 1970-01-01 UTC."""

Record = Sequence[str]
"""A row as in a policy, its type first: `("p", "alice", "data1", "read")`, `("g", "alice", "admin")`."""

NO_MATCHING: Mapping[str, FunctionName] = MappingProxyType({})


def system_clock() -> int:
    """What the machine's clock shows."""
    return time.time_ns() // 1_000_000


def compile_casbin(
    model: str,
    policy: str,
    *,
    mode: Mode = "strict",
    functions: Functions = NO_FUNCTIONS,
    matching: Mapping[str, FunctionName] = NO_MATCHING,
    domain_matching: Mapping[str, FunctionName] = NO_MATCHING,
    zone: str | None = None,
    clock: Clock = system_clock,
) -> CasbinProgram:
    """The program of a model and a policy, given as texts, not as paths.

    `functions` are asked by the matcher under their names; they must not change anything, and may be asked any number
    of times. `matching` and `domain_matching` are the functions by which names and domains of a role definition are
    compared, by its name. `zone` is the IANA name of the zone of `timeMatch`.
    Errors: CompileError; ValueError for a mode that is none.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"no mode is called `{mode}`: there are `strict` and `compat`")
    functions = dict(functions)  # what the caller does to its own afterwards changes no program
    options = Options(mode, dict(matching), dict(domain_matching), zone, frozenset(functions))
    read = read_model(Source(MODEL_NAME, model), mode=mode)
    rows = read_rows(Source(POLICY_NAME, policy), read, options)
    sections = Sections()
    table, diagnostics = _table(read, rows, sections, options)
    plan = TablePlan.of(table, functions)
    return CasbinProgram(
        read,
        rows,
        sections,
        options,
        functions,
        clock,
        plan,
        _updated=False,
        _compiled=diagnostics,
        diagnostics=diagnostics,
    )


class CasbinProgram(Struct, frozen=True, eq=False):
    """A compiled model with its policy. `diagnostics` are warnings, of the text that was compiled (`_compiled`) and of
    the last update. Made by `compile_casbin`; `_updated`: lines of its rows are no longer those of a text.
    """

    _model: Model
    _rows: PolicyRows
    _sections: Sections
    _options: Options
    _functions: Functions
    _clock: Clock
    _plan: TablePlan
    _updated: bool
    _compiled: tuple[Diagnostic, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def table(self) -> Table:
        """The table that is asked."""
        return self._plan.table

    # ---------------------------------------------------------------- asking

    def enforce(self, *request: object) -> bool:
        """Whether the request is allowed. ValueError where it has another number of values than the model asks for."""
        if len(request) != len(self._plan.table.parameters):
            raise self._other_number(request)
        return self._plan.said(request, now_ms=self._clock()).vote == "allow"

    def enforce_ex(self, *request: object) -> tuple[bool, tuple[str, ...]]:
        """The same, with the values of the row that decided; none where no row did."""
        if len(request) != len(self._plan.table.parameters):
            raise self._other_number(request)
        said = self._plan.said(request, now_ms=self._clock())
        row = () if said.row is None else self._plan.table.rows[said.row].values
        return said.vote == "allow", row

    def batch_enforce(self, requests: Iterable[Sequence[object]]) -> list[bool]:
        """The answer to each request, in their order."""
        return [self.enforce(*request) for request in requests]

    def _other_number(self, request: Sequence[object]) -> ValueError:
        names = self._plan.table.parameters
        return ValueError(f"a request has {len(names)} values ({', '.join(names)}), not {len(request)}")

    # ---------------------------------------------------------------- other programs

    def using(self, r: str = "r", p: str = "p", e: str = "e", m: str = "m") -> CasbinProgram:
        """The program that combines these definitions of the model, with the same rows.

        Errors: ValueError for a definition that the model does not have; CompileError.
        """
        model = self._model
        known = ((r, model.requests), (p, model.policies), (e, model.effects), (m, model.matchers))
        for name, definitions in known:
            if name not in definitions:
                raise ValueError(
                    f"the model has no `{name}`: there is {', '.join(f'`{each}`' for each in definitions)}"
                )
        sections = Sections(r, p, e, m)
        rows = numbered(self._rows, model) if self._updated else self._rows
        table, diagnostics = _table(model, rows, sections, self._options)
        plan = TablePlan.of(table, self._functions)
        return replace(self, _sections=sections, _plan=plan, _compiled=diagnostics, diagnostics=diagnostics)

    def updated(self, *, add: Iterable[Record] = (), remove: Iterable[Record] = ()) -> CasbinProgram:
        """The program without some rows, and then with some more; this one stays as it is.

        Only what the change reaches is made anew; what remains is the copying of a list or two, a hundredth of the time
        of compiling. Errors: ValueError for a row to remove that is not there, and for a record that is no list or
        tuple of strings; CompileError for a row to add.
        """
        gone = by_type(texts_of(remove))
        more = rows_of(texts_of(add), self._model, self._options, name=ADDED_NAME)
        if has_errors(more.diagnostics):
            raise CompileError(ordered(more.diagnostics), _sources(self._model, more))
        rows = merged(self._rows, gone, more, self._model)
        if self._ranks():
            rows = numbered(rows, self._model)
            table, said = _table(self._model, rows, self._sections, self._options)
            said = (*more.diagnostics, *said)
        else:
            added, said = _table(self._model, more, self._sections, self._options)
            said = (*said, *self._second_conditions(more, rows))
            table = joined(self._plan.table, gone.get(self._sections.p, ()), added, rows, self._model)
            said = (*self._compiled, *said)
        plan = self._plan.changed(table)
        return replace(self, _rows=rows, _updated=True, _plan=plan, diagnostics=ordered(said))

    def _second_conditions(self, more: PolicyRows, rows: PolicyRows) -> tuple[Diagnostic, ...]:
        """What is said of added links that are alike to one of the others but for their conditions; `rows` has them
        all. CompileError in strict.
        """
        strict = self._options.mode == "strict"
        made = TwoConditions if strict else TwoConditionsPassed
        found = Findings(more.source)
        for name, links in more.links.items():
            there = rows.links[name][: len(rows.links[name]) - len(links)]
            for link in clashes_with(there, links) if self._model.roles[name].conditions and links else ():
                found.note(made(span=more.line_place(link.line), member=link.member, role=link.role))
        if strict and found.all():
            raise CompileError(found.all(), _sources(self._model, more))
        return found.all()

    def _ranks(self) -> bool:
        """Whether rows stand otherwise than they are written."""
        policy = self._model.policies[self._sections.p]
        return PRIORITY_COLUMN in policy.tokens or self._model.effects[self._sections.e].by_subject


def _table(
    model: Model, rows: PolicyRows, sections: Sections, options: Options
) -> tuple[Table, tuple[Diagnostic, ...]]:
    table, diagnostics = table_of(model, rows, sections, options)
    if table is None:
        raise CompileError(ordered(diagnostics), _sources(model, rows))
    return table, ordered(diagnostics)


def _sources(model: Model, rows: PolicyRows) -> Mapping[str, Source]:
    """The texts that diagnostics name."""
    return {source.name: source for source in (model.source, rows.source)}
