"""History decided again under a candidate: what stays, what flips, what cannot be said: `pdp audit replay --policy`.

The decisions of a log, the engines of its bundles and a candidate come in, `History` comes out.

    same          the outcome and all that was asked of the gateway are what they were, whichever rule says so now
    flips         another outcome (`allow to deny`, `deny to step_up`, …), or the same with other obligations
    undecidable   with the inputs that the candidate reads and the record does not hold, or with the reason
    broken        the evidence is not as it was written (pdp/audit/replaying.py)

What is compared is the answer as it was recorded; that another one left in its place (`answer.changed`) was no policy's
doing. Flips are grouped by their kind, by who decides now and by endpoint, the undecidable by what they lack and
endpoint. Memory does not grow with the records.
Design: contracts.md "Recorded inputs", `replay --policy`.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pdp.audit.keys import RecordKeys
from pdp.audit.leaf import Leaf
from pdp.audit.record import duty_words
from pdp.audit.replay_candidate import LACKING, Answer, Candidate
from pdp.audit.replay_engines import Engines
from pdp.audit.replay_evidence import BrokenError, UndecidableError, engine_of_record, evidence_of
from pdp.audit.replay_groups import Group, Groups
from pdp.audit.replay_log import Past
from pdp.audit.replay_stated import ReplayError, Stated
from policy_lang.verdict import Json, Verdict

NOWHERE = "-"
"""Stands for the endpoint of a call that has none."""

INPUTS = ", "
"""Between the names of inputs in a word of a group."""


class History(Struct, frozen=True):
    """What came of it. Words of a group of `flips`: kind of flip, rule or word that decides now, endpoint; of
    `undecidable`: reason, inputs (joined by `INPUTS`), endpoint; of `broken`: reason. Of `assumed` answers it was taken
    for granted what the gateway can do.
    """

    decisions: int
    same: int
    assumed: int
    flips: tuple[Group, ...]
    undecidable: tuple[Group, ...]
    broken: tuple[Group, ...]

    @property
    def flipped(self) -> int:
        """How many decisions flip."""
        return sum(each.count for each in self.flips)

    @property
    def is_calm(self) -> bool:
        """Whether every call comes out the same; what cannot be said is not known to."""
        return not self.flips and not self.undecidable and not self.broken


def replay_history(pasts: Iterable[Past], keys: RecordKeys, engines: Engines, candidate: Candidate) -> History:
    """Decide each call again under the candidate. Errors: those of `pasts`, and PolicyError P111 of the candidate."""
    decisions = same = assumed = 0
    flips, undecidable, broken = Groups(), Groups(), Groups()
    for past in pasts:
        decisions += past.stands_for
        leaf = past.leaf
        was = leaf.clear.get("ep")
        place = was if isinstance(was, str) else NOWHERE
        try:
            evidence = evidence_of(past, keys)
            answer = candidate.answer(leaf, evidence, engine_of_record(leaf, engines))
            flip = _flip(leaf, evidence, answer)
        except UndecidableError as why:
            undecidable.add(past, str(why), INPUTS.join(why.inputs), place)
            continue
        except BrokenError as why:
            broken.add(past, str(why))
            continue
        assumed += answer.assumed
        if flip is None or answer.verdict is None:
            same += 1
        else:
            flips.add(past, flip, answer.verdict.by[0], answer.verdict.endpoint or place)
    return History(decisions, same, assumed, flips.largest_first(), undecidable.largest_first(), broken.largest_first())


def _flip(leaf: Leaf, evidence: bytes, answer: Answer) -> str | None:
    """The kind of flip, None where all stays. Errors: UndecidableError where that hangs on what is missing."""
    verdict = answer.verdict
    if verdict is None:
        return None
    was = leaf.clear.get("d")
    if was != verdict.outcome:
        return f"{was} to {verdict.outcome}"
    if answer.asks_hang_on:
        raise UndecidableError(LACKING, answer.asks_hang_on)
    return None if _recorded(leaf, evidence) == _asked(verdict) else "obligations"


def _recorded(leaf: Leaf, evidence: bytes) -> dict[str, Json]:
    """What a record says was asked, of the caller and of the gateway. Errors: BrokenError."""
    clear = leaf.clear
    try:
        sent = Stated(evidence, clear).mapping("sent")
    except ReplayError as error:
        raise BrokenError(str(error)) from error
    return {
        **{name: clear.get(name, list[Json]()) for name in ("ch", "ob", "ad", "al")},
        "ll": clear.get("ll", "normal"),
        "st": clear.get("st"),
        "sent": dict(sent),
    }


def _asked(verdict: Verdict) -> dict[str, Json]:
    """The same of a verdict."""
    duties, advice = verdict.duties, verdict.advice
    return {
        "ch": [challenge.name for challenge in verdict.challenges],
        "ob": [*duty_words(duties)],
        "ad": [*duty_words(advice)],
        "al": [*sorted({*duties.alerts, *advice.alerts})],
        "ll": verdict.log.level,
        "st": verdict.status,
        "sent": {header.name: header.value for header in (*advice.headers, *duties.headers)},
    }
