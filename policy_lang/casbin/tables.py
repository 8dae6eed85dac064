"""A model and a policy to a table: the definitions that are combined, the rows in their rank, the graphs with their
links.

In go what `read_model` and `read_rows` gave, which definitions are meant, and the options; out comes the table that
policy_lang/ir/tables.py describes, and every diagnostic there is.
INVARIANT: a table is made only where nothing is an error: of a policy that is refused no row counts. Of a table that is
made every place, graph, function and expression is there.
Source: language.md 6.4, 6.6; Casbin's documentation, "Syntax for Models", "RBAC", "RBAC with conditions".

Decision (2026-11-21): strict follows chains of roles of any length and warns where Casbin would cut one; compat cuts
where Casbin does: at 9 links, of a definition with conditions at 10.
Decision (2026-11-21): the condition of a link is `timeMatch` of its two values, and always asked; Casbin takes a link
for unconditional until a program sets its function. Another number of values is refused in both modes, since nothing
says what they ask.
Decision (2026-11-21): a definition without conditions beside one that has them is refused in strict, whatever its place
(E609). In compat its graph has no links and no matching functions: a name has itself, as in Casbin for Python.
Decision (2026-11-21): without a time zone compat takes UTC, with a warning: the machine's own zone is no input.
Decision (2026-11-21): a matching function for a definition without that place, or with conditions, where Casbin takes
none, is refused in both modes.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from policy_lang.casbin.chains import CASBIN_FOLLOWS, CASBIN_FOLLOWS_CONDITIONS, longer_than
from policy_lang.casbin.conditions import clashes, last_conditions
from policy_lang.casbin.dead_rows import note_dead_rows
from policy_lang.casbin.definitions import Model, RoleDefinition, Sections
from policy_lang.casbin.findings import Findings
from policy_lang.casbin.matcher import resolved, row_expression
from policy_lang.casbin.parts import all_in
from policy_lang.casbin.ranking import ranked
from policy_lang.casbin.rows import STRICT, Options, PolicyRows
from policy_lang.casbin.traps import Traps, uses_in
from policy_lang.diagnostics import Diagnostic, Label, has_errors, nearest, ordered
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, FunctionName, Link, RoleGraph, Row, Table
from policy_lang.meaning.local_time import OPEN, zone_known
from policy_lang.mistakes.casbin_rows import (
    LongChain,
    MatchingOfUnknown,
    NoMatchingFunction,
    NoZone,
    NoZonePassed,
    PlainBesideConditional,
    PlainBesideConditionalPassed,
    TwoConditions,
    TwoConditionsPassed,
    UnaskedCondition,
    UnknownZone,
)
from policy_lang.source import Span

MATCHING_FUNCTIONS: tuple[FunctionName, ...] = (
    "keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "regexMatch", "globMatch", "ipMatch",
)  # fmt: skip
"""The functions that compare a name with a pattern."""

CONDITION_VALUES = 2
"""Values that a condition has: the times of `timeMatch`."""

UTC = "UTC"

BY_DEFAULT = Sections()


def table(
    model: Model,
    rows: PolicyRows,
    sections: Sections = BY_DEFAULT,
    options: Options = STRICT,
    id: str = "",  # noqa: A002
) -> tuple[Table | None, tuple[Diagnostic, ...]]:
    """The table of these definitions and rows, and every diagnostic there is, sorted: those of the model and of the
    rows included. None exactly where one of them is an error.
    """
    said = [*model.diagnostics, *_of_options(model, options), *_unasked(model)]
    if has_errors(said):
        return None, ordered([*said, *rows.diagnostics])
    matcher, of_matcher = resolved(model, sections, options.functions, mode=options.mode)
    said += [*of_matcher, *_beside_conditions(model, options)]
    if matcher is None:
        return None, ordered([*said, *rows.diagnostics])
    found = Findings(rows.source)
    made, of_rows = _made(model, rows, sections, options, matcher, found)
    said += [*of_rows, *rows.diagnostics, *found.all()]
    return None if has_errors(said) else replace(made, id=id), ordered(said)


def _made(
    model: Model, rows: PolicyRows, sections: Sections, options: Options, matcher: Expression, found: Findings
) -> tuple[Table, tuple[Diagnostic, ...]]:
    """The table as far as it goes; what is wrong with the policy goes to `found`, the rest comes back."""
    policy, effect, asked = model.policies[sections.p], model.effects[sections.e], model.matchers[sections.m]
    graphs = tuple(_graph(each, model, rows, options, found) for each in model.roles.values())
    order, said = ranked(model, rows, policy, effect, mode=options.mode, found=found)
    columns = [part.column for part in all_in(matcher) if isinstance(part, tables.Written)]
    texts = _texts(rows.rows[policy.name], columns, policy.name, rows)
    expressions: list[tuple[str, Expression | None]] = []
    for text, span in texts.items():
        expression, wrong = row_expression(text, span, model, sections, options.functions, mode=options.mode)
        found.note(*wrong)
        expressions.append((text, expression))
    every = [matcher, *(each for _, each in expressions if each is not None)]
    made = Table(
        id="",
        mode=options.mode,
        effect=effect.effect,
        parameters=model.requests[sections.r].tokens,
        columns=policy.tokens,
        matcher=matcher,
        rows=order,
        graphs=graphs,
        expressions=tuple(expressions),
        own=tuple(sorted({part.function for each in every for part in all_in(each) if isinstance(part, tables.Own)})),
        zone=options.zone or UTC,
        file=rows.source.name,
    )
    traps = Traps(rows, options.mode, found)
    traps.in_rows(made, policy.name, texts)
    for graph in graphs:
        traps.in_links(graph)
    note_dead_rows(made, rows, found)
    of_constants = Findings(model.source)
    Traps(rows, options.mode, of_constants).in_constants(uses_in(matcher), asked.text_span)
    return made, (*said, *of_constants.all(), *_of_zone(every, graphs, model, asked.text_span, options))


def _texts(of: tuple[Row, ...], columns: list[int], kind: str, rows: PolicyRows) -> dict[str, Span]:
    """Each text that stands in one of these columns, and where it does so first."""
    texts: dict[str, Span] = {}
    for row in of if columns else ():
        for column in columns:
            if row.values[column] not in texts:
                texts[row.values[column]] = rows.place(kind, row.line, row.values, column)
    return texts


# ---------------------------------------------------------------- roles


def _graph(role: RoleDefinition, model: Model, rows: PolicyRows, options: Options, found: Findings) -> RoleGraph:
    followed = CASBIN_FOLLOWS_CONDITIONS if role.conditions else CASBIN_FOLLOWS
    if options.mode == "compat" and model.by_name_only(role):
        return RoleGraph(role.name, role.domains, (), longest=followed)
    links = _links(role, rows, options, found)
    chain = longer_than(links, followed)
    strict = options.mode == "strict"
    if chain is not None:
        told = "Casbin does not follow it; strict does" if strict else "as in Casbin, it is not followed"
        span = rows.line_place(chain.link.line)
        found.note(LongChain(span=span, member=chain.member, role=chain.role, most=followed, followed=told))
    return RoleGraph(
        role.name,
        role.domains,
        links,
        options.matching.get(role.name),
        options.domain_matching.get(role.name),
        None if strict else followed,
    )


def _links(role: RoleDefinition, rows: PolicyRows, options: Options, found: Findings) -> tuple[Link, ...]:
    """The links that hold, of those alike but for their conditions the last."""
    links = rows.links[role.name]
    if not role.conditions:
        return links
    made = TwoConditions if options.mode == "strict" else TwoConditionsPassed
    for link, before in clashes(links):
        if found.wants(made.severity):
            others = (Label(rows.line_place(before.line), "here first"),)
            found.add(made(span=rows.line_place(link.line), others=others, member=link.member, role=link.role))
    return last_conditions(links)


def _of_options(model: Model, options: Options) -> Iterator[Diagnostic]:
    """Matching functions for definitions that are not there, or cannot have one; and a zone that is not known."""
    top = Span(model.source.name, 0, 0)
    for functions, place in ((options.matching, "names"), (options.domain_matching, "domains")):
        for name, function in functions.items():
            role = model.roles.get(name)
            if function not in MATCHING_FUNCTIONS:
                known = ", ".join(MATCHING_FUNCTIONS)
                hint = nearest(function, MATCHING_FUNCTIONS)
                yield NoMatchingFunction(span=top, function=function, known=known, hint=hint)
            if role is None:
                yield MatchingOfUnknown(span=top, name=name, why="the model does not define it")
            elif role.conditions:
                yield MatchingOfUnknown(span=role.span, name=name, why="Casbin takes none where links have conditions")
            elif place == "domains" and not role.domains:
                yield MatchingOfUnknown(span=role.span, name=name, why="its links have no domains")
    if options.zone is not None and not zone_known(options.zone):
        yield UnknownZone(span=top, zone=options.zone)


def _unasked(model: Model) -> Iterator[Diagnostic]:
    """Conditions that no function is known for."""
    for role in model.roles.values():
        if role.conditions not in {0, CONDITION_VALUES}:
            count = "1 value" if role.conditions == 1 else f"{role.conditions} values"
            yield UnaskedCondition(span=role.span, name=role.name, count=count)


def _beside_conditions(model: Model, options: Options) -> Iterator[Diagnostic]:
    """Role definitions without conditions, where another one has them."""
    conditional = next((each for each in model.roles.values() if each.conditions), None)
    for role in model.roles.values() if conditional else ():
        if conditional and model.by_name_only(role):
            made = PlainBesideConditional if options.mode == "strict" else PlainBesideConditionalPassed
            yield made(span=role.span, others=(Label(conditional.span, "conditions here"),), name=role.name)


def _of_zone(
    every: list[Expression], graphs: tuple[RoleGraph, ...], model: Model, matcher: Span, options: Options
) -> Iterator[Diagnostic]:
    """Times that are compared, where no zone is given."""
    if options.zone is not None:
        return
    made = NoZone if options.mode == "strict" else NoZonePassed
    for graph in graphs:
        if any(bound != OPEN for link in graph.links for bound in link.condition):
            yield made(span=model.roles[graph.name].span)
    calls = (part for each in every for part in all_in(each) if isinstance(part, tables.BuiltIn))
    if any(call.function == "timeMatch" for call in calls):
        yield made(span=matcher)
