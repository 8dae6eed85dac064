"""`pdp new`: a folder with a first policy, its tests, its facts and a CI file; one around a Casbin model; or one with
the configuration of a gateway.

Decision (2026-11-21): with `--from-casbin` the model is taken in strict where it compiles so, else in compat, and the
folder's policy says which; what then warns stands on standard error, as `pdp check` will say it.
Decision (2026-11-21): such a folder is held to its own check and tests before it is written. A model that asks for what
no input of a call can be is refused with what `pdp check` would say, and not written for somebody to mend.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path

import click

from pdp.authoring.casbin_folder import CasbinTexts, casbin_files
from pdp.authoring.casbin_rows_text import rows_text
from pdp.authoring.scaffold import bundle_files, service_name
from pdp.cli.casbin_input import Taken, Wishes, completed_files, matching_options, program_of, taken
from pdp.cli.new_folder import hold, write_folder
from pdp.cli.new_gateway import GatewayWishes, gateway_options, write_gateway
from pdp.cli.options import path_type
from policy_lang.casbin.row_reading import values_taken
from policy_lang.ir.tables import FunctionName


@click.command(short_help="Write a first policy into an empty folder.")
@click.argument("folder", type=path_type)
@click.option("--service", default=None, metavar="NAME", help="The name of its service, in place of the folder's.")
@click.option(
    "--from-casbin",
    "casbin",
    nargs=2,
    metavar="MODEL POLICY",
    shell_complete=completed_files,
    help="Write a policy around a Casbin model; POLICY as for `pdp casbin`.",
)
@matching_options
@gateway_options
def new(
    folder: Path,
    service: str | None,
    casbin: tuple[str, str] | None,
    gateway: GatewayWishes | None,
    matching: Mapping[str, FunctionName],
    domain_matching: Mapping[str, FunctionName],
    zone: str | None,
) -> None:
    """Write a first policy into FOLDER, which must be empty or not exist.

    It checks and its tests pass; its README says where to begin. With --from-casbin the model and its rows are copied,
    and the tests expect what they answer. With --gateway the folder holds the configuration of that gateway instead,
    for the services of a policy that is there.
    """
    if gateway is not None:
        if service is not None or casbin is not None:
            raise click.UsageError("--gateway goes with no --service and no --from-casbin: the policy is there")
        write_gateway(folder, gateway)
        return
    name = service_name(service, folder.resolve().name)
    if casbin is None:
        if matching or domain_matching or zone is not None:
            raise click.UsageError("--match, --match-domain and --zone go with --from-casbin")
        write_folder(folder, bundle_files(name))
    else:
        model, policy = casbin
        found = _taken(Path(model), policy, Wishes("strict", matching, domain_matching, zone))
        table = program_of(found, compat_tried=True)
        options = found.options
        texts = CasbinTexts(
            found.source.text,
            found.policy if isinstance(found.policy, str) else rows_text(found.policy, values_taken(found.model)),
            options.mode,
            options.matching,
            options.domain_matching,
            options.zone,
        )
        files = casbin_files(name, table, texts, time.time_ns() // 1_000_000)
        hold(files)
        write_folder(folder, files)
    click.echo(f"{folder}: a policy for the service `{name}`")
    named = shlex.quote(str(folder))
    click.echo(f"next: pdp check {named}, pdp test {named}, then read {shlex.quote(str(folder / 'README.md'))}")


def _taken(model: Path, policy: str, wishes: Wishes) -> Taken:
    """The model in strict, or in compat where only that takes it."""
    strict = taken(model, policy, wishes)
    if strict.table is not None:
        return strict
    compat = taken(model, policy, Wishes("compat", wishes.matching, wishes.domain_matching, wishes.zone))
    if compat.table is None:
        return strict
    click.echo("strict refuses the model: it is taken in compat, which answers as Casbin does", err=True)
    return compat
