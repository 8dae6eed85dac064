"""A matcher over the definitions it is asked with: its syntax to `ir.tables.Expression`.

In go a model and the names of the definitions that are combined, out comes the expression, or mistakes: names and
functions that do not exist (E604, E605), kinds that never go together (E616), and what Casbin takes that lets more
through than it seems to (E612, E620, W626).
INVARIANT: an expression that comes out is at most `DEEPEST` levels of syntax deep, and no deeper than a table may be
(ir/table_validity.py); every place in it is one of the
combined definitions, every graph the place of a role definition in `Model.roles`, with as many arguments as that has
places; a list stands only right of `in`.
Source: language.md 6.4, 6.6; Casbin's documentation, "Syntax for Models", "Functions", "ABAC".

Decision (2026-11-21): a name means first `eval`, then a role definition, then a function of the program, then one of
Casbin's, as there. Names and functions that do not exist are refused in `compat` too: Casbin raises wherever it comes
to them. A role definition called with a domain that it does not have loses it in `compat`, and one called without the
domain it has is asked about the empty one, as in Casbin. `eval` takes a column, written without blanks: Casbin finds no
other form.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.casbin import matcher_kinds as kinds
from policy_lang.casbin.conf import Text
from policy_lang.casbin.definitions import Model, Sections
from policy_lang.casbin.entries import EXAMPLES, SECTIONS
from policy_lang.casbin.matcher_kinds import NOTHING, WORDS, Typed
from policy_lang.casbin.matcher_rowless import part_without_row
from policy_lang.casbin.matcher_syntax import (
    Call,
    Compared,
    CompareWord,
    Joined,
    Listing,
    Literally,
    Minus,
    Name,
    Negation,
    Operation,
    Part,
    Syntax,
)
from policy_lang.casbin.matcher_text import DEEPEST, parse_matcher
from policy_lang.casbin.parts import deeper_than
from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, has_errors, hint_for, ordered
from policy_lang.ir import table_validity, tables
from policy_lang.ir.tables import ARITY, Expression, FunctionName, Mode
from policy_lang.mistakes.casbin_models import (
    GraphArguments,
    GraphArgumentsPassed,
    MatcherTooDeep,
    MethodCalled,
    Mismatch,
    MismatchPassed,
    NoDefinition,
    NoParts,
    NoString,
    NoStringPassed,
    NoTruth,
    PatternFromRequest,
    PatternFromRequestPassed,
    ReadsNoRow,
    Substring,
    SubstringPassed,
    UnknownFunction,
    UnknownMatcherName,
    Unreadable,
    WrongArguments,
)
from policy_lang.source import Span

Resolved = tuple[Expression | None, tuple[Diagnostic, ...]]


def resolved(model: Model, sections: Sections, functions: Collection[str], *, mode: Mode) -> Resolved:
    """The matcher `sections.m` over the request `sections.r` and the rows `sections.p`.

    Shapes: `functions` are the names of the program's own.
    Errors: none raised. Without an expression there is an error, here or among those of the model. E602 where the model
        has no such definition, E603 (too deep), E604, E605, E612, E616, E620, W626; in `compat` warnings of the same
        number where it lets the thing pass.
    """
    wanted = (
        (sections.r, model.requests),
        (sections.p, model.policies),
        (sections.e, model.effects),
        (sections.m, model.matchers),
    )
    missing = [name for name, definitions in wanted if name not in definitions]
    if missing:
        known = has_errors(model.diagnostics)
        return None, () if known else ordered(_missing(model, name) for name in missing)
    matcher = model.matchers[sections.m]
    if matcher.syntax is None:
        return None, ()
    scope = _Scope.of(model, sections, functions, mode, matcher.text, in_row=False)
    expression = scope.whole(matcher.syntax)
    free = None if has_errors(scope.found) else part_without_row(matcher.syntax, sections.p)
    if free is not None:
        scope.found.append(ReadsNoRow(span=free.span))
    return None if has_errors(scope.found) else expression, ordered(scope.found)


def row_expression(
    text: str, span: Span, model: Model, sections: Sections, functions: Collection[str], *, mode: Mode
) -> Resolved:
    """The expression `text`, which a row has in a column under `eval`; it stands at `span` of the policy.

    Shapes: where `span` is as long as `text`, mistakes have places within it, else they are all at `span`.
    Errors: as `resolved`, and E603, E611, E619 of its text. The definitions must be there.
    """
    written = Text(span.source, text, ((0, span.start),))
    parsed = parse_matcher(written, mode=mode, in_row=True)
    scope = _Scope.of(model, sections, functions, mode, written, in_row=True)
    scope.found.extend(parsed.diagnostics)
    expression = None if parsed.syntax is None else scope.whole(parsed.syntax)
    found = ordered(scope.found)
    if span.end - span.start != len(text):
        found = ordered(replace(each, span=span, others=()) for each in found)
    return None if has_errors(found) else expression, found


def _missing(model: Model, name: str) -> Diagnostic:
    """`name` begins with the letter of a section, or nothing can be said about where it belongs."""
    section = SECTIONS.get(name[:1], "matchers")
    example = f"{name} = {EXAMPLES.get(name[:1], EXAMPLES['m']).partition(' = ')[2]}"
    return NoDefinition(span=Span(model.source.name, 0, 0), key=name, section=section, example=example)


_NO_PATTERN: frozenset[FunctionName] = frozenset(("timeMatch",))
_GIVES_STRING: frozenset[FunctionName] = frozenset(("keyGet", "keyGet2", "keyGet3"))


class _Scope(Struct, frozen=True):
    """What names mean in one matcher; `found` grows."""

    sections: Sections
    parameters: Mapping[str, int]
    columns: Mapping[str, int]
    graphs: Mapping[str, tuple[int, bool]]
    functions: Collection[str]
    mode: Mode
    text: Text
    in_row: bool
    found: list[Diagnostic]

    @classmethod
    def of(
        cls, model: Model, sections: Sections, functions: Collection[str], mode: Mode, text: Text, *, in_row: bool
    ) -> _Scope:
        return cls(
            sections,
            parameters={token: place for place, token in enumerate(model.requests[sections.r].tokens)},
            columns={token: place for place, token in enumerate(model.policies[sections.p].tokens)},
            graphs={name: (place, role.domains) for place, (name, role) in enumerate(model.roles.items())},
            functions=functions,
            mode=mode,
            text=text,
            in_row=in_row,
            found=[],
        )

    def whole(self, node: Syntax) -> Expression:
        """The expression of a whole text, no deeper than tables may be: a chain of comparisons is two levels of it."""
        expression = self.truth(node, 1)
        if deeper_than(expression, table_validity.DEEPEST):
            self.found.append(MatcherTooDeep(span=node.span, most=table_validity.DEEPEST))
        return expression

    def truth(self, node: Syntax, depth: int) -> Expression:
        """`node` where a truth is needed."""
        typed = self.value(node, depth)
        if typed.kind not in ("truth", "any"):
            written, kind = self.text.written(node.span), WORDS[typed.kind]
            self.found.append(NoTruth(span=node.span, written=written, kind=kind))
        return typed.expression

    def value(self, node: Syntax, depth: int) -> Typed:
        if depth > DEEPEST:
            self.found.append(MatcherTooDeep(span=node.span, most=DEEPEST))
            return NOTHING
        match node:
            case Literally(value):
                return kinds.constant(value)
            case Name():
                return self._unknown(node, node.name, "names are those of the request and the row, as in `r.sub`")
            case Part():
                return self._part(node, depth)
            case Listing():
                return self._refuse(node, "a list stands alone", "a list fits right of `in`")
            case Negation(of):
                return Typed(tables.Not(self.truth(of, depth + 1)), "truth")
            case Minus(of):
                return self._minus(node, of, depth)
            case Joined(op, parts):
                truths = tuple(self.truth(part, depth + 1) for part in parts)
                return Typed(tables.And(truths) if op == "and" else tables.Or(truths), "truth")
            case Compared():
                return self._compared(node, depth)
            case Operation():
                return self._operation(node, depth)
            case Call():
                return self._call(node, depth)
            case _:
                assert_never(node)

    # ------------------------------------------------------------ names

    def _part(self, node: Part, depth: int) -> Typed:
        if isinstance(node.of, Name):
            return self._rooted(node, node.of.name)
        of = self.value(node.of, depth + 1)
        if of.kind != "any":
            written = self.text.written(node.of.span)
            self.found.append(NoParts(span=node.span, name=written, part=node.name))
            return NOTHING
        return Typed(tables.Field(of.expression, node.name), "any")

    def _rooted(self, node: Part, root: str) -> Typed:
        """`r.sub` or `p.sub`."""
        r, p = self.sections.r, self.sections.p
        if not node.by_item and root == r and node.name in self.parameters:
            return Typed(tables.Parameter(self.parameters[node.name]), "any")
        if not node.by_item and root == p and node.name in self.columns:
            return Typed(tables.Column(self.columns[node.name]), "string")
        names = {r: self.parameters, p: self.columns}.get(root)
        if names is None:
            return self._unknown(node, f"{root}.{node.name}", f"the matcher is asked with `{r}` and `{p}`")
        return self._unknown(node, f"{root}.{node.name}", f"`{root}` has {', '.join(f'`{each}`' for each in names)}")

    def _unknown(self, node: Syntax, name: str, known: str) -> Typed:
        r, p = self.sections.r, self.sections.p
        names = itertools.chain((f"{r}.{each}" for each in self.parameters), (f"{p}.{each}" for each in self.columns))
        hint = self._hint(name, names)
        self.found.append(UnknownMatcherName(span=node.span, name=name, known=known, hint=hint))
        return NOTHING

    # ------------------------------------------------------------ operators

    def _minus(self, node: Minus, operand: Syntax, depth: int) -> Typed:
        of = self.value(operand, depth + 1)
        if of.kind not in ("number", "any"):
            return self._mismatch(node, Typed(NOTHING.expression, "number"), of, "it has no value", kinds.negative(of))
        return kinds.negative(of)

    def _operation(self, node: Operation, depth: int) -> Typed:
        left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
        result = tables.Arithmetic(node.op, left.expression, right.expression)
        kind = kinds.of_arithmetic(node.op, left.kind, right.kind)
        if kind is None:
            return self._mismatch(node, left, right, "it has no value", Typed(result, "any"))
        return Typed(result, kind)

    def _compared(self, node: Compared, depth: int) -> Typed:
        nodes = (node.first, *(each for _, each in node.rest))
        words: tuple[CompareWord | None, ...] = (None, *(word for word, _ in node.rest))
        operands = [self._operand(word, each, depth + 1) for word, each in zip(words, nodes, strict=True)]
        truths: list[Expression] = []
        for (word, right_node), (left, right) in zip(node.rest, itertools.pairwise(operands), strict=True):
            outcome = kinds.of_comparison(word, left.kind, right.kind)
            if outcome:
                self._mismatch(node, left, right, outcome, NOTHING)
            elif word in ("in", "not in") and right.kind == "string":
                self.found.append((Substring if self.mode == "strict" else SubstringPassed)(span=right_node.span))
            truths.append(kinds.compared(word, left, right))
        return Typed(truths[0] if len(truths) == 1 else tables.And(tuple(truths)), "truth")

    def _operand(self, word: CompareWord | None, node: Syntax, depth: int) -> Typed:
        if word not in ("in", "not in") or not isinstance(node, Listing):
            return self.value(node, depth)
        return Typed(tables.Listed(tuple(self.value(each, depth + 1).expression for each in node.parts)), "list")

    def _mismatch(self, node: Syntax, left: Typed, right: Typed, outcome: str, passed: Typed) -> Typed:
        refused = self.mode == "strict" or "truth" in (left.kind, right.kind)
        self.found.append(
            (Mismatch if refused else MismatchPassed)(
                span=node.span,
                written=self.text.written(node.span),
                left=WORDS[left.kind],
                right=WORDS[right.kind],
                outcome=outcome,
            )
        )
        return passed

    # ------------------------------------------------------------ calls

    def _call(self, node: Call, depth: int) -> Typed:
        if not isinstance(node.function, Name):
            self.found.append(MethodCalled(span=node.span))
            return NOTHING
        name = node.function.name
        if name == "eval":
            return self._evaluated(node)
        arguments = tuple(self.value(each, depth + 1) for each in node.arguments)
        graph = self.graphs.get(name)
        built_in = next((each for each in ARITY if each == name), None)
        if graph is not None:
            self._strings(node, name, arguments)
            return self._linked(node, name, graph, tuple(each.expression for each in arguments))
        if name in self.functions:
            return Typed(tables.Own(name, tuple(each.expression for each in arguments)), "any")
        if built_in is not None:
            self._strings(node, name, arguments)
            return self._built_in(node, built_in, tuple(each.expression for each in arguments))
        hint = self._hint(name, itertools.chain(ARITY, self.graphs, self.functions))
        self.found.append(UnknownFunction(span=node.function.span, name=name, hint=hint))
        return NOTHING

    def _strings(self, node: Call, name: str, arguments: tuple[Typed, ...]) -> None:
        """Mistakes where an argument is never a string."""
        kind = NoString if self.mode == "strict" else NoStringPassed
        for written, argument in zip(node.arguments, arguments, strict=True):
            if argument.kind not in ("string", "any"):
                text = self.text.written(written.span)
                self.found.append(kind(span=written.span, written=text, kind=WORDS[argument.kind], name=name))

    def _evaluated(self, node: Call) -> Typed:
        """`eval(p.sub_rule)`."""
        match node.arguments:
            case (Part(Name(self.sections.p), column, False),) if column in self.columns and not self.in_row:
                written = f"eval({self.sections.p}.{column})"
                if self.text.exactly(node.span) == written:
                    return Typed(tables.Written(self.columns[column]), "truth")
            case _:
                pass
        what = "`eval` stands in an expression of a row" if self.in_row else "`eval` takes one column"
        remedy = "write the expression itself" if self.in_row else "write `eval(p.sub_rule)`, without blanks"
        return self._refuse(node, what, remedy)

    def _linked(self, node: Call, name: str, graph: tuple[int, bool], arguments: tuple[Expression, ...]) -> Typed:
        place, domains = graph
        takes, given = 3 if domains else 2, len(arguments)
        if given != takes:
            if given not in (2, 3):
                self._wrong_arguments(node, name, takes)
                return NOTHING
            taken = "Casbin asks about the empty domain" if domains else "Casbin drops the domain"
            kind = GraphArguments if self.mode == "strict" else GraphArgumentsPassed
            self.found.append(kind(span=node.span, name=name, takes=takes, given=given, taken=taken))
            arguments = (*arguments, tables.Constant("")) if domains else arguments[:2]
        return Typed(tables.Linked(place, arguments), "truth")

    def _built_in(self, node: Call, name: FunctionName, arguments: tuple[Expression, ...]) -> Typed:
        if len(arguments) != ARITY[name]:
            self._wrong_arguments(node, name, ARITY[name])
            return NOTHING
        if name not in _NO_PATTERN and not _fixed(arguments[1]):
            kind = PatternFromRequest if self.mode == "strict" else PatternFromRequestPassed
            self.found.append(kind(span=node.arguments[1].span, name=name))
        return Typed(tables.BuiltIn(name, arguments), "string" if name in _GIVES_STRING else "truth")

    def _wrong_arguments(self, node: Call, name: str, takes: int) -> None:
        words = f"{takes} arguments"
        self.found.append(WrongArguments(span=node.span, name=name, takes=words, given=len(node.arguments)))

    def _hint(self, name: str, known: Iterable[str]) -> str:
        return hint_for(name, known, self.found) if len(self.found) < MOST_SHOWN else ""

    def _refuse(self, node: Syntax, what: str, remedy: str) -> Typed:
        self.found.append(Unreadable(span=node.span, what=what, remedy=remedy))
        return NOTHING


def _fixed(pattern: Expression) -> bool:
    """Whether a pattern is made of columns and constants alone."""
    match pattern:
        case tables.Constant() | tables.Column():
            return True
        case tables.Arithmetic(_, left, right):
            return _fixed(left) and _fixed(right)
        case _:
            return False
