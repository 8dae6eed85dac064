"""What a rule asks of the gateway and of the log: which obligations it may carry, and what they come to.

An obligation as written goes in; `ir.Obligation` comes out, or a mistake. All but the value of a header are the same in
every environment, so they are read once; that value is typed where the rule's conditions hold.
INVARIANT: a require must and may do anything but answer; a deny must answer, log, alert; an allow must nothing; what
should be done sets or removes a header, redacts or alerts, on a deny it alerts only.
Source: language.md 2.1, 5.5, points D, E, G; contracts.md "Headers at Envoy".

Decision: 2026-11-21. Headers that carry the call itself or who calls (`authorization`, `host`, `content-length`,
`transfer-encoding`, `connection`) and ours (`x-portcullis-*`) cannot be set or removed: a policy must not make the back
end read another call than the one that was decided. A name is compared without its case, and with `_` read as `-`: to
many servers these are one header.
Decision: 2026-11-21. A constant that no header can hold is refused here; a value that is not known before the call is
looked at then (reason `conflict.value`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.checking.environment import Facts
from policy_lang.checking.expressions import Checker
from policy_lang.checking.header_names import folded
from policy_lang.checking.shape import duty_on_allow
from policy_lang.declared.fields import checked_scope
from policy_lang.declared.literals_typed import Typed
from policy_lang.diagnostics import Diagnostic
from policy_lang.meaning.obligations import LONGEST_VALUE, STATUSES, header_text
from policy_lang.mistakes.rules import (
    BadChannel,
    BadHeaderName,
    BadPointer,
    BadStatus,
    ForbiddenHeader,
    Misplaced,
    UnknownLogWord,
    UnwritableHeader,
)
from policy_lang.mistakes.types import WrongType
from policy_lang.typesystem import Scalar, SetType

_LEVELS: Mapping[str, ir.LogLevel] = {"minimal": "minimal", "normal": "normal", "full": "full"}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FORBIDDEN = {
    "authorization": "it says who calls; `issue token` replaces it",
    "host": "it says which service is called",
    "content-length": "it says where the body ends",
    "transfer-encoding": "it says where the body ends",
    "connection": "it says what a gateway drops",
    "te": "it says what a gateway drops",
    "upgrade": "it says what a gateway drops",
    "x-http-method-override": "it says which method is called",
    "x-original-url": "it says which path is called",
    "x-rewrite-url": "it says which path is called",
}
_OURS = "x-portcullis-"
_GATEWAYS = "x-envoy-"

_WORDS: Mapping[type[tree.Obligation], str] = {
    tree.LogObligation: "log",
    tree.SetHeader: "set header",
    tree.RemoveHeader: "remove header",
    tree.Redact: "redact",
    tree.IssueToken: "issue token",
    tree.Alert: "alert",
    tree.AnswerStatus: "answer",
}
_LEGAL = {
    ("must", "require"): frozenset(_WORDS.values()) - {"answer"},
    ("must", "deny"): frozenset({"answer", "log", "alert"}),
    ("should", "allow"): frozenset({"set header", "remove header", "redact", "alert"}),
    ("should", "require"): frozenset({"set header", "remove header", "redact", "alert"}),
    ("should", "deny"): frozenset({"alert"}),
}
_RULES = {"allow": "an allow", "deny": "a deny", "require": "a require"}


class HeaderToSet(Struct, frozen=True):
    """A header whose value is typed in each environment."""

    name: str
    written: tree.SetHeader


class Duties(Struct, frozen=True):
    """The obligations of one rule that may stand there, in the order written."""

    must: tuple[ir.Obligation | HeaderToSet, ...]
    should: tuple[ir.Obligation | HeaderToSet, ...]

    def values(self) -> tuple[tree.Expr, ...]:
        """The expressions that headers are set to."""
        return tuple(each.written.value for each in (*self.must, *self.should) if isinstance(each, HeaderToSet))

    def issue_tokens(self) -> bool:
        """Whether a token is to be issued."""
        return any(isinstance(each, ir.IssueToken) for each in self.must)


def duties_of(rule: tree.Rule, found: list[Diagnostic]) -> Duties:
    """The obligations of a rule; what may not stand there is a mistake."""
    must: list[ir.Obligation | HeaderToSet] = []
    should: list[ir.Obligation | HeaderToSet] = []
    for clause in rule.clauses:
        if isinstance(clause, tree.MustClause) and _may_stand("must", rule.effect, clause, found):
            must += _read(clause.obligation, found)
        elif isinstance(clause, tree.ShouldClause) and _may_stand("should", rule.effect, clause, found):
            should += _read(clause.obligation, found)
    return Duties(tuple(must), tuple(should))


def _may_stand(
    how: str, effect: tree.Effect, clause: tree.MustClause | tree.ShouldClause, found: list[Diagnostic]
) -> bool:
    if isinstance(clause, tree.MustClause) and effect == "allow":
        found.append(duty_on_allow(clause, "must"))
        return False
    word = _WORDS[type(clause.obligation)]
    if word in _LEGAL[how, effect]:
        return True
    found.append(Misplaced(span=clause.span, how=how, what=word, rule=_RULES[effect], remedy=_remedy(how, word)))
    return False


def _remedy(how: str, word: str) -> str:
    match word:
        case "log":
            return "the log is ours, not the gateway's: write `must log` on a require or a deny"
        case "answer":
            return "only a deny is answered: write `must answer` there"
        case "issue token":
            return "write `must issue token` on a require rule"
        case _ if how == "must":
            return "a deny can answer, log and alert; the rest belongs on a require rule"
        case _:
            return "a refused call reaches nobody; the most a deny should do is alert"


def _read(obligation: tree.Obligation, found: list[Diagnostic]) -> list[ir.Obligation | HeaderToSet]:
    """What an obligation comes to; nothing after a mistake."""
    if isinstance(obligation, tree.SetHeader):
        name = header_name(obligation.name, found)
        return [] if name is None else [HeaderToSet(name, obligation)]
    read = fixed_duty(obligation, found)
    return [] if read is None else [read]


def fixed_duty(
    obligation: tree.LogObligation | tree.RemoveHeader | tree.Redact | tree.IssueToken | tree.Alert | tree.AnswerStatus,
    found: list[Diagnostic],
) -> ir.Obligation | None:
    """An obligation that is the same wherever it stands; None, with the mistake, where it is none."""
    match obligation:
        case tree.LogObligation():
            return log_duty(obligation, found)
        case tree.RemoveHeader(name=text):
            name = header_name(text, found)
            return None if name is None else ir.RemoveHeader(name)
        case tree.Redact(pointers=pointers):
            bad = [pointer for pointer in pointers if not _POINTER.fullmatch(pointer.value)]
            found += [BadPointer(span=pointer.span, pointer=pointer.value) for pointer in bad]
            return None if bad else ir.Redact(tuple(sorted({pointer.value for pointer in pointers})))
        case tree.IssueToken(scopes=written):
            scopes = [scope for text in written if (scope := checked_scope(text, found)) is not None]
            return ir.IssueToken(tuple(sorted(set(scopes))) if written else None)
        case tree.Alert(channel=channel):
            if _CHANNEL.fullmatch(channel.value):
                return ir.Alert(channel.value)
            found.append(BadChannel(span=channel.span, channel=channel.value))
            return None
        case tree.AnswerStatus(status=status):
            if status in STATUSES:
                return ir.Answer(status)
            found.append(BadStatus(span=obligation.span, status=status))
            return None
        case _:
            assert_never(obligation)


def header_name(text: tree.Text, found: list[Diagnostic]) -> str | None:
    """The lower-case name of a header that a rule may set or remove; None, with the mistake, of any other."""
    name = text.value.lower()
    if not _TOKEN.fullmatch(text.value):
        found.append(BadHeaderName(span=text.span, name=text.value))
        return None
    read_as = folded(name)
    if read_as.startswith(_OURS):
        why: str | None = "it is ours"
    else:
        why = "it is the gateway's" if read_as.startswith(_GATEWAYS) else _FORBIDDEN.get(read_as)
    if why is None:
        return name
    found.append(ForbiddenHeader(span=text.span, name=name, why=why))
    return None


def log_duty(written: tree.LogObligation, found: list[Diagnostic]) -> ir.LogDuty | None:
    """What `log LEVEL [strict]` asks for; None, with a mistake, where it is no such words."""
    level = _LEVELS.get(written.level.text)
    if level is None:
        found.append(UnknownLogWord(span=written.level.span, word=written.level.text))
    if written.mode is not None and written.mode.text != "strict":
        found.append(UnknownLogWord(span=written.mode.span, word=written.mode.text))
        return None
    return None if level is None else ir.LogDuty(level, written.mode is not None)


# ---------------------------------------------------------------- in one environment


def duties_here(
    duties: tuple[ir.Obligation | HeaderToSet, ...], checker: Checker, known: Facts, found: list[Diagnostic]
) -> tuple[ir.Obligation, ...]:
    """The obligations where the inputs of `known` are present; a header whose value is refused is left out."""
    here = (_header(each, checker, known, found) if isinstance(each, HeaderToSet) else each for each in duties)
    return tuple(each for each in here if each is not None)


def _header(header: HeaderToSet, checker: Checker, known: Facts, found: list[Diagnostic]) -> ir.SetHeader | None:
    value = header.written.value
    given = checker.operand(value, None, known)
    if given is None:
        checker.refuse(known)
        return None
    if isinstance(given.type, SetType):
        found.append(WrongType(span=value.span, wanted="a single value", found=f"`{given.type}`"))
    elif (operand := _sendable(given)) is None:
        found.append(UnwritableHeader(span=value.span, longest=LONGEST_VALUE))
    else:
        return ir.SetHeader(header.name, operand)
    checker.refuse(known)
    return None


def _sendable(given: Typed) -> ir.Operand | None:
    """The value of a header, a constant as the text it is sent as; None for one that no header can hold."""
    if not isinstance(given.operand, ir.Const):
        return given.operand
    text = header_text(given.operand.value, instant=given.type == Scalar.TIME)
    return None if text is None else ir.Const(text)
