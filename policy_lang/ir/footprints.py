"""Which inputs the guards and bodies of a program read, each as one number: bit n stands for input n.

A program whose indices are in range goes in, `Footprints` come out. Worked out from below in one pass, since bodies
share guards and guards share parts: a union is an `or` of two numbers, however much they read.
Source: policy_lang/ir.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from policy_lang import ir


class Footprints(Struct, frozen=True):
    """`guards` and `bodies` by index; a body reads what its clauses, needs and headers do. `signals` are the bits of
    the inputs that are signals.
    """

    attrs: Sequence[ir.Attr]
    guards: Sequence[int]
    bodies: Sequence[int]
    signals: int

    @classmethod
    def of(cls, program: ir.Program) -> Footprints:
        """The footprints of a program."""
        inputs = _Inputs()
        atoms = [inputs.all(ir.operands_of(atom)) for atom in program.atoms]
        guards: list[int] = []
        for guard in program.guards:
            guards.append(atoms[guard.atom] if isinstance(guard, ir.Lit) else _union(guards, guard.parts))
        bodies = [_of_body(body, guards, inputs) for body in program.bodies]
        attrs = tuple(inputs.bits)
        signals = sum(1 << bit for bit, attr in enumerate(attrs) if attr.root == "signal")
        return cls(attrs, guards, bodies, signals)

    def read_by(self, footprint: int) -> tuple[ir.Attr, ...]:
        """The inputs of a footprint."""
        found: list[ir.Attr] = []
        while footprint:
            lowest = footprint & -footprint
            found.append(self.attrs[lowest.bit_length() - 1])
            footprint ^= lowest
        return tuple(found)


class _Inputs:
    """Numbers the inputs of a program. Its state is what was met; operands are many times the same object."""

    def __init__(self) -> None:
        self.bits: dict[ir.Attr, int] = {}
        self._of_operand: dict[int, int] = {}

    def all(self, operands: Iterable[ir.Operand]) -> int:
        """What some operands read."""
        read = 0
        for operand in operands:
            known = self._of_operand.get(id(operand))
            if known is None:
                known = self._of_operand[id(operand)] = self._read_by(operand)
            read |= known
        return read

    def _read_by(self, operand: ir.Operand) -> int:
        read = 0
        for attr in ir.attrs_of(operand):
            read |= 1 << self.bits.setdefault(attr, len(self.bits))
        return read


def _union(guards: Sequence[int], of: Iterable[int]) -> int:
    read = 0
    for index in of:
        read |= guards[index]
    return read


def _of_body(body: ir.Body, guards: Sequence[int], inputs: _Inputs) -> int:
    read = 0
    for clause in body.clauses:
        read |= guards[clause.guard]
    if body.needs or body.must or body.should:
        read |= _union(guards, (need.guard for need in body.needs))
        read |= inputs.all(each.value for each in (*body.must, *body.should) if isinstance(each, ir.SetHeader))
    return read
