"""`pdp new --gateway`: a folder with the configuration of a gateway, for the services of a policy.

In: the name of a gateway, a policy and addresses. Out: files in a new folder, and a few lines on how it is started and
what is left to do.

Decision: 2026-11-21. What is not said is what a first try on one host has: the gateway on port 8080, the service where
`pdp.toml` listens for it by name and protocol, else on 9191 (gRPC) or 8182 (HTTP), the upstream on 8282. In a cluster
it is names: `portcullis.portcullis.svc.cluster.local`, and the service's own in `default`.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from msgspec import Struct

from pdp.authoring.model import AuthoringError
from pdp.cli.new_folder import write_folder
from pdp.cli.options import configured, path_type, shown_path
from pdp.gateway_files.files import IN_A_CLUSTER, KINDS, OVER_GRPC, Kind, gateway_files
from pdp.gateway_files.setting import Tcp, Way, setting_of, tcp_of, way_of
from pdp.runtime.bundle import read_folder
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.ir import Action, Program

NAME = "edge"
LISTEN = "127.0.0.1:8080"
UPSTREAM = "127.0.0.1:8282"
IN_CLUSTER = "portcullis.portcullis.svc.cluster.local:9191"

_FOLDER = re.compile(r"/[A-Za-z0-9._+/-]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Asked = ParamSpec("Asked")
Given = TypeVar("Given")


class GatewayWishes(Struct, frozen=True):
    """What the options say; None is what they do not."""

    kind: Kind
    name: str
    policies: Path | None
    settings: str | None
    listen: str
    pdp: str | None
    upstreams: tuple[str, ...]
    origins: tuple[str, ...]


_OPTIONS = (
    click.option(
        "--gateway", "gateway_kind", type=click.Choice(KINDS), help="Write the configuration of this gateway instead."
    ),
    click.option("--name", "gateway_name", metavar="NAME", help=f"What pdp.toml calls the gateway ({NAME})."),
    click.option("--policies", type=path_type, help="The policy whose services it serves, in place of pdp.toml's."),
    click.option("--settings", metavar="NAME", help="The environment of that policy."),
    click.option("--listen", metavar="HOST:PORT", help=f"Where the gateway takes calls ({LISTEN})."),
    click.option(
        "--pdp", "pdp_address", metavar="ADDRESS", help="Where it asks: HOST:PORT (TLS beyond this host) or unix:/PATH."
    ),
    click.option(
        "--upstream",
        "upstreams",
        metavar="[SERVICE=]HOST:PORT",
        multiple=True,
        help=f"What stands behind it, or behind one service ({UPSTREAM}); may be repeated.",
    ),
    click.option(
        "--origin", "origins", metavar="ORIGIN", multiple=True, help="A web origin whose preflights Envoy answers."
    ),
)


def gateway_options(command: Callable[..., Given]) -> Callable[..., Given]:
    """Adds the options; `command` gets them as `gateway`, None without `--gateway`."""

    @functools.wraps(command)
    def gathered(
        gateway_kind: Kind | None,
        gateway_name: str | None,
        policies: Path | None,
        settings: str | None,
        listen: str | None,
        pdp_address: str | None,
        upstreams: tuple[str, ...],
        origins: tuple[str, ...],
        **others: object,
    ) -> Given:
        said = (gateway_name, policies, settings, listen, pdp_address, *upstreams, *origins)
        if gateway_kind is None and any(each is not None for each in said):
            named = "--name, --policies, --settings, --listen, --pdp, --upstream and --origin"
            raise click.UsageError(f"{named} go with --gateway")
        wishes = None
        if gateway_kind is not None:
            name = gateway_name or NAME
            wishes = GatewayWishes(
                gateway_kind, name, policies, settings, listen or LISTEN, pdp_address, upstreams, origins
            )
        return command(gateway=wishes, **others)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def write_gateway(folder: Path, wishes: GatewayWishes) -> None:
    """Write the files, and say what comes next.

    Errors: AuthoringError I301 to I316; those of `pdp.toml` and of reading a policy.
    """
    place = folder.resolve()
    if not _FOLDER.fullmatch(str(place)):
        why = "a gateway's configuration names it: choose a path of letters, digits and ._+-/"
        raise AuthoringError("I314", f"{shown_path(place)}: {why}")
    if not _NAME.fullmatch(wishes.name):
        raise AuthoringError("I314", f"--name: `{wishes.name}` is no name: write letters, digits and ._-")
    program = _program(wishes)
    setting = setting_of(
        program,
        wishes.name,
        tcp_of(wishes.listen, "--listen"),
        _way(wishes),
        _upstreams(wishes, program),
        wishes.origins,
    )
    made = gateway_files(wishes.kind, setting, str(place))
    write_folder(folder, made.files)
    named = ", ".join(each.service for each in setting.behind if each.service not in made.left_out)
    click.echo(f"{shown_path(folder)}: {wishes.kind} in front of {named}: {', '.join(sorted(made.files))}")
    if made.left_out:
        click.echo(f"left to Envoy, since they speak gRPC: {', '.join(made.left_out)}")
    click.echo(f"start it: cd {shlex.quote(str(folder))} && {made.start}")
    for each in made.left:
        click.echo(f"left to do: {each}")


def _program(wishes: GatewayWishes) -> Program:
    folder = wishes.policies or configured(None).policies or Path()
    bundle = read_folder(folder, wishes.settings)
    try:
        return compile_policy(bundle.files, wishes.settings).program
    except CompileError as error:
        count = len(error.diagnostics)
        why = f"it has {count} mistake{'s' if count > 1 else ''}, which `pdp check` shows"
        raise AuthoringError("I316", f"{shown_path(folder)}: {why}") from error


def _way(wishes: GatewayWishes) -> Way:
    if wishes.pdp is not None:
        return way_of(wishes.pdp, "--pdp")
    if wishes.kind in IN_A_CLUSTER:
        return way_of(IN_CLUSTER, "--pdp")
    protocol = "grpc" if wishes.kind in OVER_GRPC else "http"
    for each in configured(None).listeners:
        if each.gateway == wishes.name and each.protocol == protocol:
            return way_of(each.address, "pdp.toml")
    return Tcp("127.0.0.1", 9191 if protocol == "grpc" else 8182)


def _upstreams(wishes: GatewayWishes, program: Program) -> Mapping[str | None, Tcp]:
    if wishes.upstreams:
        split = [each.rpartition("=") for each in wishes.upstreams]
        return {name if sign else None: tcp_of(address, "--upstream") for name, sign, address in split}
    if wishes.kind in IN_A_CLUSTER:
        hosted = {each.id for each in program.services if each.hosts}
        over_http = {each.service for each in program.endpoints if not isinstance(each.route, Action)}
        return {
            name: Tcp(f"{name.replace('_', '-')}.default.svc.cluster.local", 80) for name in sorted(hosted & over_http)
        }
    return {None: tcp_of(UPSTREAM, "--upstream")}
