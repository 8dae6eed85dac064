"""The keys of one TOML table: what each may hold, how it is read, and what the documentation says of it.

A section of the configuration is a frozen dataclass whose fields carry a `key` as metadata; so the reader and the
documentation know the same. A parsed table comes in; the values go out, and every problem of the table is added to one
list, so that an operator sees them all at once. No file is touched.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, assert_never

from msgspec import Struct, field

from policy_lang.diagnostics import nearest

Made = TypeVar("Made")

LONGEST_TEXT = 1024
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's limit is 104 to 108."""


class Flag(Struct, frozen=True):
    """true or false."""


class Whole(Struct, frozen=True):
    """An integer from `lowest` to `highest`, both included."""

    lowest: int
    highest: int


class Text(Struct, frozen=True):
    """A string that `pattern` matches as a whole; `wanted` says so in words."""

    pattern: re.Pattern[str] = re.compile(r"[^\x00-\x1f\x7f]+")
    wanted: str = "a string that is not empty"


class Texts(Struct, frozen=True):
    """An array of different strings, each a `Text` passed through `fold`; `choices`, where given, are all there are.

    An empty array is a mistake unless `may_be_empty`.
    """

    each: Text = Text()
    choices: tuple[str, ...] = ()
    may_be_empty: bool = False
    fold: Callable[[str], str] = str
    wanted: str = "an array of strings"


class Place(Struct, frozen=True):
    """A path; a relative one counts from the folder of the configuration file."""


class Address(Struct, frozen=True):
    """`IP:PORT`, `[IPv6]:PORT`, `localhost:PORT`, or, where `unix` says so, `unix:PATH`. Port 0 is any free one."""

    unix: bool


Kind = Flag | Whole | Text | Texts | Place | Address


class Key(Struct, frozen=True):
    """What reader and documentation know of a key. `example` is TOML.

    `absent` says in words what its absence means, where the default, written as TOML, would not.
    """

    kind: Kind
    meaning: str
    example: str
    absent: str = ""


class Declared(Struct, frozen=True):
    """A key in its section. `default` is in words, None for a key that must be given."""

    name: str
    key: Key
    default: str | None


def key(kind: Kind, meaning: str, example: str, absent: str = "") -> dict[str, Key]:
    """The metadata that make a dataclass field a key."""
    return {"key": Key(kind, meaning, example, absent)}


def keys_of(section: type) -> tuple[Declared, ...]:
    """The keys of a section, in order. ValueError for a class that is no dataclass."""
    if not is_dataclass(section):
        raise ValueError(f"no section: {section}")
    declared = ((f, f.metadata.get("key")) for f in fields(section))
    return tuple(Declared(f.name, found, _absent(f, found)) for f, found in declared if isinstance(found, Key))


def _absent(declared: Field[Any], found: Key) -> str | None:
    return None if declared.default is MISSING else found.absent or written(declared.default)


def written(value: object) -> str:
    """A default as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return "[" + ", ".join(written(item) for item in value) + "]"
        case str() | Path():
            return f'"{value}"'
        case _:
            return str(value)


class TableReader(Struct, frozen=True):
    """Reads the tables of one file. Relative paths count from `base`; every problem found is added to `problems`."""

    base: Path
    problems: list[str] = field(default_factory=list)

    def table(
        self, keys: Sequence[Declared], make: Callable[..., Made], table: Mapping[str, object], place: str
    ) -> Made | None:
        """What `make` makes of the keys that `table` gives; None, and at least one problem more, where it is not sound.

        `place` names the table, such as `issuers[1]`, "" for the file itself.
        """
        before = len(self.problems)
        self.unknown(table, [declared.name for declared in keys], place)
        values: dict[str, object] = {}
        for declared in keys:
            at = _place(place, declared.name)
            if declared.name in table:
                values[declared.name] = self._read(declared.key.kind, table[declared.name], at)
            elif declared.default is None:
                self.problems.append(f"`{at}` is missing: {declared.key.meaning}; example: {declared.key.example}")
        return make(**values) if len(self.problems) == before else None

    def unknown(self, table: Mapping[str, object], known: Sequence[str], place: str) -> None:
        """A problem for each name of `table` that is not known."""
        for name in table:
            if name not in known:
                hint = nearest(name, known) or f"the keys here are {', '.join(known)}"
                self.problems.append(f"`{_place(place, name)}` is not a key: {hint}")

    def _read(self, kind: Kind, value: object, at: str) -> object:
        if isinstance(kind, Texts):
            return self._texts(kind, value, at)
        read = _one(kind, value, self.base)
        if read is None:
            self.problems.append(f"`{at}` must be {words(kind)}")
        return read

    def _texts(self, kind: Texts, value: object, at: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not (value or kind.may_be_empty):
            self.problems.append(f"`{at}` must be {words(kind)}" + ("" if kind.may_be_empty else ", at least one"))
            return ()
        read: list[str] = []
        for index, item in enumerate(value):
            text = _text(kind.each, item)
            folded = "" if text is None else kind.fold(text)
            if text is None:
                self.problems.append(f"`{at}[{index}]` must be {kind.each.wanted}")
            elif kind.choices and folded not in kind.choices:
                self.problems.append(f"`{at}[{index}]` is `{text}`: it may be {', '.join(kind.choices)}")
            elif folded in read:
                self.problems.append(f"`{at}[{index}]` names `{text}` again: leave one out")
            read.append(folded)
        return tuple(read)


def _place(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _one(kind: Flag | Whole | Text | Place | Address, value: object, base: Path) -> object | None:
    """The value as its kind holds it, None where it does not fit."""
    match kind:
        case Flag():
            return value if isinstance(value, bool) else None
        case Whole():
            fits = isinstance(value, int) and not isinstance(value, bool) and kind.lowest <= value <= kind.highest
            return value if fits else None
        case Text():
            return _text(kind, value)
        case Place():
            text = _text(Text(), value)
            return None if text is None else base / text
        case Address():
            return _address(kind, value, base)
        case _:
            assert_never(kind)


def words(kind: Kind) -> str:
    """What a key of this kind holds, for a message or the documentation."""
    match kind:
        case Flag():
            return "true or false"
        case Whole():
            return f"an integer from {kind.lowest} to {kind.highest}"
        case Text():
            return kind.wanted
        case Texts():
            return kind.wanted + (f" among {', '.join(kind.choices)}" if kind.choices else "")
        case Place():
            return "a path"
        case Address():
            return "`IP:PORT`" + (" or `unix:PATH`" if kind.unix else "")
        case _:
            assert_never(kind)


def _text(kind: Text, value: object) -> str | None:
    fits = isinstance(value, str) and len(value) <= LONGEST_TEXT and kind.pattern.fullmatch(value)
    return value if isinstance(value, str) and fits else None


def _address(kind: Address, value: object, base: Path) -> str | None:
    text = _text(Text(), value)
    if text is None:
        return None
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        fits = kind.unix and path and len(str(base / path).encode()) <= LONGEST_SOCKET_PATH
        return f"unix:{base / path}" if fits else None
    host, colon, port = text.rpartition(":")
    numbered = re.fullmatch(r"0|[1-9][0-9]{0,4}", port) is not None and int(port) <= 65535
    return f"{host.lower()}:{port}" if colon and numbered and _is_host(host) else None


def _is_host(host: str) -> bool:
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        return host.lower() == "localhost"
    return (address.version == 6) == (literal != host)


def repeated(values: Sequence[str]) -> list[str]:
    """The values that stand more than once, each once, in order."""
    return list(dict.fromkeys(value for value in values if values.count(value) > 1))
