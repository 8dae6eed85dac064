"""The books of a log: what a heartbeat states, and what a reader holds it to.

The service counts its decisions and hands its count over with each record; the writer counts what became of them. Both
stand in a leaf `log.heartbeat`, every ten seconds, also when nothing happens, and last before `log.stop`:

    t mono       the instant by the wall clock and by the monotonic one, in microseconds
    boot         the run, as in its `log.start`
    answered     decisions since the writer began, as the service counts them: answered or about to be
    recorded     those that have a leaf of their own           aggregated   refusals that stand in an aggregate
    unrecorded   those without a record: refused by `audit`, or their write failed
    run          [recorded, aggregated] in this run, which is what its leaves before this one must come to
    window       for how long, in microseconds, a `standard` record may wait for a sync: what a power cut may take
    paused       only where the heartbeat before it (or the start of the run) is more than two beats past: how long

and, before it, in a leaf `log.clock_step` (t mono step) by how much the wall clock moved on its own, where that is more
than a second.

INVARIANT: answered == recorded + aggregated + unrecorded in every heartbeat. All four are those of one moment: each
decision enters the left and the right side in one `append` (or `unrecorded`), and a heartbeat is made under the lock
that these hold.
Design: audit.md 3.3, 3.10; contracts.md "The log, from the first commit".

Decision: 2026-11-21. The service's count comes with the record it belongs to. A count read beside the log, or told by a
    timer of the service, is of another moment by whatever is under way; and a service that stalls would look like a log
    that is silent. So heartbeats need no service at all.
Decision: 2026-11-21. A decision is counted where it is handed to the log, not where its answer leaves: what is under
    way would else stand on one side only. A decision that was answered otherwise later is the same decision; refusals
    that a listener gives without the service are none.
Decision: 2026-11-21. What failed with a file is `unrecorded` from then on, though some of it may be read in that file:
    the run is over, and no heartbeat of it follows.
Decision: 2026-11-21. A writer that stood still (a disk that stalls, a process that was stopped) says so with its next
    heartbeat. A pause that nobody admits is what a reader reports.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pdp.model import Json

HEARTBEAT = "log.heartbeat"
CLOCK_STEP = "log.clock_step"

MOST_PAUSE_US = 30_000_000
"""A longer time between two heartbeats of one run is a hole, unless the second one admits it."""

CLOCK_STEP_US = 1_000_000

Note = tuple[str, Mapping[str, Json]]
"""A record of the writer's own: kind and clear fields."""


class Books(Struct):
    """Counts since the writer began, and of the run. Not thread-safe: the writer changes them under its lock."""

    answered: int = 0
    recorded: int = 0
    aggregated: int = 0
    unrecorded: int = 0
    run_recorded: int = 0
    run_aggregated: int = 0

    def record(self, counted: int | None) -> None:
        """One decision has a leaf of its own. `counted` is the service's count, None where nobody counts."""
        self._answer(counted)
        self.recorded += 1
        self.run_recorded += 1

    def aggregate(self, counted: int | None) -> None:
        """One refusal stands in an aggregate."""
        self._answer(counted)
        self.aggregated += 1
        self.run_aggregated += 1

    def forgo(self, counted: int | None) -> None:
        """One decision has no record."""
        self._answer(counted)
        self.unrecorded += 1

    def lose(self, recorded: int, aggregated: int) -> None:
        """The run is over, and of its decisions so many were not written for certain."""
        self.recorded -= recorded
        self.aggregated -= aggregated
        self.unrecorded += recorded + aggregated

    def begin_run(self) -> None:
        """What is counted from here on is another run's."""
        self.run_recorded = self.run_aggregated = 0

    def fields(self) -> dict[str, Json]:
        """The counts as a heartbeat states them."""
        return {
            "answered": self.answered,
            "recorded": self.recorded,
            "aggregated": self.aggregated,
            "unrecorded": self.unrecorded,
            "run": [self.run_recorded, self.run_aggregated],
        }

    def _answer(self, counted: int | None) -> None:
        self.answered = self.answered + 1 if counted is None else counted


class Pulse:
    """When the next heartbeat is due, and its leaves. Instants in microseconds; not thread-safe."""

    def __init__(self, every_us: int, window_us: int, now_us: int, mono_us: int) -> None:
        """`every_us` from one heartbeat to the next; `window_us` is stated; the other two are the instant now."""
        self._every_us, self._window_us = every_us, window_us
        self._wall_us, self._mono_us = now_us, mono_us
        self._last_us = mono_us
        self._due_us = mono_us + every_us

    def begin_run(self, mono_us: int) -> None:
        """Another run begins, whose pauses count from here."""
        self._last_us = mono_us

    def left_us(self, mono_us: int) -> int:
        """How long until a heartbeat is due; 0 when it is."""
        return max(0, self._due_us - mono_us)

    def hasten(self, mono_us: int) -> None:
        """A heartbeat is due now."""
        self._due_us = mono_us

    def beat(self, boot: int, now_us: int, mono_us: int, books: Books) -> list[Note]:
        """The leaves of a heartbeat made at this instant: what the clock did, if anything, and the heartbeat."""
        step_us = (now_us - self._wall_us) - (mono_us - self._mono_us)
        paused_us = mono_us - self._last_us
        stated: dict[str, Json] = {"t": now_us, "mono": mono_us, "boot": f"{boot:08x}", "window": self._window_us}
        stated |= books.fields()
        if paused_us > 2 * self._every_us:
            stated["paused"] = paused_us
        notes: list[Note] = [(HEARTBEAT, stated)]
        if abs(step_us) > CLOCK_STEP_US:
            notes.insert(0, (CLOCK_STEP, {"t": now_us, "mono": mono_us, "step": step_us}))
        self._wall_us, self._mono_us, self._last_us = now_us, mono_us, mono_us
        self._due_us = mono_us + self._every_us
        return notes


class Beat(Struct, frozen=True):
    """A heartbeat as it was read; see the head of the module."""

    mono_us: int
    answered: int
    recorded: int
    aggregated: int
    unrecorded: int
    run_recorded: int
    run_aggregated: int
    paused_us: int

    @property
    def held(self) -> int:
        """The right side of the equation."""
        return self.recorded + self.aggregated + self.unrecorded

    @property
    def before(self) -> tuple[int, int]:
        """What earlier runs of the writer recorded and aggregated."""
        return self.recorded - self.run_recorded, self.aggregated - self.run_aggregated

    def continues(self, earlier: Beat) -> bool:
        """Whether no count, and no clock, went back since an earlier heartbeat of the same run."""
        return (
            self.before == earlier.before
            and self.mono_us >= earlier.mono_us
            and self.answered >= earlier.answered
            and self.recorded >= earlier.recorded
            and self.aggregated >= earlier.aggregated
            and self.unrecorded >= earlier.unrecorded
        )


def read_beat(clear: Mapping[str, Json]) -> Beat | None:
    """The heartbeat that these clear fields state; None where they state none."""
    names = ("mono", "answered", "recorded", "aggregated", "unrecorded")
    counts = [_count(clear.get(name)) for name in names]
    run, paused = clear.get("run"), _count(clear.get("paused", 0))
    of_run = [_count(each) for each in run] if isinstance(run, list) and len(run) == 2 else [None]
    known = [each for each in (*counts, *of_run, paused) if each is not None]
    return Beat(*known) if len(known) == len(names) + 3 else None


def read_count(clear: Mapping[str, Json], name: str) -> int | None:
    """The count that a clear field states; None for anything else."""
    return _count(clear.get(name))


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None
