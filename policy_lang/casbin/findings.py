"""The first diagnostics of a policy, and how many there were: in go those of a million rows, out come few.

INVARIANT: an error is never lost behind warnings, and one that is not kept is counted.
Design: policy_lang/diagnostics.py, "capped at 100".
"""

from __future__ import annotations

from typing import Literal

from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, ordered
from policy_lang.mistakes.casbin_rows import MoreInPolicy, MoreInPolicyPassed
from policy_lang.source import Source, Span

_MOST_KEPT = MOST_SHOWN - 1
"""The last of those that are shown says how many more there are."""


class Findings:
    """What was found in one policy. Not safe from several threads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._errors: list[Diagnostic] = []
        self._warnings: list[Diagnostic] = []
        self._more_errors = 0
        self._more_warnings = 0

    def wants(self, severity: Literal["error", "warning"]) -> bool:
        """Whether one more is kept; where not, it is counted, and need not be made."""
        if severity == "error":
            wanted = len(self._errors) < _MOST_KEPT
            self._more_errors += not wanted
        else:
            wanted = len(self._warnings) < _MOST_KEPT
            self._more_warnings += not wanted
        return wanted

    def add(self, diagnostic: Diagnostic) -> None:
        """One that is wanted."""
        (self._errors if diagnostic.severity == "error" else self._warnings).append(diagnostic)

    def note(self, *diagnostics: Diagnostic) -> None:
        """These, as far as they are wanted."""
        for diagnostic in diagnostics:
            if self.wants(diagnostic.severity):
                self.add(diagnostic)

    def all(self) -> tuple[Diagnostic, ...]:
        """Those kept, sorted, and at the end of the policy how many more there are. With errors, only as many warnings
        as are shown beside them.
        """
        room = _MOST_KEPT - len(self._errors)
        kept = self._warnings[:room]
        end = Span(self._source.name, len(self._source.text), len(self._source.text))
        more: list[Diagnostic] = []
        hidden = self._more_warnings + len(self._warnings) - len(kept)
        if self._more_errors:
            more.append(MoreInPolicy(span=end, count=self._more_errors + hidden))
        elif hidden:
            more.append(MoreInPolicyPassed(span=end, count=hidden))
        return (*ordered([*self._errors, *kept]), *more)
