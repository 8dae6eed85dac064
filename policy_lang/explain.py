"""A verdict as an auditor reads it, and as a program does.

In comes a `Verdict`, out go sentences, or the JSON trace of language.md 5.6. Sentences never hold a value of an input.
The trace holds values only where it is asked for them, and those of private claims never: such a read is
`{"private": true}`.
Source: language.md 5.6; contracts.md "The log" (`show --why` prints no values).

Decision (2026-11-21): the trace has the members that follow from the verdict. What stands around it (id, bundle, time,
principal, peer) is the record's, not the evaluator's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from policy_lang.ir import LogDuty, Program, Value
from policy_lang.values import TRUE, UNKNOWN
from policy_lang.verdict import Challenge, ClauseTrace, Json, RuleTrace, Verdict

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


def sentence(verdict: Verdict) -> str:
    """What was decided, by what and why, in one or a few sentences without values."""
    match verdict.outcome:
        case "allow":
            return f"Allowed by {_reasons(verdict)}."
        case "step_up":
            asked = ", ".join(_challenge_text(each) for each in verdict.challenges)
            return f"Stronger authentication is needed ({asked}), by {_reasons(verdict)}."
        case "deny":
            return _refusal(verdict)
        case _:
            assert_never(verdict.outcome)


def _refusal(verdict: Verdict) -> str:
    text = _REFUSALS.get(verdict.by[0]) if verdict.by else "Nothing decided"
    if text is None:
        return f"Denied by {_reasons(verdict)}."
    subject = f": `{verdict.subject}`" if verdict.subject else ""
    first = f"{text}{subject} ({verdict.reason})."
    closest = next((rule for rule in verdict.rules if rule.id == verdict.nearest), None)
    if closest is None:
        return first
    return f"{first} The closest, {_rule_text(closest)}, failed because {_causes(closest)}."


def _reasons(verdict: Verdict) -> str:
    """The deciding rules with their `because`."""
    by_id = {rule.id: rule for rule in verdict.rules}
    return "; ".join(_rule_text(by_id[each]) if each in by_id else f"`{each}`" for each in verdict.by)


def _rule_text(rule: RuleTrace) -> str:
    return f'`{rule.id}` "{rule.because}"' if rule.because else f"`{rule.id}`"


def _causes(rule: RuleTrace) -> str:
    """Why an allow did not apply: the first atom of each clause that is not true."""
    return " and ".join(
        f"`{clause.failed}` is {'unknown' if clause.truth is UNKNOWN else 'not true'}"
        for clause in rule.clauses
        if clause.truth is not TRUE
    )


def _challenge_text(challenge: Challenge) -> str:
    return challenge.name if challenge.within_s is None else f"{challenge.name} within {challenge.within_s} s"


def outcome_text(
    outcome: str, by: Iterable[str], challenges: Iterable[Challenge] = (), log: LogDuty | None = None
) -> str:
    """An outcome as a test writes it: `step_up mfa by bank.mfa_for_money and log full strict`."""
    asked = "".join(f" {each}" for each in dict.fromkeys(challenge.name for challenge in challenges))
    names = ", ".join(by)
    duty = f" and log {log.level}{' strict' if log.strict else ''}" if log else ""
    return f"{outcome}{asked}{f' by {names}' if names else ''}{duty}"


# ---------------------------------------------------------------- JSON


def private_reads(program: Program, kind: str | None) -> frozenset[str]:
    """The names, as a trace has them, of the reads that hold private claims of a kind of caller."""
    return frozenset(
        f"token.{claim.name}" for each in program.kinds if each.id == kind for claim in each.claims if claim.private
    )


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
        "distance": next((_distance(rule) for rule in verdict.rules if rule.id == verdict.nearest), None),
        "challenges": [{"name": each.name, "within_s": each.within_s} for each in verdict.challenges],
        "log": {"level": verdict.log.level, "strict": verdict.log.strict},
    }


def _distance(rule: RuleTrace) -> int:
    return sum(clause.truth is not TRUE for clause in rule.clauses)


def _rule_json(rule: RuleTrace, private: frozenset[str], *, values: bool) -> Json:
    return {
        "id": rule.id,
        "effect": rule.effect,
        "applies": rule.applies,
        "src": rule.place,
        "because": rule.because,
        "guards": [_clause_json(clause, private, values=values) for clause in rule.clauses],
    }


def _clause_json(clause: ClauseTrace, private: frozenset[str], *, values: bool) -> Json:
    shown: dict[str, Json] = {"clause": clause.label, "text": clause.text, "is": clause.truth.value}
    if clause.failed:
        shown["failed_at"] = clause.failed
    if values and clause.reads:
        shown["read"] = {name: {"private": True} if name in private else _json(value) for name, value in clause.reads}
    return shown


def _json(value: Value | None) -> Json:
    if isinstance(value, frozenset):
        return sorted(value, key=lambda each: (str(type(each)), each))
    return value
