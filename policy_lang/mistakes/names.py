"""Mistakes in declarations and names (E113, E2xx): what does not exist, what exists twice, what cannot be declared."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPolicy(Diagnostic):
    code = "E113"
    title = "no policy file"
    help = "a policy is at least one file whose name ends in `.pol`"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownName(Diagnostic):
    code = "E200"
    title = "unknown {what} `{name}`"
    label = "{where}"

    what: str
    name: str
    where: str = "not declared in this module"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownService(Diagnostic):
    code = "E201"
    title = "unknown service `{name}`"
    label = "not declared in this module"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEndpoint(Diagnostic):
    code = "E202"
    title = "service `{service}` has no endpoint `{name}`"

    service: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownAttribute(Diagnostic):
    code = "E203"
    title = "unknown attribute `{name}`: {why}"

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownType(Diagnostic):
    code = "E204"
    title = "unknown type `{word}`"
    help = "the types are bool, int, string, uuid, time, duration, and set of one of these"

    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateName(Diagnostic):
    code = "E205"
    title = "`{name}` is declared twice"
    help = "rename one of them"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowedName(Diagnostic):
    """A name that the language itself has given a meaning: a root, or an implicit claim."""

    code = "E205"
    title = "`{name}` has a meaning of its own: {meaning}"
    help = "choose another name"

    name: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateModule(Diagnostic):
    code = "E206"
    title = "module `{name}` stands in two files"
    help = "a module is one file; give this one a name of its own"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateIssuer(Diagnostic):
    code = "E207"
    title = "two token kinds for the issuer `{issuer}`"
    help = "one issuer has one kind, so that a token is of one kind"

    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownLabel(Diagnostic):
    code = "E210"
    title = "unknown label `{name}`"
    label = "not declared in this module"
    help = "declare it in this module: label {name}"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadHost(Diagnostic):
    code = "E211"
    title = "`{host}` is not a canonical host name"
    help = "a host is lower case, without port and final dot: labels of a-z, 0-9 and -, or an address"

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadPattern(Diagnostic):
    code = "E212"
    title = "not a path pattern: {why}"

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadText(Diagnostic):
    code = "E213"
    title = "`{value}` is no {what}: {why}"

    what: str
    value: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionCycle(Diagnostic):
    code = "E230"
    title = "the condition `{name}` needs itself: {way}"
    help = "conditions are expanded in place, so they may not go round"

    name: str
    way: str
