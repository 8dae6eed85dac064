"""Where Portcullis answers otherwise than Casbin, and why: the whole list.

A difference is known only where its predicate holds of what was asked. `opens` says that it may turn a "no" of Casbin
into a yes; such a line needs a reason from Casbin's own documents. Of what Casbin raises at it gives no answer; there
the expected one is what its rows say one at a time (`Oracle.by_rows`).
INVARIANT: the list only grows with a reason on the line. Source: language.md 6.6; contracts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from casbin.util import key_match

from policy_lang.ir.tables import Mode
from tests.casbin.kind import Kind, Request, Trial
from tests.casbin.oracle import Answer

CHAIN_KIND = "rbac with long chains"
ODD_KIND = "values of other types"


@dataclass(frozen=True, slots=True)
class Asked:
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


@dataclass(frozen=True, slots=True)
class Known:
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
    return not asked.ours and any("\n" in value for value in _scalars(asked.request) if isinstance(value, str))


def _no_string(asked: Asked) -> bool:
    odd = any(not isinstance(value, str) for value in asked.request)
    return asked.kind.name == ODD_KIND and not asked.ours and odd


def _other_object(asked: Asked) -> bool:
    return asked.mode == "strict" and not asked.ours and any(isinstance(v, SimpleNamespace) for v in asked.request)


def _boolean(asked: Asked) -> bool:
    return asked.kind.name == "booleans and numbers" and any(isinstance(value, bool) for value in asked.request)


def _fraction(asked: Asked) -> bool:
    return asked.kind.name == "booleans and numbers" and not asked.ours and isinstance(asked.request[1], float)


def _in_mapping(asked: Asked) -> bool:
    return not asked.ours and " in r.tags" in asked.trial.model and isinstance(asked.request[-1], Mapping)


def _backtracking(asked: Asked) -> bool:
    return (
        not asked.ours
        and asked.kind.name == "regexMatch"
        and any(sign in asked.trial.policy for sign in ("(?=", "\\1"))
    )


def _one_pattern(asked: Asked) -> bool:
    """Some role is a pattern that another name fits."""
    links = [line.split(", ")[1:] for line in asked.trial.lines if line.startswith("g, ")]
    names = {str(asked.request[0]), *(name for link in links for name in link)}
    patterns = {role for _, role in links if "*" in role}
    fitting = any(key_match(name, role) for role in patterns for name in names - {role})
    return not asked.ours and asked.kind.name == "rbac with patterns of names" and fitting


def _mapped_address(asked: Asked) -> bool:
    return asked.kind.name == "ipMatch" and any(
        "::ffff:" in text for text in (str(asked.request[0]), *asked.trial.lines)
    )


def _beside_conditions(asked: Asked) -> bool:
    return asked.kind.name == "conditional roles beside plain ones"


def _scalars(value: object) -> Iterator[object]:
    match value:
        case tuple() | list():
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
    Known("newline", "9: `$` of a pattern does not stand before a final newline", _newline),
    Known("no string", "17: what is no string has no value for a comparison with a column or a role", _no_string),
    Known("other object", "strict reads parts of mappings and of dataclasses, not of other objects", _other_object),
    Known(
        "boolean",
        "`true` is no number in Casbin for Go, of which the matcher is documented; to Python it is 1",
        _boolean,
        opens=True,
    ),
    Known("fraction", "24: only a boolean is a truth; Casbin for Python takes a fraction for one, too", _fraction),
    Known("in a mapping", "Casbin's documents have `in` of a list; of a mapping it is unknown", _in_mapping),
    Known("backtracking", "E610: RE2 refuses the expression, so it has no value", _backtracking),
    Known(
        "one pattern",
        "Casbin links a role pattern to each name that fits it and back, so that such names have each other",
        _one_pattern,
    ),
    Known(
        "mapped address",
        "13: `::ffff:10.0.0.1` is 10.0.0.1, as in Casbin for Go, of which ipMatch is documented",
        _mapped_address,
        opens=True,
    ),
    Known(
        "beside conditions",
        "4, W609: the plain roles hold as written, as documented; Casbin for Python compares two names instead",
        _beside_conditions,
        opens=True,
    ),
)  # fmt: skip


def known_difference(asked: Asked) -> Known | None:
    """The line of the list under which a difference falls; None where it is a fault."""
    opened = asked.theirs == "no" and asked.ours
    return next((known for known in KNOWN if (known.opens or not opened) and known.holds(asked)), None)
