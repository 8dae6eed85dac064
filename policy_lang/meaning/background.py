"""What the sentence about a refusal says besides its verdict: what only the program and the kind of caller tell.

A program, a kind of caller and a verdict with its trace go in, a `Background` comes out. Nothing here decides anything.
Source: language.md 5.5, 5.6.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir import Cell, IssueToken, Obligation, Program, SetHeader
from policy_lang.verdict import Observed, Verdict


class Background(Struct, frozen=True):
    """What a sentence about a refusal says besides the verdict: whether the endpoint is closed, whether the caller has
    a token, and the rules whose obligations contradict each other, by id.
    """

    closed: bool = False
    without_token: bool = False
    contradicting: tuple[str, ...] = ()

    @classmethod
    def of(cls, program: Program, kind: str | None, verdict: Verdict) -> Background:
        """The background of the verdict on a call by a kind of caller, by id."""
        told = verdict if verdict.observed is None else as_refused(verdict, verdict.observed)
        closed = any(each.closed for each in program.endpoints if each.id == verdict.endpoint)
        token = any(each.form == "token" for each in program.kinds if each.id == kind)
        return cls(closed, not token, contradicting(program, kind, told))


NO_BACKGROUND = Background()


def contradicting(program: Program, kind: str | None, verdict: Verdict) -> tuple[str, ...]:
    """The require rules, by id, whose obligations make the conflict by which a call was refused; none of any other."""
    if verdict.by != ("conflict",):
        return ()
    applying = {rule.id for rule in verdict.rules if rule.effect == "require" and rule.applies and not rule.shadow}
    cells = (cell for cell in program.cells if cell.kind == kind and _is_at(program, cell, verdict.endpoint))
    return tuple(
        program.rules[each.rule].id
        for cell in cells
        for each in cell.require
        if program.rules[each.rule].id in applying
        and any(_makes(duty, verdict) for duty in program.bodies[each.body].must)
    )


def _is_at(program: Program, cell: Cell, endpoint: str | None) -> bool:
    return program.endpoints[cell.endpoint].id == endpoint


def _makes(duty: Obligation, verdict: Verdict) -> bool:
    """Whether an obligation has a part in a conflict: about scopes, or about the header that it is about."""
    if verdict.reason == "conflict.scope":
        return isinstance(duty, IssueToken)
    return isinstance(duty, SetHeader) and duty.name == verdict.subject


def as_refused(verdict: Verdict, observed: Observed) -> Verdict:
    """The verdict that an observed call will have."""
    refused = replace(verdict, outcome=observed.outcome, by=observed.by, reason=observed.reason)
    return replace(refused, subject=observed.subject, observed=None)
