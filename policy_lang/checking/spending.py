"""The steps that one rule or proof takes, and the refusal of a policy that takes too many.

A rule's name and the memory of the check go in; each environment is asked for, and granted while there are steps left.
INVARIANT: once one environment was refused, none is granted: the policy is refused, so what else it says is not known.
Source: language.md 4.6; the limits of `memory`.
"""

from __future__ import annotations

from policy_lang import tree
from policy_lang.checking.memory import ENVIRONMENT_STEPS, Heaviest, Memory
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.rules import TooManyTogether


class Spending:
    """Counts for one rule or proof, from when it is made."""

    def __init__(self, name: tree.Name | tree.Text, memory: Memory) -> None:
        self._name = name
        self._memory = memory
        self._before = memory.steps
        self._met = 0

    def meets(self, found: list[Diagnostic], *, passed_over: bool = False) -> bool:
        """Whether it may look at one environment more, or pass over one whose callers are known not to be meant; the
        first time that none may is reported, of the rule that took the most.
        """
        memory = self._memory
        memory.steps -= 1 if passed_over else ENVIRONMENT_STEPS
        if memory.steps >= 0 and not memory.stopped:
            self._met += 1
            return True
        if not memory.stopped:
            memory.stopped = True
            self.end()
            if memory.heaviest is not None:
                found.append(_too_many(memory.heaviest, memory.most_steps))
        return False

    def end(self) -> None:
        """It is done, or given up."""
        heaviest, steps = self._memory.heaviest, self._before - self._memory.steps
        if heaviest is None or steps > heaviest.steps:
            self._memory.heaviest = Heaviest(self._name, steps, self._met)


def _too_many(heaviest: Heaviest, most: int) -> Diagnostic:
    name = heaviest.name
    return TooManyTogether(
        span=name.span,
        name=name.text if isinstance(name, tree.Name) else name.value,
        why=f"checking the policy takes more than {most} steps, and this the most of them",
        where=f"meets {heaviest.met} endpoints and callers that differ in what it reads",
        remedy="narrow it by `for` and `on`, or read less that differs from endpoint to endpoint",
    )
