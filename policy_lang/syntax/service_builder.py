"""Services and their endpoints: the parser's trees to the nodes of `policy_lang/tree/services.py`.

In goes the tree of one service and a draft to report to; out comes its node, which the caller drops where anything was
reported (the invariant of `policy_lang/syntax/draft.py`).
Specification: language.md 2.1, points B, J, L; grammar.lark, the section on services.

Decision: 2026-11-21. `host`, `accepts`, `scope` and `tagged` may be said several times and add up, as a long list is
best broken. `observe until`, `query strict`, `grants by` and `closed` may be said once (E101): who finds one of these
must have found what holds.
"""

from __future__ import annotations

from policy_lang.mistakes.syntax import Repeated
from policy_lang.syntax.draft import Draft
from policy_lang.syntax.expression_builder import instant
from policy_lang.syntax.field_builder import field_of, names, strings, tag, texts_or_settings
from policy_lang.syntax.grammar import Branch, Token, Tree, token_of, tree_of, words
from policy_lang.tree import (
    ActionRoute,
    EndpointDecl,
    Field,
    GrpcRoute,
    HttpRoute,
    Name,
    Route,
    ServiceDecl,
    TagValue,
    Text,
    TextOrSetting,
    TimeLit,
)


def service(draft: Draft, tree: Tree[Token]) -> ServiceDecl:
    """`service orders { audience … endpoint … }`."""
    name, audience, *items = tree.children
    audiences = texts_or_settings(draft, tree_of(audience).children)
    hosts: list[TextOrSetting] = []
    accepts: list[Name] = []
    tags: list[TagValue] = []
    headers: list[Field] = []
    endpoints: list[EndpointDecl] = []
    grants_by: tuple[Text, ...] | None = None
    observe_until: TimeLit | None = None
    query_strict = False
    for item in map(tree_of, items):
        match item.data:
            case "endpoint":
                endpoints.append(_endpoint(draft, item))
            case "tag_value":
                tags.append(tag(draft, item))
            case "host":
                hosts += texts_or_settings(draft, item.children)
            case "service_header":
                headers.append(field_of(draft, item))
            case "accepts":
                accepts += names(draft, item.children[0])
            case "grants_by":
                _once(draft, item, "`grants by`", said=grants_by is not None)
                grants_by = tuple([draft.dotted(tree_of(module)) for module in item.children])
            case "observe":
                _once(draft, item, "`observe until`", said=observe_until is not None)
                observe_until = instant(draft, item.children[0])
            case _:
                _once(draft, item, "`query strict`", said=query_strict)
                query_strict = True
    return ServiceDecl(
        draft.id(),
        draft.span(tree),
        draft.name(name),
        audiences,
        tuple(hosts),
        grants_by,
        tuple(accepts),
        observe_until,
        query_strict,
        tuple(tags),
        tuple(headers),
        tuple(endpoints),
    )


def _once(draft: Draft, tree: Tree[Token], what: str, *, said: bool) -> None:
    if said:
        draft.found.append(Repeated(span=draft.span(tree), what=what))


def _endpoint(draft: Draft, tree: Tree[Token]) -> EndpointDecl:
    name, route, *items = tree.children
    scopes: list[Text] = []
    labels: list[Name] = []
    tags: list[TagValue] = []
    query: list[Field] = []
    headers: list[Field] = []
    properties: list[Field] = []
    closed = False
    for item in map(tree_of, items):
        match item.data:
            case "scopes":
                scopes += strings(draft, item.children[0])
            case "labels":
                labels += names(draft, item.children[0])
            case "endpoint_tag":
                tags.append(tag(draft, item))
            case "query_param":
                query.append(field_of(draft, item))
            case "header_param":
                headers.append(field_of(draft, item))
            case "property":
                properties.append(field_of(draft, item))
            case _:
                _once(draft, item, "`closed`", said=closed)
                closed = True
    return EndpointDecl(
        draft.id(),
        draft.span(tree),
        draft.name(name),
        _route(draft, route),
        tuple(scopes),
        tuple(labels),
        tuple(tags),
        tuple(query),
        tuple(headers),
        tuple(properties),
        closed,
    )


def _route(draft: Draft, branch: Branch) -> Route:
    tree = tree_of(branch)
    span = draft.span(tree)
    match tree.data:
        case "http_route":
            verbs, path = tree.children
            return HttpRoute(draft.id(), span, words(tree_of(verbs)), draft.verbatim(token_of(path)))
        case "grpc_route":
            return GrpcRoute(draft.id(), span, draft.verbatim(token_of(tree.children[0])))
        case _:
            action, resource = tree.children
            return ActionRoute(draft.id(), span, draft.string(action), draft.string(resource))
