"""Diagnostics as SARIF 2.1.0, the form in which code scanners take findings.

In go diagnostics, sorted, and their sources; out comes one log of one run, ready for `json.dumps`: deterministic, at
most `MOST_SHOWN` results, and a notification that counts the rest. Places are lines and columns from 1, ends excluded,
columns in code points; a file is named as the bundle names it, percent-encoded, relative to wherever the bundle stands.
Source: OASIS SARIF 2.1.0 with errata 01: 3.13 (log), 3.14 (run), 3.20 (invocation), 3.27 (result), 3.28 (location),
3.30 (region), 3.49 (rule).

SECURITY: text of the policy stands in messages. 3.11.5 reads `{0}` there as a placeholder and 3.11.6 reads `[a](b)` as
a link, so braces are doubled and the bracket before a `(` is escaped; what nobody can see is written as its number.

Decision: 2026-11-21. A rule is a code, not a class of mistake: the code is what a reader looks up, and what suppresses
a finding must not change with its wording. The label of the place is the message of its location; the remedies and
the note are lines of the result's own message, since that is all that most viewers show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from urllib.parse import quote

from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, printable
from policy_lang.source import Source, Span

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

Json = dict[str, object]


def as_sarif(diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source], version: str) -> Json:
    """The SARIF log of one run of the checker.

    Shapes: `version` is that of the product; sources that are missing leave their places without a region. No errors.
    """
    shown = diagnostics[:MOST_SHOWN]
    codes = sorted({diagnostic.code for diagnostic in shown})
    index = {code: number for number, code in enumerate(codes)}
    rules = [_rule(code, [type(d) for d in shown if d.code == code]) for code in codes]
    run: Json = {
        "tool": {"driver": {"name": "portcullis", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, index[diagnostic.code], sources) for diagnostic in shown],
    }
    if len(diagnostics) > len(shown):
        note = {"level": "note", "message": _text(f"{len(diagnostics) - len(shown)} more not shown")}
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": [note]}]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str, kinds: Iterable[type[Diagnostic]]) -> Json:
    """What is the same for every mistake of `code`, of which these are the classes that were met."""
    classes = sorted(set(kinds), key=lambda kind: kind.__name__)
    rule: Json = {
        "id": code,
        "shortDescription": _text(classes[0].about or _general(classes[0].title)),
        "defaultConfiguration": {"level": classes[0].severity},
    }
    remedies = dict.fromkeys(_general(kind.help) for kind in classes if kind.help)
    if remedies:
        rule["help"] = _text("\n".join(remedies))
    return rule


def _general(template: str) -> str:
    """A template without an instance: an ellipsis for each of its fields."""
    return "".join(text + ("" if name is None else "…") for text, name, _, _ in Formatter().parse(template))


def _result(diagnostic: Diagnostic, rule: int, sources: Mapping[str, Source]) -> Json:
    lines = [diagnostic.message, *(f"help: {remedy}" for remedy in diagnostic.helps)]
    lines += [f"note: {diagnostic.note}"] if diagnostic.note else []
    result: Json = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": _text("\n".join(map(printable, lines))),
        "locations": [_location(diagnostic.span, diagnostic.label_text, sources)],
    }
    if diagnostic.others:
        result["relatedLocations"] = [
            {"id": number, **_location(other.span, other.text, sources)}
            for number, other in enumerate(diagnostic.others, start=1)
        ]
    return result


def _location(span: Span, label: str, sources: Mapping[str, Source]) -> Json:
    place: Json = {"artifactLocation": {"uri": quote(span.source, errors="replace")}}
    source = sources.get(span.source)
    if source is not None:
        start, end = source.position(span.start), source.position(min(span.end, len(source.text)))
        place["region"] = {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        }
    location: Json = {"physicalLocation": place}
    if label:
        location["message"] = _text(printable(label))
    return location


def _text(text: str) -> Json:
    """A message (3.11) that a viewer shows as `text` and as nothing else."""
    return {"text": text.replace("{", "{{").replace("}", "}}").replace("](", "\\](")}
