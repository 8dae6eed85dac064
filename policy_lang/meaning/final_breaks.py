"""Names that end with a line break, as Casbin's regular expressions read them.

In come a function, a name and the mode, out comes whether the function says anything of the name at all. `$` stands in
Python before a final line break, too, so that to pycasbin `/a\\n` fits where `/a` does, and what stands for a wildcard
may be without the break; in RE2 `$` is the end.
INVARIANT: what has a value in `compat` has the one of pycasbin, whether it stands under a negation, in a row that
denies, or in neither.
Source: language.md 6.6 (9).

Decision (2026-11-21): in compat such a name has no value for these functions, and none of the roles that it does not
have for sure: to say "does not fit", as strict does, would allow under `!keyMatch2(…)` what pycasbin refuses.
"""

from __future__ import annotations

from policy_lang.ir.tables import FunctionName, Mode
from policy_lang.meaning.pattern_forms import reduced

_BY_EXPRESSION: frozenset[FunctionName] = frozenset(
    ("keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "keyGet2", "keyGet3", "regexMatch")
)


def is_left_open(function: FunctionName | None, name: str, *, mode: Mode) -> bool:
    """Whether the function has no value for the name, whatever the pattern."""
    if mode == "strict" or function not in _BY_EXPRESSION:
        return False
    return (reduced(name, "before_query") if function == "keyMatch5" else name).endswith("\n")
