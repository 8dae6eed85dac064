"""Files written into a new folder, whole or refused: what `pdp new` and `pdp casbin convert` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pdp.authoring.model import AuthoringError


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
