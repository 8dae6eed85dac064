"""A drawn policy, ready to be asked, and what to say when something about it does not hold.

`Trial.of` draws, compiles and loads everything from one seed; `refute` drops the rules that a failure does not need and
raises with seed, policy, question and what went wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pprint import pformat
from typing import NoReturn

from msgspec import Struct

from policy_lang.compile import Compiled, compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render
from policy_lang.ir import Program
from policy_lang.meaning.facts import load_facts
from policy_lang.meaning.reference import Reference
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Facts, Question
from tests.support.generator.agreement import difference
from tests.support.generator.policies import ENVIRONMENT, Bundle, draw_bundle
from tests.support.generator.questions import Questioner

HOSTILE = 0.03
"""The share of questions that nobody well-meaning would ask."""


class Trial(Struct, frozen=True):
    """One drawn policy."""

    seed: str
    bundle: Bundle
    compiled: Compiled
    facts: Facts
    reference: Reference
    plans: Plans
    questioner: Questioner

    @classmethod
    def of(cls, seed: str, crowded: float = 0.2) -> Trial:
        """The policy of a seed; AssertionError where it is refused, since it is well typed."""
        bundle = draw_bundle(random.Random(seed), crowded)
        compiled = compiled_or_told(seed, bundle)
        facts = load_facts(compiled.program, bundle.files())
        program = compiled.program
        return cls(seed, bundle, compiled, facts, Reference.of(program), Plans.of(program), Questioner(program, facts))

    @property
    def program(self) -> Program:
        """What it compiles to."""
        return self.compiled.program

    def questions(self, count: int, purpose: str = "", hostile: float = HOSTILE) -> Iterator[Question]:
        """That many questions, the same ones for the same purpose."""
        rng = random.Random(f"{self.seed} {purpose}")
        for _ in range(count):
            yield self.questioner.hostile(rng) if rng.random() < hostile else self.questioner.draw(rng)


def compiled_or_told(seed: str, bundle: Bundle, order: random.Random | None = None) -> Compiled:
    """The bundle compiled; AssertionError with the text and every mistake where it is refused."""
    files = bundle.files(order)
    try:
        return compile_policy(files, settings=ENVIRONMENT)
    except CompileError as error:
        sources = sources_of(files)
        mistakes = render(error.diagnostics, sources)
        raise AssertionError(f"seed {seed}: a well-typed policy is refused\n{mistakes}\n{texts(bundle)}") from None


def disagreement(question: Question, bundle: Bundle) -> str:
    """How the two evaluators of a bundle differ on a question, "" where they agree."""
    program = bundle.compiled().program
    reference = Reference.of(program)
    return difference(reference.decide(question), Plans.of(program).decide(question))


def refute(trial: Trial, question: Question, what: str, again: Callable[[Bundle], str]) -> NoReturn:
    """Raise for something that does not hold; `again` says what is wrong with a smaller bundle, "" for nothing."""
    smaller = shrunk(trial.bundle, again)
    told = again(smaller) or what
    asked = pformat(question, width=140)
    raise AssertionError(f"seed {trial.seed}:\n{what}\nshrunk:\n{told}\nquestion: {asked}\n{texts(smaller)}")


def shrunk(bundle: Bundle, again: Callable[[Bundle], str]) -> Bundle:
    """The bundle without the rules that a failure does not need; each is dropped once, in order."""
    kept = bundle.rules
    for rule in bundle.rules:
        fewer = tuple(each for each in kept if each is not rule)
        try:
            still = again(bundle.with_rules(fewer))
        except CompileError:
            continue
        kept = fewer if still else kept
    return bundle.with_rules(kept)


def texts(bundle: Bundle) -> str:
    """Every file of a bundle."""
    return "\n".join(f"--- {name}\n{data.decode()}" for name, data in sorted(bundle.files().items()))
