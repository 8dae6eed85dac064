"""Options and arguments that several verbs share, how they find the configuration and show a path."""

from __future__ import annotations

from pathlib import Path

import click

from pdp.config import Config, load_config
from pdp.errors import PdpError

CONFIG_NAME = Path("pdp.toml")

AS_FOLDER = "as FOLDER"
"""How a verb takes the policy folder that has it as its argument."""

path_type = click.Path(path_type=Path)

config_option = click.option(
    "--config", "config_path", type=path_type, default=None, help="The configuration (pdp.toml)."
)
policies_option = click.option(
    "--policies", type=path_type, default=None, help="The policy folder, in place of the configuration's."
)


def complete_settings(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The environments of the policy that the command line names so far, for a shell to complete."""
    try:
        named = ctx.params.get("folder") or ctx.params.get("policies")
        folder = named or configured(ctx.params.get("config_path")).policies or Path()
        found = sorted(path.stem for path in (folder / "settings").glob("*.toml"))
    except (PdpError, OSError):
        return []
    return [name for name in found if name.startswith(incomplete)]


settings_option = click.option(
    "--settings",
    metavar="NAME",
    default=None,
    shell_complete=complete_settings,
    help="The environment: binds the settings of settings/NAME.toml.",
)
state_option = click.option(
    "--state", type=path_type, default=None, help="The state folder, in place of the configuration's (.pdp)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")


def configured(path: Path | None) -> Config:
    """The configuration named, or `pdp.toml` where there is one, or the defaults."""
    if path is None and not CONFIG_NAME.exists():
        return Config.default()
    return load_config(path or CONFIG_NAME)


def shown_path(path: Path) -> str:
    """A path as a terminal may print it."""
    return str(path) if str(path).isprintable() else ascii(str(path))
