"""The import rows of the architecture, and the walls of the house style, read from the source with `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted([*(ROOT / "pdp").rglob("*.py"), *(ROOT / "policy_lang").rglob("*.py")])

LONGEST_MODULE = 500
LONGEST_FUNCTION = 60

LANGUAGE_ROWS = {
    "addresses": set(),
    "attached": set(),
    "source": set(),
    "spiffe": set(),
    "typesystem": set(),
    "uncollected": set(),
    "request": set(),
    "wording": {"source"},
    "diagnostics": {"source"},
    "mistakes": {"diagnostics"},
    "sarif": {"diagnostics", "source"},
    "tree": {"source"},
    "ir": {"addresses", "typesystem", "uncollected"},
    "verdict": {"ir", "request"},
    "meaning": {"addresses", "diagnostics", "ir", "request", "spiffe", "typesystem", "verdict"},
    "plan": {"addresses", "ir", "meaning", "uncollected", "verdict"},
    "casbin": {"diagnostics", "ir", "meaning", "mistakes", "plan", "source"},
    "cost": {"ir", "meaning", "plan"},
    "reach": {"ir"},
    "capabilities": {"diagnostics", "ir", "mistakes", "source", "verdict"},
    "syntax": {"addresses", "diagnostics", "mistakes", "source", "tree", "typesystem"},
    "layout": {"diagnostics", "mistakes", "source", "syntax"},
    "declared": {
        *("addresses", "diagnostics", "ir", "meaning", "mistakes", "source", "spiffe", "syntax", "tree", "typesystem"),
    },
    "checking": {
        *("addresses", "attached", "casbin", "cost", "declared", "diagnostics", "ir", "meaning", "mistakes", "source"),
        *("tree", "typesystem", "verdict", "wording"),
    },
    "trials": {
        *("checking", "declared", "diagnostics", "ir", "meaning", "mistakes", "request", "source", "spiffe", "tree"),
        *("typesystem", "verdict", "wording"),
    },
    "compile": {
        *("attached", "checking", "declared", "diagnostics", "ir", "mistakes", "source", "syntax", "trials"),
        "uncollected",
    },
}
"""The modules and packages of policy_lang, each with the others that it may import; what stands lower may import what
stands higher (architecture.md, "policy_lang: forward only"). What a program means (`meaning`, `plan`) sees no tree.
"""

AUTHORING_ROWS = {
    "model": set(),
    "yaml_nodes": set(),
    "protoc": {"model"},
    "pol_text": {"model"},
    "scaffold": {"model", "pol_text"},
    "path_text": {"pol_text"},
    "policy_text": {"model"},
    "document": {"model", "yaml_nodes"},
    "openapi_schema": {"document"},
    "openapi_surroundings": {"document", "model"},
    "openapi_parameters": {"document", "model", "openapi_schema", "path_text"},
    "matching": {"model", "path_text", "policy_text"},
    "updates": {"matching", "model", "pol_text", "policy_text"},
    "proto_query": {"model"},
    "merge": {"matching", "model", "pol_text", "policy_text", "updates"},
    "casbin_sites": set(),
    "casbin_shapes": set(),
    "casbin_rows_text": {"model"},
    "casbin_requests": {"casbin_sites"},
    "casbin_parameters": {"casbin_sites", "pol_text"},
    "casbin_entries": {"casbin_parameters", "casbin_shapes", "model", "pol_text"},
    "casbin_convert": {"casbin_entries", "casbin_shapes", "model", "pol_text"},
    "casbin_folder": {"casbin_parameters", "casbin_requests", "casbin_sites", "pol_text", "scaffold"},
}
"""Modules of pdp/authoring that may import only these others of it: readers know nothing of files, files of readers."""

LISTENERS_ONLY = {"grpc", "uvicorn", "starlette", "grpc_health", "grpc_reflection"}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, with the names of `from` imports appended."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_the_language_knows_nothing_of_the_service(path: Path) -> None:
    if path.is_relative_to(ROOT / "policy_lang"):
        assert not [name for name in _imports(path) if name.split(".")[0] == "pdp"]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_parts_of_the_language_import_only_what_their_row_allows(path: Path) -> None:
    part = _part(_name(path))
    if part is not None:
        used = {_part(name) for name in _imports(path) if name.startswith("policy_lang.")}
        assert used - {part, None} <= LANGUAGE_ROWS[part]


def test_every_part_of_the_language_has_a_row_and_rows_lead_forward() -> None:
    assert LANGUAGE_ROWS.keys() == {part for path in MODULES if (part := _part(_name(path))) is not None}
    parts = list(LANGUAGE_ROWS)
    assert all(row <= set(parts[: parts.index(part)]) for part, row in LANGUAGE_ROWS.items())


def _part(module: str) -> str | None:
    """The module or package directly within policy_lang that a module is, or is of; None for others."""
    names = module.split(".")
    return names[1] if names[0] == "policy_lang" and len(names) > 1 else None


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_lark_is_no_part_of_what_runs(path: Path) -> None:
    """Lark makes the tables of the parser when the grammar changes; nothing that runs needs it."""
    assert "lark" not in {name.split(".")[0] for name in _imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_listeners_and_the_client_import_the_wire(path: Path) -> None:
    if any(name.split(".")[0] in LISTENERS_ONLY for name in _imports(path)):
        assert path.parent in {ROOT / "pdp" / "transports", ROOT / "pdp" / "client"}


@pytest.mark.parametrize("path", sorted((ROOT / "pdp" / "client").glob("*.py")), ids=_name)
def test_the_client_stands_alone(path: Path) -> None:
    used = {name for name in _imports(path) if name.split(".")[0] in {"pdp", "policy_lang"}}
    assert all(name == "pdp.client" or name.startswith("pdp.client.") for name in used)


@pytest.mark.parametrize("name", ["verify", "reader", "merkle", "tiles", "checkpoint"])
def test_reading_the_log_never_imports_the_writer(name: str) -> None:
    reached = _reached(ROOT / "pdp" / "audit" / f"{name}.py")
    assert not reached & {"pdp.audit.writer", "pdp.audit.sequencer"}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_that_write_policies_import_only_what_their_row_allows(path: Path) -> None:
    row = AUTHORING_ROWS.get(path.stem) if path.parent == ROOT / "pdp" / "authoring" else None
    if row is not None:
        used = {name.split(".")[2] for name in _imports(path) if name.startswith("pdp.authoring.")}
        assert used <= row


@pytest.mark.parametrize("name", ["service", "evaluate", "server", "runtime/compiler"])
def test_the_service_never_imports_what_writes_policies(name: str) -> None:
    assert not [each for each in _reached(ROOT / "pdp" / f"{name}.py") if each.startswith("pdp.authoring")]


def test_the_service_never_imports_the_parser() -> None:
    """The decision path loads serialised IR: policy text is parsed in the compiler's child and on the command line."""
    assert "policy_lang.syntax.parser" not in _reached(ROOT / "pdp" / "evaluate.py")
    assert "policy_lang.syntax.parser" not in _reached(ROOT / "pdp" / "service.py")


