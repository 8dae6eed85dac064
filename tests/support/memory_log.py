"""A log in memory: a second implementation of what the service needs of the writer, with faults on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pdp.audit.form import Form
from pdp.audit.writer import Receipt
from pdp.errors import AuditError
from pdp.model import Json


@dataclass
class Appended:
    kind: str
    clear: Mapping[str, Json]
    inputs: bytes | None
    strict: bool
    receipt: Receipt
    counted: int | None = None


@dataclass
class MemoryLog:
    """Settles at once, unless `refuses` (append raises), `fails` (the receipt fails) or `stalls` (it never settles);
    where it is `pressed`, what joins others is a leaf of the kind `joined`."""

    on_settled: Callable[[Sequence[Receipt]], None]
    refuses: bool = False
    fails: bool = False
    stalls: bool = False
    pressed: bool = False
    number: int = 1
    forgone: list[int] = field(default_factory=list)
    leaves: list[Appended] = field(default_factory=list)

    def boot(self) -> int:
        return self.number

    def unrecorded(self, counted: int) -> None:
        self.forgone.append(counted)

    def append(
        self,
        kind: str,
        clear: Mapping[str, Json],
        inputs: bytes | None,
        strict: bool,
        same_id: str | None = None,
        counted: int | None = None,
        *,
        wakes: bool = True,
        form: Form | None = None,
    ) -> Receipt:
        del wakes, form
        if self.refuses:
            raise AuditError("audit.full", "the ring is full")
        receipt = Receipt(f"{len(self.leaves):032x}", strict)
        shown = dict(clear) if same_id is None else {**clear, "of": same_id}
        self.leaves.append(Appended(kind, shown, inputs, strict, receipt, counted))
        if not self.stalls:
            receipt.error = AuditError("audit.unavailable", "the disk is gone") if self.fails else None
            receipt.settled = True
            self.on_settled([receipt])
        return receipt

    def is_pressed(self) -> bool:
        return self.pressed

    def join(self, clear: Mapping[str, Json], counted: int | None = None) -> Receipt | None:
        return self.append("joined", clear, None, strict=False, counted=counted) if self.pressed else None

    def wake(self) -> None:
        """Everything was settled before."""

    def decisions(self) -> list[Appended]:
        return [leaf for leaf in self.leaves if leaf.kind == "decision"]
