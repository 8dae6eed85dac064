"""On what two evaluators agree, and where two verdicts differ.

Evaluators agree on every field of `Verdict` but `rules`, `nearest`, `baselines`, and `by` beyond the primary rule
(policy_lang/verdict.py).
"""

from __future__ import annotations

from msgspec.structs import replace

from policy_lang.verdict import Verdict


def agreed(verdict: Verdict) -> Verdict:
    """What of a verdict every evaluator says."""
    seen = verdict.observed
    observed = None if seen is None else replace(seen, by=seen.by[:1])
    return replace(verdict, by=verdict.by[:1], observed=observed, rules=(), nearest=None, baselines=())


def policy_says(verdict: Verdict) -> str:
    """The outcome that rules and baselines come to, observed or not."""
    return verdict.outcome if verdict.observed is None else verdict.observed.outcome


def difference(left: Verdict, right: Verdict) -> str:
    """The fields on which two verdicts differ, "" where they agree."""
    one, other = agreed(left), agreed(right)
    return "".join(
        f"  {name}: {getattr(one, name)!r} is not {getattr(other, name)!r}\n"
        for name in Verdict.__struct_fields__
        if getattr(one, name) != getattr(other, name)
    )
