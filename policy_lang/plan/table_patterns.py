"""The patterns of a column as an index: which of them a name fits, without asking each.

In come the texts that stand in a column under one of Casbin's pattern functions; out come, for a name, the texts that
it fits. Patterns stand on shelves by their form: one text, a beginning, segments, a network, or none of these; what a
shelf gives is asked `Pattern.fits` before it counts. An index is never changed: `having` gives another one, which
shares what is the same.
INVARIANT: `fitting(name)` are the texts for which the function is true of the name; of a name that it takes at all, it
has no value for those of `left_open(name)` and the `unreadable` ones (tests/properties/test_table_plan_laws.py).
Source: language.md 6.4.

Decision (2026-11-21): networks are found by their size, then by their first address, and not by bisection: networks
lie in each other or apart, there are at most 129 sizes, and one more network changes one entry.
Decision (2026-11-21): the answer for a short name is kept, and all are forgotten together when they weigh more than
`MOST_KEPT`: a caller who asks ever new names makes the index work, never grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar, assert_never

from msgspec import Struct, field

from policy_lang.addresses import number
from policy_lang.ir.tables import FunctionName, Mode
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.open_names import is_left_open
from policy_lang.meaning.pattern_forms import (
    Anything,
    Exact,
    Network,
    Other,
    Plain,
    Prefix,
    Reduced,
    Reduction,
    Segments,
    Trap,
    reduced,
)
from policy_lang.meaning.role_links import Kept

K = TypeVar("K")

Texts = tuple[str, ...]

MOST_KEPT = 262_144
"""What the answers that are kept may weigh: their texts, and `_EACH_WEIGHS` for each of them."""

LONGEST_KEPT = 256

_EACH_WEIGHS = 64

MOST_SEGMENTS = 64
"""So many segments of a pattern are told apart."""

MANY = 16
"""So many patterns without a form make asking for all of them slow."""


# ---------------------------------------------------------------- by segments


class Path(Struct, frozen=True):
    """A pattern by its segments: as `Segments`, with its text."""

    parts: tuple[str | None, ...]
    rest: bool
    text: str


class Node(Struct, frozen=True):
    """Where some first segments lead. `ends` are the patterns that end here, `open_ends` those that go on anyhow."""

    literals: Mapping[str, Node] = field(default_factory=dict)
    anything: Node | None = None
    ends: Texts = ()
    open_ends: Texts = ()

    def having(self, paths: Sequence[Path], depth: int = 0) -> Node:
        """This node with more patterns on or below it; they have `depth` segments above it."""
        if self is EMPTY and len(paths) == 1:
            return _alone(paths[0], depth)
        here: list[Path] = []
        below: dict[str | None, list[Path]] = {}
        for each in paths:
            if len(each.parts) == depth:
                here.append(each)
            else:
                below.setdefault(each.parts[depth], []).append(each)
        literals = dict(self.literals)
        anything = self.anything
        for part, deeper in below.items():
            if part is None:
                anything = (anything or EMPTY).having(deeper, depth + 1)
            else:
                literals[part] = literals.get(part, EMPTY).having(deeper, depth + 1)
        return Node(
            literals,
            anything,
            (*self.ends, *(each.text for each in here if not each.rest)),
            (*self.open_ends, *(each.text for each in here if each.rest)),
        )


EMPTY = Node()

_NO_BRANCH: Mapping[str, Node] = MappingProxyType({})


def _alone(path: Path, depth: int) -> Node:
    """The node below the first `depth` segments of the only pattern that goes this way."""
    text = (path.text,)
    node = Node(_NO_BRANCH, None, () if path.rest else text, text if path.rest else ())
    for part in reversed(path.parts[depth:]):
        node = Node(_NO_BRANCH, node) if part is None else Node({part: node})
    return node


def walked(root: Node, name: str) -> list[str]:
    """The patterns whose segments a name has."""
    found = list(root.open_ends)
    here = [root]
    for segment in name.split("/"):
        below: list[Node] = []
        for node in here:
            child = node.literals.get(segment)
            if child is not None:
                below.append(child)
                found += child.open_ends
            other = node.anything
            if other is not None and segment:
                below.append(other)
                found += other.open_ends
        if not below:
            return found
        here = below
    for node in here:
        found += node.ends
    return found


# ---------------------------------------------------------------- shelves


class Shelf(Struct, frozen=True):
    """Patterns of plain forms. `lengths` are those of the prefixes, ascending; `networks` are by size, then by first
    address.
    """

    exact: Mapping[str, Texts] = field(default_factory=dict)
    prefixes: Mapping[str, Texts] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    tree: Node = EMPTY
    networks: Mapping[int, Mapping[int, Texts]] = field(default_factory=dict)
    others: Texts = ()

    def having(self, more: Iterable[tuple[Plain, str]]) -> Shelf:
        """The shelf with more patterns on it."""
        exact: dict[str, list[str]] = {}
        prefixes: dict[str, list[str]] = {}
        networks: dict[int, dict[int, list[str]]] = {}
        paths: list[Path] = []
        others = list(self.others)
        for form, text in more:
            match form:
                case Exact(of):
                    exact.setdefault(of, []).append(text)
                case Prefix(of):
                    prefixes.setdefault(of, []).append(text)
                case Segments(parts, rest):
                    cut = len(parts) > MOST_SEGMENTS
                    paths.append(Path(parts[:MOST_SEGMENTS], rest or cut, text))
                case Network(first, last) if first % (last - first + 1) == 0:
                    networks.setdefault(last - first + 1, {}).setdefault(first, []).append(text)
                case Network() | Anything() | Other():
                    others.append(text)
                case _:
                    assert_never(form)
        sizes = {size: _merged(self.networks.get(size, {}), there) for size, there in networks.items()}
        return Shelf(
            _merged(self.exact, exact),
            _merged(self.prefixes, prefixes),
            tuple(sorted({*self.lengths, *map(len, prefixes)})),
            self.tree.having(paths) if paths else self.tree,
            {**self.networks, **sizes},
            tuple(others),
        )

    def candidates(self, name: str) -> list[str]:
        """The patterns with a form that the name has."""
        found = list(self.others)
        found += self.exact.get(name, ())
        longest = len(name)
        for length in self.lengths:
            if length > longest:
                break
            found += self.prefixes.get(name[:length], ())
        if self.tree is not EMPTY:
            found += walked(self.tree, name)
        at = number(name) if self.networks else None
        if at is not None:
            for size, there in self.networks.items():
                found += there.get(at - at % size, ())
        return found


def _merged(of: Mapping[K, Texts], more: Mapping[K, Sequence[str]]) -> Mapping[K, Texts]:
    if not more:
        return of
    merged: dict[K, Texts] = dict(of)
    for key, texts in more.items():
        merged[key] = (*of.get(key, ()), *texts)
    return merged


# ---------------------------------------------------------------- the index


class PatternIndex(Struct, frozen=True, eq=False):
    """The distinct texts of a column under one function.

    `asked` are the patterns whose form is not the whole truth. `shelves` are by how a name is reduced first. `slow`:
    many patterns have no form. `uneven`: some leave names open. The kept answers are the only state: they are what
    `fitting` and `left_open` would work out again.
    """

    function: FunctionName
    mode: Mode
    texts: frozenset[str]
    unreadable: frozenset[str]
    asked: Mapping[str, Pattern]
    shelves: Mapping[Reduction | None, Shelf]
    slow: bool = False
    uneven: bool = False
    _kept: Kept[frozenset[str]] = field(default_factory=lambda: Kept(MOST_KEPT))

    @classmethod
    def of(cls, function: FunctionName, texts: Iterable[str], *, mode: Mode) -> PatternIndex:
        """The index of some texts."""
        return cls(function, mode, frozenset(), frozenset(), {}, {}).having(texts)

    def having(self, texts: Iterable[str]) -> PatternIndex:
        """The index of more texts; itself where it has all of them."""
        more = frozenset(texts) - self.texts
        if not more:
            return self
        read = [(text, pattern(self.function, text, mode=self.mode)) for text in sorted(more)]
        patterns = [each for _, each in read if not isinstance(each, Trap)]
        stood: dict[Reduction | None, list[tuple[Plain, str]]] = {}
        for each in patterns:
            by, form = (each.form.by, each.form.of) if isinstance(each.form, Reduced) else (None, each.form)
            stood.setdefault(by, []).append((form, each.text))
        shelves = {**self.shelves, **{by: self.shelves.get(by, Shelf()).having(of) for by, of in stood.items()}}
        return PatternIndex(
            self.function,
            self.mode,
            self.texts | more,
            self.unreadable | {text for text, each in read if isinstance(each, Trap)},
            {**self.asked, **{each.text: each for each in patterns if not _is_all(each)}},
            shelves,
            slow=sum(len(shelf.others) for shelf in shelves.values()) > MANY,
            uneven=self.uneven or any(each.is_uneven for each in patterns),
        )

    def takes(self, name: str) -> bool:
        """Whether the function has a value for a name at all."""
        if is_left_open(self.function, name):
            return False
        return self.function != "ipMatch" or number(name) is not None

    def fitting(self, name: str) -> frozenset[str]:
        """The texts that a name fits."""
        kept = self._kept.entries.get(name)
        return self._found(name, name, self._fitting) if kept is None else kept

    def left_open(self, name: str) -> frozenset[str]:
        """The texts of which engines differ on a name."""
        if not self.uneven:
            return frozenset()
        key = (name, "open")
        kept = self._kept.entries.get(key)
        return self._found(key, name, self._left_open) if kept is None else kept

    def _found(self, key: object, name: str, among: Callable[[str], Iterator[str]]) -> frozenset[str]:
        found = frozenset(among(name)) if self.takes(name) else frozenset()
        return found if len(name) > LONGEST_KEPT else self._kept.keep(key, found, _EACH_WEIGHS + len(found))

    def _fitting(self, name: str) -> Iterator[str]:
        for text in self._candidates(name):
            asked = self.asked.get(text)
            if asked is None or asked.fits(name):
                yield text

    def _left_open(self, name: str) -> Iterator[str]:
        for text in self._candidates(name):
            asked = self.asked.get(text)
            if asked is not None and asked.leaves_open(name):
                yield text

    def _candidates(self, name: str) -> Iterator[str]:
        for by, shelf in self.shelves.items():
            yield from shelf.candidates(name if by is None else reduced(name, by))


def _is_all(of: Pattern) -> bool:
    """Whether the form is the whole truth."""
    return isinstance(of.form, Exact) or (isinstance(of.form, Prefix) and of.function == "keyMatch")
