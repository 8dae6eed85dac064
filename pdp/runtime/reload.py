"""Reloading: the policy's place is looked at every second, and what compiles is put in force, whole.

(1) The folder is read twice, 200 ms apart, and must agree, so that a copy under way is not taken for a policy.
(2) A bundle from which a file vanished waits for `pdp admin reload --confirm`, unless the folder is a symbolic link
    that leads elsewhere since it was last looked at (a deliberate act), or the service runs for development.
(3) It is compiled in a child process. A refusal is recorded and printed once per digest; what was in force stays.
(4) Its bytes are stored and synced, (5) the `policy.activated` leaf is durable, (6) the engine is swapped. A failure in
    (4) or (5) keeps the old engine.
INVARIANT: a restart confirms nothing: where files vanished since the last run, the policy of that run is put in force
again, from its stored bytes, and the folder's waits.
INVARIANT: a start that finds the folder refused puts the policy of the last run in force from its stored bytes, where
there is one of the same environment, and says so as long as it lasts. Without one nothing is in force, and nothing is
served.
Design: contracts.md "Reload".

Decision: 2026-11-21. A refused folder at a start is treated as a refused reload is: the last good policy decides. A
service that stays down over a slip in a file leaves its gateways to their own failure mode, which may be to let
everything pass; the policy that was good a moment ago is the safer of the two.
Decision: 2026-11-21. Another environment than that of the last run is a deliberate act, as a swapped link is: what
vanished with it counts, and the old environment's policy is never put in force in the new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pdp.errors import AuditError, PdpError
from pdp.model import Json
from pdp.runtime.bundle import Bundle
from pdp.runtime.engine import Engine
from pdp.runtime.sources import Source
from pdp.runtime.store import BundleStore, EngineHolder, InForce

LOOK_EVERY_S = 1.0
SETTLE_S = 0.2

log = logging.getLogger(__name__)

RecordDurably = Callable[[str, Mapping[str, Json]], Awaitable[None]]
"""Append one life-cycle leaf (kind, clear fields) strictly; returns once it is durable, raises AuditError."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look at the folder came to: `unchanged`, `activated`, `refused` or `waiting`, and a sentence."""

    state: str
    detail: str


