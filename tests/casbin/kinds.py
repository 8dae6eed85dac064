"""The catalogue: every kind of model that Casbin's documentation lists, and the traps beside them, each once."""

from __future__ import annotations

from tests.casbin.kind import Kind
from tests.casbin.kinds_attributes import ATTRIBUTES
from tests.casbin.kinds_effects import EFFECTS
from tests.casbin.kinds_matchers import MATCHERS
from tests.casbin.kinds_names import NAMES
from tests.casbin.kinds_paths import PATHS

KINDS: tuple[Kind, ...] = (*NAMES, *PATHS, *ATTRIBUTES, *EFFECTS, *MATCHERS)
