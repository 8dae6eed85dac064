"""One trial of a kind, asked of Casbin and of Portcullis in both modes: every difference is listed, or a failure.

In: a kind and the name of a seed. Out: counts in a tally; AssertionError for a difference that no line of the list
covers, with the policy cut down to the lines that matter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from random import Random

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang.casbin.program import CasbinProgram, compile_casbin
from policy_lang.diagnostics import CompileError
from policy_lang.ir.tables import Mode
from tests.casbin.kind import Kind, Request, Trial
from tests.casbin.known_differences import Asked, known_difference
from tests.casbin.oracle import Answer, LoadError, Oracle

_COMMA = re.compile(r", (?![^()]*\))")
"""A comma between values; not one in parentheses."""

MODES: tuple[Mode, ...] = ("compat", "strict")


class Tally(Struct):
    """`answers` are Casbin's; `strict` counts trials by whether strict takes them; `known` differences by line."""

    requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    strict: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)

    def lacks(self, kind: Kind) -> list[str]:
        """What the run has not covered, or has too much of."""
        found = []
        if self.answers["yes"] < kind.allowed * self.requests:
            found.append(f"{self.answers['yes']} of {self.requests} allowed, at least {kind.allowed:.0%}")
        if self.answers["raised"] > kind.raised * self.requests:
            found.append(f"{self.answers['raised']} of {self.requests} raised, at most {kind.raised:.0%}")
        if kind.strict == "either":
            found += [f"strict never {said}" for said in ("takes", "refuses") if not self.strict[said]]
        return found


def compare(kind: Kind, seed: str, tally: Tally, requests: int) -> None:
    """Ask `requests` requests of one trial. Errors: AssertionError for a difference that is not listed."""
    random = Random(f"{kind.name} {seed}")
    trial = kind.draw(random)
    programs = _programs(kind, trial, seed, tally)
    tally.requests += requests
    try:
        oracle = Oracle.of(trial, kind.settings)
    except LoadError:
        tally.answers["raised"] += requests
        for program in programs.values():
            for _ in range(requests):
                program.enforce(*trial.ask(random))
        return
    grown = _grown(kind, trial, random) if "compat" in programs else None
    for _ in range(requests):
        request = trial.ask(random)
        theirs, their_row = oracle.explained(request)
        tally.answers[theirs] += 1
        for mode, program in programs.items():
            ours, row = program.enforce_ex(*request)
            if theirs != ("yes" if ours else "no"):
                asked = _asked(kind, trial, mode, request, theirs, oracle, ours=ours)
                known = known_difference(asked)
                assert known is not None, _failure(asked, seed)
                tally.known[known.name] += 1
            elif mode == "compat" and ours and oracle.stops_at_an_allow and row != their_row:
                explained = any(_known_alone(kind, trial, request, each) for each in (their_row, row))
                assert explained, f"{kind.name} {seed}: {their_row} decides {request!r}, not {row}"
            if mode == "compat" and grown is not None:
                assert grown.enforce_ex(*request) == (ours, row), f"{kind.name} {seed}: {request!r} of a grown policy"


def _asked(
    kind: Kind, trial: Trial, mode: Mode, request: Request, theirs: Answer, oracle: Oracle, *, ours: bool
) -> Asked:
    afresh = oracle.fresh().answer(request)
    return Asked(kind, trial, mode, request, theirs, afresh, oracle.by_rows(request), oracle.rows, ours)


def _known_alone(kind: Kind, trial: Trial, request: Request, row: Sequence[str]) -> bool:
    """Whether the answers differ, as listed, where this row is the only one: it then decides for one of the two."""
    kind_of_row = f"p{kind.settings.suffix}"
    others = tuple(line for line in trial.lines if not line.startswith("p"))
    alone = replace(trial, lines=(", ".join((kind_of_row, *row)), *others))
    asked = _asked_again(kind, alone, "compat", request)
    return asked is not None and asked.theirs != ("yes" if asked.ours else "no") and known_difference(asked) is not None


def _grown(kind: Kind, trial: Trial, random: Random) -> CasbinProgram:
    """The program in compat, of some first lines of the policy, with the others added; all are of the first where one
    ends with an empty value, which a record has no place for.
    """
    kept = random.randint(0, len(trial.lines))
    if any(line.endswith(", ") for line in trial.lines):
        kept = len(trial.lines)
    added = [_COMMA.split(line) for line in trial.lines[kept:] if not line.startswith("#")]
    return program_of(kind, replace(trial, lines=trial.lines[:kept]), "compat").updated(add=added)


def program_of(kind: Kind, trial: Trial, mode: Mode) -> CasbinProgram:
    """The trial compiled. Errors: CompileError."""
    settings = kind.settings
    program = compile_casbin(
        trial.model,
        trial.policy,
        mode=mode,
        matching=settings.matching,
        domain_matching=settings.domain_matching,
        zone=settings.zone,
    )
    names = {name: f"{name}{settings.suffix}" for name in "rpem"}
    return program.using(**names) if settings.suffix else program


def _programs(kind: Kind, trial: Trial, seed: str, tally: Tally) -> dict[Mode, CasbinProgram]:
    programs: dict[Mode, CasbinProgram] = {}
    for mode in MODES:
        try:
            programs[mode] = program_of(kind, trial, mode)
        except CompileError as refused:
            errors = {each.code for each in refused.diagnostics if each.severity == "error"}
            expected = kind.codes if mode == "strict" else kind.unread
            assert errors, f"{kind.name} {seed}: {mode} refuses without an error"
            assert errors <= expected, (
                f"{kind.name} {seed}: {mode} refuses\n{trial.model}\n{trial.policy}\n"
                + "\n".join(f"{each.code} {each.message}" for each in refused.diagnostics)
            )
    said = "takes" if "strict" in programs else "refuses"
    assert kind.strict in {"either", said}, f"{kind.name} {seed}: strict {said}\n{trial.model}\n{trial.policy}"
    tally.strict[said] += 1
    return programs


def _failure(asked: Asked, seed: str) -> str:
    asked = _shrunk(asked)
    return (
        f"{asked.kind.name} {seed}, {asked.mode}: Casbin says {asked.theirs} (afresh {asked.afresh}, by rows "
        f"{asked.by_rows}), we say {asked.ours}\n{asked.trial.model}\n{asked.trial.policy}\nrequest {asked.request!r}"
    )


def _shrunk(asked: Asked) -> Asked:
    """The same difference with fewer lines of policy."""
    for line in asked.trial.lines:
        fewer = replace(asked.trial, lines=tuple(each for each in asked.trial.lines if each != line))
        again = _asked_again(asked.kind, fewer, asked.mode, asked.request)
        if again is not None and again.theirs == asked.theirs and again.ours == asked.ours:
            asked = again
    return asked


def _asked_again(kind: Kind, trial: Trial, mode: Mode, request: Request) -> Asked | None:
    try:
        oracle, program = Oracle.of(trial, kind.settings), program_of(kind, trial, mode)
    except (LoadError, CompileError):
        return None
    theirs = oracle.answer(request)
    return _asked(kind, trial, mode, request, theirs, oracle, ours=program.enforce(*request))
