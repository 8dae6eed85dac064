"""Reloading: the policy's place is looked at every second, and what compiles is put in force, whole.

(1) The folder is read twice, 200 ms apart, and must agree, so that a copy under way is not taken for a policy.
(2) A bundle from which a file vanished waits for `pdp admin reload --confirm`, unless the folder is a symbolic link
    that leads elsewhere since it was last looked at (a deliberate act), or the service runs for development.
(3) It is compiled in a child process. What was in force stays where it is refused. A refusal, also of what cannot even
    be read, is recorded and printed once for each new outcome.
(4) Its bytes are stored and synced, (5) the `policy.activated` leaf is durable, (6) the engine is swapped. A failure in
    (4) or (5) keeps the old engine.
INVARIANT: a restart confirms nothing: where files vanished since the last run, the policy of that run is put in force
again, from its stored bytes, and the folder's waits.
INVARIANT: a start that finds the place refused puts the policy of the last run in force from its stored bytes, where
there is one of the same environment, and says so as long as it lasts. Without one nothing is in force, and nothing is
served.
INVARIANT: where the configuration names a digest, nothing decides but what has it: the policy of the last run only
where it was built to a file of that very digest, and its files compile to the program that stood in it.
Design: contracts.md "Reload".

Decision: 2026-11-21. A refused folder at a start is treated as a refused reload is: the last good policy decides. A
service that stays down over a slip in a file leaves its gateways to their own failure mode, which may be to let
everything pass; the policy that was good a moment ago is the safer of the two.
Decision: 2026-11-21. Another environment than that of the last run is a deliberate act, as a swapped link is: what
vanished with it counts, and the old environment's policy is never put in force in the new one. So is a digest that is
named, changed or removed in the configuration.
Decision: 2026-11-21. The stored policy of the last run is opened only where it is needed: the place is read first, and
from what is as it was nothing vanished. Where it is needed and damaged, the service does not start: nobody can say what
vanished. Where it is not, the policy that is put in force is stored anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from pdp.errors import AuditError, PdpError, PolicyError
from pdp.model import Json
from pdp.runtime.bundle import Bundle, vanished
from pdp.runtime.engine import Engine
from pdp.runtime.sources import Source
from pdp.runtime.store import BundleStore, EngineHolder, InForce
from policy_lang.diagnostics import printable

LOOK_EVERY_S = 1.0
SETTLE_S = 0.2
AGAIN_S = 10.0
"""When a policy is tried again whose compiler failed, which says nothing of the policy."""

COMPILER_FAILED = "P121"

log = logging.getLogger(__name__)

RecordDurably = Callable[[str, Mapping[str, Json]], Awaitable[None]]
"""Append one life-cycle leaf (kind, clear fields) strictly; returns once it is durable, raises AuditError."""


class Outcome(Struct, frozen=True):
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
        self._again_s: float | None = None
        self._busy = asyncio.Lock()
        self.last = Outcome("unchanged", "")

    async def start(self) -> Outcome:
        """Put the first policy in force: the place's, or the last run's where files vanished since or it is refused.

        Errors: PolicyError where the stored policy of the last run is needed to tell whether files vanished, and is not
        usable, or where it is not known which that is.
        """
        before = self._store.current()
        if before is None:
            return await self.look(confirmed=True)
        self._target = before.target
        free = self._development or self._source.pinned or await asyncio.to_thread(self._holds, before.digest)
        if not free:
            last = self._needed(before)
            if self._may_return(before, last) and await asyncio.to_thread(self._vanished, last.files):
                await self._activate(last, before)
        outcome = await self.look(confirmed=False)
        if self._holder.current() is None:
            await self._fall_back(before)
        return outcome

    async def _fall_back(self, before: InForce) -> None:
        """Put the policy of the last run in force, where that may be: what stands at the place is refused."""
        try:
            last = self._store.load(before.digest)
        except PolicyError as error:
            log.error("the policy of the last run cannot decide either: %s", error.detail)
            return
        if self._may_return(before, last):
            log.warning("the policy in %s is refused: the policy of the last run decides", self._source.place)
            held = self._held
            await self._activate(last, before)
            self._held = held

    def _needed(self, before: InForce) -> Bundle:
        try:
            return self._store.load(before.digest)
        except PolicyError as error:
            detail = f"{error.detail}; without it nobody can say which files vanished since"
            remedy = "put it back, or remove `bundles/current` in the state folder to start with what stands there now"
            raise PolicyError(error.code, f"{detail}: {remedy}") from error

    def _may_return(self, before: InForce, last: Bundle) -> bool:
        """Whether the policy of the last run is of the environment and the digest that the configuration names now."""
        given = bool(self._source.pinned) and self._source.settings is None
        return before.built == self._source.pinned and (given or last.settings == self._source.settings)

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
            except PdpError as error:
                outcome = await self._not_reloaded(error.code, error.detail)
            except OSError as error:
                outcome = await self._not_reloaded("P107", f"the policy cannot be looked at or stored: {error}")
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look must come
                outcome = await self._not_reloaded("internal", f"a fault in pdp: {type(error).__name__}", error)
            if outcome.state != "unchanged":
                self.last = outcome
            return outcome

    async def _not_reloaded(self, code: str, detail: str, fault: Exception | None = None) -> Outcome:
        """What stands at the place was refused, whichever policy it is; that is told once as long as it lasts."""
        outcome = Outcome("refused", detail)
        if self.last != outcome:
            self._refused()
            log.error("policy not reloaded: %s (%s)", detail, code, exc_info=fault)
            await self._note_refusal("", code)
        return outcome

    async def _look(self, *, confirmed: bool) -> Outcome:
        engine, target = self._holder.current(), await asyncio.to_thread(self._source.leads_to)
        bundle = await asyncio.to_thread(self._source.read)
        if engine is not None and bundle.digest == engine.digest:
            self._held = None
            in_force = Outcome("unchanged", f"policy {bundle.digest[:12]} is in force")
            if self.last.state in {"refused", "waiting"}:
                log.info("the policy folder holds again what is in force")
                self.last = in_force
            return in_force
        if self._held is not None and self._held[0] == bundle.digest and not (confirmed or self._is_due()):
            return self._held[1]
        await asyncio.sleep(SETTLE_S)
        if (await asyncio.to_thread(self._source.read)).digest != bundle.digest:
            return Outcome("unchanged", "the policy folder is changing")
        swapped = target != self._target
        self._target = target
        gone = vanished(engine.files, bundle.files) if engine is not None else []
        if gone and not (confirmed or self._development or self._source.pinned or swapped):
            names = printable(", ".join(gone[:5]))
            detail = f"{names} vanished: `pdp admin reload --confirm` puts the policy in force without"
            log.warning("policy waits: %s", detail)
            return self._hold(bundle, Outcome("waiting", detail))
        return await self._activate(bundle)

    def _holds(self, digest: str) -> bool:
        """Whether the policy of that digest stands at the place."""
        try:
            return self._source.read().digest == digest
        except (PdpError, OSError):
            return False

    def _vanished(self, files: Mapping[str, bytes]) -> bool:
        """Whether the folder lacks one of `files` and was not swapped. A folder that cannot be read lacks them all."""
        if self._source.leads_to() != self._target:
            return False
        try:
            return bool(vanished(files, self._source.read().files))
        except (PdpError, OSError):
            return True

    def _hold(self, bundle: Bundle, outcome: Outcome, *, for_now: bool = False) -> Outcome:
        """Remember what a bundle came to, so that it is compiled and reported once and not every second; `for_now`: it
        says nothing of the policy, and is tried again.
        """
        self._held = (bundle.digest, outcome)
        self._again_s = asyncio.get_running_loop().time() + AGAIN_S if for_now else None
        return outcome

    def _is_due(self) -> bool:
        """Whether what came to nothing is to be tried again."""
        return self._again_s is not None and asyncio.get_running_loop().time() >= self._again_s

    async def _activate(self, bundle: Bundle, last: InForce | None = None) -> Outcome:
        """Put a bundle in force; `last`: it is the one that the last run stored."""
        try:
            engine, warnings = await (self._source.engine(bundle) if last is None else self._kept(bundle, last))
        except PdpError as error:
            stays = ", the last good one stays in force" if self._holder.current() is not None else ""
            log.error("policy refused%s: %s", stays, error.detail)
            self._refused()
            await self._note_refusal(bundle.digest, error.code)
            return self._hold(bundle, Outcome("refused", error.detail), for_now=error.code == COMPILER_FAILED)
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
        await asyncio.to_thread(self._store.note, self._in_force_now(engine, last))
        self._holder.swap(engine)
        self._in_force(engine)
        self._held = None
        count = len(bundle.files)
        log.info("policy %s is in force (%d file%s)", bundle.digest[:12], count, "" if count == 1 else "s")
        return Outcome("activated", f"policy {bundle.digest[:12]} is in force")

    async def _kept(self, bundle: Bundle, last: InForce) -> tuple[Engine, str]:
        """The engine of what the last run stored, which must be the very program where that came from a built file."""
        engine, warnings = await self._source.kept(bundle)
        if last.built and engine.ir_digest != last.ir:
            detail = f"the stored policy {bundle.digest[:12]} does not compile to the program of its built file"
            raise PolicyError("P136", f"{detail}: put the file back where `policies` names it")
        return engine, warnings

    def _in_force_now(self, engine: Engine, last: InForce | None) -> InForce:
        if last is not None:
            return replace(last, target=self._target)
        pinned = self._source.pinned
        return InForce(engine.digest, self._target, pinned, engine.ir_digest if pinned else "")

    async def _note_refusal(self, policy: str, code: str) -> None:
        """The refusal is stated in the log where that can be; a log that cannot take it changes nothing here.

        `policy` is the digest of what was refused, "" where it could not be read.
        """
        try:
            await self._record("policy.refused", {"pb": policy, "code": code})
        except Exception as failure:  # noqa: BLE001 - the next look must come
            why = failure.detail if isinstance(failure, AuditError) else type(failure).__name__
            log.error("the refusal of the policy %s is not in the log: %s", policy[:12] or "(unread)", why)
