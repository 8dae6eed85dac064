"""Mistakes in declarations, names and settings (E113, E121, E2xx, E410, E412, E506): what does not exist, what exists
twice, what cannot be declared, and who may not grant.
"""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic

_OF_MAPPED = "behind `:` the prefix is one of 128 bits: IPv4 alone is written as `{dotted}`, without what is before it"


class NoPolicy(Diagnostic, frozen=True, kw_only=True):
    code = "E113"
    title = "no policy file"
    help = "a policy is at least one file whose name ends in `.pol`"


class HostBits(Diagnostic, frozen=True, kw_only=True):
    code = "E121"
    title = "`{text}` has host bits set"
    help = "the bits behind the prefix are zero, as in `10.0.0.0/8`; write a single address without `/`"

    text: str

    @property
    def helps(self) -> tuple[str, ...]:
        before, _, dotted = self.text.rpartition(":")
        remedy = _OF_MAPPED.format(dotted=dotted) if before and "." in dotted else self._filled(self.help)
        return tuple(text for text in (remedy, self.hint) if text)


class UnknownName(Diagnostic, frozen=True, kw_only=True):
    code = "E200"
    title = "unknown {what} `{name}`"
    label = "{where}"

    what: str
    name: str
    where: str = "neither declared in this module nor imported"


class UnknownService(Diagnostic, frozen=True, kw_only=True):
    code = "E201"
    title = "unknown service `{name}`"
    label = "{where}"

    name: str
    where: str = "neither declared in this module nor imported"


class UnknownEndpoint(Diagnostic, frozen=True, kw_only=True):
    code = "E202"
    title = "service `{service}` has no endpoint `{name}`"

    service: str
    name: str


class UnknownAttribute(Diagnostic, frozen=True, kw_only=True):
    code = "E203"
    title = "unknown attribute `{name}`: {why}"

    name: str
    why: str


class UnknownType(Diagnostic, frozen=True, kw_only=True):
    code = "E204"
    title = "unknown type `{word}`"
    label = "{where}"
    help = "the types are bool, int, string, uuid, time, duration, ip, workload, an enum, and set of one of these"

    word: str
    where: str = ""


class DuplicateName(Diagnostic, frozen=True, kw_only=True):
    code = "E205"
    title = "`{name}` is declared twice"
    help = "rename one of them"

    name: str


class ShadowedName(Diagnostic, frozen=True, kw_only=True):
    """A name that the language itself has given a meaning: a root, or an implicit claim."""

    code = "E205"
    title = "`{name}` has a meaning of its own: {meaning}"
    help = "choose another name"

    name: str
    meaning: str


class DuplicateModule(Diagnostic, frozen=True, kw_only=True):
    code = "E206"
    title = "module `{name}` stands in two files"
    help = "a module is one file; give this one a name of its own"

    name: str


class DuplicateIssuer(Diagnostic, frozen=True, kw_only=True):
    code = "E207"
    title = "two token kinds for the issuer `{issuer}`"
    help = "one issuer has one kind, so that a token is of one kind: make one of the two"

    issuer: str


class DuplicateSubjectType(Diagnostic, frozen=True, kw_only=True):
    code = "E208"
    title = "two subject kinds for the type `{type}`"
    help = "one type has one kind, so that a subject is of one kind: make one of the two"

    type: str


class UnknownLabel(Diagnostic, frozen=True, kw_only=True):
    code = "E210"
    title = "unknown label `{name}`"
    label = "{where}"
    help = "declare it in this module, `label {name}`, or import it from the module that does"

    name: str
    where: str = "neither declared in this module nor imported"


class BadHost(Diagnostic, frozen=True, kw_only=True):
    code = "E211"
    title = "`{host}` is not a canonical host name"
    help = "a host is lower case, without port and final dot: labels of a-z, 0-9 and -, or an address"

    host: str


class BadPattern(Diagnostic, frozen=True, kw_only=True):
    code = "E212"
    title = "not a path pattern: {why}"

    why: str


class BadText(Diagnostic, frozen=True, kw_only=True):
    code = "E213"
    title = "`{value}` is no {what}: {why}"

    what: str
    value: str
    why: str


class EmptyNetwork(Diagnostic, frozen=True, kw_only=True):
    code = "E214"
    title = "no address is in the network `{name}`"
    help = "what stands after `except` takes all of it away"

    name: str


class BadTag(Diagnostic, frozen=True, kw_only=True):
    code = "E215"
    title = "the tag `{name}` cannot be `{value}`: {why}"
    help = "a name is a value of the enum that is called like the tag, in this module or imported; write text in quotes"

    name: str
    value: str
    why: str


class UnknownProvider(Diagnostic, frozen=True, kw_only=True):
    code = "E216"
    title = "no signal comes from `{provider}`"
    help = "write `context.NAME` for what the gateway sends, or `seen.per_minute`, `seen.distinct` or `seen.run`"

    provider: str


