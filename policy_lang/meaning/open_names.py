"""Names of which a function says nothing, whatever the pattern: with a line break at the end, or longer than any path.

In come a function and a name, out comes whether the function says anything of the name at all. Names that only some
patterns leave open are known to these (`Pattern.leaves_open`). `$` stands in Python before a final line break, too, so
that to pycasbin `/a\\n` fits where `/a` does, and what stands for a wildcard may be without the break; in RE2 `$` is
the end.
INVARIANT: what has a value has the one of pycasbin, whether it stands under a negation, in a row that denies, or in
neither.
Source: language.md 6.6 (9).

Decision (2026-11-21): in both modes such a name has no value for these functions, and none of the roles that it does
not have for sure. To say "does not fit" would allow under `!keyMatch2(…)`, and where a row denies `^/admin$`, what
pycasbin refuses; nobody means a name to end so.
Decision (2026-11-21): a name of more than 65,536 characters, more than a path can have, has no value for any function:
against a bad expression 64 KiB take 0.3 s, and a mebibyte 4 s, for each row or member of a link.
"""

from __future__ import annotations

from policy_lang.ir.tables import FunctionName
from policy_lang.meaning.linear_regex import LONGEST_NAME
from policy_lang.meaning.pattern_forms import reduced

_BY_EXPRESSION: frozenset[FunctionName] = frozenset(
    ("keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "keyGet2", "keyGet3", "regexMatch")
)


def is_left_open(function: FunctionName | None, name: str) -> bool:
    """Whether the function has no value for the name, whatever the pattern."""
    if function is not None and len(name) > LONGEST_NAME:
        return True
    if function not in _BY_EXPRESSION:
        return False
    return (reduced(name, "before_query") if function == "keyMatch5" else name).endswith("\n")
