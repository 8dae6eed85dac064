"""An OpenAPI document as operations: one for each path and method, in the order of the document.

Bytes go in, `Imported` comes out, or AuthoringError where it is no document to read. What concerns one operation alone
leaves out that operation, by name: what is not declared is refused by `route`, so nothing opens by being left out.
Linear in the bytes and in what the operations say together, which is bounded.
Specification: OpenAPI 3.0.4, 3.1.2, 3.2.0; Swagger 2.0.

Decision: 2026-11-21. The order of the document is kept: people group their paths by meaning.
Decision: 2026-11-21. A path whose shape is another's is one path to OpenAPI, and to us one endpoint for each method:
the first one written stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field

from pdp.authoring.document import LONGEST_PLACE, BadReference, Located, follow, read_document
from pdp.authoring.model import AuthoringError, Finding, HttpRoute, Imported, Key, Operation, key_of
from pdp.authoring.openapi_parameters import Fault, Parameters, parameters_of
from pdp.authoring.openapi_surroundings import BadSecurity, Scopes, Servers, same_servers, scopes_of, servers_of
from pdp.authoring.path_text import NoPattern, template_captures, template_pattern, template_shape
from pdp.authoring.pol_text import METHODS, Names, declared_name
from pdp.authoring.yaml_nodes import pointer_step
from policy_lang.request import MAX_PATH
from policy_lang.verdict import Json

DEPRECATED = "deprecated"
"""The label of what is deprecated."""

MOST_OPERATIONS = 50_000
MOST_PARAMETERS = 100_000

_KNOWN_METHODS = {method.lower(): method for method in METHODS}
_OTHER_METHODS = {"trace": "TRACE", "query": "QUERY"}
_VERSIONS = ("3.0", "3.1", "3.2")


def read_openapi(data: bytes, file: str) -> Imported:
    """The operations of a document; `file` is its name without folders.

    Errors: AuthoringError I101 to I105 of `read_document`, I106 not OpenAPI, I107 a version that is not read, I108 too
        many operations or parameters.
    """
    root = read_document(data, file)
    _check_version(root, file)
    paths = root.get("paths", {})
    if not isinstance(paths, dict):
        raise AuthoringError("I106", f"{file} #/paths: this is no mapping of paths: correct it")
    servers = servers_of(root)
    reading = _Reading(root, file, servers)
    for path, item in paths.items():
        if not path.startswith("x-"):
            _path(reading, path, item)
    reading.findings[:0] = servers.findings
    if not servers.hosts:
        place = "#/host" if "swagger" in root else "#/servers"
        reading.findings.append(Finding(place, "no host is named: write yours at `host` of the service"))
    info = root.get("info")
    title = info.get("title") if isinstance(info, dict) else None
    return Imported(
        file=file,
        title=title if isinstance(title, str) else "",
        hosts=servers.hosts,
        operations=tuple(reading.operations.values()),
        refused=frozenset(reading.refused),
        findings=tuple(reading.findings),
        kinds=frozenset(("http",)),
    )


def _check_version(root: Mapping[str, Json], file: str) -> None:
    version = str(root.get("openapi", root.get("swagger", "")))[:40]
    if "openapi" in root and "swagger" in root:
        raise AuthoringError("I106", f"{file} says both `openapi` and `swagger`: remove one of the two")
    if "swagger" in root and version in {"2.0", "2"}:
        return
    if "openapi" in root and any(version == known or version.startswith(known + ".") for known in _VERSIONS):
        return
    if not version:
        why = "has neither `openapi` nor `swagger` at its top: name an OpenAPI document"
        raise AuthoringError("I106", f"{file} is no OpenAPI document: it {why}")
    raise AuthoringError("I107", f"{file} is OpenAPI {version}: 2.0, 3.0, 3.1 and 3.2 are read")


class _Reading(Struct):
    """The document, and what was read of it so far. `shapes` are the first templates of each shape."""

    root: dict[str, Json]
    file: str
    servers: Servers
    operations: dict[Key, Operation] = field(default_factory=dict)
    refused: set[Key] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    shapes: dict[str, str] = field(default_factory=dict)
    noted: set[Finding] = field(default_factory=set)
    met: int = 0
    parameters: int = 0

    def leave_out(self, pointer: str, path: str, method: str | None, why: str) -> None:
        """Note an operation that is left out, or every one of a path."""
        self.refused.add((method or "ANY", template_shape(self.servers.base + path[: MAX_PATH + 1])))
        said = method or "every method of"
        self.findings.append(Finding(pointer[:LONGEST_PLACE], f"{said} {path[:120]}: {why}", left_out=True))

    def note_once(self, findings: Sequence[Finding]) -> None:
        """Note what is said of the whole document, at whichever operation it was met."""
        self.findings += (each for each in findings if each not in self.noted)
        self.noted.update(findings)


def _path(reading: _Reading, path: str, item: Json) -> None:
    pointer = f"#/paths/{pointer_step(path[: MAX_PATH + 1])}"
    found = follow(reading.root, Located(item, pointer))
    if isinstance(found, BadReference):
        reading.leave_out(found.pointer, path, None, found.why)
        return
    if not isinstance(found.value, dict):
        reading.leave_out(found.pointer, path, None, "a path holds a mapping of methods: correct it")
        return
    beside = {name: each for name, each in item.items() if name != "$ref"} if isinstance(item, dict) else {}
    whole = {**found.value, **beside}
    for word, method, operation in _operations(whole):
        reading.met += 1
        if reading.met > MOST_OPERATIONS:
            raise AuthoringError("I108", f"{reading.file} has more than {MOST_OPERATIONS} operations: split it")
        at = Located(operation, f"{pointer}/{word}")
        fault = _operation(reading, path, method, whole, at)
        if fault is not None:
            reading.leave_out(fault.pointer, path, method, fault.why)


def _operations(item: Mapping[str, Json]) -> Iterator[tuple[str, str, Json]]:
    """The operations of a path: the member, the method, the value."""
    for word, value in item.items():
        if word in _KNOWN_METHODS:
            yield word, _KNOWN_METHODS[word], value
        elif word in _OTHER_METHODS:
            yield word, _OTHER_METHODS[word], value
        elif word == "additionalOperations" and isinstance(value, dict):
            for method, each in value.items():
                yield f"additionalOperations/{pointer_step(method[:40])}", method[:40], each


def _operation(reading: _Reading, path: str, method: str, item: dict[str, Json], at: Located) -> Fault | None:
    """Read one operation into `reading`, or say why it is left out."""
    operation = at.value
    if not isinstance(operation, dict):
        return Fault(at.pointer, "an operation is a mapping: correct it")
    if method not in METHODS:
        return Fault(at.pointer, f"the language has no method `{method}`: declare what it does under another")
    parameters = _parameters(reading, item, at)
    if isinstance(parameters, Fault):
        return parameters
    for name in template_captures(path):
        if name not in parameters.captures:
            return Fault(at.pointer, f"`{{{name[:80]}}}` has no parameter: declare it, with `in: path`")
    if not path.startswith("/"):
        return Fault(at.pointer, f"a path begins with `/`: write `/{path[:80]}`")
    pattern = template_pattern(reading.servers.base + path, parameters.captures)
    if isinstance(pattern, NoPattern):
        return Fault(at.pointer, pattern.why)
    route = HttpRoute(method, pattern)
    fault = _clash(reading, route, path, at.pointer) or _elsewhere(reading, item, at)
    scopes = scopes_of(reading.root, operation, at.pointer)
    if fault is None and isinstance(scopes, BadSecurity):
        fault = Fault(scopes.pointer, scopes.why)
    if fault is not None or isinstance(scopes, BadSecurity):
        return fault
    reading.findings += parameters.findings
    reading.note_once(scopes.findings)
    for name in parameters.captures.keys() - set(template_captures(path)):
        note = f"the path has no `{{{name[:80]}}}`, which is declared as a parameter of it"
        reading.findings.append(Finding(at.pointer[:LONGEST_PLACE], note))
    wanted = operation.get("operationId")
    words = wanted if isinstance(wanted, str) and wanted.strip() else f"{method.lower()} {path}"
    reading.operations[key_of(route)] = _built(reading, words, route, parameters, scopes, at)
    return None


def _parameters(reading: _Reading, item: dict[str, Json], at: Located) -> Parameters | Fault:
    operation = at.value if isinstance(at.value, dict) else {}
    above = at.pointer.rsplit("/", 1)[0]
    lists = tuple(
        Located(holder["parameters"], f"{pointer}/parameters")
        for holder, pointer in ((item, above), (operation, at.pointer))
        if "parameters" in holder
    )
    reading.parameters += sum(len(each.value) for each in lists if isinstance(each.value, list))
    if reading.parameters > MOST_PARAMETERS:
        raise AuthoringError("I108", f"{reading.file} has more than {MOST_PARAMETERS} parameters: split it")
    return parameters_of(reading.root, lists)


def _clash(reading: _Reading, route: HttpRoute, path: str, pointer: str) -> Fault | None:
    """Another path of the same shape: a fault where it has this method too, else a finding."""
    key = key_of(route)
    first = reading.shapes.setdefault(key[1], path)
    if first == path:
        return None
    why = f"its shape is that of `{first[:80]}`"
    if key in reading.operations:
        return Fault(pointer, f"{why}, which has {route.method} too: make one path of the two")
    note = f"`{path[:80]}`: {why}, and OpenAPI takes the two for one path"
    reading.findings.append(Finding(pointer[:LONGEST_PLACE], note))
    return None


def _elsewhere(reading: _Reading, item: dict[str, Json], at: Located) -> Fault | None:
    operation = at.value if isinstance(at.value, dict) else {}
    for holder in (operation, item):
        if "servers" in holder:
            own = Located(holder["servers"], f"{at.pointer}/servers")
            if not same_servers(reading.servers, own):
                why = "it has servers of its own, and a service has one base path and one set of hosts"
                return Fault(at.pointer, f"{why}: declare it by hand in a service of its own")
            return None
    return None


def _built(
    reading: _Reading, words: str, route: HttpRoute, parameters: Parameters, scopes: Scopes, at: Located
) -> Operation:
    operation = at.value if isinstance(at.value, dict) else {}
    summary = operation.get("summary")
    said = [summary] if isinstance(summary, str) and summary.strip() else []
    tags = operation.get("tags")
    listed = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    if operation.get("deprecated") is True:
        listed.append(DEPRECATED)
    return Operation(
        name=reading.names.take(declared_name(words, "operation", "endpoint")),
        route=route,
        parameters=parameters.declared,
        scopes=scopes.scopes,
        tags=tuple(dict.fromkeys(listed)),
        comments=(*said, *([scopes.comment] if scopes.comment else [])),
        place=at.pointer[:LONGEST_PLACE],
    )
