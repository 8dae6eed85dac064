"""The import rows of the architecture, and the walls of the house style, read from the source with `ast`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
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


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Every module that the file imports, with the names of `from` imports appended."""
    found: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _where(offending: Callable[[Path], Iterable[object]], paths: Iterable[Path] = MODULES) -> dict[str, list[object]]:
    """What is wrong, by module; nothing of those where nothing is."""
    found = {_name(path): list(offending(path)) for path in paths}
    assert found
    return {name: wrong for name, wrong in found.items() if wrong}


def test_the_language_knows_nothing_of_the_service() -> None:
    language = [path for path in MODULES if path.is_relative_to(ROOT / "policy_lang")]
    assert _where(lambda path: [name for name in _imports(path) if name.split(".")[0] == "pdp"], language) == {}


def test_parts_of_the_language_import_only_what_their_row_allows() -> None:
    def beyond(path: Path) -> set[str | None]:
        part = _part(_name(path))
        used = {_part(name) for name in _imports(path) if name.startswith("policy_lang.")}
        return set() if part is None else used - {part, None} - LANGUAGE_ROWS[part]

    assert _where(beyond) == {}


def test_every_part_of_the_language_has_a_row_and_rows_lead_forward() -> None:
    assert LANGUAGE_ROWS.keys() == {part for path in MODULES if (part := _part(_name(path))) is not None}
    parts = list(LANGUAGE_ROWS)
    assert all(row <= set(parts[: parts.index(part)]) for part, row in LANGUAGE_ROWS.items())


def _part(module: str) -> str | None:
    """The module or package directly within policy_lang that a module is, or is of; None for others."""
    names = module.split(".")
    return names[1] if names[0] == "policy_lang" and len(names) > 1 else None


def test_lark_is_no_part_of_what_runs() -> None:
    """Lark makes the tables of the parser when the grammar changes; nothing that runs needs it."""
    assert _where(lambda path: [name for name in _imports(path) if name.split(".")[0] == "lark"]) == {}


def test_only_listeners_and_the_client_import_the_wire() -> None:
    others = [path for path in MODULES if path.parent not in {ROOT / "pdp" / "transports", ROOT / "pdp" / "client"}]
    assert _where(lambda path: {name.split(".")[0] for name in _imports(path)} & LISTENERS_ONLY, others) == {}


def test_the_client_stands_alone() -> None:
    def beyond(path: Path) -> list[str]:
        used = [name for name in _imports(path) if name.split(".")[0] in {"pdp", "policy_lang"}]
        return [name for name in used if name != "pdp.client" and not name.startswith("pdp.client.")]

    assert _where(beyond, sorted((ROOT / "pdp" / "client").glob("*.py"))) == {}


@pytest.mark.parametrize("name", ["verify", "reader", "merkle", "tiles", "checkpoint"])
def test_reading_the_log_never_imports_the_writer(name: str) -> None:
    reached = _reached(ROOT / "pdp" / "audit" / f"{name}.py")
    assert not reached & {"pdp.audit.writer", "pdp.audit.sequencer"}


def test_modules_that_write_policies_import_only_what_their_row_allows() -> None:
    def beyond(path: Path) -> set[str]:
        used = {name.split(".")[2] for name in _imports(path) if name.startswith("pdp.authoring.")}
        return used - AUTHORING_ROWS[path.stem]

    folder = ROOT / "pdp" / "authoring"
    assert _where(beyond, [path for path in MODULES if path.parent == folder and path.stem in AUTHORING_ROWS]) == {}


@pytest.mark.parametrize("name", ["service", "evaluate", "server", "runtime/compiler"])
def test_the_service_never_imports_what_writes_policies(name: str) -> None:
    assert not [each for each in _reached(ROOT / "pdp" / f"{name}.py") if each.startswith("pdp.authoring")]


def test_the_service_never_imports_the_parser() -> None:
    """The decision path loads serialised IR: policy text is parsed in the compiler's child and on the command line."""
    assert "policy_lang.syntax.parser" not in _reached(ROOT / "pdp" / "evaluate.py")
    assert "policy_lang.syntax.parser" not in _reached(ROOT / "pdp" / "service.py")


def _reached(path: Path) -> set[str]:
    """Every module of ours that importing `path` imports, at any depth."""
    found: set[str] = set()
    ahead = [path]
    while ahead:
        for name in _imports(ahead.pop()):
            target = ROOT.joinpath(*name.split("."))
            file = target.with_suffix(".py") if target.with_suffix(".py").exists() else target / "__init__.py"
            if name.split(".")[0] in {"pdp", "policy_lang"} and file.exists() and name not in found:
                found.add(name)
                ahead.append(file)
    return found


def test_no_module_imports_inside_a_function() -> None:
    def inside(path: Path) -> list[int]:
        functions = [n for n in ast.walk(_tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        return [n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]

    assert _where(inside) == {}


def test_no_module_is_over_its_wall() -> None:
    lengths = {_name(path): path.read_text().count("\n") for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_function_is_over_its_wall() -> None:
    def long(path: Path) -> Iterator[str]:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > LONGEST_FUNCTION:
                inner = [n for n in ast.walk(node) if isinstance(n, ast.Match)]
                if all(_lines(n) <= _lines(node) - 15 for n in inner):
                    yield f"{node.name} has {_lines(node)} lines"

    assert _where(long) == {}


def _lines(node: ast.Match | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_module_opens_with_its_contract() -> None:
    assert _where(lambda path: [] if ast.get_docstring(_tree(path)) else ["no docstring"]) == {}


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
