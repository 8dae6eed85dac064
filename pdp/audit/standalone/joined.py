"""The program that a receipt carries, in one file: the modules of this folder behind each other.

The names of modules and their sources go in, one source comes out: the docstring of the last module, every import of
the standard library once, then each module under its own docstring as a comment. It differs from its parts in nothing
else, so that what is tested and typed here is what a stranger runs.

Decision: 2026-11-21. A stranger gets one file, since `python3 -I` finds no other beside it. Here it is kept in modules,
which can be read and tested alone and stay within our walls.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

MODULES = (
    *("reading", "signature", "signed_log", "policy", "parts", "request", "routing", "typed_inputs", "guards"),
    *("decision", "members", "derivation", "verify"),
)
"""In this order: what is used stands before what uses it. The last one is run."""

OURS = "pdp."


def joined(source_of: Callable[[str], str]) -> str:
    """The one file; `source_of` gives the source of a module of `MODULES`."""
    imports: set[str] = set()
    froms: dict[str, set[str]] = {}
    bodies: list[str] = []
    docstring = ""
    for name in MODULES:
        source = source_of(name)
        tree = ast.parse(source)
        docstring = ast.get_docstring(tree, clean=False) or ""
        last = 0
        for node in tree.body:
            if isinstance(node, ast.Import):
                imports.update(f"import {each.name}" for each in node.names)
            elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(OURS):
                froms.setdefault(str(node.module), set()).update(each.name for each in node.names)
            elif not isinstance(node, ast.ImportFrom):
                continue
            last = node.end_lineno or 0
        body = "\n".join(source.splitlines()[last:]).strip("\n")
        bodies.append(body if name == MODULES[-1] else f"{_comment(docstring)}\n\n\n{body}")
    future = f"from __future__ import {', '.join(froms.pop('__future__'))}"
    rest = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(froms.items())]
    head = "\n".join([f'"""{docstring}"""', "", future, "", *sorted(imports), *rest])
    return "\n\n".join([head, "\n\n\n".join(bodies)]) + "\n"


def _comment(docstring: str) -> str:
    lines = docstring.strip().splitlines()
    return "\n".join(["# " + "-" * 100, *(f"# {line}".rstrip() for line in lines)])
