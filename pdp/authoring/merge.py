"""An import into policy text: a new file, or an edited one brought up to date.

The text there is (or none) and an `Imported` go in; the new text and a report come out. The same input gives the same
text, and a second import of the same document changes nothing.

(0) the service that is meant, declared at the end where the file has none of that name;
(1) every operation finds its endpoint: by method and shape of the pattern, else by name;
(2) what the document says of an endpoint's captures and parameters is written where it differs;
(3) endpoints that the document no longer has get a comment, and stay; those whose operation was left out stay as well;
(4) operations without an endpoint become new ones, closed, at the end of the service.

INVARIANT: nothing else of the text changes: names, `closed`, scopes, labels, comments, rules and tests are the
author's. No endpoint that was not open opens: new ones are closed, and one that was found only by its name, whose route
therefore moves, is closed again, because rules may grant on that name.
Design: issue "Starting from what people have"; language.md 4.4.

Decision: 2026-11-21. The document owns the types and the presence of captures and parameters that it names; what
becomes wider by that is called so in the report. Parameters that it does not name are the author's.
Decision: 2026-11-21. A file that is in canonical layout stays so; any other keeps its own.
Decision: 2026-11-21. A new endpoint is closed also where an allow of the file covers it (`on SERVICE`). The policy then
does not compile (E505) until somebody has said whether that allow is meant for it: a document opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from pdp.authoring.matching import match_up
from pdp.authoring.model import AuthoringError, Finding, Imported, Operation, Parameter
from pdp.authoring.pol_text import Names, comment, declared_name, endpoint_text, service_text
from pdp.authoring.policy_text import EndpointText, PolicyText, ServiceText, read_policy
from pdp.authoring.updates import Edit, applied, mark_above, updates, wire_name
from policy_lang.layout.formatter import formatted
from policy_lang.mistakes.syntax import FileTooLarge
from policy_lang.syntax.grammar import Tree, read
from policy_lang.syntax.parser import MOST_BYTES

_LONGEST_SERVICE = 40


class Wishes(Struct, frozen=True):
    """What the person who imports asked for; None where he left it open."""

    service: str | None = None
    module: str | None = None
    audience: str | None = None


class Report(Struct, frozen=True):
    """Names of endpoints by what became of them, each with what there is to say."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    kept: tuple[str, ...]
    vanished: tuple[str, ...]
    findings: tuple[Finding, ...]


class Merged(Struct, frozen=True):
    text: str
    report: Report


def merged(existing: str | None, file: str, imported: Imported, wishes: Wishes) -> Merged:
    """The policy text that holds the import; `existing` is the text of `file`, None or blank for a new one.

    Errors: AuthoringError I201 the text is no policy, I202 a name cannot be one, I203 a name is taken, I204 several
        services, I205 another module, I206 the result is larger than a policy file may be.
    """
    _check(wishes)
    if existing is None or not existing.strip():
        started = _started(imported, wishes)
        result = _brought_up(read_policy(started, file), imported, wishes)
        return Merged(_laid_out(file, result.text), result.report)
    newline = _newline(existing)
    text = existing.removeprefix("\ufeff")
    policy = _with_service(read_policy(text, file), file, imported, wishes, newline)
    if wishes.module is not None and wishes.module != policy.module:
        raise AuthoringError(
            "I205", f"{file} is the module `{policy.module}`, not `{wishes.module}`: leave --module out"
        )
    result = _brought_up(policy, imported, wishes)
    if result.text == text:
        return Merged(existing, result.report)
    canonical = formatted(file, text.encode()) == text
    laid_out = _laid_out if canonical else _in_its_own_layout
    return Merged(laid_out(file, result.text), result.report)


def _laid_out(file: str, text: str) -> str:
    """The text in canonical layout. Reading it again is part of that."""
    result = formatted(file, _fitting(file, text).encode())
    if isinstance(result, str):
        return result
    for each in result:
        if isinstance(each, FileTooLarge):
            raise _too_large(file, each.size)
    raise _faulty(file)


def _in_its_own_layout(file: str, text: str) -> str:
    if isinstance(read(_fitting(file, text), "start"), Tree):
        return text
    raise _faulty(file)


