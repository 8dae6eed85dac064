"""Where a rule reaches what an input is missing on: E310 with the clauses that say so.

A checker meets one environment and reports what does not exist there; here the mistake is set beside what the rule as a
whole speaks of: which of its endpoints have the input, and whom its `for` admits.
Source: language.md 4.2, 4.6 (E310).

Decision: 2026-11-21. Of a rule's endpoints the first `MOST_LOOKED_AT` are asked whether they have the input, and of one
place only the first mistake is set beside anything, since no other is shown: a message costs the same however far the
rule reaches. Where as many errors were found as are ever shown, no more are completed.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from policy_lang import ir
from policy_lang.checking.environment import Environment
from policy_lang.checking.shape import Shape
from policy_lang.declared.endpoints import EndpointEntry
from policy_lang.declared.entries import TagRead
from policy_lang.declared.targets import MOST_LISTED, listed
from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, Label, errors_shown
from policy_lang.mistakes.types import MissingHere
from policy_lang.source import Span

MOST_LOOKED_AT = 100


_NOWHERE = "correct the name, or name by `on` an endpoint that has it"


class Reach(Struct, frozen=True):
    """What one rule speaks of: its clauses, and its endpoints by their indices among `entries`.

    `seen` are the places whose mistake was completed, and grows.
    """

    shape: Shape
    endpoints: Sequence[int]
    entries: Sequence[EndpointEntry]
    seen: set[Span]

    def complete(self, found: list[Diagnostic], since: int, here: Environment) -> None:
        """Complete the E310 of `found` from index `since` on, which were reported in the environment `here`."""
        for index in range(since, len(found)):
            mistake = found[index]
            if isinstance(mistake, MissingHere) and mistake.span not in self.seen:
                self.seen.add(mistake.span)
                if errors_shown(found) == MOST_SHOWN:
                    return
                found[index] = self._completed(mistake, here)

    def _completed(self, mistake: MissingHere, here: Environment) -> MissingHere:
        root, _, name = mistake.name.partition(".")
        if root in {"token", "subject"}:
            return self._for_callers(mistake, here)
        count = len(self.endpoints)
        looked_at = [self.entries[index] for index in self.endpoints[:MOST_LOOKED_AT]]
        having = [entry for entry in looked_at if _has(entry, root, name)]
        if self.shape.on is None or here.endpoint is None or (not having and count > MOST_LOOKED_AT):
            return mistake
        if count == 1:
            return replace(mistake, remedy=_NOWHERE)
        asked = "" if root == "request" else f", or write: {root} has {name} and …"
        return replace(
            mistake,
            where=f"on {'every' if having else 'any'} endpoint of this rule",
            missing=f"missing on `{here.endpoint.endpoint.id}`",
            remedy=f"narrow the rule to {_named(having, len(having))}{asked}" if having else _NOWHERE,
            others=(Label(self.shape.on.span, f"covers {_named(looked_at, count)}"), *mistake.others),
        )

    def _for_callers(self, mistake: MissingHere, here: Environment) -> MissingHere:
        if self.shape.for_ is None:
            return mistake
        return replace(mistake, others=(Label(self.shape.for_.span, f"admits {here.caller}"), *mistake.others))


def _named(entries: Sequence[EndpointEntry], count: int) -> str:
    """Endpoints in words, `count` of them in all."""
    shown = [entry.endpoint.id for entry in entries[:MOST_LISTED]]
    return listed(shown, count - len(shown))


def _has(entry: EndpointEntry, root: str, name: str) -> bool:
    """Whether an endpoint has an input."""
    here = Environment(None, entry)
    match root:
        case "path" | "query" | "header" | "resource" | "request":
            return here.slot(ir.Attr(root, name)) is not None
        case "endpoint" | "service":
            return here.tag(TagRead(root, name)) is not None
        case _:
            return False
