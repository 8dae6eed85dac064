"""Settings: values that differ per environment, read from `settings/<environment>.toml` and given their declared types.

`read_settings` turns one file into plain values by key, knowing no declarations; `Bindings` gives each declared setting
its value, or its default, and reports what nobody declared.
A key is `module.setting`, quoted or as a table, or the plain name of a setting that one module alone declares. A value
is a string, an integer, a duration as `"5m"` or in milliseconds, a network as a list of ranges and addresses.
Source: language.md point H; TOML 1.0.

Decision: 2026-11-21. A setting is not shown in a message, only its key and its type: settings may hold what a log
should not.
Decision: 2026-11-21. Without an environment the defaults hold, so a policy whose settings all have one needs none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import assert_never

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.addresses import Interval, Intervals, cidr, number, union
from policy_lang.declared.entries import SettingEntry
from policy_lang.declared.literals_typed import literal_operand
from policy_lang.declared.scopes import Scope
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.mistakes.names import (
    BadSettings,
    HostBits,
    SettingMisfit,
    UnboundSetting,
    UnknownEnvironment,
    UnknownSetting,
)
from policy_lang.mistakes.types import WrongType
from policy_lang.source import Span
from policy_lang.syntax import draft
from policy_lang.syntax.literals import duration_ms, units_descend
from policy_lang.typesystem import INT_MAX, INT_MIN, IntType, Scalar

MOST_BYTES = 1 << 20
"""Bytes of a settings file: ten thousand ranges do not fill it."""

LONGEST_STRING = draft.LONGEST_STRING
"""Characters of a text, as in a policy."""

DEEPEST = 32
"""Steps of a key: no module has as many in its name."""

_FILE = re.compile(r"settings/([^/]+)\.toml")
_DURATION = re.compile(r"(?:[0-9]+(?:ms|s|m|h|d))+")
_DEEP_KEY = re.compile(
    rf"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{DEEPEST}}}"""
)

Plain = str | int | tuple[str, ...]


class Settings(Struct, frozen=True):
    """One environment: its name (None where none was chosen), its file, and what the file binds by key as written.

    A value of None is one of a type that no setting has. `environments` are those there are.
    """

    name: str | None
    file: str
    values: Mapping[str, Plain | None]
    environments: tuple[str, ...]


NO_SETTINGS = Settings(None, "", {}, ())
"""The settings of a bundle without any."""


def read_settings(files: Mapping[str, bytes], name: str | None) -> Settings | tuple[Diagnostic, ...]:
    """The settings of the environment `name` among the files of a bundle, or why they cannot be read."""
    environments = tuple(sorted(found[1] for path in files if (found := _FILE.fullmatch(path))))
    if name is None:
        return Settings(None, "", {}, environments)
    file = f"settings/{name}.toml"
    span = Span(file, 0, 0)
    if name not in environments:
        listed = ", ".join(f"`{each}`" for each in environments)
        known = f"there are {listed}" if environments else "the bundle has no folder `settings`"
        return (UnknownEnvironment(span=Span("settings", 0, 0), name=name, known=known),)
    table = _parsed(files[file])
    if isinstance(table, str):
        return (BadSettings(span=span, file=file, why=table),)
    values: dict[str, Plain | None] = {}
    mistakes: list[Diagnostic] = []
    for key, value in _flat(table):
        if key in values:
            mistakes.append(UnknownSetting(span=span, file=file, key=key, why="it is bound twice"))
        values[key] = value
    return tuple(mistakes) or Settings(name, file, values, environments)


def _parsed(data: bytes) -> dict[str, object] | str:
    """The table that a file is, or why it is none."""
    if len(data) > MOST_BYTES:
        return f"it has more than {MOST_BYTES} bytes"
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
        # SECURITY: the time that tomllib takes for a dotted key is the square of its steps.
        return "a key has too many steps" if _DEEP_KEY.search(text) else tomllib.loads(text)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        return str(error)
    except RecursionError:
        return "it is nested too deep"
    except ValueError:
        return "it holds a number too long to be one"


def _flat(table: Mapping[str, object]) -> Iterator[tuple[str, Plain | None]]:
    """Keys and values with the names of tables before them; a table too deep to be a module's has no type."""
    todo: list[tuple[tuple[str, ...], Mapping[str, object]]] = [((), table)]
    while todo:
        way, inner = todo.pop()
        for name, value in inner.items():
            steps = (*way, name)
            if isinstance(value, dict) and len(steps) < DEEPEST:
                todo.append((steps, value))
            else:
                yield ".".join(steps), _plain(value)


def _plain(value: object) -> Plain | None:
    match value:
        case bool():
            return None
        case str() | int():
            return value
        case list() if all(isinstance(each, str) for each in value):
            return tuple(value)
        case _:
            return None


# ---------------------------------------------------------------- types


