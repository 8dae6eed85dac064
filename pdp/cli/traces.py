"""A rule of a trace as lines for a person: whether it applied, and each clause with how it came out."""

from __future__ import annotations

from policy_lang.verdict import RuleTrace


def rule_text(trace: RuleTrace, *, values: bool, private: frozenset[str]) -> str:
    """The lines of one rule; with the values that were read where `values`, private ones never."""
    lines = [f"{'*' if trace.applies else '-'} {trace.effect} {trace.id}  ({trace.place})"]
    for clause in trace.clauses:
        failed = f", failed at `{clause.failed}`" if clause.failed and clause.failed != clause.text else ""
        lines.append(f"    {clause.truth.value:<8} {clause.label}: {clause.text}{failed}")
        if values:
            lines += [f"             {name} = {_shown(name, value, private)}" for name, value in clause.reads]
    return "\n".join(lines)


def _shown(name: str, value: object, private: frozenset[str]) -> str:
    if name in private:
        return "(private)"
    if value is None:
        return "(absent)"
    return ascii(sorted(value, key=str)) if isinstance(value, frozenset) else ascii(value)
