"""`python -m pdp.demo`: run the service behind a real Envoy, and print lines to try.

In: a state folder, the path of Envoy (or `none`), ports. Out: a running demo until Ctrl-C (SIGINT, SIGTERM or SIGHUP),
then exit code 0; 2 with a line each for what has to be mended first (a port in use, no policy folder, no such binary);
1 when a part did not start or ended by itself, with the end of its log.

(0) ports are free          (1) keys, key set, configuration, tokens    (2) the staff's issuer, the upstream
(3) the service, until /readyz says 200 and gRPC accepts                (4) Envoy, its configuration validated first
(5) the lines; parts watched; tokens minted anew every minute, and whenever the staff's issuer changes its keys
(6) ended in the opposite order of their start

Without Envoy the service runs alone and the lines use `pdp decide`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from msgspec.structs import asdict, replace

from pdp.demo import cast
from pdp.demo.children import (
    Child,
    DemoError,
    StoppedError,
    StopSignals,
    accepts,
    answers_ok,
    await_ready,
    running,
)
from pdp.demo.files import Stage, write_private
from pdp.demo.issuer import Issuer
from pdp.demo.lines import Line, Setting, parts
from pdp.demo.ports import LOOPBACK, Ports, claim
from pdp.demo.prepare import (
    ROTATE_S,
    Plan,
    check_inputs,
    write_customers_tokens,
    write_files,
    write_staff_tokens,
)
from pdp.demo.rotating import StaffIssuer
from pdp.demo.service_token import KEYS_PATH, ServiceSide, published_keys
from pdp.demo.upstream import running_upstream
from pdp.demo.web import serving
from pdp.errors import PdpError

READY_LIMIT_S = 30.0
SERVICE_GRACE_S = 10.0
ENVOY_GRACE_S = 5.0
WATCH_S = 0.5
NO_ENVOY = "none"
USUAL = Ports()
PORT = click.IntRange(0, 65_535)


def say(text: str) -> None:
    """One line on standard output, at once; colour only on a terminal that wants it."""
    click.echo(text, color=False if "NO_COLOR" in os.environ else None)
    sys.stdout.flush()


@click.command()
@click.option("--state", type=click.Path(path_type=Path), default=Path("build/demo"), show_default=True)
@click.option("--policies", type=click.Path(path_type=Path), default=Path("policies/shop"), show_default=True)
@click.option("--envoy", "envoy_path", required=True, help="The Envoy binary, or `none`.")
@click.option("--gateway-port", type=PORT, default=USUAL.gateway, show_default=True, help="0 takes any free port.")
@click.option("--grpc-port", type=PORT, default=USUAL.grpc, show_default=True)
@click.option("--http-port", type=PORT, default=USUAL.http, show_default=True)
@click.option("--upstream-port", type=PORT, default=USUAL.upstream, show_default=True)
@click.option("--issuer-port", type=PORT, default=USUAL.issuer, show_default=True)
@click.option(
    "--rotate-every",
    type=click.IntRange(8, 120),
    default=ROTATE_S,
    show_default=True,
    metavar="SECONDS",
    help="How often the staff's issuer changes its keys.",
)
def main(
    *,
    state: Path,
    policies: Path,
    envoy_path: str,
    gateway_port: int,
    grpc_port: int,
    http_port: int,
    upstream_port: int,
    issuer_port: int,
    rotate_every: int,
) -> None:
    """Run the service behind a real Envoy until Ctrl-C, with lines to try."""
    wanted = Ports(gateway_port, grpc_port, http_port, upstream_port, issuer_port)
    binary = None if envoy_path == NO_ENVOY else Path(envoy_path)
    with StopSignals() as stop:
        try:
            run(Plan(Stage(state), policies, binary, wanted, rotate_every), stop)
        except StoppedError:
            say("ended")
        except PdpError as error:
            said = error.said if isinstance(error, DemoError) else ()
            for line in (*error.detail.splitlines(), *(f"  | {each}" for each in said)):
                click.echo(f"demo: {line}", err=True)
            sys.exit(error.exit_code)


def run(plan: Plan, stop: StopSignals) -> None:
    """Run the whole demo until `stop`. Errors: PdpError for whatever keeps it from running."""
    check_inputs(plan)
    if plan.envoy is None:
        plan = replace(plan, ports=replace(plan.ports, gateway=0, upstream=0))
        say("no Envoy for this platform: the service runs alone, the lines below ask `pdp decide`")
    plan = replace(plan, ports=claim(plan.ports))
    stage = plan.stage
    staff = StaffIssuer(plan.ports.issuer, plan.rotate_s, time.monotonic)
    customers = write_files(plan, staff.ring, int(time.time()))
    with ExitStack() as stack:
        stack.callback(stage.ports.unlink, missing_ok=True)
        stack.enter_context(serving("the staff's issuer", plan.ports.issuer, staff.answer))
        children = [_start_service(plan, stack, stop)]
        if plan.envoy is not None:
            children.append(_start_gateway(plan, plan.envoy, stack, stop))
        write_private(stage.ports, json.dumps(asdict(plan.ports)).encode() + b"\n")
        _announce(plan)
        watch(children, stage, customers, staff, stop)
    say("ended")


def watch(children: Sequence[Child], stage: Stage, customers: Issuer, staff: StaffIssuer, stop: StopSignals) -> None:
    """Mint tokens anew, and change the staff's keys, until `stop`.

    Errors: DemoError D130 as soon as a child ends by itself, D133 when the tokens cannot be written.
    """
    next_mint = time.monotonic() + cast.REMINT_S
    while not stop.wait(WATCH_S):
        for child in children:
            if child.has_ended():
                raise child.failure("ended by itself")
        try:
            if staff.turn():
                write_staff_tokens(stage, staff.ring, int(time.time()))
            if time.monotonic() >= next_mint:
                next_mint += cast.REMINT_S
                write_customers_tokens(stage, customers, int(time.time()))
        except OSError as error:
            raise DemoError("D133", f"cannot write the tokens under {stage.tokens}: {error.strerror}") from error


def _start_service(plan: Plan, stack: ExitStack, stop: StopSignals) -> Child:
    stage, ports = plan.stage, plan.ports
    if plan.envoy is not None:
        keys_url = f"http://{LOOPBACK}:{ports.http}{KEYS_PATH}"
        services = ServiceSide(cast.SERVICES, cast.MINTER, keys_url, published_keys(ports.http), time.time)
        stack.enter_context(running_upstream(ports.upstream, services.told))
    say(f"starting the service (its log: {stage.state / 'pdp.log'})")
    command = [sys.executable, "-m", "pdp", "serve", "--config", str(stage.config)]
    child = stack.enter_context(running("the service", command, stage.state / "pdp.log", SERVICE_GRACE_S, say))
    await_ready(child, lambda: answers_ok(ports.http, "/readyz") and accepts(ports.grpc), READY_LIMIT_S, stop)
    return child


def _start_gateway(plan: Plan, binary: Path, stack: ExitStack, stop: StopSignals) -> Child:
    stage = plan.stage
    log = stage.state / "envoy.log"
    say(f"starting Envoy (its log: {log})")
    command = [str(binary), "-c", str(stage.envoy_config), "--log-level", "warning", "--concurrency", "1"]
    checked = subprocess.run(  # noqa: S603 - the binary that make installed
        [*command, "--mode", "validate"], capture_output=True, text=True, errors="replace", check=False
    )
    if checked.returncode != 0:
        raise DemoError("D132", f"Envoy refuses {stage.envoy_config}:", checked.stderr.splitlines()[-3:])
    # The access log is written out each second, not each ten: who tries a line looks at once.
    command += ["--disable-hot-restart", "--file-flush-interval-msec", "1000"]
    child = stack.enter_context(running("Envoy", command, log, ENVOY_GRACE_S, say))
    await_ready(child, lambda: accepts(plan.ports.gateway), READY_LIMIT_S, stop)
    return child


def _announce(plan: Plan) -> None:
    ports, stage = plan.ports, plan.stage
    setting = Setting(stage, ports, _shortest(Path(sys.executable).with_name("pdp")))
    say("")
    if plan.envoy is not None:
        say(f"gateway     http://{LOOPBACK}:{ports.gateway}  ({', '.join(sorted(cast.SERVICES.values()))})")
    say(f"ext_authz   {LOOPBACK}:{ports.grpc}  (gRPC)")
    say(f"service     http://{LOOPBACK}:{ports.http}  /healthz /readyz /metrics")
    say(f"            http://{LOOPBACK}:{ports.http}{KEYS_PATH}  (the keys of the tokens that services get)")
    say(f"issuer      http://{LOOPBACK}:{ports.issuer}  (the staff's; its keys change every {plan.rotate_s} s)")
    say(f"tokens      {stage.tokens}  (minted anew every minute)")
    say("\nTry these in another terminal, in this folder, in their order:")
    for part in parts(setting, gateway=plan.envoy is not None):
        say("\n" + click.style(f"## {part.title}", bold=True) + "\n")
        for line in part.lines:
            _show(line)
    say("Ctrl-C ends everything.")


def _show(line: Line) -> None:
    """The comment above each command may be copied with it: a shell takes it as one."""
    say(click.style(f"# {line.title}: {line.expect}", fg="cyan"))
    say(line.command + "\n")


def _shortest(path: Path) -> Path:
    """`path` as one would type it in this folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