class Reloader:
    """Keeps one holder at what stands at one place."""

    def __init__(
        self,
        source: Source,
        holder: EngineHolder,
        store: BundleStore,
        record: RecordDurably,
        *,
        development: bool,
        in_force: Callable[[Engine], None],
        refused: Callable[[], None],
    ) -> None:
        """`development` lets vanished files count at once; `in_force` is told the engine after each swap, `refused` is
        called for each policy that is not put in force.
        """
        self._source = source
        self._holder = holder
        self._store = store
        self._record = record
        self._development = development
        self._in_force = in_force
        self._refused = refused
        self._target = ""
        self._held: tuple[str, Outcome] | None = None
        self._busy = asyncio.Lock()
        self.last = Outcome("unchanged", "")

    async def start(self) -> Outcome:
        """Put the first policy in force: the folder's, or the last run's where files vanished since or it is refused.

        Errors: PolicyError where the stored policy of the last run is needed and not usable.
        """
        before = self._store.current()
        last = None
        if before is not None:
            self._target = before.target
            last = self._store.load(before.digest)
            if not self._is_free(last) and await asyncio.to_thread(self._vanished, last.files):
                await self._activate(last, kept=True)
        outcome = await self.look(confirmed=before is None)
        if self._holder.current() is None and last is not None and last.settings == self._source.settings:
            log.warning("the policy in %s is refused: the policy of the last run decides", self._source.place)
            held = self._held
            await self._activate(last, kept=True)
            self._held = held
        return outcome

    def _is_free(self, last: Bundle) -> bool:
        """Whether files may have vanished since without anybody's word."""
        return self._development or self._source.deliberate or last.settings != self._source.settings

    def misgiving(self) -> str:
        """Why what is in force is not what stands at the policy's place; "" where it is."""
        engine = self._holder.current()
        if engine is None or self.last.state not in {"refused", "waiting"}:
            return ""
        return f"the policy in {self._source.place} is {self.last.state}: policy {engine.digest[:12]} stays in force"

    async def run(self) -> None:
        """Look at the folder every second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look(confirmed=False)

    async def look(self, *, confirmed: bool) -> Outcome:
        """Look once, now. Never raises for what is wrong with the folder, the policy or the log: it says so.

        `confirmed`: an operator stands behind it, so vanished files count, and a refused bundle is tried again.
        """
        async with self._busy:
            try:
                outcome = await self._look(confirmed=confirmed)
            except (PdpError, OSError) as error:
                outcome = Outcome("refused", error.detail if isinstance(error, PdpError) else str(error))
                if self.last != outcome:
                    self._refused()
                    log.error("policy not reloaded: %s", outcome.detail)
            except Exception as error:  # whatever it was, the next look must come
                outcome = Outcome("refused", f"a fault in pdp: {type(error).__name__}")
                if self.last != outcome:
                    self._refused()
                    log.exception("policy not reloaded")
            if outcome.state != "unchanged":
                self.last = outcome
            return outcome

    async def _look(self, *, confirmed: bool) -> Outcome:
        engine, target = self._holder.current(), self._source.leads_to()
        bundle = await asyncio.to_thread(self._source.read)
        if engine is not None and bundle.digest == engine.digest:
            self._held = None
            in_force = Outcome("unchanged", f"policy {bundle.digest[:12]} is in force")
            if self.last.state in {"refused", "waiting"}:
                log.info("the policy folder holds again what is in force")
                self.last = in_force
            return in_force
        if self._held is not None and self._held[0] == bundle.digest and not confirmed:
            return self._held[1]
        await asyncio.sleep(SETTLE_S)
        if (await asyncio.to_thread(self._source.read)).digest != bundle.digest:
            return Outcome("unchanged", "the policy folder is changing")
        swapped = target != self._target
        self._target = target
        vanished = sorted(engine.files - set(bundle.files)) if engine is not None else []
        if vanished and not (confirmed or self._development or self._source.deliberate or swapped):
            names = ", ".join(vanished[:5])
            detail = f"{names} vanished: `pdp admin reload --confirm` puts the policy in force without"
            log.warning("policy waits: %s", detail)
            return self._hold(bundle, Outcome("waiting", detail))
        return await self._activate(bundle)

    def _vanished(self, files: Mapping[str, bytes]) -> bool:
        """Whether the folder lacks one of `files` and was not swapped. A folder that cannot be read lacks them all."""
        if self._source.leads_to() != self._target:
            return False
        try:
            return not set(files) <= set(self._source.read().files)
        except (PdpError, OSError):
            return True

    def _hold(self, bundle: Bundle, outcome: Outcome) -> Outcome:
        """Remember what a bundle came to, so that it is compiled and reported once and not every second."""
        self._held = (bundle.digest, outcome)
        return outcome

    async def _activate(self, bundle: Bundle, *, kept: bool = False) -> Outcome:
        """Put a bundle in force; `kept`: one that the last run stored."""
        try:
            engine, warnings = await (self._source.kept(bundle) if kept else self._source.engine(bundle))
        except PdpError as error:
            stays = ", the last good one stays in force" if self._holder.current() is not None else ""
            log.error("policy refused%s: %s", stays, error.detail)
            self._refused()
            await self._note_refusal(bundle, error)
            return self._hold(bundle, Outcome("refused", error.detail))
        if warnings:
            log.warning("%s", warnings)
        await asyncio.to_thread(self._store.keep, bundle)
        before = self._holder.current()
        await self._record(
            "policy.activated",
            {
                "pb": bundle.digest,
                "from": before.digest if before else "",
                "ir": engine.ir_digest,
                "files": len(bundle.files),
            },
        )
        await asyncio.to_thread(self._store.note, InForce(bundle.digest, self._target))
        self._holder.swap(engine)
        self._in_force(engine)
        self._held = None
        log.info("policy %s is in force (%d files)", bundle.digest[:12], len(bundle.files))
        return Outcome("activated", f"policy {bundle.digest[:12]} is in force")

    async def _note_refusal(self, bundle: Bundle, error: PdpError) -> None:
        """The refusal is stated in the log where that can be; a log that cannot take it changes nothing here."""
        try:
            await self._record("policy.refused", {"pb": bundle.digest, "code": error.code})
        except AuditError as failure:
            log.error("the refusal of policy %s is not in the log: %s", bundle.digest[:12], failure.detail)
