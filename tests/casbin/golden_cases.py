"""Golden cases of the Casbin front end: `golden/CODE/CASE.txt`, each a model, perhaps a policy, and all that is said.

Format: sections, each opened by `---- KEYWORD VALUE`: `mode compat` (else strict), `functions NAME …` (the program's
own), `asked m=m2 …` (which definitions are combined), `file model.conf` and `file policy.csv`, whose content stands
below, and last `says`, what is rendered. What a file cannot hold readably is written in guillemets: `«U+202E»` a
character, `«TEXT x N»` the text N times. `--update-golden` rewrites what the cases say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from policy_lang.casbin.definitions import Sections
from policy_lang.source import Source

GOLDEN = Path(__file__).parent / "golden"
SAYS = "---- says\n"
_WRITTEN = re.compile(r"«(?:U\+(?P<point>[0-9A-F]+)|(?P<text>[^»]*) x (?P<times>\d+))»", re.DOTALL)


class Case(Struct, frozen=True):
    """`asked` is its text up to what it says."""

    file: Path
    asked: str
    said: str

    @property
    def code(self) -> str:
        return self.file.parent.name

    @property
    def mode(self) -> Literal["strict", "compat"]:
        return "compat" if self._values("mode") == ["compat"] else "strict"

    @property
    def functions(self) -> frozenset[str]:
        return frozenset(self._values("functions"))

    @property
    def sections(self) -> Sections:
        return Sections(**dict(value.split("=") for value in self._values("asked")))

    def source(self, name: str) -> Source | None:
        """One of its files; None where it has none of this name."""
        for keyword, value, body in self._sections():
            if keyword == "file" and value == name:
                return Source(name, _WRITTEN.sub(_meant, body))
        return None

    def with_said(self, said: str) -> str:
        return f"{self.asked}{SAYS}{said}\n"

    def _values(self, wanted: str) -> list[str]:
        return [word for keyword, value, _ in self._sections() if keyword == wanted for word in value.split()]

    def _sections(self) -> Iterator[tuple[str, str, str]]:
        for section in re.split(r"(?m)^---- ", self.asked)[1:]:
            opening, _, body = section.partition("\n")
            keyword, _, value = opening.partition(" ")
            yield keyword, value, body


def _meant(found: re.Match[str]) -> str:
    return chr(int(found["point"], 16)) if found["point"] else found["text"] * int(found["times"])


def cases() -> list[Case]:
    """Every case there is, by name."""
    found = []
    for file in sorted(GOLDEN.glob("*/*.txt")):
        asked, _, said = file.read_text("utf-8").partition(SAYS)
        found.append(Case(file, asked, said.strip("\n")))
    return found
