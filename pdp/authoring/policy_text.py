"""A policy file as text with places: its services, endpoints, fields, labels and names, where each stands.

Text goes in, `PolicyText` comes out, or AuthoringError where the grammar does not read it. All positions are code
points of the text, so that `merge` changes nothing but what it means to change.
Specification: policy_lang/syntax/grammar.lark; language.md 4.3 (names).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from pdp.authoring.model import AuthoringError, Key, shape
from policy_lang.syntax.grammar import Branch, Fault, Token, Tree, read, token_of, tree_of, trees, words
from policy_lang.syntax.literals import Misspelt, unescape

Kind = Literal["http", "grpc", "action"]


class Range(Struct, frozen=True):
    """Half-open."""

    start: int
    end: int


class FieldText(Struct, frozen=True):
    """A `query` or `header` clause. `type` is written without separators; `optional` is where that word stands."""

    kind: Literal["query", "header"]
    name: str
    source: str
    type: str
    type_at: Range
    optional: Range | None


class EndpointText(Struct, frozen=True):
    """`route` is the pattern or the gRPC method as written, at `route_at`; `methods` is empty but for HTTP.

    `shared` are the headers that the service declares for all of its endpoints.
    """

    name: str
    kind: Kind
    methods: tuple[str, ...]
    methods_at: Range
    route: str
    route_at: Range
    whole: Range
    fields: tuple[FieldText, ...]
    shared: tuple[FieldText, ...]
    scopes: frozenset[str]
    closed: bool

    @property
    def keys(self) -> tuple[Key, ...]:
        """A key for each method; none of an action endpoint."""
        match self.kind:
            case "http":
                return tuple((method, shape(self.route)) for method in self.methods)
            case "grpc":
                return (("grpc", self.route),)
            case "action":
                return ()


class ServiceText(Struct, frozen=True):
    """`close` is where the closing brace stands."""

    name: str
    audiences: tuple[str, ...]
    hosts: tuple[str, ...]
    endpoints: tuple[EndpointText, ...]
    shared: tuple[FieldText, ...]
    start: int
    close: int


class PolicyText(Struct, frozen=True):
    """`labels_end` is where the last label declaration ends, None without one; `names` are all others of the module."""

    text: str
    module: str
    services: tuple[ServiceText, ...]
    labels: frozenset[str]
    labels_end: int | None
    names: frozenset[str]


def read_policy(text: str, file: str) -> PolicyText:
    """The places of a policy's text. Errors: AuthoringError I201, naming the line, where the grammar stops."""
    tree = read(text, "start")
    if isinstance(tree, Fault):
        line = text.count("\n", 0, tree.start) + 1
        raise AuthoringError("I201", f"{file}:{line} cannot be read as a policy: see `pdp check`, and mend it first")
    services: list[ServiceText] = []
    labels: set[str] = set()
    labels_end: int | None = None
    names: set[str] = set()
    module = ""
    for each in trees(tree):
        match each.data:
            case "module_decl":
                module = ".".join(words(tree_of(each.children[0])))
            case "service_decl":
                services.append(_service(each))
                names.add(services[-1].name)
            case "label_decl":
                labels.update(words(tree_of(each.children[0])))
                labels_end = each.end_pos
            case "rule":
                names.update(str(token) for token in each.children if isinstance(token, Token) and token.type == "NAME")
            case "test_decl" | "prove_decl" | "pragma":
                pass
            case _:
                names.update(_names(each))
    return PolicyText(text, module, tuple(services), frozenset(labels), labels_end, frozenset(names))


def _names(tree: Tree[Token]) -> Iterator[str]:
    """Every name in a declaration, whatever it is for; no recursion, since an expression may be deep."""
    todo: list[Branch] = [tree]
    while todo:
        branch = todo.pop()
        if isinstance(branch, Tree):
            todo += branch.children
        elif branch.type == "NAME":
            yield str(branch)


def _service(tree: Tree[Token]) -> ServiceText:
    audiences: tuple[str, ...] = ()
    hosts: list[str] = []
    endpoints: list[EndpointText] = []
    headers = [each for each in trees(tree) if each.data == "service_header"]
    shared = tuple(_field("header", tree_of(each.children[0])) for each in headers)
    for item in trees(tree):
        match item.data:
            case "audience":
                audiences = _texts(item)
            case "host":
                hosts += _texts(item)
            case "endpoint":
                endpoints.append(_endpoint(item, shared))
            case _:
                pass
    name = str(token_of(tree.children[0]))
    return ServiceText(name, audiences, tuple(hosts), tuple(endpoints), shared, tree.start_pos, tree.end_pos - 1)


def _endpoint(tree: Tree[Token], shared: tuple[FieldText, ...]) -> EndpointText:
    route_tree = tree_of(tree.children[1])
    fields: list[FieldText] = []
    scopes: set[str] = set()
    closed = False
    for item in trees(tree)[1:]:
        match item.data:
            case "query_param":
                fields.append(_field("query", tree_of(item.children[0])))
            case "header_param":
                fields.append(_field("header", tree_of(item.children[0])))
            case "scopes":
                scopes.update(_texts(tree_of(item.children[0])))
            case "closed":
                closed = True
            case _:
                pass
    kind, methods, methods_at = _methods(route_tree)
    last = token_of(route_tree.children[-1])
    return EndpointText(
        name=str(token_of(tree.children[0])),
        kind=kind,
        methods=methods,
        methods_at=methods_at,
        route=str(last),
        route_at=_range(last),
        whole=_range(tree),
        fields=tuple(fields),
        shared=shared,
        scopes=frozenset(scopes),
        closed=closed,
    )


def _methods(route: Tree[Token]) -> tuple[Kind, tuple[str, ...], Range]:
    match route.data:
        case "http_route":
            methods = tree_of(route.children[0])
            return "http", words(methods), _range(methods)
        case "grpc_route":
            return "grpc", (), Range(route.start_pos, route.start_pos)
        case _:
            return "action", (), Range(route.start_pos, route.start_pos)


def _field(kind: Literal["query", "header"], tree: Tree[Token]) -> FieldText:
    name = str(token_of(tree.children[0]))
    type_ = tree_of(tree.children[1])
    source = name
    optional: Range | None = None
    for each in trees(tree)[1:]:
        match each.data:
            case "optional":
                optional = _range(each)
            case "source":
                source = " ".join(_texts(each))
            case _:
                pass
    return FieldText(kind, name, source, _type(type_), _range(type_), optional)


def _type(tree: Tree[Token]) -> str:
    """A type as `model.Parameter` writes it."""
    match tree.data:
        case "t_set":
            return f"set of {_type(tree_of(tree.children[0]))}"
        case "t_int" if tree.children:
            return "int " + "..".join(bound.replace("_", "") for bound in words(tree))
        case "t_name":
            return str(tree.children[0])
        case word:
            return word.removeprefix("t_")


def _texts(tree: Tree[Token]) -> tuple[str, ...]:
    """Strings by their value, settings by their name."""
    return tuple(_text(token) for token in tree.children if isinstance(token, Token))


def _text(token: Token) -> str:
    if token.type != "STRING":
        return str(token)
    value = unescape(str(token))
    return str(token) if isinstance(value, Misspelt) else value


def _range(branch: Branch) -> Range:
    return Range(branch.start_pos, branch.end_pos)