class BadSignal(Diagnostic, frozen=True, kw_only=True):
    code = "E217"
    title = "the signal `{name}` cannot be read: {why}"

    name: str
    why: str


class BadHeader(Diagnostic, frozen=True, kw_only=True):
    code = "E218"
    title = "`{header}` cannot be declared as a header: {why}"

    header: str
    why: str


class UnknownModule(Diagnostic, frozen=True, kw_only=True):
    code = "E220"
    title = "unknown module `{name}`"
    label = "no file of this bundle says `module {name}`"

    name: str


class MissingExport(Diagnostic, frozen=True, kw_only=True):
    code = "E220"
    title = "module `{module}` has no `{name}` to import"
    label = "{why}"

    module: str
    name: str
    why: str


class ImportCycle(Diagnostic, frozen=True, kw_only=True):
    code = "E220"
    title = "the module `{name}` imports itself: {way}"
    help = "move what both need to a module of its own"

    name: str
    way: str


class RolesTwice(Diagnostic, frozen=True, kw_only=True):
    code = "E221"
    title = "the roles of `{kind}` are declared twice"
    help = "a kind has one `roles for`, so that its roles have one source and one hierarchy"

    kind: str


class BadRoleSource(Diagnostic, frozen=True, kw_only=True):
    code = "E222"
    title = "the roles of `{kind}` cannot come from `{source}`: {why}"
    help = "write `from {form}.NAME`, a string, an enum or a set of one of them; or `from none`, if relations give them"

    kind: str
    source: str
    form: str
    why: str


class NothingGives(Diagnostic, frozen=True, kw_only=True):
    code = "E223"
    title = "{what} means nothing: the roles of `{kind}` are `from none`"
    help = "{remedy}"

    what: str
    kind: str
    remedy: str


class MisplacedRole(Diagnostic, frozen=True, kw_only=True):
    code = "E224"
    title = "the type `role` cannot stand here: {why}"
    help = "a column of a relation and a parameter of a condition may be a role of this module, or an imported one"

    why: str


class WrongPart(Diagnostic, frozen=True, kw_only=True):
    code = "E225"
    title = "{form} endpoint has no `{part}`"
    help = "{remedy}"

    form: str
    part: str
    remedy: str


class UnknownEnvironment(Diagnostic, frozen=True, kw_only=True):
    code = "E226"
    title = "there are no settings for `{name}`"
    label = "no file `settings/{name}.toml`"
    help = "{known}"

    name: str
    known: str


class BadSettings(Diagnostic, frozen=True, kw_only=True):
    code = "E227"
    title = "`{file}` cannot be read: {why}"
    help = "settings are TOML: a line for each, such as `limit = 5` or `shop.limit = 5`"

    file: str
    why: str


class UnknownSetting(Diagnostic, frozen=True, kw_only=True):
    code = "E228"
    title = "`{file}` binds `{key}`: {why}"
    help = "a key is the name of a setting, or `module.setting`"

    file: str
    key: str
    why: str


class UnboundSetting(Diagnostic, frozen=True, kw_only=True):
    code = "E229"
    title = "the setting `{name}` has no value {where}"
    help = "{remedy}"

    name: str
    where: str
    remedy: str


class DeclarationCycle(Diagnostic, frozen=True, kw_only=True):
    code = "E230"
    title = "the {what} `{name}` needs itself: {way}"
    help = "{what}s may not go round; write one of them out"

    what: str
    name: str
    way: str


class BreaksExclusive(Diagnostic, frozen=True, kw_only=True):
    code = "E231"
    title = "`{left}` and `{right}` exclude each other, but {both}"
    help = "nobody could use it: take one of the two from it, or let them stand together"

    left: str
    right: str
    both: str


class TooMuch(Diagnostic, frozen=True, kw_only=True):
    code = "E232"
    title = "{what} are too many: {why}"
    help = "{remedy}"

    what: str
    why: str
    remedy: str


class SettingMisfit(Diagnostic, frozen=True, kw_only=True):
    code = "E233"
    title = "`{key}` in `{file}` is not {wanted}"
    help = "correct the value there, or the type here"

    file: str
    key: str
    wanted: str


class SameMethod(Diagnostic, frozen=True, kw_only=True):
    code = "E410"
    title = "`{one}` and `{other}` are both `{method}`"
    help = "a gRPC method is one endpoint"

    one: str
    other: str
    method: str


class SameAction(Diagnostic, frozen=True, kw_only=True):
    code = "E412"
    title = "`{one}` and `{other}` are both {action} on {resource}"
    help = "whoever asks names an action and a type of resource, so in a bundle they name one endpoint"

    one: str
    other: str
    action: str
    resource: str


class MayNotGrant(Diagnostic, frozen=True, kw_only=True):
    code = "E506"
    title = "module `{module}` may not grant on service `{service}`"
    label = "`{service}` is granted on by {owners}"
    help = "ask its owner to write `grants by {wider}`, or use deny or require, which are open to all"

    module: str
    service: str
    owners: str
    wider: str
