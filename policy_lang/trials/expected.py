"""What a case expects: the decision, who decided, the challenge, and obligations with the values they have there.

`expect …` goes in with the call it is about, `cases.Expected` comes out; mistakes are appended to `found`.
Source: language.md 5.7; contracts.md "Who decided".

Decision (2026-11-21): the value of a header that is set is an expression over the inputs of the case, as in a rule, so
that it is worked out by the call; a tag is not among them, since the endpoint is known by routing alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.checking.duties import fixed_duty, header_name
from policy_lang.declared.entries import ModuleEntry, SignalEntry
from policy_lang.declared.inventory import DECIDERS
from policy_lang.declared.literals_typed import Typed
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.mistakes.cases import NotAHeaderValue, ShadowDecider, UnknownChallenge, UnknownDecider
from policy_lang.mistakes.names import UnknownAttribute
from policy_lang.mistakes.types import TypesDiffer, WrongType
from policy_lang.trials.calls import Draft
from policy_lang.trials.cases import Expected, ExpectedHeader, FixedDuty
from policy_lang.trials.given import Fixture
from policy_lang.trials.values import Values
from policy_lang.typesystem import Scalar, SetType, Type, moved
from policy_lang.wording import as_written

_REQUEST: Mapping[str, Type] = {
    "ip": Scalar.IP,
    "peer": Scalar.WORKLOAD,
    "gateway": Scalar.WORKLOAD,
    "tls": Scalar.BOOL,
    "method": Scalar.STRING,
    "path": Scalar.STRING,
    "host": Scalar.STRING,
}


class Deciders(Struct, frozen=True):
    """What may be named after `by` and after `step_up`: rules by full id, with whether each is in the shadow."""

    rules: Mapping[str, bool]
    challenges: frozenset[str]


class Expectations:
    """Reads what the cases of one test expect."""

    def __init__(self, entry: ModuleEntry, deciders: Deciders, values: Values, found: list[Diagnostic]) -> None:
        self._entry = entry
        self._deciders = deciders
        self._values = values
        self._found = found

    def expected(self, outcome: tree.Outcome, fixture: Fixture, draft: Draft | None) -> Expected:
        """What `outcome` asks for, of a call with these inputs; `draft` None where the call itself was refused."""
        by = tuple(self._decider(name) for name in outcome.by)
        challenge = outcome.challenge
        if challenge is not None and challenge.text not in self._deciders.challenges:
            hint = hint_for(challenge.text, self._deciders.challenges, self._found)
            self._found.append(UnknownChallenge(span=challenge.span, name=challenge.text, hint=hint))
        headers: list[ExpectedHeader] = []
        obligations: list[FixedDuty] = []
        for obligation in outcome.obligations:
            if isinstance(obligation, tree.SetHeader):
                header = self._header(obligation, fixture, draft)
                headers += [] if header is None else [header]
            else:
                duty = fixed_duty(obligation, self._found)
                obligations += [] if duty is None or isinstance(duty, ir.SetHeader) else [duty]
        name = None if challenge is None else challenge.text
        text = self._text(outcome, by)
        return Expected(outcome.decision, by, name, tuple(headers), tuple(obligations), text)

    def _text(self, outcome: tree.Outcome, by: tuple[str, ...]) -> str:
        source = self._entry.module.source
        asked = "" if outcome.challenge is None else f" {outcome.challenge.text}"
        deciders = f" by {', '.join(by)}" if by else ""
        duties = "".join(f" and {as_written(source, each.span)}" for each in outcome.obligations)
        return f"{outcome.decision}{asked}{deciders}{duties}"

    def _decider(self, name: tree.Text) -> str:
        if name.value in DECIDERS:
            return name.value
        full = name.value if name.value in self._deciders.rules else f"{self._entry.name}.{name.value}"
        shadow = self._deciders.rules.get(full)
        if shadow is None:
            hint = hint_for(name.value, (*self._entry.rules, *self._entry.blocks), self._found)
            self._found.append(UnknownDecider(span=name.span, name=name.value, words=" ".join(DECIDERS), hint=hint))
        elif shadow:
            self._found.append(ShadowDecider(span=name.span, name=name.value))
        return full

    # ------------------------------------------------------------ the value of a header

    def _header(self, written: tree.SetHeader, fixture: Fixture, draft: Draft | None) -> ExpectedHeader | None:
        name = header_name(written.name, self._found)
        typed = self._operand(written.value, fixture, draft)
        if name is None or typed is None:
            return None
        if isinstance(typed.type, SetType):
            span = written.value.span
            self._found.append(WrongType(span=span, wanted="a single value", found=f"`{typed.type}`"))
            return None
        return ExpectedHeader(name, typed.operand, typed.type is Scalar.TIME)

    def _operand(self, expr: tree.Expr, fixture: Fixture, draft: Draft | None) -> Typed | None:
        match expr:
            case tree.Ref(root=root, parts=(name,)):
                return self._input(expr, root.text, name, fixture, draft)
            case tree.Ref(root=tree.Name(text="now"), parts=()):
                return Typed(ir.Now(), Scalar.TIME)
            case tree.Arithmetic(op=op):
                return self._shifted(expr, op, fixture, draft)
            case _:
                known = self._values.known(expr, None)
                return None if known is None else Typed(ir.Const(known.value), known.type)

    def _shifted(self, expr: tree.Arithmetic, op: str, fixture: Fixture, draft: Draft | None) -> Typed | None:
        left, right = self._operand(expr.left, fixture, draft), self._operand(expr.right, fixture, draft)
        if left is None or right is None:
            return None
        type_ = moved(left.type, expr.op, right.type)
        if type_ is None:
            there = (f"`{left.type}`", f"`{right.type}`")
            self._found.append(TypesDiffer(span=expr.span, form=op, left=there[0], right=there[1]))
            return None
        return Typed(ir.Shift(left.operand, 1 if op == "+" else -1, right.operand), type_)

    def _input(self, ref: tree.Ref, root: str, name: tree.Name, fixture: Fixture, draft: Draft | None) -> Typed | None:
        """An input of the case, by the name a rule has for it."""
        match root:
            case "token" | "subject" as form:
                kind = fixture.kind
                if kind is None or kind.kind.form != form:
                    return self._no_header(ref, f"the test gives no {form}")
                slot = kind.slots.get(name.text)
                return self._typed(ir.Attr(form, name.text), None if slot is None else slot.type, name)
            case "signal":
                entry = self._entry.scope.get(name.text)
                if isinstance(entry, SignalEntry):
                    return Typed(ir.Attr("signal", entry.signal.id), entry.signal.type)
                return self._typed(ir.Attr("signal", name.text), None, name)
            case "request":
                return self._typed(ir.Attr("request", name.text), _REQUEST.get(name.text), name)
            case "path" | "query" | "header" | "resource" as of:
                return None if draft is None else self._typed(ir.Attr(of, name.text), _type_in(draft, of, name), name)
            case "endpoint" | "service":
                return self._no_header(ref, "a tag is a constant: write what it is")
            case _:
                return self._no_header(ref, "it is no input of a call")

    def _typed(self, attr: ir.Attr, type_: Type | None, name: tree.Name) -> Typed | None:
        if type_ is not None:
            return Typed(attr, type_)
        written, why = f"{attr.root}.{attr.name}", "this call has no such input"
        self._found.append(UnknownAttribute(span=name.span, name=written, why=why))
        return None

    def _no_header(self, ref: tree.Ref, why: str) -> Typed | None:
        self._found.append(NotAHeaderValue(span=ref.span, why=why))
        return None


def _type_in(draft: Draft, root: str, name: tree.Name) -> Type | None:
    """The type of an input of the call itself; None where what is called has none of that name."""
    if root == "path":
        return draft.captures().get(name.text)
    if root == "resource" and name.text == "id":
        return Scalar.STRING
    return next((field.type for field in draft.fields(root) if field.name == name.text), None)
