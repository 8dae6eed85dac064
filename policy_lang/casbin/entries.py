"""Which entries of a model file are definitions: those numbered without a gap under the section of their letter.

In go the sections as written, out come the entries of each letter, in order; what Casbin passes over, and what is
missing, is said (E602, E613).
Source: Casbin's documentation, "Syntax for Models"; pycasbin 2.8 looks for `p`, `p2`, `p3` until one is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.casbin.conf import Entry, Section
from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, Label, nearest
from policy_lang.ir.tables import Mode
from policy_lang.mistakes.casbin_models import (
    Ignored,
    IgnoredPassed,
    NewerSection,
    NewerSectionPassed,
    NoDefinition,
    Twice,
    TwicePassed,
)
from policy_lang.source import Source, Span

SECTIONS: Mapping[str, str] = {
    "r": "request_definition",
    "p": "policy_definition",
    "g": "role_definition",
    "e": "policy_effect",
    "m": "matchers",
}
"""The section of each letter that definitions are named by."""

EXAMPLES: Mapping[str, str] = {
    "r": "r = sub, obj, act",
    "p": "p = sub, obj, act",
    "g": "g = _, _",
    "e": "e = some(where (p.eft == allow))",
    "m": "m = r.sub == p.sub && r.obj == p.obj && r.act == p.act",
}

_LETTERS = {section: letter for letter, section in SECTIONS.items()}
_NEWER = frozenset(("constraint_definition",))
_NUMBERED = re.compile(r"[rpgem](?:[2-9]|[1-9][0-9]+)", re.ASCII)


class Entries(Struct, frozen=True):
    """Entries by letter and key; `places` are where the sections stand."""

    source: Source
    mode: Mode
    by_letter: Mapping[str, dict[str, Entry]]
    places: Mapping[str, Span]
    found: list[Diagnostic]

    @classmethod
    def of(cls, source: Source, sections: tuple[Section, ...], mode: Mode, found: list[Diagnostic]) -> Entries:
        entries = cls(source, mode, {letter: {} for letter in SECTIONS}, {}, found)
        places: dict[str, Span] = {}
        for section in sections:
            letter = _LETTERS.get(section.name)
            if letter is None:
                entries.foreign(section)
                continue
            first = places.setdefault(letter, section.span)
            if first is not section.span:
                entries.twice(f"[{section.name}]", section.span, first, "both together")
            entries.add(letter, section.entries)
        return replace(entries, places=places)

    def foreign(self, section: Section) -> None:
        if section.name in _NEWER:
            newer = NewerSection if self.mode == "strict" else NewerSectionPassed
            self.found.append(newer(span=section.span, name=section.name))
        elif section.name:
            near = nearest(section.name, _LETTERS) if len(self.found) < MOST_SHOWN else ""
            remedy = near or f"sections are {', '.join(f'`[{each}]`' for each in _LETTERS)}"
            self.ignored(section.span, f"`[{section.name}]` is no section of a model", remedy)
        else:
            remedy = "write a section such as `[request_definition]` before it"
            self.ignored(section.entries[0].key_span, "the definition stands before any section", remedy)

    def add(self, letter: str, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            before = self.by_letter[letter].get(entry.key)
            if before is not None:
                self.twice(entry.key, entry.key_span, before.key_span, "the last")
            self.by_letter[letter][entry.key] = entry

    def numbered(self, letter: str) -> dict[str, Entry]:
        """The entries of a letter that count, in order; what is wrong with the others is found."""
        entries = self.by_letter[letter]
        counted: dict[str, Entry] = {}
        name = letter
        while name in entries and entries[name].value.text:
            counted[name] = entries[name]
            name = f"{letter}{len(counted) + 1}"
        if not counted and letter != "g":
            empty = entries.get(letter)
            span = self.places.get(letter, Span(self.source.name, 0, 0)) if empty is None else empty.key_span
            self.found.append(NoDefinition(span=span, key=letter, section=SECTIONS[letter], example=EXAMPLES[letter]))
        for key, entry in entries.items():
            if key not in counted and (key != letter or letter == "g"):
                self.ignored(entry.key_span, _why_not(key, letter, entry, name), _remedy(letter))
        return counted

    def twice(self, name: str, span: Span, first: Span, taken: str) -> None:
        kind = Twice if self.mode == "strict" else TwicePassed
        self.found.append(kind(span=span, name=name, taken=taken, others=(Label(first, "first here"),)))

    def ignored(self, span: Span, what: str, remedy: str) -> None:
        kind = Ignored if self.mode == "strict" else IgnoredPassed
        self.found.append(kind(span=span, what=what, remedy=remedy))


def _why_not(key: str, letter: str, entry: Entry, missing: str) -> str:
    if not entry.value.text:
        return f"`{key}` says nothing"
    if _NUMBERED.fullmatch(key) and key.startswith(letter):
        return f"`{key}` stands without `{missing}`"
    return f"`{key}` is no definition of `[{SECTIONS[letter]}]`"


def _remedy(letter: str) -> str:
    return f"definitions here are `{letter}`, `{letter}2`, `{letter}3`, without a gap"
