"""Declarations: Lark's trees to the nodes of `policy_lang/tree.py`.

In goes the tree of one declaration and a draft to report to; out comes its node, or None where anything in it was
reported. A declaration is kept whole or not at all: half a rule would be another rule.
Specification: language.md 2.1; grammar.lark, the sections on vocabulary, principals and services.
"""

from __future__ import annotations

from lark import Token, Tree

from policy_lang.draft import Draft
from policy_lang.expression_builder import expression, reference
from policy_lang.grammar import token_of, tree_of, trees, words
from policy_lang.mistakes.syntax import Repeated
from policy_lang.rule_builder import proof, rule, test
from policy_lang.source import Span
from policy_lang.tree import (
    Column,
    ConditionDecl,
    Decl,
    EndpointDecl,
    FactorDecl,
    Field,
    LabelDecl,
    Name,
    RelationDecl,
    ServiceDecl,
    Text,
    TokenDecl,
    TypeExpr,
)

_ABSENT_DECLARATIONS = {
    "import_decl": "import",
    "setting_decl": "setting",
    "enum_decl": "enum",
    "network_decl": "network",
    "workload_decl": "workload",
    "subject_decl": "subject",
    "roles_decl": "roles",
    "signal_decl": "signal",
    "casbin_decl": "casbin",
}
_ABSENT_PARTS = {
    "grants_by": "`grants by`",
    "accepts": "`accepts`",
    "observe": "`observe`",
    "query_strict": "`query strict`",
    "tag_value": "`tag`",
    "endpoint_tag": "`tag`",
    "service_header": "`header`",
    "header_param": "`header`",
    "property": "`property`",
    "closed": "`closed`",
    "grpc_route": "`grpc`",
    "action_route": "`action`",
    "t_ip": "the type `ip`",
    "t_role": "the type `role`",
}


def declaration(draft: Draft, tree: Tree[Token]) -> Decl | None:
    """The node of one declaration, or None where something in it was reported."""
    before = len(draft.found)
    built = _declaration(draft, tree)
    return built if len(draft.found) == before else None


def _declaration(draft: Draft, tree: Tree[Token]) -> Decl | None:
    match str(tree.data):
        case "label_decl":
            return LabelDecl(draft.id(), draft.span(tree), draft.names(tree_of(tree.children[0]).children))
        case "token_decl":
            return _token(draft, tree)
        case "relation_decl":
            name, *columns = tree.children
            built = tuple(_column(draft, tree_of(column)) for column in columns)
            return RelationDecl(draft.id(), draft.span(tree), draft.name(name), built)
        case "condition_decl":
            return _condition(draft, tree)
        case "service_decl":
            return _service(draft, tree)
        case "rule":
            return rule(draft, tree)
        case "test_decl":
            return test(draft, tree)
        case "prove_decl":
            return proof(draft, tree)
        case other:
            word = _ABSENT_DECLARATIONS[other]
            start = draft.span(tree).start
            draft.unavailable(f"`{word}`", Span(draft.source, start, start + len(word)))
            return None


def _absent(draft: Draft, tree: Tree[Token]) -> None:
    draft.unavailable(_ABSENT_PARTS[str(tree.data)], draft.span(tree))


# ---------------------------------------------------------------- principals, relations, conditions


def _token(draft: Draft, tree: Tree[Token]) -> TokenDecl:
    name, issuer, *items = tree.children
    claims = tuple(_field(draft, part) for part in map(tree_of, items) if part.data == "claim")
    factors = tuple(_factor(draft, part) for part in map(tree_of, items) if part.data == "factor_decl")
    address = _string(draft, token_of(tree_of(issuer).children[0]))
    return TokenDecl(draft.id(), draft.span(tree), draft.name(name), address, claims, factors)


def _string(draft: Draft, token: Token) -> Text:
    """A string, where the language also knows the name of a setting."""
    if token.type == "STRING":
        return draft.string(token)
    draft.unavailable("a setting", draft.span(token))
    return draft.verbatim(token)


