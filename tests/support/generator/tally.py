"""What a run of questions has covered: outcomes, deciders, duties, and every kind of atom by truth.

A generator that is one-sided proves little (contracts.md "Long tests"), so a run states its shares and `lacks` names
what it did not see enough of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct, field

from policy_lang.ir import Atom, Compare, Program, atoms_of, guards_of
from policy_lang.meaning.admission import Call
from policy_lang.meaning.evaluation import truth_of_atom
from policy_lang.verdict import Duties, Question, Truth3, Verdict

DECIDERS = (
    "route", "path", "schema", "audience", "exclusive", "scope", "default", "conflict", "capability", "observe",
)  # fmt: skip
"""The words of the closed list that an evaluator can say; the others are said before it is asked, or after."""

SHARES = {
    "allow by rule": 0.20,
    "deny by rule": 0.15,
    "step_up by rule": 0.10,
    "allow by block": 0.01,
    "deny by block": 0.01,
}
"""What is said by rules; of it, by those that `casbin` blocks are, which are called so."""

DUTIES = (
    "header", "removed", "redaction", "token", "alert", "advised header", "advised removal", "advised redaction",
    "advised alert", "log minimal", "log normal", "log full", "log strict", "shadow", "observed", "valid until",
    *(f"answer {status}" for status in (403, 404, 429, 451, 503)),
)  # fmt: skip

ATOMS = (
    "Truth", "Compare eq", "Compare lt", "Compare le", "Member", "Overlap", "Cover", "Empty", "Like", "Has",
    "InNetwork", "Lookup", "Age", "Vote",
)  # fmt: skip

_OF_CLAIMS = frozenset({"Has", "Age"})
"""Atoms that are unknown only where a claim is not at hand. The others are counted where all claims are, since a plan
leaves other questions to the definition.
"""


class Tally(Struct):
    """Counts of one run."""

    policies: int = 0
    pairs: int = 0
    said: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    duties: Counter[str] = field(default_factory=Counter)
    atoms: Counter[tuple[str, Truth3]] = field(default_factory=Counter)

    def verdict(self, verdict: Verdict) -> None:
        """Count one answer."""
        self.pairs += 1
        self.said[f"{verdict.outcome} by rule" if verdict.reason == "rule" else verdict.by[0]] += 1
        if verdict.by[0].rpartition(".")[2].startswith("block"):
            self.said[f"{verdict.outcome} by block"] += 1
        self.reasons[verdict.reason] += 1
        self.duties.update(_duties(verdict))

    def call(self, program: Program, question: Question, call: Call) -> None:
        """Count what the atoms of the cell that was asked came to."""
        seen: dict[int, Atom] = {}
        for guard in dict.fromkeys(guards_of(program, call.cell)):
            seen |= {id(atom): atom for atom in atoms_of(program, guard)}
        for atom in seen.values():
            if not question.caller.unread or _kind(atom) in _OF_CLAIMS:
                self.atoms[_kind(atom), truth_of_atom(atom, call.environment)] += 1

    def lacks(self) -> list[str]:
        """What the run has not covered."""
        said = self.said
        found = [
            f"{said[name] / self.pairs:.1%} {name}, at least {share:.0%}"
            for name, share in SHARES.items()
            if said[name] < share * self.pairs
        ]
        found += [f"nothing by {word}" for word in DECIDERS if not said[word]]
        found += [f"no {duty}" for duty in DUTIES if not self.duties[duty]]
        found += [f"{kind} never {truth.value}" for kind in ATOMS for truth in Truth3 if not self.atoms[kind, truth]]
        return found

    def told(self) -> str:
        """The counts, for a person."""
        shares = ", ".join(f"{name} {count / self.pairs:.1%}" for name, count in self.said.most_common())
        duties = ", ".join(f"{name} {self.duties[name]}" for name in DUTIES)
        atoms = ", ".join(
            f"{kind} {'/'.join(str(self.atoms[kind, truth]) for truth in (Truth3.TRUE, Truth3.FALSE, Truth3.UNKNOWN))}"
            for kind in ATOMS
        )
        return (
            f"{self.pairs} pairs of {self.policies} policies\n"
            f"said: {shares}\nasked: {duties}\natoms true/false/unknown: {atoms}"
        )


def _kind(atom: Atom) -> str:
    return f"Compare {atom.op}" if isinstance(atom, Compare) else type(atom).__name__


def _duties(verdict: Verdict) -> Iterator[str]:
    yield from _asked(verdict.duties, ("header", "removed", "redaction", "alert"))
    yield from _asked(verdict.advice, ("advised header", "advised removal", "advised redaction", "advised alert"))
    marks = {
        "token": verdict.duties.token_scopes is not None,
        f"log {verdict.log.level}": True,
        "log strict": verdict.log.strict,
        "shadow": bool(verdict.shadow),
        "observed": verdict.observed is not None,
        "valid until": verdict.valid_until_ms is not None,
        f"answer {verdict.status}": verdict.status is not None,
    }
    yield from (name for name, there in marks.items() if there)


def _asked(duties: Duties, names: tuple[str, str, str, str]) -> Iterator[str]:
    lists = (duties.headers, duties.removed, duties.redactions, duties.alerts)
    yield from (name for name, of in zip(names, lists, strict=True) if of)
