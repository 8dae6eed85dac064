"""One file: its imports and declarations."""

from __future__ import annotations

from msgspec import Struct

from policy_lang.source import Source
from policy_lang.tree.casbin import CasbinDecl
from policy_lang.tree.cases import ProveDecl, TestDecl
from policy_lang.tree.nodes import Text
from policy_lang.tree.rules import Rule
from policy_lang.tree.services import ServiceDecl
from policy_lang.tree.vocabulary import (
    ConditionDecl,
    EnumDecl,
    ImportDecl,
    LabelDecl,
    NetworkDecl,
    RelationDecl,
    RolesDecl,
    SettingDecl,
    SignalDecl,
    SubjectDecl,
    TokenDecl,
    WorkloadDecl,
)

Decl = (
    SettingDecl | EnumDecl | LabelDecl | NetworkDecl | WorkloadDecl | TokenDecl | SubjectDecl | RolesDecl | RelationDecl
    | SignalDecl | ConditionDecl | ServiceDecl | CasbinDecl | Rule | TestDecl | ProveDecl
)  # fmt: skip


class Module(Struct, frozen=True):
    """One parsed file. `name` is dotted; `language` is what the pragma says, None without one."""

    source: Source
    language: int | None
    name: Text
    imports: tuple[ImportDecl, ...]
    declarations: tuple[Decl, ...]
