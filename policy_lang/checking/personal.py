"""Claims that look as if they told who somebody is: which names do, and a warning of those that are not `private`.

Names come in, yes or no comes out; and kinds of callers come in, warnings come out (W824). The same list tells what is
personal in a token at hand (`pdp decide --reach`).

A name is read as whole words, which end at `_`, `-`, `.`, `/`, `:`, a blank or a hump of camelCase; digits at its end
are dropped. It is personal where its last words are: `work_email`, `homeAddress`, `https://x.example/phone_number`, and
not `email_verified`, `address_format`, `username_hash`. A few words are personal only as the whole name: everything has
a `name`, and a `host_name` is nobody's.
Source: issue "Zero trust", "No personal data in tokens"; OpenID Connect Core 5.1 (standard claims).

Decision (2026-11-21): of a way into nested objects each step counts, so that all below `address` is personal.
Decision (2026-11-21): a truth, a value of an enum, a role, a workload and a span of time tell nobody from others; what
else is of one of these names may.
Decision (2026-11-21): `sub` and `id` are not on the list: a policy cannot do without one of them, and an issuer can
make it a pseudonym.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import assert_never

from policy_lang.declared.entries import KindEntry
from policy_lang.diagnostics import Diagnostic
from policy_lang.ir import FieldSchema
from policy_lang.mistakes.rules import LooksPersonal
from policy_lang.source import Span
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, SetType, Type

_LAST = frozenset({
    "email", "mail", "phone", "telephone", "mobile", "msisdn", "fax",
    "given_name", "family_name", "first_name", "last_name", "middle_name", "full_name", "display_name", "user_name",
    "maiden_name", "legal_name", "birth_name", "preferred_name", "real_name", "user_principal_name", "nick_name",
    "forename", "surname", "firstname", "lastname", "fullname", "nickname", "username", "upn",
    "birthdate", "birthday", "birth_date", "date_of_birth", "dob", "birthplace", "place_of_birth", "gender",
    "address", "street", "postal_code", "postcode", "zip_code", "zipcode",
    "ssn", "social_security", "national_id", "national_insurance", "tax_id", "passport", "iban", "credit_card",
    "driving_licence", "driving_license", "identity_card",
    "picture", "photo", "avatar", "client_ip", "user_ip", "remote_ip", "source_ip",
})  # fmt: skip
"""Words, joined by `_`, that make a name personal where it ends with them."""

_WHOLE = frozenset({"name", "ip", "zip", "sex"})
"""Words that make a name personal where they are all of it."""

_TAIL = frozenset({"number", "no", "nr", "num"})
"""Words that may stand behind one of these and change nothing: `passport_number`."""

_ENDS = re.compile(r"[^0-9A-Za-z]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
LONGEST_NAME = 200
"""Characters of a name that are looked at, from its end: a token's names are a stranger's text."""


def looks_personal(names: Iterable[str]) -> bool:
    """Whether a claim of these names, its own and the steps of the way to it, looks personal."""
    return any(map(_is_personal, names))


def _is_personal(name: str) -> bool:
    words = [word.lower() for word in _ENDS.split(name[-LONGEST_NAME:].rstrip("0123456789")) if word]
    if len(words) > 1 and words[-1] in _TAIL:
        words.pop()
    if not words:
        return False
    return any(
        "_".join((*words[:-1], last)) in _WHOLE or _ends_so((*words[:-1], last)) for last in _singular(words[-1])
    )


def _singular(word: str) -> tuple[str, ...]:
    """A word, and what it may be the plural of."""
    return word, word.removesuffix("s"), word.removesuffix("es")


def _ends_so(words: tuple[str, ...]) -> bool:
    return any("_".join(words[start:]) in _LAST for start in range(len(words)))


def may_tell_people_apart(declared: Type) -> bool:
    """Whether values of a type can be somebody's alone."""
    match declared:
        case SetType(element):
            return may_tell_people_apart(element)
        case EnumType() | RoleType():
            return False
        case IntType():
            return True
        case Scalar():
            return declared not in {Scalar.BOOL, Scalar.DURATION, Scalar.WORKLOAD}
        case _:
            assert_never(declared)


def personal_claims(kinds: Iterable[KindEntry]) -> Iterator[Diagnostic]:
    """The warnings of claims and properties that look personal and are not declared `private`."""
    for entry in kinds:
        word = "claim" if entry.kind.form == "token" else "property"
        for field in entry.kind.claims:
            open_ = not field.private and may_tell_people_apart(field.type)
            if open_ and looks_personal((field.name, *field.source)):
                yield _warning(field, word, entry.slots[field.name].declared or entry.decl.span)


def _warning(field: FieldSchema, word: str, span: Span) -> Diagnostic:
    way = "" if field.source == (field.name,) else " from " + " ".join(f'"{step}"' for step in field.source)
    written = f"{word} {field.name}: {field.type}{' optional' if field.optional else ''} private{way}"
    return LooksPersonal(span=span, word=word, name=field.name, written=written)
