"""Write `docs/configuration.md` from the declarations in `pdp/config.py`, or check that it is current.

    python tools/config_docs.py            writes the file
    python tools/config_docs.py --check    ends 1 where the file is not what would be written

The code's own keys come in; one Markdown file goes out, the same bytes for the same code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pdp.config import Config
from pdp.config_tables import ARRAYS, CHALLENGE_EXAMPLE, CHALLENGES, TABLES
from pdp.toml_keys import Declared, keys_of, words

TARGET = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

OPENING = """\
# Configuration

Written from the code by `make docs`; edits belong into `pdp/config_tables.py` and `pdp/config_identity.py`.

`pdp` reads one TOML file: the one named with `--config`, or `pdp.toml` in the current folder. Without a file every key
has its default. A relative path counts from the folder of the file. A key that is not listed here is an error, and all
errors of a file are reported together (exit code 2).

A file that says everything; only what differs from a default need be said:
"""

ABOUT = {
    "log": "The audit log.",
    "http": "Health, readiness and metrics, for operators; and AuthZEN for programs on this host that have a key.",
    "limits": "What is refused for its size.",
    "minting": "Tokens made here for one service, for a minute, in place of the caller's own (`must issue token`).",
    "shared": "What the workers of a host, and several hosts, share.",
    "admin": "Who may administer over a network; on this host it is whoever may open the socket in `state`.",
    "gateways": "One table for each gateway: whoever asks, whether it passes calls on or asks for itself. Without any, "
    "and without `[[listeners]]`, there is `edge`, which may ask about every service. Names, identities and keys must "
    "differ.",
    "listeners": "One table for each address at which gateways ask. Without any, and without `[[gateways]]`, "
    "there is one: `127.0.0.1:9191`, where `edge` asks. Addresses must differ.",
    "issuers": "One table for each issuer whose tokens are accepted. Without any every token is refused. The `url`s "
    "must differ.",
    CHALLENGES: "Names of challenges to the `acr` values that are asked for in their place, one key for each. A "
    "challenge that is not listed is asked for by its own name.",
}

FORMS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "listeners": (
        {"address": "", "gateway": ""},
        {"address": '"0.0.0.0:9443"', "protocol": '"http"', "certificate": "", "private_key": "", "client_ca": ""},
    ),
    "issuers": (
        {
            "url": "", "algorithms": "", "keys": "", "types": "", "leeway_s": "", "max_lifetime_s": "",
            "session_max_s": "", "session_idle_s": "",
        },
        {
            "url": '"https://login.example/realms/shop"', "algorithms": '["RS256"]', "discovery": "true", "hosts": "",
            "networks": "", "authorities": "", "refresh_s": "", "cooldown_s": "", "max_stale_s": "", "profile": "",
            "audience_from": "", "allow_multi_audience": "",
        },
    ),
}  # fmt: skip
"""Where not all keys of a table go together: those that do."""


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
        for keys in FORMS.get(name, (None,)):
            lines += ["", f"[[{name}]]", *_assignments(section, keys)]
    return "\n".join([*lines, "", f"[{CHALLENGES}]", CHALLENGE_EXAMPLE, "```", ""])


def _assignments(section: type, only: Mapping[str, str] | None = None) -> Iterator[str]:
    """The keys with their examples; where `only` names some, those, each with its own example unless that is ""."""
    for declared in keys_of(section):
        if only is None or declared.name in only:
            yield f"{declared.name} = {(only or {}).get(declared.name) or declared.key.example}"


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
