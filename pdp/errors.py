"""What the service raises on purpose, and nothing else.

PdpError
├── ConfigError      pdp.toml, its files, or the command line: the operator's to mend
├── PolicyError      a bundle that was not accepted
├── AuditError       the log cannot take a record
└── StateError       the state folder is somebody else's, locked, or not usable

Each has `code` (stable), `public` (safe to send to a caller) and `detail` (for the log and the operator: names the
thing, the place and the remedy). Exit code 2 stands for bad input, 3 for our fault.
"""

from __future__ import annotations


class PdpError(Exception):
    """A failure with a name. Inside a decision it is a refusal; on the command line it is one line and an exit code."""

    exit_code = 2
    public = "the request was refused"

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


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
