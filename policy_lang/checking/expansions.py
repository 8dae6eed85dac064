"""When a condition comes to the same again: what it stands for depends on.

A call of a condition and where it is made go in, a key comes out: equal keys have equal formulas.
INVARIANT: the key holds all that the condition reads in the environment, as it is declared there, its arguments, and
the inputs proved present.
Source: language.md 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from policy_lang.checking.alike import endpoint_signature, kind_signature
from policy_lang.checking.environment import Bound, Environment, Facts
from policy_lang.checking.groups import reads_of_condition
from policy_lang.checking.memory import ExpansionKey
from policy_lang.checking.operands import Argument
from policy_lang.declared.entries import ConditionEntry, RoleEntry


def expansion_key(
    condition: ConditionEntry,
    arguments: Mapping[str, Argument | None],
    known: Facts,
    environment: Environment,
    bound: Bound,
) -> ExpansionKey | None:
    """What a call of the condition depends on; None where an argument had a mistake."""
    given: list[object] = []
    for argument in arguments.values():
        if argument is None:
            return None
        # Constants carry their type: to Python, `true` is 1.
        given.append(("role", argument.id) if isinstance(argument, RoleEntry) else argument)
    reads = reads_of_condition(condition, bound)
    kind, endpoint = environment.kind, environment.endpoint
    # A role that is passed is of one kind, which the condition itself does not name.
    by_kind = any(isinstance(argument, RoleEntry) for argument in arguments.values())
    caller = (None if kind is None else kind.kind.id) if by_kind else kind_signature(kind, reads)
    place = None if endpoint is None else (endpoint_signature(endpoint, reads),)
    return (condition.module, condition.decl.id), (caller, place), tuple(given), known
