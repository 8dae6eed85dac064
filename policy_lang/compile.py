"""The whole way from the files of a bundle to a program: the one entry the rest of the house uses.

Files by path go in, `Compiled` comes out, or `CompileError` with the mistakes of all files in one run. Files whose name
does not end in `.pol` are not looked at. Pure.

(0) parse     each file alone
(1) inventory what the modules declare
(2) names     what each name means
(3) check     every rule in each of its environments; tests
(4) lower     only if no phase found an error

Source: architecture.md "policy_lang: forward only"; language.md 4.6.

Decision: 2026-11-21. Where there is an error, warnings are withheld: what a broken policy never does is no news. In a
file that did not parse whole, unknown names are not reported either, since their declarations may be what is missing.
A mistake in an expression is reported once for its place, in the first environment that shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policy_lang import tree
from policy_lang.cases import TestCase
from policy_lang.check import check
from policy_lang.diagnostics import CompileError, Diagnostic, has_errors, ordered
from policy_lang.inventory import take_inventory
from policy_lang.ir import Program
from policy_lang.lower import lower
from policy_lang.lower_tests import lower_tests
from policy_lang.mistakes.cases import UnknownChallenge, UnknownDecider
from policy_lang.mistakes.names import (
    NoPolicy,
    UnknownAttribute,
    UnknownEndpoint,
    UnknownLabel,
    UnknownName,
    UnknownService,
    UnknownType,
)
from policy_lang.mistakes.rules import CoversNothing
from policy_lang.mistakes.types import ExpressionMistake
from policy_lang.names import bind_names
from policy_lang.parser import MOST_BYTES, parse
from policy_lang.source import Source, Span

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


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy without errors. `warnings` are sorted; `proofs` are the titles of `prove` blocks, which do not run."""

    program: Program
    tests: tuple[TestCase, ...]
    warnings: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]
    proofs: tuple[str, ...]


def compile_policy(files: Mapping[str, bytes]) -> Compiled:
    """Compile the policy files among `files`.

    Errors: CompileError with every error found, sorted by file and place, at least one; `sources_of` gives the texts
        that rendering them needs. A bundle without a policy file is refused (E113), not an empty policy.
    """
    parsed = [parse(name, files[name]) for name in sorted(files) if name.endswith(".pol")]
    if not parsed:
        raise CompileError((NoPolicy(span=Span("policy", 0, 0)),))
    broken = frozenset(each.source.name for each in parsed if has_errors(each.diagnostics))
    modules = [each.module for each in parsed if each.module is not None]
    found: list[Diagnostic] = []
    inventory = take_inventory(modules, found)
    names = bind_names(inventory, found)
    policy = check(inventory, names, found)
    tests = lower_tests(inventory, policy.challenges, found)
    syntax = [diagnostic for each in parsed for diagnostic in each.diagnostics]
    diagnostics = ordered((*syntax, *_once_a_place(_unless_broken(found, broken))))
    if has_errors(diagnostics):
        raise CompileError([each for each in diagnostics if each.severity == "error"])
    sources = {each.source.name: each.source for each in parsed}
    proofs = (
        decl.title.value
        for entry in inventory.modules
        for decl in entry.module.declarations
        if isinstance(decl, tree.ProveDecl)
    )
    return Compiled(lower(inventory, policy), tests, diagnostics, sources, tuple(proofs))


def sources_of(files: Mapping[str, bytes]) -> Mapping[str, Source]:
    """The texts of the policy files among `files`, for rendering what `compile_policy` found in them."""
    return {name: _source(name, files[name]) for name in sorted(files) if name.endswith(".pol")}


def _source(name: str, data: bytes) -> Source:
    """The text that the parser's positions count in, without parsing it again; empty where the parser reads none."""
    if len(data) > MOST_BYTES:
        return Source(name, "")
    try:
        return Source(name, data.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError:
        return Source(name, "")


def _unless_broken(found: Iterable[Diagnostic], broken: frozenset[str]) -> list[Diagnostic]:
    return [each for each in found if each.span.source not in broken or not isinstance(each, _FOLLOWS_FROM_SYNTAX)]


def _once_a_place(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    seen: set[tuple[type[Diagnostic], Span]] = set()
    kept: list[Diagnostic] = []
    for each in found:
        key = (type(each), each.span)
        if not isinstance(each, ExpressionMistake) or key not in seen:
            kept.append(each)
        seen.add(key)
    return kept
