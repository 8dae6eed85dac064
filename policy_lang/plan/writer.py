"""Shapes to Python: the key of a shape goes in, an `ast` expression over `inputs` and `constants` comes out.

`guard(key, wanted=True)` is true where the guard is TRUE, `wanted=False` where it is FALSE; of a guard that is UNKNOWN
both are false. Constants are numbered in the order of the key; the same order makes the tuple of every guard of that
shape (`shapes.py`).
INVARIANT: the code reads `inputs` and `constants`, calls what `operations.NAMES` lists and methods of our own values,
and assigns local names of ours; nothing in it comes from the text of a policy but names of inputs, as string constants.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable
from typing import cast

from policy_lang import ir
from policy_lang.meaning.evaluation import Environment
from policy_lang.plan.operations import NAMES

Key = tuple[Hashable, ...]
Test = Callable[[Environment, tuple[object, ...]], bool]

_COMPARISONS = {"eq": ast.Eq(), "lt": ast.Lt(), "le": ast.LtE()}


class Writer:
    """Writes one function. Its state is the number of the next constant and of the next local name."""

    def __init__(self, always: frozenset[ir.Attr]) -> None:
        self._always = always
        self._constant = 0
        self._local = 0

    def function(self, key: Key, *, wanted: bool, negated: bool) -> Test:
        """The function of a shape: whether its guard comes out as `wanted`, or whether it does not."""
        expression = self.guard(key, wanted=wanted)
        return _function(ast.UnaryOp(ast.Not(), expression) if negated else expression)

    def guard(self, key: Key, *, wanted: bool) -> ast.expr:
        """Whether a guard is TRUE (or FALSE, where that is wanted)."""
        word, *rest = key
        if word == "lit":
            negated, atom = rest
            return self._atom(cast("Key", atom), wanted=wanted is not negated)
        if word == "not":
            return self.guard(cast("Key", rest[0]), wanted=not wanted)
        parts = [self.guard(cast("Key", part), wanted=wanted) for part in rest]
        joined = ast.And() if (word == "all") is wanted else ast.Or()
        if not parts:
            return ast.Constant(isinstance(joined, ast.And))
        return parts[0] if len(parts) == 1 else ast.BoolOp(joined, parts)

    # ------------------------------------------------------------ atoms

    def _atom(self, key: Key, *, wanted: bool) -> ast.expr:
        """Whether an atom is TRUE (or FALSE): its operands have values, and the plain test comes out so."""
        present: list[ast.expr] = []
        test = self._test(key, present)
        if not wanted:
            test = ast.UnaryOp(ast.Not(), test)
        return ast.BoolOp(ast.And(), [*present, test]) if present else test

    def _test(self, key: Key, present: list[ast.expr]) -> ast.expr:
        match key:
            case ("has", str(root), str(name)):
                return _compare(ast.Constant(name), ast.In(), _attribute("inputs", root))
            case ("compare", str(op), left, right):
                return _compare(self._operand(left, present), _COMPARISONS[op], self._operand(right, present))
            case ("member", item, among):
                return _compare(self._operand(item, present), ast.In(), self._operand(among, present))
            case ("overlap", left, right):
                met = ast.Attribute(self._operand(left, present), "isdisjoint", ast.Load())
                return ast.UnaryOp(ast.Not(), ast.Call(met, [self._operand(right, present)], []))
            case ("cover", left, right):
                return _compare(self._operand(left, present), ast.GtE(), self._operand(right, present))
            case ("truth", of):
                return self._operand(of, present)
            case ("empty", of):
                return ast.UnaryOp(ast.Not(), self._operand(of, present))
            case ("like", bool(open_start), bool(open_end), of):
                return self._like(self._operand(of, present), open_start=open_start, open_end=open_end)
            case ("network", of):
                found = self._bound(_call("number", self._operand(of, present)), present)
                return _call("inside", found, self._next())
            case ("lookup", str(relation), *arguments):
                row = ast.Tuple([self._operand(argument, present) for argument in arguments], ast.Load())
                facts = ast.Attribute(_attribute("inputs", "facts"), "get", ast.Load())
                rows = self._bound(ast.Call(facts, [ast.Constant(relation)], []), present)
                return _compare(row, ast.In(), rows)
            case ("age", bool(endless), at):
                name = "past" if endless else "age"
                most = () if endless else (None,)
                operand = self._operand(at, present)
                return _call(name, operand, _attribute("inputs", "now_ms"), *(self._next() for _ in most))
            case ("vote", str(vote), *arguments):
                request = ast.Tuple([self._operand(argument, present) for argument in arguments], ast.Load())
                found = _call("cast", request, _attribute("inputs", "now_ms"), self._next())
                return _compare(found, ast.Eq(), ast.Constant(vote))
            case _:
                raise ValueError(f"no atom has the shape {key!r}")

    def _like(self, text: ast.expr, *, open_start: bool, open_end: bool) -> ast.expr:
        core = self._next()
        if open_start and open_end:
            return _compare(core, ast.In(), text)
        if open_start or open_end:
            method = "endswith" if open_start else "startswith"
            return ast.Call(ast.Attribute(text, method, ast.Load()), [core], [])
        return _compare(text, ast.Eq(), core)

    # ------------------------------------------------------------ operands

    def _operand(self, key: Hashable, present: list[ast.expr]) -> ast.expr:
        """The value of an operand; where it may have none, a test for that is added to `present`."""
        match key:
            case ("const",):
                return self._next()
            case ("now",):
                return _attribute("inputs", "now_ms")
            case ("attr", str(root), str(name)):
                values = _attribute("inputs", root)
                if ir.Attr(cast("ir.Root", root), name) in self._always:
                    return ast.Subscript(values, ast.Constant(name), ast.Load())
                get = ast.Attribute(values, "get", ast.Load())
                return self._bound(ast.Call(get, [ast.Constant(name)], []), present)
            case ("shift", int(sign), left, right):
                parts = (self._operand(left, present), ast.Constant(sign), self._operand(right, present))
                return self._bound(_call("shift", *parts), present)
            case _:
                raise ValueError(f"no operand has the shape {key!r}")

    def _bound(self, value: ast.expr, present: list[ast.expr]) -> ast.expr:
        """A local name for a value that may be None, which is tested first."""
        name = f"v{self._local}"
        self._local += 1
        assigned = ast.NamedExpr(ast.Name(name, ast.Store()), value)
        present.append(_compare(assigned, ast.IsNot(), ast.Constant(None)))
        return ast.Name(name, ast.Load())

    def _next(self) -> ast.expr:
        """The next constant."""
        index = ast.Constant(self._constant)
        self._constant += 1
        return ast.Subscript(ast.Name("constants", ast.Load()), index, ast.Load())


def _function(expression: ast.expr) -> Test:
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg("inputs"), ast.arg("constants")], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    function = ast.FunctionDef("test", arguments, [ast.Return(expression)], [])
    module = ast.fix_missing_locations(ast.Module([function], []))
    namespace: dict[str, object] = dict(NAMES)
    exec(compile(module, "<plan>", "exec"), namespace)  # noqa: S102 - nodes of ours, no text of a policy
    return cast("Test", namespace.pop("test"))  # it holds them: left in there, it would be in a cycle


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [op], [right])


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _attribute(name: str, attribute: str) -> ast.expr:
    return ast.Attribute(ast.Name(name, ast.Load()), attribute, ast.Load())
