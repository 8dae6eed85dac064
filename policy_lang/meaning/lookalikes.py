"""Segments that some back end takes for another one.

A segment of a path goes in, out come the spellings under which a careless back end may look it up: without regard to
case, in the compatibility form of its characters, without the dots, blanks or the stream name that a file system drops,
without a suffix that asks for a format. Two segments look alike where one is a spelling of the other's.
Routing refuses a segment that looks like a declared literal at its place and is not it (`path.lookalike`): a rule about
`/admin` must not be passed by `/ADMIN`, `/admin.`, `/admin.json` or `/ADM%C4%B1N`.
Source: security.md 0.3 (case), 2.2; Unicode, "Default Caseless Matching" (case folding), UAX 15 (NFKC).

Decision: 2026-11-21. Looked at is what common servers do by themselves: IIS and Windows' file systems (case, dots at
the end, `::$DATA`), frameworks that map `/users.json` to `/users`, and languages whose upper case of U+0131 is `I`.
Letters that merely resemble others (Cyrillic) are told apart by every one of them.
"""

from __future__ import annotations

import re
import unicodedata

from policy_lang.request import IGNORABLE

_STREAM = re.compile(r"::?\$.*", re.DOTALL)
_DROPPED: dict[int, None] = dict.fromkeys((0x0307, *IGNORABLE))
"""Characters that do not show, and the dot that folding leaves of U+0130."""


def folded(segment: str) -> str:
    """The segment without regard to case and form."""
    if segment.isascii():
        return segment.lower()
    shown = unicodedata.normalize("NFKC", segment).upper().casefold()
    return unicodedata.normalize("NFKC", shown).translate(_DROPPED)


def spellings(segment: str) -> tuple[str, ...]:
    """The folded spellings that a segment may be looked up by."""
    plain = folded(segment)
    if plain.isalnum():
        return (plain,)
    name = _STREAM.sub("", plain).rstrip(". +")
    # A format may itself have a dot (`.tar.gz`), and so may the name (`v1.0.json`).
    return tuple({name, name.partition(".")[0], name.rpartition(".")[0]} - {""}) or (name,)
