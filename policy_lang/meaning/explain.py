"""A verdict as an auditor reads it, and as a program does.

In comes a `Verdict`, out go sentences, or the JSON trace of language.md 5.6. Sentences never hold a value of an input.
The trace holds values only where it is asked for them, and those of private claims never: such a read is
`{"private": true}`. The words of an obligation hold the value of a header; where a private input is read for it
(`private_headers`), what the caller gives in its place.

SECURITY: `because` and names of files are text that a policy's author chose; in a sentence, what a terminal would obey
or not show stands as its number.
Source: language.md 5.6; contracts.md "The log" (`show --why` prints no values).

Decision (2026-11-21): the trace has the members that follow from the verdict. What stands around it (id, bundle, time,
principal, peer) is the record's, not the evaluator's.
Decision (2026-11-21): where something unknown made a rule refuse or ask, the sentence says what is not known: a reader
must be able to tell a refusal by what is from one by what nobody could say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from policy_lang.diagnostics import printable
from policy_lang.ir import LogDuty, Operand, Program, SetHeader, Value, attrs_of
from policy_lang.meaning.background import NO_BACKGROUND, Background, as_refused
from policy_lang.meaning.literals import duration_text, in_order, value_text
from policy_lang.meaning.schema import root_of
from policy_lang.meaning.values import TRUE, UNKNOWN
from policy_lang.meaning.words import attr_name
from policy_lang.verdict import NO_DUTIES, Challenge, ClauseTrace, Duties, Header, Json, Observed, RuleTrace, Verdict

# ---------------------------------------------------------------- sentences

_REFUSALS = {
    "token": "The credential was refused",
    "path": "The path or another part of the request is not canonical",
    "route": "The call is for no declared endpoint",
    "schema": "An input does not conform to the policy's schema",
    "audience": "The token is not meant for this service",
    "exclusive": "The caller holds roles that exclude each other",
    "scope": "The token lacks a scope that the endpoint asks for",
    "default": "No rule allowed this",
    "conflict": "The obligations of the rules contradict each other",
    "capability": "The gateway cannot carry out an obligation",
    "internal": "The decision failed",
    "deadline": "The decision came too late",
    "audit": "The decision could not be recorded",
}


_FINER = {
    "audience.subject": "The service takes no subject of this kind by assertion",
    "exclusive.unknown": "Whether the caller holds roles that exclude each other is not known",
    "conflict.value": "A rule sets a header to what no header can hold, or to what is not known",
    "conflict.header": "Rules set a header to different values",
    "conflict.scope": "No scope is left that all rules name and the caller holds",
    "capability.step_up": "The gateway cannot ask for stronger authentication",
}
"""Refusals of which the reason says more than the word."""


def sentence(verdict: Verdict, background: Background = NO_BACKGROUND) -> str:
    """What was decided, by what and why, in one or a few sentences without values, on one line."""
    return printable(_sentence(verdict, background))


def _sentence(verdict: Verdict, background: Background) -> str:
    match verdict.outcome:
        case "allow" if verdict.observed is not None:
            return f"Allowed while the service is observed. {_would_be(verdict, verdict.observed, background)}"
        case "allow":
            return f"Allowed by {_reasons(verdict)}."
        case "step_up":
            asked = ", ".join(_challenge_text(each) for each in verdict.challenges)
            return f"Stronger authentication is needed ({asked}), by {_reasons(verdict)}{_not_known(verdict)}."
        case "deny":
            return _refusal(verdict, background)
        case _:
            assert_never(verdict.outcome)


def _would_be(verdict: Verdict, observed: Observed, background: Background) -> str:
    """What becomes of the call once the service is observed no more."""
    if observed.outcome == "step_up":
        by = ", ".join(f"`{each}`" for each in observed.by)
        return f"Policy will ask for stronger authentication, by {by}."
    return f"Policy will refuse it: {_refusal(as_refused(verdict, observed), background)}"


def _refusal(verdict: Verdict, background: Background) -> str:
    word = _REFUSALS.get(verdict.by[0]) if verdict.by else "Nothing decided"
    if word is None:
        return f"Denied by {_reasons(verdict)}{_not_known(verdict)}."
    subject = f": `{verdict.subject}`" if verdict.subject else ""
    rules = f", by {_named(verdict, background.contradicting)}" if background.contradicting else ""
    first = f"{_finer(verdict, background) or word}{subject} ({verdict.reason}){rules}."
    closest = _closest(verdict)
    if closest is None:
        return first
    return f"{first} The closest, {_rule_text(closest)}, failed because {_causes(closest)}."


def _closest(verdict: Verdict) -> RuleTrace | None:
    """The trace of the nearest allow; a `casbin` block may have a deny of its name."""
    return next((rule for rule in verdict.rules if rule.id == verdict.nearest and rule.effect == "allow"), None)


def _finer(verdict: Verdict, background: Background) -> str | None:
    """What says more than the word of a refusal."""
    if verdict.reason == "default.no_cell_rule" and background.closed:
        return f"No rule may allow this, since `{verdict.endpoint}` is `closed`"
    if verdict.reason == "scope.missing" and background.without_token:
        return "There is no token, and the endpoint asks for a scope"
    return _FINER.get(verdict.reason)


def _reasons(verdict: Verdict) -> str:
    """The deciding rules with their `because`."""
    return _named(verdict, verdict.by)


def _named(verdict: Verdict, rules: Iterable[str]) -> str:
    """Rules by id, with their `because`."""
    by_id = {rule.id: rule for rule in sorted(verdict.rules, key=lambda rule: rule.applies)}
    return "; ".join(_rule_text(by_id[each]) if each in by_id else f"`{each}`" for each in rules)


def _rule_text(rule: RuleTrace) -> str:
    row = f" ({rule.row})" if rule.row else ""
    return f'`{rule.id}`{row} "{rule.because}"' if rule.because else f"`{rule.id}`{row}"


def _causes(rule: RuleTrace) -> str:
    """Why an allow did not apply: the first atom of each clause that is not true."""
    return " and ".join(
        f"`{clause.failed}` is {f'unknown{_unread(clause)}' if clause.truth is UNKNOWN else 'not true'}"
        for clause in rule.clauses
        if clause.truth is not TRUE
    )


def _not_known(verdict: Verdict) -> str:
    """What the primary rule could not know and took for the worse; "" where it knew all."""
    primary = next((rule for rule in verdict.rules if rule.id == verdict.by[0]), None)
    unknown = [] if primary is None else [clause for clause in primary.clauses if clause.truth is UNKNOWN]
    causes = " and ".join(f"`{clause.failed}` is unknown{_unread(clause)}" for clause in unknown)
    return f", since {causes}" if causes else ""


def _unread(clause: ClauseTrace) -> str:
    """What had no value, of a clause that is unknown."""
    missing = [name for name, value in clause.reads if value is None and name != clause.failed]
    return f" (nothing is known of {', '.join(f'`{name}`' for name in missing)})" if missing else ""


def _challenge_text(challenge: Challenge) -> str:
    within_s = challenge.within_s
    return challenge.name if within_s is None else f"{challenge.name} within {duration_text(within_s * 1000)}"


PRIVATE = "(private)"
"""What stands for a private value where there is no key to make a fingerprint under."""


def header_value(header: Header) -> str:
    """The value of a header as a policy writes it: for one that is made of nothing private."""
    return value_text(header.value)


def outcome_text(
    outcome: str,
    by: Iterable[str],
    challenges: Iterable[Challenge] = (),
    log: LogDuty | None = None,
    duties: Duties = NO_DUTIES,
    status: int | None = None,
    shown: Callable[[Header], str] = header_value,
) -> str:
    """An outcome as a test writes it: `step_up mfa by bank.mfa_for_money and log full strict and answer 404`.

    `shown` writes the values of headers.
    """
    asked = "".join(f" {each}" for each in dict.fromkeys(challenge.name for challenge in challenges))
    names = ", ".join(by)
    words = [f"log {log.level}{' strict' if log.strict else ''}"] if log else []
    words += [] if status is None else [f"answer {status}"]
    words += duty_texts(duties, shown)
    return f"{outcome}{asked}{f' by {names}' if names else ''}{''.join(f' and {each}' for each in words)}"


def duty_texts(duties: Duties, shown: Callable[[Header], str] = header_value) -> list[str]:
    """What a gateway has to do, as a policy writes it, one text each; `shown` writes the values of headers."""
    texts = [f"set header {value_text(header.name)} to {shown(header)}" for header in duties.headers]
    texts += [f"remove header {value_text(name)}" for name in duties.removed]
    if duties.redactions:
        texts.append(f"redact {', '.join(value_text(pointer) for pointer in duties.redactions)}")
    if duties.token_scopes is not None:
        scopes = ", ".join(value_text(scope) for scope in duties.token_scopes)
        texts.append(f"issue token with scope {scopes}" if scopes else "issue token")
    return texts + [f"alert {value_text(channel)}" for channel in duties.alerts]


# ---------------------------------------------------------------- JSON


def private_reads(program: Program, kind: str | None, endpoint: str | None = None) -> frozenset[str]:
    """The names, as a trace has them, of the reads that hold private inputs: claims of a kind of caller, and headers,
    parameters and properties of an endpoint, by its id.
    """
    found = {
        f"{root_of(each)}.{claim.name}"
        for each in program.kinds
        if each.id == kind
        for claim in each.claims
        if claim.private
    }
    for each in program.endpoints:
        if each.id == endpoint:
            fields = (("query", each.query), ("header", each.headers), ("resource", each.properties))
            found |= {f"{root}.{field.name}" for root, of in fields for field in of if field.private}
    return frozenset(found)


def private_headers(program: Program, private: frozenset[str]) -> frozenset[str]:
    """The names of the headers that some rule sets to what is made of a private input; `private` is that of
    `private_reads`. Which of several rules a value came from is not asked: one of them is enough.
    """
    return frozenset(
        each.name
        for body in program.bodies
        for each in (*body.must, *body.should)
        if isinstance(each, SetHeader) and reads_private(each.value, private)
    )


def reads_private(operand: Operand, private: frozenset[str]) -> bool:
    """Whether an operand is made of a private input; `private` is that of `private_reads`."""
    return not private.isdisjoint(map(attr_name, attrs_of(operand)))


def trace_json(verdict: Verdict, private: frozenset[str], *, values: bool) -> dict[str, Json]:
    """The trace as JSON, with values of inputs only where `values`; `private` is that of `private_reads`.

    A set is a sorted list, times and durations are milliseconds, an absent input is null.
    """
    return {
        "decision": verdict.outcome,
        "by": list(verdict.by),
        "reason": verdict.reason,
        "subject": verdict.subject,
        "endpoint": verdict.endpoint,
        "baselines": list(verdict.baselines),
        "rules": [_rule_json(rule, private, values=values) for rule in verdict.rules],
        "nearest": verdict.nearest,
        "distance": None if (closest := _closest(verdict)) is None else closest.distance,
        "challenges": [{"name": each.name, "within_s": each.within_s} for each in verdict.challenges],
        "log": {"level": verdict.log.level, "strict": verdict.log.strict},
        "obligations": _duties_json(verdict.duties),
        "advice": _duties_json(verdict.advice),
        "answer": verdict.status,
        "shadow": list(verdict.shadow),
        "observed": None if verdict.observed is None else _observed_json(verdict.observed),
        "valid_until_ms": verdict.valid_until_ms,
    }


def _duties_json(duties: Duties) -> Json:
    """Duties; of headers only the names, since a value may be a private input."""
    shown: dict[str, Json] = {}
    if duties.headers:
        shown["set_header"] = [header.name for header in duties.headers]
    if duties.removed:
        shown["remove_header"] = list[Json](duties.removed)
    if duties.redactions:
        shown["redact"] = list[Json](duties.redactions)
    if duties.token_scopes is not None:
        shown["issue_token"] = list[Json](duties.token_scopes)
    if duties.alerts:
        shown["alert"] = list[Json](duties.alerts)
    return shown


def _observed_json(observed: Observed) -> Json:
    by = list[Json](observed.by)
    return {"decision": observed.outcome, "by": by, "reason": observed.reason, "subject": observed.subject}


def _rule_json(rule: RuleTrace, private: frozenset[str], *, values: bool) -> Json:
    row: dict[str, Json] = {"row": rule.row} if rule.row else {}
    return {
        "id": rule.id,
        "effect": rule.effect,
        "applies": rule.applies,
        "shadow": rule.shadow,
        "src": rule.place,
        "because": rule.because,
        **row,
        "guards": [_clause_json(clause, private, values=values) for clause in rule.clauses],
    }


def _clause_json(clause: ClauseTrace, private: frozenset[str], *, values: bool) -> Json:
    shown: dict[str, Json] = {"clause": clause.label, "text": clause.text, "is": clause.truth.value}
    if clause.failed:
        shown["failed_at"] = clause.failed
    unread = [name for name, value in clause.reads if value is None] if clause.truth is UNKNOWN else []
    if unread:
        shown["not_known"] = list[Json](unread)
    if values and clause.reads:
        shown["read"] = {name: {"private": True} if name in private else _json(value) for name, value in clause.reads}
    return shown


def _json(value: Value | None) -> Json:
    if isinstance(value, frozenset):
        return list[Json](in_order(value))
    return value
