"""The command line: one verb, one file; this one finds them and turns failures into one line and an exit code.

Exit codes: 0 yes (allow), 1 no (deny, step-up, findings), 2 bad input, 3 our fault; `audit verify` has its own.

Decision: 2026-11-21. A verb's module is imported when the verb is used: `pdp admin status` need not wait for the
parser, nor `pdp check` for a gRPC server.
"""

from __future__ import annotations

import importlib
import keyword
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from pdp import __version__
from pdp.errors import PdpError, printable_lines
from policy_lang.diagnostics import nearest, printable

VERBS = {
    "serve": "pdp.cli.serve",
    "check": "pdp.cli.check",
    "test": "pdp.cli.test",
    "fmt": "pdp.cli.fmt",
    "decide": "pdp.cli.decide",
    "new": "pdp.cli.new",
    "import": "pdp.cli.import_",
    "casbin": "pdp.cli.casbin",
    "audit": "pdp.cli.audit",
    "admin": "pdp.cli.admin",
}
"""Each verb and the module that has a command of its name, with a `_` behind it where that is a word of Python."""


class Verbs(click.Group):
    """The verbs of `VERBS`, in that order."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a verb; None where there is none of that name."""
        if cmd_name not in VERBS:
            return None
        attribute = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command = vars(importlib.import_module(VERBS[cmd_name]))[attribute]
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words begin with. Errors: UsageError, with the verb that may be meant."""
        name = args[0]
        if name not in VERBS and not name.startswith("-") and not ctx.resilient_parsing:
            hint = nearest(name, VERBS) or f"there are {', '.join(VERBS)}"
            ctx.fail(f"no such command `{printable(name)}`; {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pdp", message="%(prog)s %(version)s")
def cli() -> None:
    """Portcullis, a policy decision point: decides API calls by typed policy and can prove what it did.

    Completion for your shell:  eval "$(_PDP_COMPLETE=bash_source pdp)"  (or zsh_source, fish_source).
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (of this process, without `arguments`) and end by SystemExit with its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="pdp", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        _escaped(error).show()
        sys.exit(2)
    except PdpError as error:
        click.echo(printable_lines(f"error: {error.detail} ({error.code})"), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        logging.getLogger(__name__).debug("unforeseen", exc_info=error)
        click.echo(printable_lines(f"error: this is a fault in pdp: {type(error).__name__}: {error}"), err=True)
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)


def _escaped(error: click.ClickException) -> click.ClickException:
    """The same mistake, fit for a terminal: it may hold a path, and a path holds whatever its owner likes."""
    said = printable(error.format_message())
    return click.UsageError(said, error.ctx) if isinstance(error, click.UsageError) else click.ClickException(said)
