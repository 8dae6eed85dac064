"""Write `docs/configuration.md` from the declarations in `pdp/config.py`, or check that it is current.

    python tools/config_docs.py            writes the file
    python tools/config_docs.py --check    ends 1 where the file is not what would be written

The code's own keys come in; one Markdown file goes out, the same bytes for the same code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pdp.config import ARRAYS, CHALLENGE_EXAMPLE, CHALLENGES, TABLES, Config
from pdp.toml_keys import Declared, keys_of, words

TARGET = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

OPENING = """\
# Configuration

Written from the code by `make docs`; edits belong into `pdp/config.py`.

`pdp` reads one TOML file: the one named with `--config`, or `pdp.toml` in the current folder. Without a file every key
has its default. A relative path counts from the folder of the file. A key that is not listed here is an error, and all
errors of a file are reported together (exit code 2).

A file that says everything; only what differs from a default need be said:
"""

ABOUT = {
    "log": "The audit log.",
    "http": "Health, readiness and metrics.",
    "limits": "What is refused for its size.",
    "listeners": "One table for each gateway. Without any there is one listener: address `127.0.0.1:9191`, gateway "
    "`edge`, every service. Addresses and gateways must differ.",
    "issuers": "One table for each issuer whose tokens are accepted. Without any every token is refused. The `url`s "
    "must differ.",
    CHALLENGES: "Names of challenges to the `acr` values that are asked for in their place, one key for each. A "
    "challenge that is not listed is asked for by its own name.",
}


def render() -> str:
    """The whole document."""
    parts = [OPENING, _example(), "## Above all tables\n", _rows(Config)]
    for name, section in TABLES.items():
        parts += [f"## `[{name}]`\n", f"{ABOUT[name]}\n", _rows(section)]
    for name, section in ARRAYS.items():
        parts += [f"## `[[{name}]]`\n", f"{ABOUT[name]}\n", _rows(section)]
    parts += [f"## `[{CHALLENGES}]`\n", f"{ABOUT[CHALLENGES]}\n", f"Example: `{CHALLENGE_EXAMPLE}`\n"]
    return "\n".join(parts)


def _example() -> str:
    lines = ["```toml", *_assignments(Config)]
    for name, section in TABLES.items():
        lines += ["", f"[{name}]", *_assignments(section)]
    for name, section in ARRAYS.items():
        lines += ["", f"[[{name}]]", *_assignments(section)]
    return "\n".join([*lines, "", f"[{CHALLENGES}]", CHALLENGE_EXAMPLE, "```", ""])


def _assignments(section: type) -> Iterator[str]:
    return (f"{declared.name} = {declared.key.example}" for declared in keys_of(section))


def _rows(section: type) -> str:
    header = ["| key | holds | default | meaning | example |", "|---|---|---|---|---|"]
    return "\n".join([*header, *(_row(declared) for declared in keys_of(section)), ""])


def _row(declared: Declared) -> str:
    key = declared.key
    default = "must be given" if declared.default is None else key.absent or f"`{declared.default}`"
    return f"| `{declared.name}` | {words(key.kind)} | {default} | {key.meaning} | `{key.example}` |"


def main(arguments: list[str]) -> int:
    """Write or check; the exit code."""
    match arguments:
        case []:
            TARGET.parent.mkdir(exist_ok=True)
            TARGET.write_text(render())
            return 0
        case ["--check"]:
            if TARGET.exists() and TARGET.read_text() == render():
                return 0
            print(f"{TARGET} is not current: run make docs", file=sys.stderr)
            return 1
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
