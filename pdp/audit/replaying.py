"""Every past decision made again under its own policy: `pdp audit replay --verify`.

The decisions of a log and the engines of its bundles come in, `Verified` comes out: how many agree (decision, primary
rule, obligations: `pdp.audit.replay.agrees`), how many differ and which, how many cannot be decided again and why, and
how many have evidence that is not whole.

    undecidable   by design: what decided is not part of the record (a credential, a fault), `log minimal`, refusals
                  that one leaf stands for, inputs that were too large, no policy was asked
    broken        the evidence is not as it was written: a box does not open, its inputs are none, the bundle is not
                  stored, damaged, or does not load; the record stands at a wrong place, or its instant is not stated

INVARIANT: what is not counted as agreed stands in one of the other three with a reason. Memory does not grow with the
records.
Design: contracts.md "Recorded inputs".

Decision: 2026-11-21. The plans of the bundle decide, and each so-many-th decision is made by the definition as well, as
well as each that differs; where the two evaluators say other things, the record counts as differing, whatever it says.
The definition of a small cell takes 0.3 ms and of a crowded one 15 ms, plans take 10 µs: a log of a day would take
hours. Whoever has them asks the definition for all (`every` 1).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pdp.audit.keys import RecordKeys
from pdp.audit.leaf import Leaf
from pdp.audit.replay import Undecidable, agrees, answer_again, undecided
from pdp.audit.replay_engines import Asked, Engines
from pdp.audit.replay_evidence import BrokenError, UndecidableError, engine_of_record, evidence_of
from pdp.audit.replay_groups import Group, Groups
from pdp.audit.replay_log import Past
from pdp.audit.replay_stated import ReplayError, Stated
from pdp.runtime.engine import same
from policy_lang.verdict import Verdict

DEFINED_EVERY = 50
"""Of so many decisions one is made by the definition too."""

MOST_DIFFERING = 1_000
"""Decisions that differ and are told one by one; the others are counted."""


class Differing(Struct, frozen=True):
    """A decision that comes out otherwise: its instant in Unix microseconds, the digest of its policy, what the record
    says and what came out now.
    """

    id: str
    at_us: int
    policy: str
    recorded: str
    now: str


class Verified(Struct, frozen=True):
    """What came of it. `defined` of the decisions were made by the definition too. `differing` are the first of those
    that `differed`. The words of a group are the reason.
    """

    decisions: int
    agreed: int
    defined: int
    differed: int
    differing: tuple[Differing, ...]
    undecidable: tuple[Group, ...]
    broken: tuple[Group, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing differs and all evidence is whole."""
        return not self.differed and not self.broken


def verify_decisions(pasts: Iterable[Past], keys: RecordKeys, engines: Engines, every: int = DEFINED_EVERY) -> Verified:
    """Make each decision again; each `every`-th by the definition too. Errors: those of `pasts`."""
    decisions = agreed = defined = differed = 0
    differing: list[Differing] = []
    undecidable, broken = Groups(), Groups()
    for past in pasts:
        decisions += past.stands_for
        try:
            evidence = evidence_of(past, keys)
            asked = engine_of_record(past.leaf, engines)
            is_defined = (agreed + differed) % every == 0
            said = _otherwise(past.leaf, evidence, asked, is_defined=is_defined)
        except UndecidableError as why:
            undecidable.add(past, str(why))
            continue
        except BrokenError as why:
            broken.add(past, str(why))
            continue
        defined += is_defined or said is not None
        agreed += said is None
        if said is not None:
            differed += 1
            if len(differing) < MOST_DIFFERING:
                policy = str(past.leaf.clear.get("pb"))
                differing.append(Differing(past.leaf.id, past.at_us, policy, answered(past.leaf), said))
    return Verified(
        decisions,
        agreed,
        defined,
        differed,
        tuple(differing),
        undecidable.largest_first(),
        broken.largest_first(),
    )


def answered(leaf: Leaf) -> str:
    """The answer of a record in a few words."""
    by = leaf.clear.get("by")
    return f"{leaf.clear.get('d')} by {by[0] if isinstance(by, list) and by else by} ({leaf.clear.get('rc')})"


def _said(verdict: Verdict) -> str:
    return f"{verdict.outcome} by {verdict.by[0]} ({verdict.reason})"


def _otherwise(leaf: Leaf, evidence: bytes, asked: Asked, *, is_defined: bool) -> str | None:
    """What comes out now, where that is another answer; None where it is the same.

    Errors: UndecidableError, BrokenError.
    """
    try:
        stated = Stated(evidence, leaf.clear)
        verdict = answer_again(leaf, stated, asked.engine, asked.judge)
        if isinstance(verdict, Undecidable):
            raise UndecidableError(verdict.why)
        if undecided(leaf):
            raise UndecidableError("refused since the evaluators differed: there is no answer to agree with")
        agreed = agrees(leaf, evidence, verdict)
        if agreed and not is_defined:
            return None
        definition = answer_again(leaf, stated, asked.engine, asked.engine.explain)
    except ReplayError as error:
        raise BrokenError(str(error)) from error
    if isinstance(definition, Undecidable):
        raise UndecidableError(definition.why)
    if not same(verdict, definition):
        return f"{_said(definition)} by the definition, {_said(verdict)} by its compiled form"
    if agreed:
        return None
    told = _said(definition)
    return told if told != answered(leaf) else f"{told}, and something else is to be done"
