"""`pdp serve`: run the decision point."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import click

from pdp.cli.options import config_option, configured, policies_option, settings_option, state_option
from pdp.hosting.envoy_process import installed
from pdp.process import in_turn, run_loop
from pdp.server import serve as run
from pdp.supervisor import MOST_WORKERS, default_workers, supervise


@click.command(short_help="Run the decision point until Ctrl-C.")
@config_option
@policies_option
@state_option
@settings_option
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    help="How many processes answer; the cores of this host, or 1 where a gRPC listener is a Unix socket.",
)
@click.option(
    "--listener",
    type=click.Choice(["grpcio", "envoy"]),
    default="grpcio",
    show_default=True,
    help="What speaks the wire: grpcio, or an Envoy that each worker stands in (the extra `envoy`).",
)
@click.option(
    "--own-cores",
    is_flag=True,
    help="Nothing else keeps the cores of the workers busy: their threads need not interrupt each other.",
)
@click.option("--dev", is_flag=True, help="For development: a file that vanishes from the policy counts at once.")
@click.option("--quiet", is_flag=True, help="Print warnings and errors only.")
def serve(
    config_path: Path | None,
    policies: Path | None,
    state: Path | None,
    settings: str | None,
    workers: int | None,
    listener: str,
    *,
    own_cores: bool,
    dev: bool,
    quiet: bool,
) -> None:
    """Run the decision point until Ctrl-C.

    Answers gateways: ext_authz and the native API over gRPC, AuthZEN and forward-auth over HTTP. Health and metrics
    stand beside.

    Refuses to start without a policy, a usable state folder and a log that can be written. Where the policy is refused
    and an earlier run left a good one, that one decides, and /readyz says so.

    SIGHUP looks at the policy now. SIGUSR2 replaces several workers one by one, and no call waits for it.
    """
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every look at an issuer's keys
    config = configured(config_path)
    config = replace(
        config,
        policies=policies or config.policies,
        state=state or config.state,
        settings=settings or config.settings,
    )
    count = default_workers(config) if workers is None else workers
    envoy = installed() if listener == "envoy" else None
    if isinstance(envoy, str):
        logging.getLogger(__name__).warning("%s: grpcio answers instead of Envoy", envoy)
        envoy = None
    if own_cores:
        in_turn()
    if count == 1 and envoy is None:
        run_loop(run(config, development=dev))
    else:
        asyncio.run(supervise(config, count, development=dev, quiet=quiet, envoy=envoy))
