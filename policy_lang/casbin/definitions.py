"""The definitions of a model: what a request, a row and a role are, which effect counts, and matchers as syntax.

In goes the text of a `model.conf`, out come its definitions by name and every mistake that shows without knowing which
of them are combined; what a matcher's names mean is for `matcher`.
INVARIANT: a model that has no error among its diagnostics has `r`, `p`, `e` and `m`, and every matcher has syntax.

(0) size and characters nobody can see: refused before anything is read closely;
(1) lines to sections and entries;
(2) entries that count: those numbered without a gap (`p`, `p2`, `p3`) under the section of their letter;
(3) each by its letter.

Source: Casbin's documentation, "Syntax for Models", "Effector"; language.md 6.4, 6.6.

Decision (2026-11-21): in `compat` what Casbin passes over is passed over with a warning: unknown sections and keys, a
number after a gap, an empty definition that is not the first; of a key written twice the last one counts. An effect
`e2` has there the meaning of `e`, as Casbin asks that one. Lines that Casbin cannot read, and definitions whose tokens
are no names, are errors in both modes. Effects are compared without their blanks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.casbin.conf import Entry, Text, read_sections
from policy_lang.casbin.entries import EXAMPLES, Entries
from policy_lang.casbin.matcher_syntax import Syntax
from policy_lang.casbin.matcher_text import parse_matcher
from policy_lang.diagnostics import HIDDEN, MOST_SHOWN, Diagnostic, Label, ordered
from policy_lang.ir.tables import Mode, TableEffect
from policy_lang.mistakes.casbin_models import (
    BadDefinition,
    CutByComment,
    CutByCommentPassed,
    DefaultAllow,
    DefaultAllowPassed,
    HiddenInModel,
    ModelTooLarge,
    OtherEffect,
    OtherEffectPassed,
    UnknownEffect,
)
from policy_lang.source import Source, Span

MOST_CHARACTERS = 256 * 1024
"""The largest model file."""


class Definition(Struct, frozen=True):
    """`r = sub, obj, act` or `p = sub, obj, act, eft`: `tokens` are the names of the parameters or columns."""

    name: str
    tokens: tuple[str, ...]
    span: Span


class RoleDefinition(Struct, frozen=True):
    """`g = _, _`, with `domains` a third `_`; `conditions` is how many parameters a link's condition has, mostly 0."""

    name: str
    domains: bool
    conditions: int
    span: Span


class EffectDefinition(Struct, frozen=True):
    """`by_subject`: the rows rank by the depth of their subject (`effect` is then `priority`)."""

    name: str
    effect: TableEffect
    span: Span
    by_subject: bool = False


class MatcherDefinition(Struct, frozen=True):
    """`syntax` None: the text could not be read, and there is an error that says so."""

    name: str
    text_span: Span
    syntax: Syntax | None
    text: Text


class Sections(Struct, frozen=True):
    """The definitions that are combined, by name."""

    r: str = "r"
    p: str = "p"
    e: str = "e"
    m: str = "m"


class Model(Struct, frozen=True):
    """Definitions by name, in the order of their numbers; the place of a role definition in `roles` is what `Linked`
    names. `diagnostics` are sorted; with an error among them the mappings hold what was understood.
    """

    source: Source
    requests: Mapping[str, Definition]
    policies: Mapping[str, Definition]
    roles: Mapping[str, RoleDefinition]
    effects: Mapping[str, EffectDefinition]
    matchers: Mapping[str, MatcherDefinition]
    diagnostics: tuple[Diagnostic, ...]

    def by_name_only(self, role: RoleDefinition) -> bool:
        """Whether Casbin for Python asks none of its links and compares two names instead: it has no conditions, and
        another definition has, wherever the two stand.
        """
        return not role.conditions and any(each.conditions for each in self.roles.values())


def read_model(source: Source, *, mode: Mode) -> Model:
    """The definitions of `source`, the text of a `model.conf`.

    Errors: none raised; E602, E603, E606, E608, E611, E613, E618, E619, in `compat` most as warnings of the same
        number. Linear in the text.
    """
    refused = _refused(source)
    if refused:
        return Model(source, {}, {}, {}, {}, {}, refused)
    sections, stray = read_sections(source)
    found = list(stray)
    entries = Entries.of(source, sections, mode, found)
    model = Model(
        source,
        requests=_tokens(entries.numbered("r"), found),
        policies=_tokens(entries.numbered("p"), found),
        roles=_roles(entries.numbered("g"), found),
        effects=_effects(entries.numbered("e"), mode, found),
        matchers=_matchers(entries.numbered("m"), mode, found),
        diagnostics=(),
    )
    return replace(model, diagnostics=ordered(found))


_HIDDEN_RUN = re.compile(rf"(?:[{HIDDEN}]|\r(?!\n))+")


