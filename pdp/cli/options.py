"""Options and arguments that several verbs share, and how they find the configuration."""

from __future__ import annotations

from pathlib import Path

import click

from pdp.config import Config, load_config
from pdp.errors import ConfigError

CONFIG_NAME = Path("pdp.toml")

path_type = click.Path(path_type=Path)

config_option = click.option(
    "--config", "config_path", type=path_type, default=None, help="The configuration (pdp.toml)."
)
policies_option = click.option(
    "--policies", type=path_type, default=None, help="The policy folder, in place of the configuration's."
)
settings_option = click.option(
    "--settings", metavar="NAME", default=None, help="The environment: binds the settings of settings/NAME.toml."
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


def policy_folder(config: Config, given: Path | None) -> Path:
    """The policy folder given, or the configuration's. Errors: ConfigError C301 where neither names one."""
    folder = given or config.policies
    if folder is None:
        raise ConfigError("C301", "no policy folder: name one with --policies DIR, or as `policies` in pdp.toml")
    return folder
