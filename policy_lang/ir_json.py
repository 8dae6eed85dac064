"""Typed reading of decoded JSON: each question has one answer or a ValueError that names the place.

For `ir_codec` only. An integer is never a boolean here, and within 64 bits; text holds no lone surrogate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from policy_lang.ir import ScalarValue
from policy_lang.typesystem import INT_MAX, INT_MIN

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

T = TypeVar("T")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Reader:
    """A value and where it stands."""

    value: JsonValue
    where: str

    def refused(self, wanted: str) -> ValueError:
        """The error that what stands here is not `wanted`."""
        return ValueError(f"{self.where}: not {wanted}")

    def fields(self, *names: str) -> list[Reader]:
        """The values of an object that has exactly these keys."""
        if not isinstance(self.value, dict) or self.value.keys() != set(names):
            raise self.refused(f"an object of {', '.join(names)}")
        return [Reader(self.value[name], f"{self.where}.{name}") for name in names]

    def all_items(self) -> list[Reader]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.refused("a list")
        return [Reader(item, f"{self.where}[{index}]") for index, item in enumerate(self.value)]

    def items(self, count: int) -> list[Reader]:
        """The items of a list of exactly `count`."""
        items = self.all_items()
        if len(items) != count:
            raise self.refused(f"a list of {count}")
        return items

    def each(self, read: Callable[[Reader], T]) -> tuple[T, ...]:
        """The items of a list, each read by `read`."""
        return tuple(read(item) for item in self.all_items())

    def tagged(self) -> tuple[str, list[Reader]]:
        """The tag of a list, and its other items."""
        items = self.all_items()
        if not items:
            raise self.refused("a list that begins with a tag")
        return items[0].text(), items[1:]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str) or _SURROGATE.search(self.value):
            raise self.refused("text")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """A list of strings."""
        return self.each(Reader.text)

    def truth(self) -> bool:
        """A boolean."""
        if not isinstance(self.value, bool):
            raise self.refused("true or false")
        return self.value

    def integer(self) -> int:
        """An integer."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not INT_MIN <= self.value <= INT_MAX:
            raise self.refused("an integer of 64 bits")
        return self.value

    def integer_or_none(self) -> int | None:
        """An integer, or null."""
        return None if self.value is None else self.integer()

    def absent(self) -> bool:
        """Whether null stands here."""
        return self.value is None

    def scalar(self) -> ScalarValue:
        """A boolean, an integer or a string."""
        if isinstance(self.value, bool):
            return self.value
        return self.text() if isinstance(self.value, str) else self.integer()

    def sign(self) -> Literal[1, -1]:
        """1 or -1."""
        match self.integer():
            case 1:
                return 1
            case -1:
                return -1
            case _:
                raise self.refused("1 or -1")

    def one_of(self, known: Mapping[str, T]) -> T:
        """What a word stands for."""
        word = self.text()
        if word not in known:
            raise self.refused(f"one of {', '.join(known)}")
        return known[word]
