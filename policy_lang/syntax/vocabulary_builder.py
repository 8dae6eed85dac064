"""The vocabulary of a module: the parser's trees to the nodes of `policy_lang/tree/vocabulary.py`.

In goes the tree of one declaration and a draft to report to; out comes its node, which the caller drops where anything
was reported (the invariant of `policy_lang/syntax/draft.py`). Nothing is resolved: whether names exist, ranges have
host bits or bounds are in order is for later phases.
Specification: language.md 2.1 (Module level), points A, B, H, K; grammar.lark, vocabulary and principals.
"""

from __future__ import annotations

from policy_lang.syntax.draft import Draft
from policy_lang.syntax.expression_builder import address, address_range, expression, literal, reference
from policy_lang.syntax.field_builder import columns_of, field_of, names, strings, text_or_setting, type_of
from policy_lang.syntax.grammar import Branch, Token, Tree, token_of, tree_of, trees
from policy_lang.tree import (
    ConditionDecl,
    EnumDecl,
    ExclusiveDecl,
    FactorDecl,
    Field,
    ImportDecl,
    LabelDecl,
    Name,
    NetworkDecl,
    NetworkItem,
    RelationDecl,
    RoleDecl,
    RolesDecl,
    SettingDecl,
    SettingType,
    SignalDecl,
    SubjectDecl,
    Text,
    TokenDecl,
    WorkloadDecl,
)


def imported(draft: Draft, tree: Tree[Token]) -> ImportDecl:
    """`import shop.common (office, edge)`."""
    module, listed = trees(tree)
    return ImportDecl(draft.id(), draft.span(tree), draft.dotted(module), names(draft, listed))


# ---------------------------------------------------------------- words and values


def setting(draft: Draft, tree: Tree[Token], text: str) -> SettingDecl:
    """`setting NAME: TYPE [= LITERAL]`."""
    name, written, *default = tree.children
    place = draft.span(written)
    kind = _setting_type(text[place.start : place.end])
    value = literal(draft, default[0]) if default else None
    return SettingDecl(draft.id(), draft.span(tree), draft.name(name), kind, value)


def _setting_type(word: str) -> SettingType:
    match word:
        case "string" | "int" | "duration" | "network" as kind:
            return kind
        case other:
            raise TypeError(f"no type of a setting in the grammar: {other}")


def enum(draft: Draft, tree: Tree[Token]) -> EnumDecl:
    """`enum size = small < large`, or with `|` where there is no order."""
    name, written = tree.children
    values = tree_of(written)
    ordered = values.data == "enum_ordered"
    return EnumDecl(draft.id(), draft.span(tree), draft.name(name), draft.names(values.children), ordered)


def label(draft: Draft, tree: Tree[Token]) -> LabelDecl:
    """`label money, pii`."""
    return LabelDecl(draft.id(), draft.span(tree), names(draft, tree.children[0]))


def network(draft: Draft, tree: Tree[Token]) -> NetworkDecl:
    """`network office = 192.0.2.0/24, branch except guests`."""
    name, *listed = tree.children
    items: list[NetworkItem] = []
    excluded: list[NetworkItem] = []
    for part in map(tree_of, listed):
        if part.data == "net_except":
            excluded += [_network_item(draft, item) for item in part.children]
        else:
            items.append(_network_item(draft, part))
    return NetworkDecl(draft.id(), draft.span(tree), draft.name(name), tuple(items), tuple(excluded))


def _network_item(draft: Draft, branch: Branch) -> NetworkItem:
    token = token_of(tree_of(branch).children[0])
    match token.type:
        case "CIDR":
            return address_range(draft, token)
        case "IP":
            return address(draft, token)
        case _:
            return draft.name(token)


def workload(draft: Draft, tree: Tree[Token]) -> WorkloadDecl:
    """`workload edge = "spiffe://…"`, or the name of a setting."""
    name, identity = tree.children
    return WorkloadDecl(draft.id(), draft.span(tree), draft.name(name), text_or_setting(draft, identity))


