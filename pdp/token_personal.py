"""What in a token looks personal: names of claims, declared or not, and never their values.

The claims of a token and its kind come in, names go out. The list of names is that of the warning W824
(policy_lang/checking/personal.py). Of a declared claim its own name counts too, and its type: a truth tells nobody
from others. Of others the JSON says whether it is one.
Source: issue "Zero trust", "No personal data in tokens".

Decision: 2026-11-21. Of a list only what its members hold is looked at: a name stands once, however many have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from policy_lang.checking.personal import looks_personal, may_tell_people_apart
from policy_lang.ir import FieldSchema, Kind
from policy_lang.verdict import Json


class PersonalClaim(Struct, frozen=True):
    """A claim of a token that looks personal: the way to it, and the declared claim that reads it, None without one."""

    way: tuple[str, ...]
    declared: str | None
    private: bool


def personal_in(claims: Mapping[str, Json], kind: Kind | None) -> tuple[PersonalClaim, ...]:
    """The claims of a token that look personal, declared or not, by name; never their values."""
    found: dict[tuple[str, ...], PersonalClaim] = {}
    for way in _ways(claims, ()):
        field = _field_of(way, kind)
        names = way if field is None else (field.name, *way)
        if looks_personal(names) and (field is None or may_tell_people_apart(field.type)):
            declared, private = (None, False) if field is None else (field.name, field.private)
            found[way] = PersonalClaim(way, declared, private)
    return tuple(found[way] for way in sorted(found))


def _ways(value: Json | Mapping[str, Json], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The ways to all that may tell who somebody is; a token nests no deeper than its verifier lets it."""
    match value:
        case None | bool():
            return
        case Mapping():
            for name, below in value.items():
                yield from _ways(below, (*above, name))
        case list():
            for each in value:
                yield from _ways(each, above)
        case _:
            yield above


def _field_of(way: tuple[str, ...], kind: Kind | None) -> FieldSchema | None:
    """The declared claim that reads what stands at the end of a way."""
    declared = () if kind is None else kind.claims
    return next((each for each in declared if way[: len(each.source)] == each.source), None)
