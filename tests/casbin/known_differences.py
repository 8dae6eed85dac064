"""Where Portcullis answers otherwise than Casbin, and why: the whole list.

A difference is known only where its predicate holds of what was asked. `opens` says that in strict it may turn a "no"
of Casbin into a yes; such a line needs a reason from Casbin's own documents. Of what Casbin raises at it gives no
answer; there the expected one is what its rows say one at a time (`Oracle.by_rows`).
INVARIANT: the list only grows with a reason on the line. In compat no line turns a "no" into a yes.
Source: language.md 6.6; contracts.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_network
from types import SimpleNamespace

from casbin.util import key_match
from msgspec import Struct

from policy_lang.ir.tables import Mode
from tests.casbin.kind import Kind, Request, Trial
from tests.casbin.oracle import Answer

CHAIN_KIND = "rbac with long chains"
ODD_KIND = "values of other types"
BOOLEANS_KIND = "booleans and numbers"
METHODS_KIND = "abac with parts called as methods"

_OF_A_BOOLEAN = re.compile(r"(?:r\.flag|r\.count|r\.ctx\.member) (?:[=!<>]|in |not in )")
_CLASS = re.compile(r"\\[dDwWsSb]")
_DIFFERENT = re.compile(r"[^\W0-9A-Za-z_]|[^\S\t\n\f\r ]")
_GLUED = re.compile(r"\w(?:&&|\|\|)|(?:&&|\|\|)[\w!]")


class Asked(Struct, frozen=True):
    """One request and both answers. `afresh` is what an enforcer says that was asked nothing else before; `by_rows`
    what its rows say one at a time; `rows` how many it has.
    """

    kind: Kind
    trial: Trial
    mode: Mode
    request: Request
    theirs: Answer
    afresh: Answer
    by_rows: bool
    rows: int
    ours: bool


class Known(Struct, frozen=True):
    """`reason` begins with the trap of language.md 6.6 or with a code where there is one."""

    name: str
    reason: str
    holds: Callable[[Asked], bool]
    opens: bool = False


def _raised(asked: Asked) -> bool:
    return asked.theirs == "raised" and asked.ours == asked.by_rows


def _raised_inside_a_row(asked: Asked) -> bool:
    """We say yes; the rows one at a time say no, since one of them raises."""
    texts = (asked.trial.model.partition("[matchers]")[2], asked.trial.policy)
    connected = any(sign in text for sign in ("||", "&&", " or ", " and ") for text in texts)
    return asked.theirs == "raised" and asked.ours and not asked.by_rows and connected


def _no_rows(asked: Asked) -> bool:
    return asked.rows == 0 and not asked.ours


def _remembered(asked: Asked) -> bool:
    return asked.theirs != asked.afresh and asked.afresh == ("yes" if asked.ours else "no")


def _long_chain(asked: Asked) -> bool:
    return asked.mode == "strict" and asked.kind.name == CHAIN_KIND and asked.ours


def _newline(asked: Asked) -> bool:
    return any("\n" in value for value in _scalars(asked.request) if isinstance(value, str))


def _classes(asked: Asked) -> bool:
    """A pattern with a class, and a value with a character that is of it in some engines only."""
    values = [value for value in _scalars(asked.request) if isinstance(value, str)]
    return not asked.ours and _CLASS.search(asked.trial.policy) is not None and any(map(_DIFFERENT.search, values))


def _no_string(asked: Asked) -> bool:
    odd = any(not isinstance(value, str) for value in asked.request)
    return asked.kind.name == ODD_KIND and not asked.ours and odd


def _other_object(asked: Asked) -> bool:
    return asked.mode == "strict" and not asked.ours and any(isinstance(v, SimpleNamespace) for v in asked.request)


def _boolean(asked: Asked) -> bool:
    compared = _OF_A_BOOLEAN.search(asked.trial.model) is not None
    there = "True" in asked.trial.model or any(isinstance(value, bool) for value in _scalars(asked.request))
    return asked.mode == "strict" and compared and there


def _sum_of_booleans(asked: Asked) -> bool:
    summed = asked.kind.name == BOOLEANS_KIND and " + " in asked.trial.model
    return not asked.ours and summed and any(isinstance(value, bool) for value in asked.request)


def _fraction(asked: Asked) -> bool:
    return asked.kind.name == BOOLEANS_KIND and not asked.ours and isinstance(asked.request[1], float)


def _method(asked: Asked) -> bool:
    return asked.kind.name == METHODS_KIND and not asked.ours


def _method_in_strict(asked: Asked) -> bool:
    return asked.kind.name == METHODS_KIND and asked.mode == "strict"


def _glued(asked: Asked) -> bool:
    return asked.mode == "strict" and _GLUED.search(asked.trial.model.partition("[matchers]")[2]) is not None


def _in_mapping(asked: Asked) -> bool:
    return not asked.ours and " in r.tags" in asked.trial.model and isinstance(asked.request[-1], Mapping)


def _backtracking(asked: Asked) -> bool:
    return (
        not asked.ours
        and asked.kind.name == "regexMatch"
        and any(sign in asked.trial.policy for sign in ("(?=", "\\1"))
    )


def _own_groups(asked: Asked) -> bool:
    return not asked.ours and asked.kind.name.startswith("keyMatch4") and "(" in asked.trial.policy


def _one_pattern(asked: Asked) -> bool:
    """Some role is a pattern that another name fits."""
    links = [line.split(", ")[1:] for line in asked.trial.lines if line.startswith("g, ")]
    names = {str(asked.request[0]), *(name for link in links for name in link)}
    patterns = {role for _, role in links if "*" in role}
    fitting = any(key_match(name, role) for role in patterns for name in names - {role})
    return asked.kind.name.startswith("rbac with patterns of names") and fitting


def _mapped_address(asked: Asked) -> bool:
    if asked.mode == "compat" or not asked.kind.name.startswith("ipMatch"):
        return False
    return any(map(_is_mapped, (str(asked.request[0]), *(line.split(", ")[1] for line in asked.trial.lines))))


def _is_mapped(text: str) -> bool:
    try:
        first = ip_network(text, strict=False).network_address
    except ValueError:
        return False
    return isinstance(first, IPv6Address) and first.ipv4_mapped is not None


def _scalars(value: object) -> Iterator[object]:
    match value:
        case tuple() | list() | set() | frozenset():
            for part in value:
                yield from _scalars(part)
        case Mapping():
            yield from _scalars(list(value.values()))
        case _:
            yield value


KNOWN: tuple[Known, ...] = (
    Known("raised", "17: a row at which Casbin raises is unknown, and the other rows are asked", _raised),
    Known("raised inside a row", "17: what raises is unknown, and the other operand may decide", _raised_inside_a_row),
    Known("no rows", "18: a table without rows says nothing; Casbin asks the matcher of empty columns", _no_rows),
    Known("remembered", "6: Casbin's answer depends on the names that it was asked about before", _remembered),
    Known(
        "long chain",
        "5, W625: strict has no limit; Casbin's documents give roles of roles and name the limit a default to set",
        _long_chain,
        opens=True,
    ),
    Known(
        "newline",
        "9: `$` of a pattern is the end in Casbin for Go, of which it is documented; such a name has no value",
        _newline,
    ),
    Known(
        "classes",
        "9: digits, letters and blanks of `\\d`, `\\w`, `\\s`, `\\b` are of ASCII in Casbin for Go, of which it is "
        "documented, and of all scripts in Casbin for Python; a name with one that is not both has no value",
        _classes,
    ),
    Known("no string", "17: what is no string has no value for a comparison with a column or a role", _no_string),
    Known("other object", "strict reads parts of mappings and of dataclasses, not of other objects", _other_object),
    Known(
        "boolean",
        "`true` is no number in Casbin for Go, of which the matcher is documented; to Python it is 1",
        _boolean,
        opens=True,
    ),
    Known("sum of booleans", "no rule of Casbin's documents sums booleans: it has no value", _sum_of_booleans),
    Known("method", "Casbin for Python reads a method of the mapping, which has no value here", _method),
    Known(
        "method in strict",
        "Casbin's documents have the parts of a JSON request by their names, whatever these are",
        _method_in_strict,
        opens=True,
    ),
    Known(
        "without blanks",
        "E603 in compat: `a&&b` is as in Casbin for Go, of which the matcher is documented; Casbin for Python makes a "
        "word of it, and raises, or says no where it does not come to that word",
        _glued,
        opens=True,
    ),
    Known("fraction", "24: only a boolean is a truth; Casbin for Python takes a fraction for one, too", _fraction),
    Known("in a mapping", "Casbin's documents have `in` of a list; of a mapping it is unknown", _in_mapping),
    Known("backtracking", "E610: RE2 refuses the expression, so it has no value", _backtracking),
    Known("own groups", "E610: keyMatch4 with groups of its own raises for some names, and has no value", _own_groups),
    Known(
        "one pattern",
        "Casbin for Python gives names that fit a role pattern each other, by the order of the links; its documents "
        "give them the roles of the pattern only; in compat it is unknown",
        _one_pattern,
        opens=True,
    ),
    Known(
        "mapped address",
        "13: `::ffff:10.0.0.1` is 10.0.0.1, as in Casbin for Go, of which ipMatch is documented",
        _mapped_address,
        opens=True,
    ),
)  # fmt: skip


def known_difference(asked: Asked, listed: Sequence[Known] = KNOWN) -> Known | None:
    """The line of the list under which a difference falls; None where it is a fault."""
    opened = asked.theirs == "no" and asked.ours
    may_open = asked.mode == "strict"
    return next((known for known in listed if (not opened or (known.opens and may_open)) and known.holds(asked)), None)
