"""Whether a program asks of every input only what its type answers, wherever its rules stand.

A program that keeps its other invariants goes in; a ValueError comes out that names the first rule, where it stands and
what it asks amiss, else nothing. Every input that a rule of a cell reads, in a guard or for the value of a header, must
be one that calls of that endpoint by that kind have, and every atom's operands of the types that atom_types.py lists.
What no cell holds is never evaluated, and is not asked.

Cells share groups and bodies, and bodies share guards: each is checked once for every way in which the inputs it reads
are declared, however many cells declare them so.
Source: language.md 4.1, 4.2, 6.1; policy_lang/ir.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from policy_lang import ir
from policy_lang.ir.atom_types import check_atom, check_header
from policy_lang.ir.footprints import Footprints
from policy_lang.typesystem import IntType, Scalar, SetType, Type

_ANYWHERE: Mapping[str, Type] = {
    "ip": Scalar.IP,
    "peer": Scalar.WORKLOAD,
    "gateway": Scalar.WORKLOAD,
    "tls": Scalar.BOOL,
}
_WITH_A_PATH = {**_ANYWHERE, "method": Scalar.STRING, "path": Scalar.STRING, "host": Scalar.STRING}

IMPLICIT: Mapping[ir.Root, Mapping[str, Type]] = {
    "token": {"aud": SetType(Scalar.STRING), "scope": SetType(Scalar.STRING)},
    "subject": {"id": Scalar.STRING},
    "resource": {"id": Scalar.STRING},
}
"""What every token, every subject and every resource has without being declared."""


def check_types(program: ir.Program, footprints: Footprints) -> None:
    """Check every cell. Errors: ValueError that names the first rule that asks for what its cell has not."""
    checker = _Checker(program, footprints)
    for cell in program.cells:
        checker.check(cell)


def claims_of(kind: ir.Kind) -> Mapping[str, Type]:
    """The claims or properties of a kind, the implicit ones among them."""
    return {**IMPLICIT[kind.form], **_declared(kind.claims)}


class _Checker:
    """Checks the cells of one program. Its state is what it saw: each type as one object, and what was checked."""

    def __init__(self, program: ir.Program, footprints: Footprints) -> None:
        self._program = program
        self._footprints = footprints
        self._columns = {each.id: tuple(declared for _, declared in each.columns) for each in program.relations}
        self._types: dict[Type, Type] = {}
        self._claims = {kind.id: (kind.form, self._as_one(claims_of(kind))) for kind in program.kinds}
        self._signals = self._as_one({signal.id: signal.type for signal in program.signals})
        self._groups: dict[int, int] = {}
        self._passed: set[tuple[str, int, int]] = set()
        self._inputs: dict[int, tuple[ir.Attr, ...]] = {}
        self._signatures: dict[tuple[int, ...], int] = {}
        self._here: dict[ir.Root, Mapping[str, Type]] = {}
        self._signed: dict[int, int] = {}
        self._endpoint = -1

    def check(self, cell: ir.Cell) -> None:
        """Check the rules of one cell."""
        self._enter(cell)
        for group in (cell.deny, cell.allow, cell.require, cell.shadow):
            if group and not self._is_passed("group", id(group), self._read_by(group)):
                for rule in group:
                    self._check_rule(rule, cell)

    def _enter(self, cell: ir.Cell) -> None:
        """Make this cell the one whose inputs are meant; its endpoint is mostly that of the cell before."""
        if cell.endpoint != self._endpoint:
            self._endpoint = cell.endpoint
            given = given_by(self._program.endpoints[cell.endpoint])
            self._here = {root: self._as_one(types) for root, types in given.items()}
            self._here["signal"] = self._signals
        here = self._here
        here["token"] = here["subject"] = {}
        if cell.kind is not None:
            form, claims = self._claims[cell.kind]
            here[form] = claims
        self._signed = {}

    def _as_one(self, types: Mapping[str, Type]) -> Mapping[str, Type]:
        """The same types, equal ones as one object, which is kept: its id then stands for it."""
        return {name: self._types.setdefault(each, each) for name, each in types.items()}

    def _type_of(self, attr: ir.Attr) -> Type | None:
        return self._here[attr.root].get(attr.name)

    def _read_by(self, group: tuple[ir.CellRule, ...]) -> int:
        """The footprint of a group."""
        known = self._groups.get(id(group))
        if known is None:
            known = 0
            for rule in group:
                known |= self._footprints.bodies[rule.body]
            self._groups[id(group)] = known
        return known

    def _is_passed(self, what: str, index: int, footprint: int) -> bool:
        """Whether this was checked where what it reads is declared as it is here; from now on it was."""
        signature = self._signed.get(footprint)
        if signature is None:
            signature = self._signed[footprint] = self._signature(footprint)
        key = (what, index, signature)
        if key in self._passed:
            return True
        self._passed.add(key)
        return False

    def _signature(self, footprint: int) -> int:
        """A number for how the inputs of a footprint are declared here: two of one number are declared alike."""
        attrs = self._inputs.get(footprint)
        if attrs is None:
            attrs = self._inputs[footprint] = self._footprints.read_by(footprint)
        here = self._here
        types = [id(here[attr.root].get(attr.name)) for attr in attrs]
        return self._signatures.setdefault((footprint, *types), len(self._signatures))

    # ------------------------------------------------------------ rules

    def _check_rule(self, rule: ir.CellRule, cell: ir.Cell) -> None:
        if self._is_passed("body", rule.body, self._footprints.bodies[rule.body]):
            return
        try:
            self._check_body(self._program.bodies[rule.body])
        except ValueError as error:
            rule_id, endpoint = self._program.rules[rule.rule].id, self._program.endpoints[cell.endpoint].id
            raise ValueError(f"{rule_id} on {endpoint} for {cell.kind or 'nobody'}: {error}") from None

    def _check_body(self, body: ir.Body) -> None:
        self._check_guards([clause.guard for clause in body.clauses])
        if body.needs or body.must or body.should:
            self._check_guards([need.guard for need in body.needs])
            for obligation in (*body.must, *body.should):
                if isinstance(obligation, ir.SetHeader):
                    check_header(obligation.value, self._type_of)

    def _check_guards(self, todo: list[int]) -> None:
        """Check the atoms of some guards."""
        program, footprints = self._program, self._footprints.guards
        while todo:
            index = todo.pop()
            if self._is_passed("guard", index, footprints[index]):
                continue
            guard = program.guards[index]
            if isinstance(guard, ir.Lit):
                check_atom(program.atoms[guard.atom], self._type_of, self._columns)
            else:
                todo.extend(guard.parts)


# ---------------------------------------------------------------- what there is to read


def given_by(endpoint: ir.Endpoint) -> Mapping[ir.Root, Mapping[str, Type]]:
    """What calls of an endpoint have, whoever makes them; signals apart."""
    action = isinstance(endpoint.route, ir.Action)
    return {
        "resource": {**IMPLICIT["resource"], **_declared(endpoint.properties)} if action else {},
        "path": _captures(endpoint.route),
        "query": _declared(endpoint.query),
        "header": _declared(endpoint.headers),
        "request": _ANYWHERE if action else _WITH_A_PATH,
    }


def _declared(fields: Iterable[ir.FieldSchema]) -> Mapping[str, Type]:
    return {field.name: field.type for field in fields}


def _captures(route: ir.Route) -> Mapping[str, Type]:
    if not isinstance(route, ir.Http):
        return {}
    return {each.name: _capture_type(each.type) for each in route.segments if isinstance(each, ir.Capture)}


def _capture_type(of: ir.CaptureType) -> Type:
    match of:
        case "string" | "opaque":
            return Scalar.STRING
        case "int":
            return IntType()
        case "uuid":
            return Scalar.UUID
        case _:
            assert_never(of)
