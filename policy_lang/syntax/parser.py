"""The parser: the bytes of one policy file to a tree and its mistakes.

In goes a file's name and content; out comes what could be read of it. Nothing is raised for any bytes, and the time is
linear in their number. Files come by one; what spans several (an empty bundle, names) is for later phases.
INVARIANT: a file that is not a policy of this version, wholly, has at least one error among its diagnostics; a
declaration stands in the module only if all of it was understood.

(0) size, encoding, characters nobody can see, depth of brackets: refused before any grammar runs;
(1) the grammar reads the file as a whole, and is the only judge of what is accepted;
(2) where it stops, the text is cut where declarations seem to begin and each piece is read alone, so that one run
    reports the mistakes of all; the cut decides nothing but messages;
(3) what was read becomes nodes.

Specification: language.md 2 and 3.
Decision: 2026-11-21. Positions count from the first character after a byte order mark. After `MOST_SHOWN` pieces that
cannot be read the rest is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, ordered
from policy_lang.mistakes.syntax import FileTooLarge, Misplaced, NoModule, NotUtf8, Repeated, UnknownLanguage
from policy_lang.source import Source, Span
from policy_lang.syntax.automaton import after_blanks
from policy_lang.syntax.draft import Draft
from policy_lang.syntax.grammar import Fault, Token, Tree, read, tree_of
from policy_lang.syntax.scan import declares, hidden_characters, nesting, pieces
from policy_lang.syntax.slips import diagnose
from policy_lang.syntax.tree_builder import declaration, imported
from policy_lang.tree import Decl, ImportDecl, Module, Text

MOST_BYTES = 1024 * 1024
"""The largest policy file."""

_LANGUAGE = 1
_MODULE_LINE = re.compile(r"[ \t]*module\b")


class Parsed(Struct, frozen=True):
    """What one file holds.

    `module` is None when nothing usable came out: unreadable text, or no `module` line. Otherwise it holds the
    declarations that were understood, and may be looked at further even where `diagnostics` has errors.
    """

    source: Source
    module: Module | None
    diagnostics: tuple[Diagnostic, ...]


class _Part(Struct, frozen=True):
    """A pragma, a module line, an import or a declaration, read from the text that begins at `base`."""

    base: int
    tree: Tree[Token]


def parse(name: str, data: bytes) -> Parsed:
    """Read the policy file `name`, whose content is `data`.

    Errors: none raised; diagnostics E100 to E122, sorted by position. Spans are code points of `Parsed.source`.
    """
    source, refused = readable(name, data)
    if refused:
        return Parsed(source, None, refused)
    found: list[Diagnostic] = []
    module = _build(source, _parts(source, found), found)
    return Parsed(source, module, ordered(found))


def readable(name: str, data: bytes) -> tuple[Source, tuple[Diagnostic, ...]]:
    """The text of a file, and the mistakes for which no grammar may read it (step 0); empty where it is no text."""
    nothing = Span(name, 0, 0)
    if len(data) > MOST_BYTES:
        return Source(name, ""), (FileTooLarge(span=nothing, size=len(data), most=MOST_BYTES),)
    try:
        source = Source(name, data.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        return Source(name, ""), (NotUtf8(span=nothing, offset=error.start),)
    return source, hidden_characters(source) or nesting(source)


def _parts(source: Source, found: list[Diagnostic]) -> list[_Part]:
    whole = read(source.text, "start")
    if isinstance(whole, Tree):
        return [_Part(0, tree_of(child)) for child in whole.children]
    parts: list[_Part] = []
    named = False
    for start, end in pieces(source.text):
        named = named or _MODULE_LINE.match(source.text, start) is not None
        if named and not found and _stops_within(whole, source.text, start, end):
            found.append(diagnose(source, 0, whole, "start"))
            continue
        piece = read(source.text[start:end], "part")
        if isinstance(piece, Tree):
            parts.append(_Part(start, piece))
        elif after_blanks(source.text, start) < end:
            found.append(diagnose(source, start, piece, "part"))
            if len(found) == MOST_SHOWN:
                return parts
    if not named:
        found.append(NoModule(span=Span(source.name, 0, 0)))
    _check_order(source, parts, found)
    if not found:
        # The cut misled: each piece is right and the whole is not.
        found.append(diagnose(source, 0, whole, "start"))
    return parts


def _stops_within(whole: Fault, text: str, start: int, end: int) -> bool:
    """Whether the piece from `start` to `end` is where the whole stopped, if no piece before it has a mistake.

    It is read once then, not twice. It began as a piece has to, since its first token was taken; and what follows it
    opens a declaration, which fits behind every whole one, or nothing follows.
    """
    began = whole.last is not None and whole.last.start_pos >= start
    return began and (whole.start < end or (whole.start == end and (end == len(text) or declares(text, end))))


def _check_order(source: Source, parts: Sequence[_Part], found: list[Diagnostic]) -> None:
    """Language, module, imports, declarations: in this order, the first two once."""
    ranks = {"pragma": 0, "module_decl": 1, "import_decl": 2}
    words = ("language", "module", "import")
    highest = -1
    for part in parts:
        rank = ranks.get(part.tree.data, 3)
        if rank < highest or (rank == highest and rank < 2):
            start = part.base + part.tree.start_pos
            span = Span(source.name, start, start + len(words[rank]))
            twice = rank < 2 and any(other is not part and other.tree.data == part.tree.data for other in parts)
            what = f"`{words[rank]}`"
            found.append(Repeated(span=span, what=what) if twice else Misplaced(span=span, word=words[rank]))
        highest = max(highest, rank)


def _build(source: Source, parts: list[_Part], found: list[Diagnostic]) -> Module | None:
    draft = Draft(source.name, 0, count(1), found)
    language: int | None = None
    name: Text | None = None
    imports: list[ImportDecl] = []
    declarations: list[Decl] = []
    parts.reverse()
    while parts:
        # Let go one by one: what is still held is what Python's collector keeps walking through.
        part = parts.pop()
        here = draft if part.base == 0 else replace(draft, base=part.base)
        match part.tree.data:
            case "pragma":
                language = _version(here, part.tree)
            case "module_decl":
                name = name or here.dotted(tree_of(part.tree.children[0]))
            case "import_decl":
                imports.append(imported(here, part.tree))
            case _:
                built = declaration(here, part.tree, source.text)
                declarations += () if built is None else (built,)
    return None if name is None else Module(source, language, name, tuple(imports), tuple(declarations))


def _version(draft: Draft, pragma: Tree[Token]) -> int:
    token = pragma.children[0]
    version = draft.integer(token)
    if str(token) != str(_LANGUAGE):
        draft.found.append(UnknownLanguage(span=draft.span(token), version=str(token)[:40]))
    return version
