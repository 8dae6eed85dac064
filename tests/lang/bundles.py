"""Small bundles taken to their inventory and their names, without the phases that come after."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from policy_lang.declared.entries import Inventory, ModuleEntry, Names
from policy_lang.declared.inventory import take_inventory
from policy_lang.declared.names import bind_names
from policy_lang.declared.settings import NO_SETTINGS, Settings, read_settings
from policy_lang.diagnostics import Diagnostic, ordered, render
from policy_lang.source import Source
from policy_lang.syntax.parser import parse

SERVICE = 'service s { audience "s" host "s.example" endpoint one GET /one/{name} endpoint two POST /two }\n'
KIND = 'token user { issuer "https://id.example" claim sub: string claim groups: set of string }\n'


class Bundle(Struct, frozen=True):
    """A bundle with its names bound, and the mistakes in order."""

    inventory: Inventory
    names: Mapping[str, Names]
    found: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]

    def module(self, name: str) -> ModuleEntry:
        return next(each for each in self.inventory.modules if each.name == name)

    @property
    def codes(self) -> list[str]:
        return [f"{each.span.source}:{each.code}" for each in self.found]

    @property
    def messages(self) -> list[str]:
        return [f"{each.code}: {each.message}" for each in self.found]

    @property
    def rendered(self) -> str:
        return render(self.found, self.sources)


def bundle(files: Mapping[str, str], environment: str | None = None) -> Bundle:
    """The bundle of some files; those of `settings/` are read where an environment is named."""
    encoded = {name: text.encode() for name, text in files.items()}
    parsed = [parse(name, data) for name, data in encoded.items() if name.endswith(".pol")]
    settings = read_settings(encoded, environment)
    found = [diagnostic for each in parsed for diagnostic in each.diagnostics]
    if not isinstance(settings, Settings):
        found += settings
        settings = NO_SETTINGS
    modules = [each.module for each in parsed if each.module is not None]
    unread = frozenset(each.source.name for each in parsed if each.diagnostics)
    inventory = take_inventory(modules, settings, found, unread)
    names = bind_names(inventory, found)
    return Bundle(inventory, names, ordered(found), {each.source.name: each.source for each in parsed})


def module(text: str) -> Bundle:
    """The bundle of one module `m`."""
    return bundle({"m.pol": f"module m {text}"})
