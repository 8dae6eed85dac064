"""The same policy in each language, at any number of rules, from the texts in benchmarks/policies/.

What stands there between a comment `each endpoint` and a comment `end` is repeated for each endpoint, with its number
and its role.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

from benchmarks.wire.questions import endpoints_of, role_of

TEXTS = Path(__file__).resolve().parent.parent / "policies"
ENDPOINTS_OF_FILE = 1_000
"""Rules of so many endpoints stand in one file of ours, which may hold a mebibyte."""

_EACH = re.compile(r"^ *(?:#|//) each endpoint\n(.*?)^ *(?:#|//) end\n", re.DOTALL | re.MULTILINE)


def text(name: str, endpoints: Iterable[int], **words: str) -> str:
    """A text of benchmarks/policies/ for some endpoints."""
    source = (TEXTS / name).read_text()
    numbers = list(endpoints)

    def repeated(found: re.Match[str]) -> str:
        block = Template(found[1])
        return "".join(block.substitute(number=number, role=role_of(number)) for number in numbers)

    # In a pattern of paths or of claims `$` stands for itself: only what is named is filled in.
    return Template(_EACH.sub(repeated, source)).safe_substitute(words)


def all_of(name: str, rules: int) -> str:
    """A text for all endpoints of so many rules."""
    return text(name, range(endpoints_of(rules)))


def write_pol(folder: Path, rules: int) -> None:
    """Our own policy, a folder."""
    endpoints = endpoints_of(rules)
    parts = range(0, endpoints, ENDPOINTS_OF_FILE)
    modules = [f"bench.rules{number}" for number in range(len(parts))]
    folder.mkdir(parents=True)
    (folder / "api.pol").write_text(text("service.pol", range(endpoints), modules=", ".join(modules)))
    for module, first in zip(modules, parts, strict=True):
        some = range(first, min(first + ENDPOINTS_OF_FILE, endpoints))
        roles = ", ".join(sorted({role_of(number) for number in some}))
        rules_text = text("rules.pol", some, module=module, roles=roles)
        (folder / f"{module.removeprefix('bench.')}.pol").write_text(rules_text)


def write_cerbos(folder: Path, rules: int) -> None:
    """Cerbos's policies, a file for each kind of resource."""
    folder.mkdir(parents=True)
    source = Template((TEXTS / "cerbos.yaml").read_text())
    for number in range(endpoints_of(rules)):
        (folder / f"r{number}.yaml").write_text(source.substitute(number=number, role=role_of(number)))
