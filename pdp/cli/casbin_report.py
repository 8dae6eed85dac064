"""What `pdp casbin check` says of a model that compiles: its definitions, its rows, and how its matcher is answered.

In go the model, the policy and their diagnostics, as they were read; out come lines for a person, or values for
`json.dumps`. How a condition is answered is what the plan of the table makes of it (policy_lang/plan).

    once            it reads nothing of the row
    at load         it reads the row alone
    hash            the column is looked up by the value of the request
    roles           the column is looked up by the roles that the request's name has
    trie            the column's patterns stand in a tree of segments and prefixes
    networks        the column's networks stand in order
    patterns        the column's patterns are compiled once, and each distinct one is asked
    distinct        it is asked of each distinct value of the column
    row by row      it is asked of each row that the others leave

Source: language.md 6.4; policy_lang/plan/table_conjunctions.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from pdp.cli.casbin_input import Taken
from policy_lang.casbin.definitions import Model
from policy_lang.diagnostics import Diagnostic, as_json, has_errors, printable
from policy_lang.ir.table_text import print_expression
from policy_lang.ir.tables import FunctionName, RoleGraph, Table
from policy_lang.meaning.tables import NO_FUNCTIONS
from policy_lang.plan.table_conjunctions import Among, Conjunction, Distinct, Equal, Fits, Held, Keyed
from policy_lang.plan.table_stock import Design

_FITTED: Mapping[FunctionName, str] = {"ipMatch": "networks", "regexMatch": "patterns", "globMatch": "patterns"}

DEAD = "W627"
"""The code of rows that never say anything."""


def summary(found: Taken) -> str:
    """What it came to."""
    errors = sum(each.severity == "error" for each in found.diagnostics)
    if found.table is None or errors:
        return _counted(errors, "problem")
    links = sum(len(graph.links) for graph in found.table.graphs)
    counts = ((len(found.table.rows), "row"), (links, "link"), (len(found.diagnostics), "warning"))
    return f"no problems ({', '.join(_counted(*each) for each in counts)})"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def report_lines(found: Taken) -> list[str]:
    """The table of what there is, in two columns."""
    if found.table is None:
        return []
    lines = [*_definitions(found), *_contents(found, found.table), *_answered(found.table), *_met(found.diagnostics)]
    width = max(len(left) for left, _ in lines)
    return [printable(f"{left.ljust(width)}  {right}".rstrip()) for left, right in lines]


def _definitions(found: Taken) -> Iterator[tuple[str, str]]:
    chosen = found.sections
    for name, each in (*found.model.requests.items(), *found.model.policies.items()):
        yield _marked(name, (chosen.r, chosen.p)), ", ".join(each.tokens)
    for name, graph in found.model.roles.items():
        yield name, ", ".join(["_"] * (2 + graph.domains)) + (", (_, _)" if graph.conditions else "")
    for name, effect in found.model.effects.items():
        ranked = " by subject" if effect.by_subject else ""
        yield _marked(name, (chosen.e,)), effect.effect.replace("_", " ") + ranked
    for name, matcher in found.model.matchers.items():
        yield _marked(name, (chosen.m,)), matcher.text.text


def _marked(name: str, chosen: Sequence[str]) -> str:
    """A definition beside others of its letter that is not the one asked."""
    return name if name in chosen else f"({name})"


def _contents(found: Taken, table: Table) -> Iterator[tuple[str, str]]:
    for name, rows in found.rows.rows.items():
        votes = Counter(row.vote or "no vote" for row in rows)
        said = ", ".join(f"{count} {vote}" for vote, count in sorted(votes.items()))
        none = " (nothing is allowed)" if name == found.sections.p else ""
        yield f"rows of {name}", f"{len(rows)}" + (f" ({said})" if rows else none)
    for graph in table.graphs:
        yield f"links of {graph.name}", f"{len(graph.links)}{_by(graph)}"


def _by(graph: RoleGraph) -> str:
    said = [f"names by {graph.matching}"] if graph.matching else []
    said += [f"domains by {graph.domain_matching}"] if graph.domain_matching else []
    said += [f"at most {graph.longest} links"] if graph.longest else []
    return f" ({', '.join(said)})" if said else ""


# ---------------------------------------------------------------- how it is answered


def answers(table: Table) -> list[list[tuple[str, str]]]:
    """For each conjunction of the matcher, its conditions: how each is answered, and its text."""
    return [list(_conditions(table, part)) for part in Design.of(table, NO_FUNCTIONS).parts]


def _conditions(table: Table, part: Conjunction) -> Iterator[tuple[str, str]]:
    yield from (("once", print_expression(table, each)) for each in part.alone)
    yield from (("at load", print_expression(table, each)) for each in part.fixed)
    yield from (_keyed(table, each) for each in part.keyed)
    yield from (("row by row", print_expression(table, each)) for each in part.rest)


def _keyed(table: Table, key: Keyed) -> tuple[str, str]:
    column = f"p.{table.columns[key.column]}"
    match key:
        case Equal(_, of):
            return "hash", f"{print_expression(table, of)} == {column}"
        case Held(_, graph, of, domain):
            within = "" if domain is None else f", {print_expression(table, domain)}"
            return "roles", f"{table.graphs[graph].name}({print_expression(table, of)}, {column}{within})"
        case Fits(_, function, of):
            return _FITTED.get(function, "trie"), f"{function}({print_expression(table, of)}, {column})"
        case Among(_, condition):
            return "hash", print_expression(table, condition)
        case Distinct(_, condition):
            return "distinct", print_expression(table, condition)
        case _:
            assert_never(key)


def _answered(table: Table) -> Iterator[tuple[str, str]]:
    parts = answers(table)
    for number, conditions in enumerate(parts, 1):
        which = "" if len(parts) == 1 else f" {number}"
        for how, text in conditions:
            yield f"asked{which}: {how}", text
    yield "opaque", ", ".join(table.own) or "nothing"


def _met(diagnostics: Sequence[Diagnostic]) -> Iterator[tuple[str, str]]:
    codes = Counter(each.code for each in diagnostics)
    yield "dead rows", str(codes.pop(DEAD, 0))
    yield "traps met", ", ".join(f"{code} ({count})" for code, count in sorted(codes.items())) or "none"


# ---------------------------------------------------------------- for programs


def report_json(found: Taken) -> dict[str, object]:
    """All of it, with the diagnostics."""
    report: dict[str, object] = {
        "model": found.source.name,
        "policy": found.place,
        "mode": found.options.mode,
        "passed": not has_errors(found.diagnostics),
        "diagnostics": as_json(found.diagnostics, found.sources),
    }
    if found.table is None:
        return report
    table = found.table
    report["definitions"] = _model_json(found.model)
    report["effect"] = table.effect
    report["rows"] = {name: len(rows) for name, rows in found.rows.rows.items()}
    report["links"] = {graph.name: len(graph.links) for graph in table.graphs}
    report["answered"] = [[{"how": how, "condition": text} for how, text in part] for part in answers(table)]
    report["opaque"] = list(table.own)
    report["dead_rows"] = sum(each.code == DEAD for each in found.diagnostics)
    return report


def _model_json(model: Model) -> Mapping[str, object]:
    return {
        **{name: list(each.tokens) for name, each in (*model.requests.items(), *model.policies.items())},
        **{name: {"domains": each.domains, "conditions": each.conditions} for name, each in model.roles.items()},
        **{name: {"effect": each.effect, "by_subject": each.by_subject} for name, each in model.effects.items()},
        **{name: each.text.text for name, each in model.matchers.items()},
    }
