"""`pdp audit`: read and check the decision log, and ask it."""

from __future__ import annotations

import click

from pdp.cli.audit_log import log
from pdp.cli.audit_mirror import mirror
from pdp.cli.audit_receipt import receipt
from pdp.cli.audit_replay import replay
from pdp.cli.audit_show import show
from pdp.cli.audit_verify import verify


@click.group(short_help="Check the decision log, and ask it.")
def audit() -> None:
    """Check the decision log, and ask what is in it."""


for command in (log, show, verify, receipt, replay, mirror):
    audit.add_command(command)
