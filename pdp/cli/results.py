"""Results of `test` blocks, and what they cover, as lines for a person and as JSON for a program.

In come results with their program and its sources, out go texts. Values that were read are shown, since a test gives
them all itself; those of private inputs are not, as everywhere. Titles and names of files are text of whoever wrote the
policy: on a line, what a terminal would obey or not show stands as its number.
Source: language.md 5.6, 5.7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pdp.cli.traces import Told, rule_text
from policy_lang.declared.mentioned import NOTHING_MENTIONED, Mentioned
from policy_lang.diagnostics import printable
from policy_lang.ir import Program
from policy_lang.meaning.background import Background
from policy_lang.meaning.explain import private_reads, sentence, trace_json
from policy_lang.source import Source
from policy_lang.trials.coverage import Coverage, RuleCoverage
from policy_lang.trials.runner import TestResult
from policy_lang.verdict import Json, RuleTrace

MOST_RULES = 5
"""Rules whose clauses are shown of one failure: those it names, those that decided, the nearest."""


def failure_lines(
    result: TestResult, program: Program, sources: Mapping[str, Source], settings: Mentioned = NOTHING_MENTIONED
) -> str:
    """A case that failed: its place and line, what was expected, what came, and the clauses that made it so, with the
    settings that they mention.
    """
    case, place = result.case, result.case.place
    kind, endpoint = case.caller.kind, result.verdict.endpoint
    background = Background.of(program, kind, result.verdict)
    lines = [
        f'FAILED "{case.title}" {place.file}:{place.line}',
        *_source_line(result, sources),
        f"    {case.text}",
        f"    expected  {result.expected}",
        f"    got       {result.got}",
        f"    {sentence(result.verdict, background)}",
    ]
    private, told = private_reads(program, kind, endpoint), Told.of(program, kind, endpoint, settings)
    for rule in _telling(result, background):
        shown = rule_text(rule, values=True, private=private, told=told)
        lines += [f"    {line}" for line in shown.splitlines()]
    return "\n".join(map(printable, lines))


def _source_line(result: TestResult, sources: Mapping[str, Source]) -> list[str]:
    """The line where the case stands, unless its text begins with it: a row of a table."""
    case, source = result.case, sources.get(result.case.place.file)
    line = "" if source is None else source.line_text(case.place.line).strip()
    return [] if case.text.startswith(" ".join(line.split())) else [f"    {case.place.line} | {line.expandtabs()}"]


def _telling(result: TestResult, background: Background) -> list[RuleTrace]:
    """The rules whose clauses say why: those expected, those that decided or contradict each other, the nearest."""
    verdict, missed = result.verdict, result.near_miss
    traced = sorted(verdict.rules, key=lambda rule: rule.applies)
    by_id = {rule.id: rule for rule in traced} | ({} if missed is None else {missed.id: missed})
    nearest = (verdict.nearest or "", "" if missed is None else missed.id)
    named = dict.fromkeys((*background.contradicting, *result.case.expected.by, *verdict.by, *nearest))
    return [by_id[each] for each in named if each in by_id][:MOST_RULES]


def coverage_lines(coverage: Coverage) -> str:
    """The table of rules, then of endpoints, then what no test has shown."""
    rules: list[tuple[str, ...]] = [("rule", "named", "applied", "blocked", "conditions", "half seen")]
    ids = Counter(rule.id for rule in coverage.rules)
    for rule in coverage.rules:
        vote = f" ({rule.effect})" if ids[rule.id] > 1 else ""
        counts = (rule.named, rule.applied, rule.blocked, len(rule.conditions), len(rule.half_seen))
        rules.append((f"{rule.id}{vote}{' (shadow)' if rule.shadow else ''}", *map(str, counts)))
    endpoints: list[tuple[str, ...]] = [("endpoint", "allowed", "step-up", "refused")]
    for each in coverage.endpoints:
        name = f"{each.id}{' (closed)' if each.closed else ''}"
        endpoints.append((name, str(each.allowed), str(each.stepped_up), str(each.refused)))
    found = [f"warning[{f.code}]: {f.message}  {f.place.file}:{f.place.line}" for f in coverage.findings()]
    return "\n".join(map(printable, (*_aligned(rules), "", *_aligned(endpoints), *(("", *found) if found else ()))))


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The first column to the left, the numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) if not column else text.rjust(width) for column, (text, width) in cells)
        for cells in (list(enumerate(zip(row, widths, strict=True))) for row in rows)
    ]


# ---------------------------------------------------------------- JSON


def results_json(results: Sequence[TestResult], program: Program, coverage: Coverage | None) -> dict[str, Json]:
    """All results, with the trace of each that failed, and the coverage where it was asked for."""
    passed = sum(result.passed for result in results)
    whole: dict[str, Json] = {
        "passed": passed,
        "failed": len(results) - passed,
        "results": [_result_json(result, program) for result in results],
    }
    if coverage is not None:
        whole["coverage"] = _coverage_json(coverage)
    return whole


def _result_json(result: TestResult, program: Program) -> Json:
    case = result.case
    shown: dict[str, Json] = {
        "test": case.title,
        "file": case.place.file,
        "line": case.place.line,
        "call": case.text,
        "passed": result.passed,
        "expected": result.expected,
        "got": result.got,
    }
    if not result.passed:
        shown["why"] = sentence(result.verdict, Background.of(program, case.caller.kind, result.verdict))
        private = private_reads(program, case.caller.kind, result.verdict.endpoint)
        shown["trace"] = trace_json(result.verdict, private, values=True)
    return shown


def _coverage_json(coverage: Coverage) -> Json:
    endpoints: list[Json] = [
        {
            "id": each.id,
            "closed": each.closed,
            "allowed": each.allowed,
            "step_up": each.stepped_up,
            "refused": each.refused,
        }
        for each in coverage.endpoints
    ]
    findings: list[Json] = [
        {"code": each.code, "message": each.message, "file": each.place.file, "line": each.place.line}
        for each in coverage.findings()
    ]
    return {"rules": [_rule_json(rule) for rule in coverage.rules], "endpoints": endpoints, "findings": findings}


def _rule_json(rule: RuleCoverage) -> Json:
    conditions: list[Json] = [
        {
            "clause": each.label,
            "text": each.text,
            "atom": each.is_atom,
            "true": each.true,
            "false": each.false,
            "unknown": each.unknown,
        }
        for each in rule.conditions
    ]
    return {
        "id": rule.id,
        "effect": rule.effect,
        "file": rule.place.file,
        "line": rule.place.line,
        "shadow": rule.shadow,
        "named": rule.named,
        "applied": rule.applied,
        "blocked": rule.blocked,
        "conditions": conditions,
    }