def _reached(path: Path, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Every module of ours that importing `path` imports, at any depth."""
    found = set(seen)
    for name in _imports(path):
        target = ROOT.joinpath(*name.split("."))
        file = target.with_suffix(".py") if target.with_suffix(".py").exists() else target / "__init__.py"
        if name.split(".")[0] in {"pdp", "policy_lang"} and file.exists() and name not in found:
            found.add(name)
            found |= _reached(file, frozenset(found))
    return frozenset(found)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_module_imports_inside_a_function(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = [n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not inside


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_module_or_function_is_over_its_wall(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            flat = any(isinstance(n, ast.Match) and _lines(n) > length - 15 for n in ast.walk(node))
            assert flat or length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def _lines(node: ast.Match) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_opens_with_its_contract(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_reference_evaluator_stays_readable_in_one_sitting() -> None:
    assert (ROOT / "policy_lang" / "meaning" / "reference.py").read_text().count("\n") <= 200


def test_no_import_cycles() -> None:
    graph = {_name(path): {n for n in _imports(path) if n.split(".")[0] in {"pdp", "policy_lang"}} for path in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name in done or name not in graph:
            return
        for used in graph[name]:
            if used != name and not name.startswith(used + "."):
                visit(used, (*above, name))
        done.add(name)

    for name in graph:
        visit(name, ())