def _refused(source: Source) -> tuple[Diagnostic, ...]:
    """Step (0)."""
    size = len(source.text)
    if size > MOST_CHARACTERS:
        return (ModelTooLarge(span=Span(source.name, 0, 0), size=size, most=MOST_CHARACTERS),)
    found: list[Diagnostic] = []
    for run in _HIDDEN_RUN.finditer(source.text, 1 if source.text.startswith("\ufeff") else 0):
        if len(found) == MOST_SHOWN:
            break
        found.append(HiddenInModel(span=Span(source.name, *run.span()), named=f"U+{ord(run[0][0]):04X}"))
    return tuple(found)


# ---------------------------------------------------------------- what each says

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ROLES = re.compile(r"_[ \t]*,[ \t]*_(?P<domain>[ \t]*,[ \t]*_)?(?:[ \t]*,[ \t]*\((?P<conditions>[^()]*)\))?")
_EFFECTS: Mapping[str, tuple[TableEffect, bool]] = {
    "some(where(p.eft==allow))": ("allow_override", False),
    "some(where(p.eft==allow))&&!some(where(p.eft==deny))": ("allow_and_deny", False),
    "!some(where(p.eft==deny))": ("deny_override", False),
    "priority(p.eft)||deny": ("priority", False),
    "subjectPriority(p.eft)||deny": ("priority", True),
}


def _tokens(entries: Mapping[str, Entry], found: list[Diagnostic]) -> dict[str, Definition]:
    definitions: dict[str, Definition] = {}
    for name, entry in entries.items():
        tokens: dict[str, None] = {}
        start = 0
        for written in entry.value.text.split(","):
            place = entry.value.part(start, start + len(written))
            start += len(written) + 1
            why = _no_token(place.text, tokens)
            if why:
                found.append(BadDefinition(span=place.whole, key=name, why=why, example=EXAMPLES[name[0]]))
            tokens[place.text] = None
        definitions[name] = Definition(name, tuple(tokens), entry.value.whole)
    return definitions


def _no_token(token: str, before: Mapping[str, None]) -> str:
    if not token:
        return "a name is missing"
    if not _TOKEN.fullmatch(token):
        return f"`{token}` is no name"
    return f"`{token}` stands twice" if token in before else ""


def _roles(entries: Mapping[str, Entry], found: list[Diagnostic]) -> dict[str, RoleDefinition]:
    definitions: dict[str, RoleDefinition] = {}
    for name, entry in entries.items():
        form = _ROLES.fullmatch(entry.value.text)
        conditions = [] if form is None or form["conditions"] is None else form["conditions"].split(",")
        if form is None or any(each.strip() != "_" for each in conditions):
            why = "a role definition has two places, with domains three, and conditions in parentheses"
            found.append(BadDefinition(span=entry.value.whole, key=name, why=why, example=f"{name} = _, _"))
            continue
        definitions[name] = RoleDefinition(name, form["domain"] is not None, len(conditions), entry.value.whole)
    return definitions


def _effects(entries: Mapping[str, Entry], mode: Mode, found: list[Diagnostic]) -> dict[str, EffectDefinition]:
    definitions: dict[str, EffectDefinition] = {}
    for name, entry in entries.items():
        span = entry.value.whole
        effect = _EFFECTS.get(_squeezed(name, entry.value, mode, found))
        asked = definitions.get("e")
        if asked is not None and name != "e" and effect != (asked.effect, asked.by_subject):
            other = OtherEffect if mode == "strict" else OtherEffectPassed
            found.append(other(span=span, name=name, others=(Label(asked.span, "asked here"),)))
            effect = effect if mode == "strict" else (asked.effect, asked.by_subject)
        if effect is None:
            found.append(UnknownEffect(span=span, name=name))
            continue
        if effect[0] == "deny_override":
            found.append((DefaultAllow if mode == "strict" else DefaultAllowPassed)(span=span, name=name))
        definitions[name] = EffectDefinition(name, effect[0], span, by_subject=effect[1])
    return definitions


def _squeezed(name: str, value: Text, mode: Mode, found: list[Diagnostic]) -> str:
    """The text of an effect without blanks and comment, and the rows named `p` whichever they are."""
    at = value.text.find("#")
    if at >= 0:
        kind = CutByComment if mode == "strict" else CutByCommentPassed
        found.append(kind(span=value.span(at, at + 1)))
    squeezed = re.sub(r"[ \t]", "", value.text if at < 0 else value.text[:at])
    number = "" if name == "e" else "[0-9]*"
    return re.sub(rf"\bp{number}[._]eft\b", "p.eft", squeezed)


def _matchers(entries: Mapping[str, Entry], mode: Mode, found: list[Diagnostic]) -> dict[str, MatcherDefinition]:
    definitions: dict[str, MatcherDefinition] = {}
    for name, entry in entries.items():
        parsed = parse_matcher(entry.value, mode=mode)
        found += parsed.diagnostics
        definitions[name] = MatcherDefinition(name, entry.value.whole, parsed.syntax, entry.value)
    return definitions
