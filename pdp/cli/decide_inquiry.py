"""What `pdp decide` is asked: a call on the command line, or a written request, as an `Inquiry` that the policy knows.

Words of the command line or a file come in; an `Inquiry` goes out. What is a slip is refused here by name, with exit 2:
a kind that the policy does not have is no decision about a caller.

Decision: 2026-11-21. A written request that names its service and no host has the first host of that service, as a
`test` block has. A gateway always names one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import click
from msgspec import Struct
from msgspec.structs import replace

from pdp.authoring.yaml_nodes import YamlFaultError, read_yaml
from pdp.canonical import Refusal, canonical_host
from pdp.errors import ConfigError
from pdp.model import Inquiry, Json, Principal
from pdp.request_form import WrittenRequest, read_request
from pdp.runtime.engine import Engine

MOST_REQUEST_BYTES = 4 * 1024 * 1024
DEEPEST = 100
"""Bytes of a written request, and how deep what it holds may be nested."""


class Asked(Struct, frozen=True):
    """A call as the command line says it: `token` is a file, `kind` and `claims` are those of --as and --set."""

    method: str
    url: str
    service: str | None = None
    token: Path | None = None
    kind: str | None = None
    claims: tuple[str, ...] = ()
    ip: str | None = None
    peer: str | None = None


def inquiry_of(engine: Engine, asked: Asked) -> Inquiry:
    """The inquiry that a command line makes. Errors: ConfigError C204 to C207."""
    host, target = _split(asked.url)
    if asked.kind is None and asked.claims:
        raise ConfigError("C204", "--set gives a claim to --as KIND: name the kind, or use --token FILE")
    if asked.kind is not None and asked.token is not None:
        raise ConfigError("C204", "give --token or --as, not both")
    headers = () if asked.token is None else (("authorization", f"Bearer {_token(asked.token)}"),)
    principal = None
    if asked.kind is not None:
        principal = Principal("token", asked.kind, dict(_claim(text) for text in asked.claims))
        _check_kind(engine, principal, "C204", "--as")
    return Inquiry(
        service=asked.service if asked.service is not None else _service_of(engine, host),
        method=asked.method,
        path=target,
        host=host,
        headers=headers,
        gateway="cli",
        ip=asked.ip,
        peer=asked.peer,
        principal=principal,
    )


def written_request(engine: Engine, path: Path) -> WrittenRequest:
    """The request in a file. Errors: ConfigError C201 for what it says, C203 where it cannot be read."""
    written = read_request(_load(path), str(path))
    inquiry = written.inquiry
    if inquiry.principal is not None:
        _check_kind(engine, inquiry.principal, "C201", f"{path}: `principal`")
    if inquiry.host is None and inquiry.action is None:
        service = engine.services.get(inquiry.service or "")
        inquiry = replace(inquiry, host=next(iter(service.hosts), None) if service is not None else None)
    return WrittenRequest(inquiry, written.now_us)


def what_is_missing(inquiry: Inquiry) -> str:
    """A sentence on why an inquiry is no call (`request.missing`)."""
    if inquiry.action is None:
        said = {"method": inquiry.method, "path": inquiry.path, "host": inquiry.host}
        lacks = [name for name, value in said.items() if value is None]
    else:
        lacks = [f"resource.{name}" for name in ("type", "id") if not (inquiry.resource or {}).get(name)]
    if not lacks:
        return "The resource of the request is no mapping of type, id and properties."
    return f"The request has no {' and no '.join(f'`{name}`' for name in lacks)}."


def _check_kind(engine: Engine, principal: Principal, code: str, place: str) -> None:
    """Refuse a kind that the policy does not have, or has in another form: a slip, and no caller."""
    if principal.kind == "anonymous":
        return
    known = sorted(kind.id for kind in engine.kinds.values() if kind.form == principal.kind)
    if principal.name not in known:
        listed = ", ".join(f"`{name}`" for name in known)
        there = f"there {'is' if len(known) == 1 else 'are'} {listed}" if known else "this policy declares none"
        raise ConfigError(code, f"{place}: no {principal.kind} kind `{principal.name}`; {there}")


def _load(path: Path) -> Json:
    """The value in a file, JSON or YAML. Errors: ConfigError C203, also for what expands without end."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_REQUEST_BYTES + 1)
        if len(data) > MOST_REQUEST_BYTES:
            raise ConfigError("C203", f"the request in {path} has more than {MOST_REQUEST_BYTES} bytes")
        text = data.decode("utf-8")
        return cast("Json", json.loads(text)) if path.suffix == ".json" else read_yaml(text, DEEPEST)
    except YamlFaultError as fault:
        raise ConfigError("C203", f"cannot read the request in {path}{fault.place}: {fault.why}") from None
    except OSError as error:
        raise ConfigError("C203", f"cannot read the request in {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("C203", f"cannot read the request in {path}: {error}") from error


def _split(url: str) -> tuple[str, str]:
    """Host and path with query, as a gateway would pass them on: nothing is decoded or repaired."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError("C205", f"`{url}` is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigError("C205", f"`{url}` is no URL: write https://host/path")
    return parts.netloc, url.split("://", 1)[1].removeprefix(parts.netloc) or "/"


def _service_of(engine: Engine, host: str) -> str | None:
    canonical = canonical_host(host)
    candidates = () if isinstance(canonical, Refusal) else engine.hosts.get(canonical, ())
    if len(candidates) > 1:
        raise ConfigError("C206", f"{host} is a host of {', '.join(candidates)}: say which with --service")
    return candidates[0] if candidates else None


def _token(path: Path) -> str:
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            return str(file.read()).strip()
    except OSError as error:
        raise ConfigError("C207", f"cannot read the token in {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError("C207", f"cannot read the token in {path}: {error}") from error


def _claim(text: str) -> tuple[str, Json]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError("C204", f"--set {text}: write CLAIM=VALUE")
    try:
        return name, cast("Json", json.loads(value))
    except (ValueError, RecursionError):
        return name, value
