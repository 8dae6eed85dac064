"""When shadow rules were written, as git tells it: what `pdp check` needs for W814.

A program goes in with the folder of its policy and its sources; Unix milliseconds by rule id come out. Whatever keeps
git from answering (it is not installed, the folder is in no work tree, the file is not committed, it takes too long)
leaves ages unknown, and an unknown age is never warned of.
Source: language.md 4.6 (W814).

SECURITY: the folder may be anybody's, and a repository's own configuration can have git run programs. So the commit is
read and never the work tree (no filters), no transport is allowed (no fetching of what a partial clone lacks), and
monitors, pagers and text conversions are off.

Decision: 2026-11-21. A rule is as old as the line of its name in the last commit; a line that looks the same and is
younger counts. In a shallow clone lines look younger than they are, and then nothing is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from policy_lang.ir import Program
from policy_lang.source import Source

TIMEOUT_S = 5.0
"""How long git may take for one file. Once it took longer, it is not asked again."""

MOST_FILES = 100
"""Files that git is asked about."""

_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_OPTIONS = ("--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


def written_ms(folder: Path, program: Program, sources: Mapping[str, Source]) -> dict[str, int]:
    """When each shadow rule was written, as far as git knows."""
    rules: dict[str, dict[str, str]] = {}
    for rule in program.rules:
        if rule.shadow:
            line = sources[rule.place.file].line_text(rule.place.line).strip()
            rules.setdefault(rule.place.file, {})[rule.id] = line
    git = shutil.which("git")
    known: dict[str, int] = {}
    for file in sorted(rules)[:MOST_FILES]:
        blamed = None if git is None else _blame(git, folder, file)
        if blamed is None:
            break
        ages = _ages(blamed)
        known |= {rule: ages[line] for rule, line in rules[file].items() if line in ages}
    return known


def _blame(git: str, folder: Path, file: str) -> str | None:
    """What git says of the lines of a file, "" where it knows none; None where it is no use to ask again."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, names behind `--`
            [git, *_OPTIONS, "blame", "--line-porcelain", "--no-textconv", "HEAD", "--", file],
            cwd=folder,
            env=os.environ | _ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _ages(blamed: str) -> dict[str, int]:
    """The time of each line by its text without blanks around it, the last where several are the same."""
    ages: dict[str, int] = {}
    at_ms = 0
    for line in blamed.split("\n"):
        if line.startswith("\t"):
            text = line.strip()
            ages[text] = max(at_ms, ages.get(text, 0))
        elif line.startswith("author-time "):
            seconds = line.removeprefix("author-time ")
            at_ms = int(seconds) * 1000 if seconds.isdecimal() else 0
    return {text: at_ms for text, at_ms in ages.items() if at_ms > 0}
