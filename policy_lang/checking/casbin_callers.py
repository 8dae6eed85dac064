"""Kinds of callers that a `casbin` block cannot tell apart: the rows name them by one input that several of them have.

In go what a block binds and where it votes, out comes a warning or nothing. Two issuers each name whom they like: what
the rows grant to the user `alice` they grant to the robot `alice` too.
INVARIANT: nothing is said where one kind alone has what is bound, or where what is bound tells the kinds apart.
Source: language.md 6.4; point B.

Decision (2026-11-21): a block has no `for`. Kinds are kept apart by what they have: an input that one of them calls
otherwise is not bound for it, and another block may ask for that. A warning and no mistake, for one set of people may
come by two issuers.
Decision (2026-11-21): `aud` and `scope` name nobody. What stands at `iss` tells token kinds apart, since each has an
issuer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from policy_lang import ir, tree
from policy_lang.checking.environment import Bound
from policy_lang.checking.groups import Group
from policy_lang.declared.entries import Input, KindEntry
from policy_lang.declared.fields import IMPLICIT_CLAIMS
from policy_lang.declared.walking import dotted
from policy_lang.diagnostics import Label
from policy_lang.mistakes.votes import SharedNames

MOST_KINDS = 4
"""Kinds that are named; of more, how many there are."""

ISSUER = ("iss",)
"""Where a token says who issued it."""


def shared_names(
    bindings: Sequence[tree.Binding], placed: Iterable[Group], inputs: Mapping[tree.NodeId, Input], bound: Bound
) -> SharedNames | None:
    """What is said of the first binding that is of several kinds at one endpoint. `placed` are the environments in
    which the block votes, `inputs` what references read.
    """
    named = [(binding.value, inputs.get(binding.value.id)) for binding in bindings]
    of_callers = [(ref, attr) for ref, attr in named if isinstance(attr, ir.Attr) and attr.root in {"token", "subject"}]
    shared = [(ref, attr) for ref, attr in of_callers if attr.root == "subject" or attr.name not in IMPLICIT_CLAIMS]
    kinds = _met_together(placed, bound) if shared else ()
    if len(kinds) < 2 or any(_is_issuer(attr, kinds) for _, attr in of_callers):
        return None
    ref, attr = shared[0]
    listed = ", ".join(f"`{kind.kind.id}`" for kind in kinds[:MOST_KINDS])
    more = f" and {len(kinds) - MOST_KINDS} more" if len(kinds) > MOST_KINDS else ""
    others = tuple(
        Label(slot.declared, f"what `{kind.kind.id}` has")
        for kind in kinds[:MOST_KINDS]
        if (slot := kind.slots[attr.name]).declared is not None
    )
    return SharedNames(
        span=ref.span, name=dotted(ref), kinds=f"{listed}{more}", remedy=_remedy(attr, kinds), others=others
    )


def _met_together(placed: Iterable[Group], bound: Bound) -> tuple[KindEntry, ...]:
    """The kinds that reach the first endpoint which several of them reach. No token opens a service for nobody's."""
    opened = {each.service.id for each in bound.inventory.services if each.service.audiences}
    met: dict[int, tuple[KindEntry, ...]] = {}
    for group in placed:
        kinds = tuple(kind for kind in group.kinds if kind is not None)
        subjects = tuple(kind for kind in kinds if kind.kind.form == "subject")
        for index in group.endpoints:
            here = kinds if bound.inventory.endpoints[index].endpoint.service in opened else subjects
            met[index] = met.get(index, ()) + here
    return next((kinds for _, kinds in sorted(met.items()) if len(kinds) > 1), ())


def _is_issuer(attr: ir.Attr, kinds: Iterable[KindEntry]) -> bool:
    return all(any(field.name == attr.name and field.source == ISSUER for field in kind.kind.claims) for kind in kinds)


def _remedy(attr: ir.Attr, kinds: Sequence[KindEntry]) -> str:
    if attr.root == "subject":
        return "let each kind have a service of its own, by `accepts`, and a block on it"
    last = kinds[-1].kind
    field = next(each for each in last.claims if each.name == attr.name)
    steps = " ".join(f'"{step}"' for step in field.source)
    return (
        f"let `{last.id}` call it otherwise, as in  claim {last.id}_{field.name}: {field.type} from {steps}  and have "
        "a block of its own where it is meant too; or bind the claim at `iss` too, and name issuers in the rows"
    )
