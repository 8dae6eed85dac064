"""What the builders of the tree share: node ids, places, mistakes, and tokens turned into nodes.

A `Draft` belongs to one file, or to one piece of it read alone: `base` is the offset at which the piece begins.
INVARIANT: whatever a builder cannot turn into a node it reports here, and puts a placeholder in its place; a
declaration during which anything was reported is dropped whole, so that no placeholder is ever seen outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.syntax import BadEscape, NoSuchTime, StringTooLong, TooBig
from policy_lang.source import Span
from policy_lang.syntax.grammar import Branch, Token, Tree
from policy_lang.syntax.literals import Misspelt, duration_ms, instant_ms, integer, unescape, units_descend
from policy_lang.tree import Name, NodeId, Text, UnsetLit

LONGEST_STRING = 4096
"""Characters of a string literal, escapes resolved."""


class Draft(Struct, frozen=True):
    """Ids are drawn from `ids`, mistakes are added to `found`; pieces of one file share both."""

    source: str
    base: int
    ids: Iterator[int]
    found: list[Diagnostic]

    def id(self) -> NodeId:
        """The next node id of the file."""
        return NodeId(next(self.ids))

    def span(self, branch: Branch) -> Span:
        """What `branch` covers, parentheses around it left out."""
        return Span(self.source, self.base + branch.start_pos, self.base + branch.end_pos)

    def outer_span(self, branch: Branch) -> Span:
        """What `branch` covers, parentheses around it included."""
        if isinstance(branch, Token) or branch.outer is None:
            return self.span(branch)
        start, end = branch.outer
        return Span(self.source, self.base + start, self.base + end)

    def placeholder(self, span: Span) -> UnsetLit:
        """An expression in place of one that was reported."""
        return UnsetLit(self.id(), span)

    def name(self, branch: Branch) -> Name:
        """An identifier."""
        return Name(self.id(), self.span(branch), str(branch))

    def names(self, branches: Iterable[Branch]) -> tuple[Name, ...]:
        """Several identifiers."""
        return tuple(self.name(branch) for branch in branches)

    def verbatim(self, token: Token) -> Text:
        """A text that stands for itself, such as a path."""
        return Text(self.id(), self.span(token), str(token))

    def dotted(self, tree: Tree[Token]) -> Text:
        """A dotted name, without the blanks that may stand round its dots."""
        return Text(self.id(), self.span(tree), ".".join(str(part) for part in tree.children))

    def string(self, token: Branch) -> Text:
        """The value of a string token; empty where it was reported (E106, E112)."""
        return Text(self.id(), self.span(token), self.characters(token))

    def characters(self, token: Branch) -> str:
        """The same as plain characters."""
        span = self.span(token)
        value = unescape(str(token))
        if isinstance(value, Misspelt):
            at = Span(self.source, span.start + value.start, span.start + value.end)
            self.found.append(BadEscape(span=at, found=value.found))
            return ""
        if len(value) > LONGEST_STRING:
            self.found.append(StringTooLong(span=span, length=len(value), most=LONGEST_STRING))
            return ""
        return value

    def integer(self, token: Branch) -> int:
        """The value of an integer token; 0 where it was reported (E107)."""
        value = integer(str(token))
        if value is None:
            self.found.append(TooBig(span=self.span(token), what="the integer"))
        return value or 0

    def duration(self, token: Branch) -> int:
        """The milliseconds of a duration token; 0 where it was reported (E107, E108)."""
        if not units_descend(str(token)):
            hint = "units come largest first, each once: `1d`, `1h30m`, `1s500ms`"
            self.found.append(NoSuchTime(span=self.span(token), text=str(token)[:40], what="duration", hint=hint))
            return 0
        value = duration_ms(str(token))
        if value is None:
            self.found.append(TooBig(span=self.span(token), what="the duration"))
        return value or 0

    def instant(self, token: Branch) -> int:
        """The Unix milliseconds of a date or timestamp token; 0 where it was reported (E108)."""
        value = instant_ms(str(token))
        if value is None:
            what = "instant" if "T" in str(token) else "date"
            self.found.append(NoSuchTime(span=self.span(token), text=str(token), what=what))
        return value or 0
