"""Mistakes in `test` blocks (E7xx)."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotSet(Diagnostic):
    code = "E701"
    title = "a test cannot set `{name}`: {why}"

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotATestValue(Diagnostic):
    code = "E701"
    title = "a test takes a literal here, or `now` with a duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateTest(Diagnostic):
    code = "E703"
    title = "two tests are named `{title_}`"

    title_: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownDecider(Diagnostic):
    code = "E704"
    title = "nothing named `{name}` decides"
    help = "name a rule of this module, a rule of another as `module.rule`, or one of: {words}"

    name: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownChallenge(Diagnostic):
    code = "E704"
    title = "no rule asks for `{name}`"
    help = "a step-up names a factor or a challenge of a require rule"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAMethod(Diagnostic):
    code = "E705"
    title = "a call has one method, not `{method}`"

    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTwice(Diagnostic):
    code = "E706"
    title = "{what} is given twice"

    what: str
