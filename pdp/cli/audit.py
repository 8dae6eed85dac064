"""`pdp audit`: read and check the decision log."""

from __future__ import annotations

import click

from pdp.cli.audit_show import show
from pdp.cli.audit_verify import verify


@click.group(short_help="Check the decision log, and explain it.")
def audit() -> None:
    """Check the decision log, and explain what is in it."""


audit.add_command(verify)
audit.add_command(show)