def _faulty(file: str) -> RuntimeError:
    return RuntimeError(f"what the import made of {file} is no policy; nothing was written")


def _fitting(file: str, text: str) -> str:
    size = len(text.encode())
    if size > MOST_BYTES:
        raise _too_large(file, size)
    return text


def _too_large(file: str, size: int) -> AuthoringError:
    why = f"would have {size} bytes, and a policy file has at most {MOST_BYTES}"
    return AuthoringError("I206", f"{file} {why}: import the document in parts, each a service of its own")


# ---------------------------------------------------------------- (0) the service


def _check(wishes: Wishes) -> None:
    names = [] if wishes.service is None else [("--service", wishes.service)]
    names += [] if wishes.module is None else [("--module", part) for part in wishes.module.split(".")]
    for option, name in names:
        if declared_name(name, "x", "x") != name:
            why = f"`{name[:80]}` is no name: write letters a-z, digits and `_`, and no word of the language"
            raise AuthoringError("I202", f"{option}: {why}")
    if wishes.audience is not None and not wishes.audience.strip():
        raise AuthoringError("I202", "--audience: it is empty: write what the tokens for this service carry in `aud`")


def _service_name(imported: Imported, wishes: Wishes) -> str:
    title = declared_name(imported.title, "api", "api")[:_LONGEST_SERVICE].strip("_")
    return wishes.service or title


def _started(imported: Imported, wishes: Wishes) -> str:
    """A file with the service and nothing in it."""
    name = _service_name(imported, wishes)
    head = [
        comment(f"Imported from {imported.file}; import it again to bring this file up to date."),
        "# Every endpoint is closed. To open one, write an allow for it and a test, and take `closed` away.",
        "language 1",
        f"module {wishes.module or name}",
        "",
    ]
    return "\n".join([*head, *_service_lines(name, imported, wishes), ""])


def _service_lines(name: str, imported: Imported, wishes: Wishes) -> list[str]:
    hosts = imported.hosts or (f"{name.replace('_', '-')}.invalid",)
    return service_text(name, wishes.audience or name, hosts)


def _with_service(policy: PolicyText, file: str, imported: Imported, wishes: Wishes, newline: str) -> PolicyText:
    """The policy, with the service that is meant at its end where it has none."""
    known = [service.name for service in policy.services]
    name = _service_name(imported, wishes)
    if name in known or (wishes.service is None and len(known) == 1):
        return policy
    if wishes.service is None and known:
        raise AuthoringError("I204", f"{file} has the services {', '.join(known[:20])}: name one with --service")
    if name in policy.names or name in policy.labels:
        raise AuthoringError("I203", f"{file} declares `{name}` as something else: name the service with --service")
    lines = ["", *_service_lines(name, imported, wishes), ""]
    return read_policy(policy.text.rstrip() + newline + newline.join(lines), file)


def _meant(policy: PolicyText, imported: Imported, wishes: Wishes) -> ServiceText:
    name = _service_name(imported, wishes)
    return next((service for service in policy.services if service.name == name), policy.services[0])


# ---------------------------------------------------------------- (1) to (4)


def _brought_up(policy: PolicyText, imported: Imported, wishes: Wishes) -> Merged:
    service = _meant(policy, imported, wishes)
    matched = match_up(service, imported)
    edits: list[Edit] = []
    changed: list[str] = []
    kept: list[str] = []
    findings: list[Finding] = [*imported.findings, *matched.findings, *_drift(service, imported, wishes)]
    mark = comment(f"not in {imported.file} any more")
    for match in matched.matches:
        update = updates(policy.text, match, mark, imported.file)
        edits += update.edits
        findings += update.findings
        if update.changes:
            changed.append(f"{match.endpoint.name}: {'; '.join(update.changes)}")
        else:
            kept.append(match.endpoint.name)
    for endpoint in matched.vanished:
        edits += _marked(policy.text, endpoint, mark)
    for endpoint in matched.unread:
        why = f"{imported.file} has it, and it cannot be read there: it was kept, see what is left out"
        findings.append(Finding(f"endpoint {endpoint.name}", why))
        marked = mark_above(policy.text, endpoint.whole.start, mark)
        edits += [] if marked is None else [Edit(marked.start, marked.end, "")]
        kept.append(endpoint.name)
    labels = _labels(policy, imported)
    new, written = _new(service, matched.new, labels)
    if written:
        edits += _insertion(policy, service, written)
        edits += _label_edit(policy, service, labels, matched.new)
    vanished = tuple(f"{endpoint.name}: not in {imported.file} any more" for endpoint in matched.vanished)
    report = Report(tuple(new), tuple(changed), tuple(kept), vanished, tuple(findings))
    return Merged(applied(policy.text, edits), report)


