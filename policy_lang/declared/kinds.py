"""Kinds of principals and workloads: who may call, as declared.

A declaration and the scope of its module go in, an entry comes out, or None with what was wrong. Kinds of principals
are the bundle's: `Kinds` knows the names, issuers and types that others have taken, and collects the inputs that went
wrong.
Source: language.md 2.1, 4.1, point B; contracts.md "Which service…".

Decision: 2026-11-21. A factor may read what its own kind has; which kinds a rule meets is known when it is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policy_lang import ir, tree
from policy_lang.declared.declared_types import fields_of
from policy_lang.declared.entries import KindEntry, WorkloadEntry
from policy_lang.declared.fields import IMPLICIT_CLAIMS, IMPLICIT_PROPERTIES, Slot, duplicate
from policy_lang.declared.scopes import Scope
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.names import BadText, DuplicateIssuer, DuplicateSubjectType
from policy_lang.source import Span
from policy_lang.spiffe import identity_fault
from policy_lang.typesystem import Scalar, SetType

_TEXT = Slot(Scalar.STRING, optional=False, declared=None)
_TEXTS = Slot(SetType(Scalar.STRING), optional=False, declared=None)


class Kinds:
    """Takes kinds of principals one after the other; `broken` are claims, properties and factors not usable."""

    def __init__(self, found: list[Diagnostic]) -> None:
        self._found = found
        self._names: dict[str, tree.Name] = {}
        self._issuers: dict[str, Span] = {}
        self._types: dict[str, Span] = {}
        self.broken: set[tuple[str, str]] = set()

    def token(self, scope: Scope, decl: tree.TokenDecl) -> KindEntry | None:
        """The entry of one token kind."""
        issuer = scope.text(decl.issuer, "issuer")
        if issuer is not None and issuer in self._issuers:
            others = (Label(self._issuers[issuer], "the other one"),)
            self._found.append(DuplicateIssuer(span=decl.issuer.span, issuer=issuer, others=others))
        elif issuer is not None:
            self._issuers[issuer] = decl.issuer.span
        fields = fields_of(scope, decl.claims, "claim")
        self.broken |= {("token", name) for name in fields.broken}
        factors = self._factors(decl.factors)
        if not self._is_first(decl.name):
            self._unusable("token", (*fields.slots, *factors))
            return None
        kind = ir.Kind(decl.name.text, "token", issuer or "", fields.schemas, None, ())
        slots = {**dict.fromkeys(IMPLICIT_CLAIMS, _TEXTS), **fields.slots}
        return KindEntry(kind, scope.name, slots, factors, None, decl.name)

    def subject(self, scope: Scope, decl: tree.SubjectDecl) -> KindEntry | None:
        """The entry of one subject kind."""
        type_ = scope.text(decl.type, "type of subjects")
        if type_ is not None and type_ in self._types:
            others = (Label(self._types[type_], "the other one"),)
            self._found.append(DuplicateSubjectType(span=decl.type.span, type=type_, others=others))
        elif type_ is not None:
            self._types[type_] = decl.type.span
        fields = fields_of(scope, decl.properties, "property")
        self.broken |= {("subject", name) for name in fields.broken}
        factors = self._factors(decl.factors)
        if not self._is_first(decl.name):
            self._unusable("subject", (*fields.slots, *factors))
            return None
        kind = ir.Kind(decl.name.text, "subject", type_ or "", fields.schemas, None, ())
        slots = {**dict.fromkeys(IMPLICIT_PROPERTIES, _TEXT), **fields.slots}
        return KindEntry(kind, scope.name, slots, factors, None, decl.name)

    def pass_over(self, decl: tree.TokenDecl | tree.SubjectDecl) -> None:
        """Remember what a second kind of one name would have had, so that nobody reports it as missing."""
        root, fields = ("token", decl.claims) if isinstance(decl, tree.TokenDecl) else ("subject", decl.properties)
        self._unusable(root, [*(each.name.text for each in fields), *(each.name.text for each in decl.factors)])

    def _unusable(self, root: str, names: Sequence[str]) -> None:
        self.broken |= {(each, name) for each in (root, "factor") for name in names}

    def _factors(self, written: Sequence[tree.FactorDecl]) -> Mapping[str, tree.FactorDecl]:
        factors: dict[str, tree.FactorDecl] = {}
        for factor in written:
            if factor.name.text in factors:
                self._found.append(duplicate(factor.name, factors[factor.name.text].name))
            factors.setdefault(factor.name.text, factor)
        return factors

    def _is_first(self, name: tree.Name) -> bool:
        if name.text in self._names:
            self._found.append(duplicate(name, self._names[name.text]))
            return False
        self._names[name.text] = name
        return True


def workload_entry(scope: Scope, decl: tree.WorkloadDecl) -> WorkloadEntry | None:
    """The entry of one workload."""
    identity = scope.text(decl.identity, "SPIFFE id")
    if identity is None:
        return None
    fault = identity_fault(identity)
    if fault is not None:
        scope.found.append(BadText(span=decl.identity.span, what="SPIFFE id", value=identity, why=fault))
        return None
    return WorkloadEntry(ir.Workload(f"{scope.name}.{decl.name.text}", identity), decl)
