"""The parameters of an operation: captures' types, query and header clauses, and what could not be said.

The located parameter lists of a path and of an operation go in, the operation's winning by name; `Parameters` comes
out. A parameter that the language reads wrongly is left out, with a finding: it is not checked by the policy then, as
all parameters are that nobody declares.
Specification: OpenAPI 3.2 4.12 (parameters, styles); Swagger 2.0 "Parameter Object"; policy_lang/meaning/schema.py.

Decision: 2026-11-21. A list in a query is a set where every value has its own `name=`, which is how sets are read, and
one string in any other style. A list in a header is a set. Cookies have no clause in the language.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pdp.authoring.document import BadReference, Located, follow
from pdp.authoring.model import Finding, Parameter
from pdp.authoring.openapi_schema import STRING, BadSchema, Composite, Kind, Several, Single, kind_of
from pdp.authoring.path_text import CaptureWord
from policy_lang.declared.fields import header_fault
from policy_lang.verdict import Json

IGNORED_HEADERS = frozenset(("authorization", "content-type", "accept"))
"""Header parameters that OpenAPI itself passes over."""

LONGEST_NAME = 200

_CAPTURE_WORDS: Mapping[str, CaptureWord] = {"int": "int", "uuid": "uuid"}


class Parameters(Struct, frozen=True):
    """`captures` are path parameters by name in the template."""

    captures: Mapping[str, CaptureWord]
    declared: tuple[Parameter, ...]
    findings: tuple[Finding, ...]


class Fault(Struct, frozen=True):
    """What makes an operation unusable, where."""

    pointer: str
    why: str


class _Written(Struct, frozen=True):
    """A parameter as it stands; `schema` is None where it says none."""

    name: str
    where: str
    required: bool
    style: str | None
    explode: bool | None
    schema: Located | None
    encoded: bool
    may_be_empty: bool
    pointer: str


def parameters_of(root: dict[str, Json], lists: tuple[Located, ...]) -> Parameters | Fault:
    """The parameters that the lists declare together; a later list wins over an earlier one."""
    by_name: dict[tuple[str, str], _Written] = {}
    for located in lists:
        if not isinstance(located.value, list):
            return Fault(located.pointer, "`parameters` is a list: correct it")
        seen: set[tuple[str, str]] = set()
        for index, each in enumerate(located.value):
            written = _written(root, Located(each, f"{located.pointer}/{index}"))
            if isinstance(written, Fault):
                return written
            name = written.name.lower() if written.where == "header" else written.name
            if (written.where, name) in seen:
                return Fault(written.pointer, f"the {written.where} parameter `{name}` stands twice: remove one")
            seen.add((written.where, name))
            by_name[written.where, name] = written
    return _sorted_out(root, by_name)


def _written(root: dict[str, Json], at: Located) -> _Written | Fault:
    found = follow(root, at)
    if isinstance(found, BadReference):
        return Fault(found.pointer, found.why)
    node = found.value
    if not isinstance(node, dict):
        return Fault(found.pointer, "a parameter is a mapping: correct it")
    name, where = node.get("name"), node.get("in")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return Fault(found.pointer, f"a parameter has a `name` of 1 to {LONGEST_NAME} characters: correct it")
    if not isinstance(where, str):
        return Fault(found.pointer, f"the parameter `{name}` does not say where it stands: add `in`")
    required = node.get("required", False)
    if not isinstance(required, bool):
        return Fault(found.pointer, f"`required` of `{name}` is true or false: correct it")
    style, explode = node.get("style"), node.get("explode")
    schema = Located(node["schema"], f"{found.pointer}/schema") if "schema" in node else None
    if "swagger" in root:
        schema = found
        style, explode = None, node.get("collectionFormat") == "multi" or node.get("type") != "array"
    return _Written(
        name=name,
        where=where,
        required=required,
        style=style if isinstance(style, str) else None,
        explode=explode if isinstance(explode, bool) else None,
        schema=schema,
        encoded="content" in node,
        may_be_empty=node.get("allowEmptyValue") is True,
        pointer=found.pointer,
    )


def _sorted_out(root: dict[str, Json], written: Mapping[tuple[str, str], _Written]) -> Parameters | Fault:
    captures: dict[str, CaptureWord] = {}
    declared: list[Parameter] = []
    findings: list[Finding] = []
    for (where, name), each in written.items():
        if where in {"body", "formData"}:
            continue
        why = _beyond(where, name)
        if why is not None:
            findings += () if where == "header" and name in IGNORED_HEADERS else (_left_out(each, why),)
            continue
        kind = _kind(root, each)
        if isinstance(kind, BadSchema):
            return Fault(kind.pointer, kind.why)
        if where == "path":
            if each.style not in {None, "simple"}:
                return Fault(each.pointer, f"a capture of style `{each.style}` is not the whole segment: use `simple`")
            captures[name] = _capture_word(kind)
            continue
        type_, note = _clause_type(each, kind)
        if type_ is None:
            findings.append(_left_out(each, note))
            continue
        if note:
            findings.append(Finding(each.pointer, f"{where} parameter `{name}`: {note}"))
        declared.append(Parameter("query" if where == "query" else "header", name, type_, not each.required))
    return Parameters(captures, tuple(declared), tuple(findings))


def _capture_word(kind: Kind) -> CaptureWord:
    """What a segment is read as; bounds have no form there."""
    return _CAPTURE_WORDS.get(kind.type.split(" ")[0], "string") if isinstance(kind, Single) else "string"


def _left_out(each: _Written, why: str) -> Finding:
    return Finding(each.pointer, f"{each.where} parameter `{each.name}` left out: {why}")


def _beyond(where: str, name: str) -> str | None:
    """Why no clause of the language says a parameter of this name at this place; None where one does."""
    match where:
        case "path" | "query":
            return None
        case "header" if name in IGNORED_HEADERS:
            return "OpenAPI passes it over"
        case "header":
            return header_fault(name)
        case "cookie":
            return "the language does not read cookies; the service behind still does"
        case _:
            return f"the language has no parameters in `{where[:40]}`"


def _kind(root: dict[str, Json], each: _Written) -> Kind | BadSchema:
    if each.encoded:
        return Single("string", "its text is encoded (`content`), read as a string")
    return STRING if each.schema is None else kind_of(root, each.schema)


def _clause_type(each: _Written, kind: Kind) -> tuple[str | None, str]:
    """The type to write with what to say of it; None with the reason where there is no right one."""
    match kind:
        case Composite():
            return None, "it has structure, and the language reads single values and sets"
        case Single(type_, note):
            return ("string" if each.may_be_empty and type_ != "string" else type_), note
        case Several(element) if each.where == "query":
            return _list_type(each, element)
        case Several(element):
            return f"set of {element.type}", element.note


def _list_type(each: _Written, element: Single) -> tuple[str | None, str]:
    style = each.style or "form"
    explode = style == "form" if each.explode is None else each.explode
    if style not in {"form", "spaceDelimited", "pipeDelimited"}:
        return None, f"a list of style `{style[:40]}` is not read: write each value with its own `{each.name}=`"
    if style != "form" and explode:
        return None, f"a list of style `{style}` with `explode` has no one meaning: write each value with its own name"
    if explode:
        return f"set of {'string' if each.may_be_empty else element.type}", element.note
    return "string", "a list in one value, read as one string"
