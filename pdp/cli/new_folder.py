"""Files of a new folder, held to their own check and tests, and written whole or refused: what `pdp new` and
`pdp casbin convert` have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pdp.authoring.model import AuthoringError
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, printable
from policy_lang.meaning.facts import FactsError, load_facts
from policy_lang.trials.runner import run_tests

LONGEST_LINE = 200
"""Characters of a line that is shown of files which are not written."""


def hold(files: Mapping[str, str]) -> None:
    """Hold files to their own check and tests. Errors: AuthoringError I442, with what is not carried over."""
    bundle = {name: text.encode() for name, text in files.items()}
    try:
        compiled = compile_policy(bundle)
    except CompileError as error:
        sources, first = sources_of(bundle), error.diagnostics[0].span
        source = sources[first.source]
        line = source.line_text(source.position(first.start).line).strip()
        said = f"{CompileError(error.diagnostics, sources)}, in `{printable(line[:LONGEST_LINE])}`"
        raise AuthoringError("I442", f"the policy that was made does not compile: {said}") from error
    try:
        load_facts(compiled.program, bundle)
    except FactsError as error:
        raise AuthoringError("I442", f"the facts that were made cannot be loaded: {error.problems[0]}") from error
    failed = [each for each in run_tests(compiled.program, compiled.tests) if not each.passed]
    if failed:
        case = failed[0].case
        said = f"{case.text}: expected {failed[0].expected}, got {failed[0].got}"
        raise AuthoringError("I442", f"the policy that was made answers otherwise than the rows: {said}")


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder that is empty or not there. Errors: AuthoringError I301, I302."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise AuthoringError("I301", f"{folder} is there and not an empty folder: name another one, or empty it")
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
    except OSError as error:
        raise AuthoringError("I302", f"cannot write {folder}: {error}") from error