# ---------------------------------------------------------------- principals


def token_kind(draft: Draft, tree: Tree[Token]) -> TokenDecl:
    """`token user { issuer … claim … factor … }`."""
    name, issuer, *items = tree.children
    address_of = text_or_setting(draft, tree_of(issuer).children[0])
    claims, factors = _fields_and_factors(draft, items)
    return TokenDecl(draft.id(), draft.span(tree), draft.name(name), address_of, claims, factors)


def subject_kind(draft: Draft, tree: Tree[Token]) -> SubjectDecl:
    """`subject employee { type … property … factor … }`."""
    name, written, *items = tree.children
    kind: Text = draft.string(tree_of(written).children[0])
    properties, factors = _fields_and_factors(draft, items)
    return SubjectDecl(draft.id(), draft.span(tree), draft.name(name), kind, properties, factors)


def _fields_and_factors(draft: Draft, items: list[Branch]) -> tuple[tuple[Field, ...], tuple[FactorDecl, ...]]:
    fields: list[Field] = []
    factors: list[FactorDecl] = []
    for item in map(tree_of, items):
        if item.data == "factor_decl":
            factors.append(_factor(draft, item))
        else:
            fields.append(field_of(draft, item))
    return tuple(fields), tuple(factors)


def _factor(draft: Draft, tree: Tree[Token]) -> FactorDecl:
    name, at, *when = tree.children
    condition = expression(draft, when[0]) if when else None
    return FactorDecl(draft.id(), draft.span(tree), draft.name(name), reference(draft, at), condition)


def roles(draft: Draft, tree: Tree[Token]) -> RolesDecl:
    """`roles for KIND from SOURCE { role … exclusive … }`."""
    kind, source, *items = tree.children
    parts = [tree_of(item) for item in items]
    declared = tuple([_role(draft, part) for part in parts if part.data == "role_decl"])
    exclusive = tuple([_exclusive(draft, part) for part in parts if part.data == "exclusive"])
    return RolesDecl(draft.id(), draft.span(tree), draft.name(kind), reference(draft, source), declared, exclusive)


def _role(draft: Draft, tree: Tree[Token]) -> RoleDecl:
    name, *clauses = tree.children
    sources: tuple[Text, ...] = ()
    includes: tuple[Name, ...] = ()
    for clause in map(tree_of, clauses):
        if clause.data == "strings":
            sources = strings(draft, clause)
        else:
            includes = names(draft, clause)
    return RoleDecl(draft.id(), draft.span(tree), draft.name(name), sources, includes)


def _exclusive(draft: Draft, tree: Tree[Token]) -> ExclusiveDecl:
    return ExclusiveDecl(draft.id(), draft.span(tree), names(draft, tree.children[0]))


# ---------------------------------------------------------------- facts and readings


def relation(draft: Draft, tree: Tree[Token]) -> RelationDecl:
    """`relation shared_with (account: string, user: string)`."""
    name, *columns = tree.children
    return RelationDecl(draft.id(), draft.span(tree), draft.name(name), columns_of(draft, columns))


def condition(draft: Draft, tree: Tree[Token]) -> ConditionDecl:
    """`condition owns (account: string) = …`."""
    name, *parameters, body = tree.children
    columns = columns_of(draft, tree_of(parameters[0]).children) if parameters else ()
    return ConditionDecl(draft.id(), draft.span(tree), draft.name(name), columns, expression(draft, body))


def signal(draft: Draft, tree: Tree[Token]) -> SignalDecl:
    """`signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown`."""
    name, kind, provider, keys, within, fallback = tree.children
    return SignalDecl(
        draft.id(),
        draft.span(tree),
        draft.name(name),
        type_of(draft, kind),
        draft.string(provider),
        tuple([reference(draft, key) for key in tree_of(keys).children]),
        draft.duration(within),
        literal(draft, fallback),
    )
