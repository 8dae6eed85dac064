"""What the service raises on purpose, and nothing else.

PdpError
├── ConfigError      pdp.toml, its files, or the command line: the operator's to mend
├── PolicyError      a bundle that was not accepted
├── AuditError       the log cannot take a record
└── StateError       the state folder is somebody else's, locked, or not usable

Each has `code` (stable), `public` (safe to send to a caller) and `detail` (for the log and the operator: names the
thing, the place and the remedy). Exit code 2 stands for bad input, 3 for our fault.

SECURITY: a detail holds names of files and text of policies, which whoever wrote them chose, and goes to terminals and
logs. What a terminal would obey or not show stands in it as its number, a line end too, unless the code is one of
`LAID_OUT`: so no name of a file writes a line of its own into a log.
"""

from __future__ import annotations

import re

from policy_lang.diagnostics import printable

LAID_OUT = frozenset({"C103", "C104", "D101", "I122", "P100", "P110", "P120"})
"""Codes whose detail has lines of its own: a list of problems, each of which is escaped where it is written."""

_LAYOUT = re.compile("([\t\n])")


def printable_lines(text: str) -> str:
    """`text` with what a terminal would obey or not show written as its number, but for its line ends and tabs."""
    return "".join(part if part in {"\t", "\n"} else _printable(part) for part in _LAYOUT.split(text))


def _printable(text: str) -> str:
    """The same without exception; what stands for a byte that is not UTF-8 is written as its number, too."""
    return printable(text).encode("utf-8", "backslashreplace").decode()


class PdpError(Exception):
    """A failure with a name. Inside a decision it is a refusal; on the command line it is one line and an exit code."""

    exit_code = 2
    public = "the request was refused"

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = printable_lines(detail) if code in LAID_OUT else _printable(detail)
        super().__init__(f"{code}: {self.detail}")


class ConfigError(PdpError):
    """The configuration is not usable."""


class PolicyError(PdpError):
    """The bundle is not usable."""


class StateError(PdpError):
    """The state folder is not usable."""


class AuditError(PdpError):
    """The log cannot take a record now."""

    exit_code = 3
    public = "the decision cannot be recorded"
