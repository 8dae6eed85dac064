"""Signals, relations and conditions as declared: what a rule may ask beyond the call itself.

A declaration and the scope of its module go in, an entry comes out, or None with what was wrong.
Source: language.md 2.1, 4.1, points A and I.

Decision: 2026-11-21. What the service counts itself (`seen.*`) is an integer. A signal is at most a second late: a call
waits for it. What its keys name is bound by names.py, with every other reference. A value of an enum stands in quotes
after `else`, where the grammar has literals only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from policy_lang import ir, tree
from policy_lang.declared.declared_types import declared_type, scalar_type
from policy_lang.declared.entries import ConditionEntry, RelationEntry, SignalEntry
from policy_lang.declared.fields import duplicate
from policy_lang.declared.literals_typed import is_literal, literal_operand
from policy_lang.declared.scopes import ROOTS, Scope
from policy_lang.declared.walking import dotted
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.names import BadSignal, ShadowedName, UnknownProvider
from policy_lang.mistakes.types import LiteralMisfit, WrongType
from policy_lang.source import Source, Span
from policy_lang.syntax.automaton import BLANKS
from policy_lang.typesystem import EnumType, IntType, RoleType, SetType, Type, same

LONGEST_WAIT_MS = 1000

_WITHIN = re.compile(rf"{BLANKS}(?:\){BLANKS})?(within{BLANKS}[0-9a-z]+)")
_CONTEXT = re.compile(r"context\.[a-z][a-z0-9_]*")
_SEEN = ("seen.per_minute", "seen.distinct", "seen.run")


def signal_entry(scope: Scope, decl: tree.SignalDecl) -> SignalEntry | None:
    """The entry of one signal."""
    name, found = decl.name.text, scope.found
    before = len(found)
    type_ = declared_type(scope, decl.type)
    provider = decl.provider.value
    if provider not in _SEEN and not _CONTEXT.fullmatch(provider):
        found.append(UnknownProvider(span=decl.provider.span, provider=provider))
    elif provider in _SEEN and type_ is not None and not isinstance(type_, IntType):
        found.append(BadSignal(span=decl.type.span, name=name, why=f"`{provider}` counts, so it is an `int`"))
    if not 0 < decl.within_ms <= LONGEST_WAIT_MS:
        place = _within(scope.module.source, decl)
        found.append(BadSignal(span=place, name=name, why="`within` is at least 1ms and at most 1s"))
    fallback = None if type_ is None else _fallback(decl.fallback, type_, scope)
    if type_ is None or len(found) > before:
        return None
    keys = tuple(map(dotted, decl.keys))
    signal = ir.Signal(f"{scope.name}.{name}", type_, provider, keys, decl.within_ms, fallback)
    return SignalEntry(signal, decl)


def _within(source: Source, decl: tree.SignalDecl) -> Span:
    """Where `within` stands, which follows the last key; the whole declaration where it is not found."""
    found = _WITHIN.match(source.text, decl.keys[-1].span.end)
    return decl.span if found is None else Span(decl.span.source, found.start(1), found.end(1))


def _fallback(written: tree.LiteralExpr, type_: Type, scope: Scope) -> ir.Value | None:
    """What `else` says, as a value of the signal's type; None for `unknown`, and after a mistake."""
    if isinstance(written, tree.UnknownLit):
        return None
    if isinstance(type_.element if isinstance(type_, SetType) else type_, EnumType):
        return _enum_fallback(written, type_, scope)
    read = literal_operand(written, type_) if is_literal(written) else None
    if isinstance(read, Diagnostic):
        scope.found.append(read)
    elif read is not None and same(read.type, type_) and isinstance(read.operand, ir.Const):
        return read.operand.value
    else:
        other = "this" if read is None else f"`{read.type}`"
        scope.found.append(WrongType(span=written.span, wanted=f"`{type_}` or `unknown`", found=other))
    return None


def _enum_fallback(written: tree.LiteralExpr, type_: Type, scope: Scope) -> ir.Value | None:
    """A value of an enum, or a set of them: names stand in quotes after `else`."""
    match written, type_:
        case tree.StringLit(value=text), EnumType(values=names) if text in names:
            return text
        case tree.SetLit(members=members), SetType(element=EnumType(values=names)):
            texts = frozenset(each.value for each in members if isinstance(each, tree.StringLit))
            if texts <= frozenset(names) and all(isinstance(each, tree.StringLit) for each in members):
                return texts
    text = written.value if isinstance(written, tree.StringLit) else "this"
    scope.found.append(LiteralMisfit(span=written.span, value=text, wanted=f"`{type_}`"))
    return None


def relation_entry(scope: Scope, decl: tree.RelationDecl) -> RelationEntry | None:
    """The entry of one relation."""
    columns = _columns(scope, decl.columns, scalar=True)
    if columns is None:
        return None
    has_roles = any(isinstance(type_, RoleType) for _, type_ in columns)
    role_ids = scope.roles().ids if has_roles else {}
    return RelationEntry(ir.Relation(f"{scope.name}.{decl.name.text}", columns), role_ids, decl)


def condition_entry(scope: Scope, decl: tree.ConditionDecl) -> ConditionEntry | None:
    """The entry of one condition."""
    for parameter in decl.parameters:
        if parameter.name.text in ROOTS:
            meaning = "it is an input of every rule"
            shadowed = ShadowedName(span=parameter.name.span, name=parameter.name.text, meaning=meaning)
            scope.found.append(shadowed)
    parameters = _columns(scope, decl.parameters, scalar=False)
    return None if parameters is None else ConditionEntry(decl, scope.name, parameters)


def _columns(scope: Scope, written: Sequence[tree.Column], *, scalar: bool) -> tuple[tuple[str, Type], ...] | None:
    types: dict[str, Type] = {}
    first: dict[str, tree.Name] = {}
    for column in written:
        if column.name.text in first:
            scope.found.append(duplicate(column.name, first[column.name.text]))
            continue
        first[column.name.text] = column.name
        read = (
            scalar_type(scope, column.type, "a column", role=True)
            if scalar
            else declared_type(scope, column.type, role=True)
        )
        if read is not None:
            types[column.name.text] = read
    return tuple(types.items()) if len(types) == len(written) else None
