"""YAML as JSON values, from the parser's events: nothing is constructed but texts, numbers, lists and mappings.

In goes text; out comes a value, or YamlFaultError with the pointer of the place. The parser's events are read one by
one (libyaml's where it is installed), so that depth costs no recursion; an alias is the very value it names, never a
copy, and what a walk over the whole would visit is counted.
Specification: YAML 1.2.2 10.3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import yaml
from msgspec import Struct, field

from policy_lang.verdict import Json

MOST_NODES = 8_000_000
"""Values of a document with every alias written out."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LONGEST_NUMBER = 400
_LONGEST_STEP = 120
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TRUE, _FALSE = {"true", "True", "TRUE"}, {"false", "False", "FALSE"}
_NULL = {"", "~", "null", "Null", "NULL"}
_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_CORE}{word}" for word in ("map", "seq", "str", "int", "float", "bool", "null")}


class YamlFaultError(Exception):
    """What is wrong; `place` is empty or a blank and a pointer, for an error code of the caller."""

    def __init__(self, code: str, place: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.place = place
        self.why = why


class _Open(Struct):
    """A list or mapping that is being read; `key` is the member whose value comes next, `size` counts what is in it."""

    value: list[Json] | dict[str, Json]
    anchor: str | None
    key: str | None = None
    size: int = 1
    merged: list[dict[str, Json]] = field(default_factory=list)


class _Anchored(Struct, frozen=True):
    value: Json
    size: int


def pointer_step(name: str) -> str:
    """A member's name as one step of a JSON pointer (RFC 6901 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def read_yaml(text: str, deepest: int) -> Json:
    """The one document in `text`; null where it is empty. Errors: YamlFaultError."""
    try:
        return _Reader(deepest).read(iter(yaml.parse(text, Loader=_Loader)))
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark is not None else ""
        raise YamlFaultError("I103", "", f"neither JSON nor YAML{line}: {error.problem or 'not readable'}") from None
    except yaml.YAMLError as error:
        why = str(error).splitlines()[0][:200]
        raise YamlFaultError("I103", "", f"neither JSON nor YAML: {why}") from None


class _Reader:
    """The state of one reading."""

    def __init__(self, deepest: int) -> None:
        self._deepest = deepest
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._root: Json = None
        self._documents = 0

    def read(self, events: Iterator[yaml.Event]) -> Json:
        for event in events:
            match event:
                case yaml.DocumentStartEvent():
                    self._documents += 1
                    if self._documents > 1:
                        raise self._fault("I103", "a second document begins here: keep one document in a file")
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.SequenceStartEvent():
                    self._begin([], event)
                case yaml.MappingStartEvent():
                    self._begin({}, event)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._end()
                case _:
                    pass
        return self._root

    def _begin(self, value: list[Json] | dict[str, Json], event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event.tag)
        if self._is_key():
            raise self._fault("I104", "a key is a list or a mapping here: keys are texts")
        if len(self._open) == self._deepest:
            raise self._fault("I104", f"nested deeper than {self._deepest}: it is no OpenAPI document")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(value, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        if isinstance(done.value, dict):
            for each in done.merged:
                for name, item in each.items():
                    done.value.setdefault(name, item)
        if done.anchor is not None:
            self._anchors[done.anchor] = _Anchored(done.value, done.size)
        self._put(done.value, done.size)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event.tag)
        if self._is_key():
            self._key(event.value)
            value: Json = event.value
        else:
            value = self._plain(event.value) if event.implicit[0] else event.value
            self._put(value, 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = event.anchor or ""
        known = self._anchors.get(name)
        if known is None:
            why = "leads to what contains it" if name in self._anchors else "is declared nowhere above"
            raise self._fault("I104", f"the alias `*{name[:80]}` {why}: write the value out")
        if not self._is_key():
            self._put(known.value, known.size)
        elif isinstance(known.value, str):
            self._key(known.value)
        else:
            raise self._fault("I104", f"a key is `*{name[:80]}`, which is no text: keys are texts")

    def _is_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _key(self, key: str) -> None:
        holder = self._open[-1]
        holder.key = key
        if key != "<<" and isinstance(holder.value, dict) and key in holder.value:
            raise self._fault("I104", "this member stands twice: remove one of the two")

    def _put(self, value: Json, size: int) -> None:
        if not self._open:
            self._root = value
            return
        holder = self._open[-1]
        holder.size += size
        if holder.size > MOST_NODES:
            raise self._fault("I104", f"with its aliases written out it has over {MOST_NODES} values: use fewer")
        if isinstance(holder.value, list):
            holder.value.append(value)
        else:
            self._member(holder, holder.value, value)

    def _member(self, holder: _Open, members: dict[str, Json], value: Json) -> None:
        key, holder.key = holder.key or "", None
        if key != "<<":
            members[key] = value
            return
        sources = value if isinstance(value, list) else [value]
        mappings = [each for each in sources if isinstance(each, dict)]
        if len(mappings) != len(sources):
            raise self._fault("I104", "`<<` takes a mapping, or a list of mappings: write the members out")
        holder.merged += mappings

    def _plain(self, text: str) -> Json:
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if len(text) <= _LONGEST_NUMBER:
            if _INT.fullmatch(text):
                return int(text)
            if _BASED.fullmatch(text):
                return int(text, 0)
            if _FLOAT.fullmatch(text):
                value = float(text)
                return value if math.isfinite(value) else text
        return text

    def _check_tag(self, tag: str | None) -> None:
        if tag is not None and tag not in _PLAIN_TAGS and tag != "!":
            raise self._fault("I104", f"the tag `{tag[:80]}` is not one of YAML's core schema: remove it")

    def _fault(self, code: str, why: str) -> YamlFaultError:
        steps = []
        for each in self._open:
            step = str(len(each.value)) if isinstance(each.value, list) else each.key
            if step is not None:
                steps.append(pointer_step(step[:_LONGEST_STEP]))
        return YamlFaultError(code, (" #/" + "/".join(steps))[:300] if steps else "", why)