def _drift(service: ServiceText, imported: Imported, wishes: Wishes) -> list[Finding]:
    """What the service says otherwise than the document; it is the author's."""
    place = f"service {service.name}"
    found = [
        Finding(place, f"{imported.file} names the host `{host}`, which the service does not: add it, if it is one")
        for host in imported.hosts
        if host not in service.hosts
    ]
    if wishes.audience is not None and wishes.audience not in service.audiences:
        found.append(Finding(place, f"its audience is not `{wishes.audience}` and was kept: change it in the file"))
    return found


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _marked(text: str, endpoint: EndpointText, mark: str) -> list[Edit]:
    """The comment above an endpoint, unless it is there."""
    place = mark_above(text, endpoint.whole.start, mark)
    if place is not None:
        return []
    start = text.rfind("\n", 0, endpoint.whole.start) + 1
    before = text[start : endpoint.whole.start]
    newline = _newline(text)
    if before.strip():
        return [Edit(endpoint.whole.start, endpoint.whole.start, f"{newline}  {mark}{newline}  ")]
    return [Edit(start, start, f"{before}{mark}{newline}")]


def _labels(policy: PolicyText, imported: Imported) -> dict[str, str]:
    """The label of each tag. Two tags never share one, since a rule on a label speaks of all that carry it."""
    names = Names(policy.names)
    tags = sorted({tag for operation in imported.operations for tag in operation.tags})
    labels: dict[str, str] = {}
    for tag in tags:
        wanted = declared_name(tag, "tag", "tag")
        labels[tag] = names.take(f"{wanted}_tag" if wanted in policy.names else wanted)
    return labels


def _new(service: ServiceText, operations: Sequence[Operation], labels: dict[str, str]) -> tuple[list[str], list[str]]:
    """The names of new endpoints, and the lines that declare them."""
    names = Names(endpoint.name for endpoint in service.endpoints)
    taken = frozenset(each.name for each in service.shared)
    new: list[str] = []
    written: list[str] = []
    for operation in operations:
        new.append(names.take(operation.name))
        own = replace(
            operation, parameters=tuple(each for each in operation.parameters if not _is_shared(service, each))
        )
        written += endpoint_text(own, new[-1], tuple(labels[tag] for tag in operation.tags), taken)
    return new, written


def _is_shared(service: ServiceText, parameter: Parameter) -> bool:
    """Whether the service declares the parameter for all of its endpoints."""
    return any((each.kind, wire_name(each)) == (parameter.kind, parameter.source) for each in service.shared)


def _insertion(policy: PolicyText, service: ServiceText, lines: Sequence[str]) -> list[Edit]:
    newline = _newline(policy.text)
    start = policy.text.rfind("\n", 0, service.close) + 1
    text = newline.join([*lines, ""])
    if policy.text[start : service.close].strip():
        return [Edit(service.close, service.close, newline + text)]
    return [Edit(start, start, text)]


def _label_edit(
    policy: PolicyText, service: ServiceText, labels: dict[str, str], operations: Sequence[Operation]
) -> list[Edit]:
    used = dict.fromkeys(labels[tag] for operation in operations for tag in operation.tags)
    missing = [label for label in used if label not in policy.labels]
    if not missing:
        return []
    if policy.labels_end is not None:
        return [Edit(policy.labels_end, policy.labels_end, "".join(f", {label}" for label in missing))]
    newline = _newline(policy.text)
    return [Edit(service.start, service.start, f"label {', '.join(missing)}{newline}{newline}")]