class Bindings:
    """Gives declared settings their values; `report_unknown`, once all are bound, names keys that nobody declares."""

    def __init__(self, settings: Settings, scopes: Mapping[str, Scope], found: list[Diagnostic]) -> None:
        self._settings = settings
        self._found = found
        self._used: set[str] = set()
        self._declaring: dict[str, list[str]] = {}
        for scope in scopes.values():
            for name, (_, decl) in scope.declared.items():
                if isinstance(decl, tree.SettingDecl):
                    self._declaring.setdefault(name, []).append(scope.name)

    def bind(self, scope: Scope, decl: tree.SettingDecl) -> SettingEntry | None:
        """The setting with its value in the chosen environment, else its default; None after a mistake."""
        full = f"{scope.name}.{decl.name.text}"
        unique = len(self._declaring[decl.name.text]) == 1
        keys = [each for each in (full, *((decl.name.text,) if unique else ())) if each in self._settings.values]
        self._used.update(keys)
        if len(keys) > 1:
            self._unknown(keys[1], f"`{keys[0]}` binds the same setting")
            return None
        if keys:
            value = self._bound(decl, keys[0])
        elif decl.default is None:
            self._unbound(decl, full)
            return None
        else:
            value = self._default(decl, decl.default)
        return None if value is None else SettingEntry(_TYPES[decl.type], value, decl)

    def report_unknown(self) -> None:
        """Report the keys that bind nothing."""
        for key in self._settings.values:
            if key in self._used:
                continue
            modules = self._declaring.get(key, ())
            why = "no module declares it"
            if len(modules) > 1:
                why = f"{len(modules)} modules declare it; write `{modules[0]}.{key}`"
            names = (f"{module}.{name}" for name, declaring in self._declaring.items() for module in declaring)
            self._unknown(key, why, "" if modules else hint_for(key, names, self._found))

    def _unknown(self, key: str, why: str, hint: str = "") -> None:
        file = self._settings.file
        self._found.append(UnknownSetting(span=Span(file, 0, 0), file=file, key=key, why=why, hint=hint))

    def _unbound(self, decl: tree.SettingDecl, full: str) -> None:
        settings = self._settings
        if settings.name is not None:
            where, remedy = f"in `{settings.file}`", f'bind it there by the key "{full}", or give it a default'
        elif settings.environments:
            listed = ", ".join(f"`{each}`" for each in settings.environments)
            where, remedy = "without an environment", f"choose one by `--settings`: there are {listed}"
        else:
            where = "without an environment"
            remedy = "give it a default, or bind it in `settings/NAME.toml` and choose that by `--settings NAME`"
        self._found.append(UnboundSetting(span=decl.name.span, name=decl.name.text, where=where, remedy=remedy))

    def _bound(self, decl: tree.SettingDecl, key: str) -> ir.Value | Intervals | None:
        value = _typed(decl, self._settings.values[key])
        if value is None:
            file, wanted = self._settings.file, _WANTED[decl.type]
            others = (Label(decl.name.span, "declared here"),)
            self._found.append(SettingMisfit(span=Span(file, 0, 0), file=file, key=key, wanted=wanted, others=others))
        return value

    def _default(self, decl: tree.SettingDecl, written: tree.LiteralExpr) -> ir.Value | Intervals | None:
        if decl.type == "network":
            return self._default_network(written)
        type_ = _TYPES[decl.type]
        if not isinstance(written, tree.StringLit | tree.IntLit | tree.DurationLit):
            self._found.append(WrongType(span=written.span, wanted=f"`{decl.type}`", found="this"))
            return None
        read = literal_operand(written, type_)
        if isinstance(read, Diagnostic):
            self._found.append(read)
            return None
        if read.type != type_ or not isinstance(read.operand, ir.Const):
            self._found.append(WrongType(span=written.span, wanted=f"`{decl.type}`", found=f"`{read.type}`"))
            return None
        return read.operand.value

    def _default_network(self, written: tree.LiteralExpr) -> Intervals | None:
        ranges: list[Interval] = []
        for item in written.members if isinstance(written, tree.SetLit) else (written,):
            if not isinstance(item, tree.CidrLit | tree.IpLit):
                self._found.append(WrongType(span=item.span, wanted="a range of addresses", found="this"))
                return None
            interval = interval_of(item, self._found)
            if interval is None:
                return None
            ranges.append(interval)
        return union(ranges)


_TYPES: Mapping[tree.SettingType, IntType | Scalar | None] = {
    "string": Scalar.STRING,
    "int": IntType(),
    "duration": Scalar.DURATION,
    "network": None,
}

_WANTED: Mapping[tree.SettingType, str] = {
    "string": f"a string of at most {LONGEST_STRING} characters",
    "int": "an integer of 64 bits",
    "duration": 'a duration, such as "5m", or a number of milliseconds',
    "network": 'a list of ranges and addresses, such as ["10.0.0.0/8"], no host bits set',
}


def _typed(decl: tree.SettingDecl, value: Plain | None) -> ir.Value | Intervals | None:
    """A value as the type of its setting has it; None where it does not fit."""
    match decl.type, value:
        case "string", str():
            return value if len(value) <= LONGEST_STRING else None
        case "int", int():
            return value if INT_MIN <= value <= INT_MAX else None
        case "duration", int():
            return value if 0 <= value <= INT_MAX else None
        case "duration", str():
            return _duration(value)
        case "network", tuple():
            ranges = [_interval(text) for text in value]
            fitting = [each for each in ranges if each is not None]
            return union(fitting) if ranges and len(fitting) == len(ranges) else None
        case (("string" | "int" | "duration" | "network"), _):
            return None
        case never, _:
            assert_never(never)


def _duration(text: str) -> int | None:
    return duration_ms(text) if _DURATION.fullmatch(text) and units_descend(text) else None


def _interval(text: str) -> Interval | None:
    if "/" in text:
        return cidr(text)
    address = number(text)
    return None if address is None else (address, address)


def interval_of(item: tree.CidrLit | tree.IpLit, found: list[Diagnostic]) -> Interval | None:
    """The addresses of a range or of one address; None with a mistake where host bits are set."""
    if isinstance(item, tree.IpLit):
        return _interval(item.address)
    interval = cidr(item.text)
    if interval is None:
        found.append(HostBits(span=item.span, text=item.text))
    return interval