def _field(draft: Draft, outer: Tree[Token]) -> Field:
    tree = tree_of(outer.children[0])
    name, kind, *modifiers = tree.children
    said: dict[str, Tree[Token]] = {}
    for modifier in map(tree_of, modifiers):
        word = "from" if modifier.data == "source" else str(modifier.data)
        if word in said:
            draft.found.append(Repeated(span=draft.span(modifier), what=f"`{word}`"))
        said[word] = modifier
    source = tuple(draft.characters(part) for part in said["from"].children) if "from" in said else ()
    return Field(
        draft.id(),
        draft.span(tree),
        draft.name(name),
        _type(draft, tree_of(kind)),
        optional="optional" in said,
        private="private" in said,
        source=source,
    )


def _factor(draft: Draft, tree: Tree[Token]) -> FactorDecl:
    name, at, *when = tree.children
    condition = expression(draft, when[0]) if when else None
    return FactorDecl(draft.id(), draft.span(tree), draft.name(name), reference(draft, tree_of(at)), condition)


def _type(draft: Draft, tree: Tree[Token]) -> TypeExpr:
    span = draft.span(tree)
    match str(tree.data):
        case "t_set":
            return TypeExpr(draft.id(), span, "set", element=_type(draft, tree_of(tree.children[0])))
        case "t_int" if tree.children:
            lowest, highest = (draft.integer(bound) for bound in tree.children)
            return TypeExpr(draft.id(), span, "int", lowest, highest)
        case "t_bool" | "t_string" | "t_int" | "t_uuid" | "t_time" | "t_duration" as word:
            return TypeExpr(draft.id(), span, word.removeprefix("t_"))
        case "t_name":
            return TypeExpr(draft.id(), span, str(tree.children[0]))
        case _:
            _absent(draft, tree)
    return TypeExpr(draft.id(), span, "string")


def _column(draft: Draft, tree: Tree[Token]) -> Column:
    name, kind = tree.children
    return Column(draft.id(), draft.span(tree), draft.name(name), _type(draft, tree_of(kind)))


def _condition(draft: Draft, tree: Tree[Token]) -> ConditionDecl:
    name, *parameters, body = tree.children
    columns = tuple(_column(draft, column) for params in parameters for column in trees(tree_of(params)))
    return ConditionDecl(draft.id(), draft.span(tree), draft.name(name), columns, expression(draft, body))


# ---------------------------------------------------------------- services


def _service(draft: Draft, tree: Tree[Token]) -> ServiceDecl:
    name, audience, *items = tree.children
    audiences = tuple(_string(draft, token_of(part)) for part in tree_of(audience).children)
    hosts: list[Text] = []
    endpoints: list[EndpointDecl] = []
    for item in map(tree_of, items):
        match str(item.data):
            case "host":
                hosts += (_string(draft, token_of(part)) for part in item.children)
            case "endpoint":
                endpoint = _endpoint(draft, item)
                endpoints += () if endpoint is None else (endpoint,)
            case _:
                _absent(draft, item)
    return ServiceDecl(draft.id(), draft.span(tree), draft.name(name), audiences, tuple(hosts), tuple(endpoints))


def _endpoint(draft: Draft, tree: Tree[Token]) -> EndpointDecl | None:
    name, route, *items = tree.children
    scopes: list[Text] = []
    labels: list[Name] = []
    query: list[Field] = []
    for item in map(tree_of, items):
        match str(item.data):
            case "scopes":
                scopes += (draft.string(part) for part in tree_of(item.children[0]).children)
            case "labels":
                labels += draft.names(tree_of(item.children[0]).children)
            case "query_param":
                query.append(_field(draft, item))
            case _:
                _absent(draft, item)
    way = tree_of(route)
    if way.data != "http_route":
        _absent(draft, way)
        return None
    verbs, path = way.children
    return EndpointDecl(
        draft.id(),
        draft.span(tree),
        draft.name(name),
        words(tree_of(verbs)),
        draft.verbatim(token_of(path)),
        tuple(scopes),
        tuple(labels),
        tuple(query),
    )
