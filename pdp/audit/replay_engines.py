"""The policies of the past, each as an engine that answers many recorded questions.

A digest goes in, an `Asked` comes out: the engine of the bundle that is stored under it, with what it reads in each of
its cells. A few are kept at a time, the ones used last.

INVARIANT: a question is answered by compiled plans only where every claim that its cell may read is at hand; else the
definition answers (policy_lang/plan/plans.py says why). So both say the same, as far as plans are right.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from pdp.errors import PolicyError
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.runtime.store import BundleStore
from policy_lang.ir import Attr
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.inputs import ReadSet
from policy_lang.verdict import Question, Verdict

MOST_ENGINES = 4
"""Engines kept at a time: a log goes from one policy to the next, and for a moment workers may differ."""

MOST_FAILED = 256
"""Bundles of which it is kept why they make no engine."""


class Asked:
    """One engine under many questions. Its state is what each of its cells reads, worked out once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._read_sets: dict[tuple[int, str | None], ReadSet] = {}
        self._reads: dict[tuple[int, str | None], frozenset[Attr]] = {}

    def read_set(self, call: Call) -> ReadSet:
        """What the cell of a call may read, and ask of facts."""
        place = (call.cell.endpoint, call.cell.kind)
        if place not in self._read_sets:
            self._read_sets[place] = ReadSet.of(self.engine.program, call.cell, call.endpoint, call.kind)
        return self._read_sets[place]

    def reads(self, call: Call) -> frozenset[Attr]:
        """The inputs among these."""
        place = (call.cell.endpoint, call.cell.kind)
        if place not in self._reads:
            self._reads[place] = frozenset(self.read_set(call).attrs)
        return self._reads[place]

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        """The verdict, by plans where they can tell."""
        if isinstance(call, Call) and call.environment.unread:
            if not call.environment.unread.isdisjoint(self.reads(call)):
                return self.engine.explain(question, call)
            call = replace(call, environment=replace(call.environment, unread=frozenset[Attr]()))
        return self.engine.judge(question, call)


class Engines:
    """The engines of bundles by digest. `load` makes one, and raises PolicyError where it cannot.

    A bundle that makes none is asked for once; what was wrong with it is kept, a sentence each.
    """

    def __init__(self, load: Callable[[str], Engine], most: int = MOST_ENGINES) -> None:
        self._load = load
        self._most = most
        self._kept: OrderedDict[str, Asked] = OrderedDict()
        self._failed: dict[str, PolicyError] = {}

    def of(self, digest: str) -> Asked:
        """The engine of that bundle. Errors: PolicyError."""
        if digest in self._failed:
            raise self._failed[digest]
        if digest not in self._kept:
            try:
                made = Asked(self._load(digest))
            except PolicyError as error:
                if len(self._failed) >= MOST_FAILED:
                    self._failed.clear()
                self._failed[digest] = error
                raise
            while len(self._kept) >= self._most:
                self._kept.popitem(last=False)
            self._kept[digest] = made
        self._kept.move_to_end(digest)
        return self._kept[digest]


def stored_engines(bundles: Path) -> Engines:
    """The engines of the bundles that a state folder keeps, which decide by plans."""
    store = BundleStore(bundles)
    return Engines(lambda digest: engine_of(store.load(digest), planned=True))
