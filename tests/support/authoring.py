"""OpenAPI documents in few words, for the tests of imports."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pdp.authoring.merge import Wishes, merged
from pdp.authoring.model import Imported
from pdp.authoring.openapi import read_openapi
from policy_lang.verdict import Json

SERVERS: Json = [{"url": "https://api.example/v1"}]
UUID: Json = {"type": "string", "format": "uuid"}


def document(paths: Json, **top: Json) -> bytes:
    """A document with these paths, whose servers begin with `/v1`."""
    whole: Json = {"openapi": "3.1.0", "info": {"title": "Shop"}, "servers": SERVERS, "paths": paths, **top}
    return json.dumps(whole).encode()


def imported(paths: Json, **top: Json) -> Imported:
    """What such a document says."""
    return read_openapi(document(paths, **top), "api.json")


def with_parameter(parameter: Mapping[str, Json], **top: Json) -> Imported:
    """A document of one operation with one parameter."""
    return imported({"/a": {"get": {"parameters": [dict(parameter)]}}}, **top)


def text_of(read_in: Imported) -> str:
    """The policy it becomes."""
    return merged(None, "shop.pol", read_in, Wishes()).text
