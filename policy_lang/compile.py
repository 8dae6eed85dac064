"""The whole way from the files of a bundle to a program: the one entry the rest of the house uses.

Files by path go in, `Compiled` comes out, or `CompileError` with the mistakes of all files in one run. Files whose name
ends neither in `.pol` nor, of the settings chosen, in `.toml` are not looked at, but for the models and policies that
`casbin` blocks name. Pure.

(0) parse     each file alone
(1) settings  the values that differ per environment
(2) inventory what the modules declare
(3) names     what each name means
(4) check     every rule, `casbin` block and proof in each of its environments; tests
(5) extent    how much the program would hold
(6) lower     only if no phase found an error
(7) cost      what one call may have to look at

Source: architecture.md "policy_lang: forward only"; language.md 4.6, point H.

Decision: 2026-11-21. Where there is an error, warnings are withheld: what a broken policy never does is no news. In a
file that did not parse whole, unknown names are not reported either, since their declarations may be what is missing.
A mistake in an expression is reported once for its place, in the first environment that shows it.
Decision: 2026-11-21. The day, and when rules were written, are arguments: what a compilation says depends on nothing
else. Without a day nothing is said of what ends or grows old.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from policy_lang.attached import attached
from policy_lang.checking.cost import check_cost
from policy_lang.checking.extent import check_extent
from policy_lang.checking.guards import Formula
from policy_lang.checking.lower import lower
from policy_lang.checking.policy import check
from policy_lang.declared.inventory import take_inventory
from policy_lang.declared.mentioned import NOTHING_MENTIONED, Mentioned, mentioned_settings
from policy_lang.declared.names import bind_names
from policy_lang.declared.settings import Settings, read_settings
from policy_lang.diagnostics import CompileError, Diagnostic, has_errors, ordered
from policy_lang.ir import Program
from policy_lang.mistakes.cases import UnknownChallenge, UnknownDecider
from policy_lang.mistakes.names import (
    NoPolicy,
    UnknownAttribute,
    UnknownEndpoint,
    UnknownLabel,
    UnknownModule,
    UnknownName,
    UnknownService,
    UnknownType,
)
from policy_lang.mistakes.rules import CoversNothing
from policy_lang.mistakes.types import ExpressionMistake
from policy_lang.source import Source, Span
from policy_lang.syntax.parser import MOST_BYTES, parse
from policy_lang.trials.cases import TestCase
from policy_lang.trials.lower import lower_tests
from policy_lang.uncollected import uncollected

_FOLLOWS_FROM_SYNTAX = (
    UnknownName,
    UnknownService,
    UnknownEndpoint,
    UnknownAttribute,
    UnknownLabel,
    UnknownType,
    UnknownDecider,
    UnknownChallenge,
    CoversNothing,
)
"""What may only mean that a declaration of the same file was not read."""

_FOLLOWS_FROM_OTHERS = (UnknownModule,)
"""What may only mean that another file was not read."""


class Compiled(Struct, frozen=True):
    """A policy without errors. `warnings` are sorted; `proofs` are the titles of `prove` blocks, which do not run;
    `written` are the words of what is one condition to whoever wrote it (policy_lang/checking/written.py).
    """

    program: Program
    tests: tuple[TestCase, ...]
    warnings: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]
    proofs: tuple[str, ...]
    written: Mapping[Formula, str]


def compile_policy(
    files: Mapping[str, bytes],
    settings: str | None = None,
    today_ms: int | None = None,
    written_ms: Mapping[str, int] | None = None,
) -> Compiled:
    """Compile the policy files among `files`.

    `settings` names the file `settings/NAME.toml` among them that binds the policy's settings. `today_ms` is the day
        that warnings about dates go by, `written_ms` when rules were written, by id; Unix milliseconds both.
    Errors: CompileError with every error found, sorted by file and place, at least one; `sources_of` gives the texts
        that rendering them needs. A bundle without a policy file is refused (E113), not an empty policy.
    """
    with uncollected():
        return _compiled(files, settings, today_ms, written_ms)


def _compiled(
    files: Mapping[str, bytes], settings: str | None, today_ms: int | None, written_ms: Mapping[str, int] | None
) -> Compiled:
    parsed = [parse(name, files[name]) for name in sorted(files) if name.endswith(".pol")]
    if not parsed:
        raise CompileError((NoPolicy(span=Span("policy", 0, 0)),))
    syntax = [diagnostic for each in parsed for diagnostic in each.diagnostics]
    values = read_settings(files, settings)
    if not isinstance(values, Settings):
        # That every setting is unbound then is no news.
        raise CompileError(_errors((*values, *syntax)), sources_of(files))
    broken = frozenset(each.source.name for each in parsed if has_errors(each.diagnostics))
    found: list[Diagnostic] = []
    inventory = take_inventory([each.module for each in parsed if each.module is not None], values, found, broken)
    names = bind_names(inventory, found)
    policy = check(inventory, names, found, today_ms, written_ms, files)
    tests = lower_tests(inventory, policy.challenges, found)
    found = [*_once_a_place(_unless_broken(found, broken)), *syntax]
    if has_errors(found):
        raise CompileError(_errors(found), sources_of(files))
    found += check_extent(inventory, policy)
    if has_errors(found):
        raise CompileError(_errors(found), sources_of(files))
    program = lower(inventory, policy)
    found += check_cost(inventory, program)
    if has_errors(found):
        raise CompileError(_errors(found), sources_of(files))
    sources = {each.source.name: each.source for each in parsed} | _attached_sources(files)
    proofs = tuple(proof.title for proof in policy.proofs)
    return Compiled(program, tests, ordered(found), sources, proofs, policy.written)


def settings_mentioned(files: Mapping[str, bytes], settings: str | None = None) -> Mentioned:
    """The settings that the conditions of a policy mention, with their values, for whoever explains it; nothing where
    the policy does not compile. The arguments are those of `compile_policy`.
    """
    with uncollected():
        values = read_settings(files, settings)
        if not isinstance(values, Settings):
            return NOTHING_MENTIONED
        parsed = [parse(name, files[name]) for name in sorted(files) if name.endswith(".pol")]
        modules = [each.module for each in parsed if each.module is not None]
        return mentioned_settings(take_inventory(modules, values, [], frozenset()))


def _errors(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    return [each for each in ordered(found) if each.severity == "error"]


def sources_of(files: Mapping[str, bytes]) -> Mapping[str, Source]:
    """The texts of the policy files among `files`, and of the models and policies that they name, for rendering what
    `compile_policy` found in them.
    """
    own = {name: _source(name, files[name]) for name in sorted(files) if name.endswith(".pol")}
    return _attached_sources(files) | own


def _attached_sources(files: Mapping[str, bytes]) -> dict[str, Source]:
    """The texts of what `casbin` blocks name; empty where one is not UTF-8, or may be no text at all."""
    named = sorted(path for path in attached(files) if path in files and not path.endswith(".pol"))
    return {path: Source(path, files[path].decode("utf-8", "replace")) for path in named}


def _source(name: str, data: bytes) -> Source:
    """The text that the parser's positions count in, without parsing it again; empty where the parser reads none."""
    if len(data) > MOST_BYTES:
        return Source(name, "")
    try:
        return Source(name, data.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError:
        return Source(name, "")


def _unless_broken(found: Iterable[Diagnostic], broken: frozenset[str]) -> list[Diagnostic]:
    return [
        each
        for each in found
        if not (each.span.source in broken and isinstance(each, _FOLLOWS_FROM_SYNTAX))
        and not (broken and isinstance(each, _FOLLOWS_FROM_OTHERS))
    ]


def _once_a_place(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    seen: set[tuple[type[Diagnostic], Span]] = set()
    kept: list[Diagnostic] = []
    for each in found:
        key = (type(each), each.span)
        if not isinstance(each, ExpressionMistake) or key not in seen:
            kept.append(each)
        seen.add(key)
    return kept
