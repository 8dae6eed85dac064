"""Typed reading of decoded JSON: each question has one answer or a ValueError that names the place.

For codec.py and what it reads with only. An integer is never a boolean here, and within 64 bits. That no text holds a
lone surrogate is seen to once for the whole document (codec.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from policy_lang.ir import ScalarValue, Value
from policy_lang.typesystem import INT_MAX, INT_MIN

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

T = TypeVar("T")


class Reader(Struct):
    """A value and where it stands: at `step` of the value `above`. Not frozen: a frozen one takes three times as long
    to make, and a program is tens of thousands.
    """

    value: JsonValue
    step: str | int
    above: Reader | None = None

    @property
    def where(self) -> str:
        """The place, such as `program.kinds[0]`."""
        if self.above is None:
            return str(self.step)
        step = f"[{self.step}]" if isinstance(self.step, int) else f".{self.step}"
        return self.above.where + step

    def refused(self, wanted: str) -> ValueError:
        """The error that what stands here is not `wanted`."""
        return ValueError(f"{self.where}: not {wanted}")

    def all_items(self) -> list[Reader]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.refused("a list")
        return [Reader(item, index, self) for index, item in enumerate(self.value)]

    def items(self, count: int) -> list[Reader]:
        """The items of a list of exactly `count`."""
        items = self.all_items()
        if len(items) != count:
            raise self.refused(f"a list of {count}")
        return items

    def each(self, read: Callable[[Reader], T]) -> tuple[T, ...]:
        """The items of a list, each read by `read`."""
        return tuple(map(read, self.all_items()))

    def tagged(self) -> tuple[str, list[Reader]]:
        """The tag of a list, and its other items."""
        items = self.all_items()
        if not items:
            raise self.refused("a list that begins with a tag")
        return items[0].text(), items[1:]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.refused("text")
        return self.value

    def text_or_none(self) -> str | None:
        """A string, or null."""
        return None if self.value is None else self.text()

    def texts(self) -> tuple[str, ...]:
        """A list of strings."""
        if not isinstance(self.value, list):
            raise self.refused("a list")
        if not set(map(type, self.value)) <= {str}:
            raise self.refused("a list of texts")
        return tuple(map(str, self.value))

    def truth(self) -> bool:
        """A boolean."""
        if not isinstance(self.value, bool):
            raise self.refused("true or false")
        return self.value

    def integer(self) -> int:
        """An integer."""
        if type(self.value) is not int or not INT_MIN <= self.value <= INT_MAX:
            raise self.refused("an integer of 64 bits")
        return self.value

    def integer_or_none(self) -> int | None:
        """An integer, or null."""
        return None if self.value is None else self.integer()

    def index(self, end: int) -> int:
        """An integer from 0 to `end`, that left out."""
        at = self.integer()
        if not 0 <= at < end:
            raise self.refused(f"an index: there are {end}")
        return at

    def absent(self) -> bool:
        """Whether null stands here."""
        return self.value is None

    def scalar(self) -> ScalarValue:
        """A boolean, an integer or a string."""
        if isinstance(self.value, bool | str):
            return self.value
        return self.integer()

    def value_of(self) -> Value:
        """A scalar, or a list of scalars of one type, each once, as a set."""
        if not isinstance(self.value, list):
            return self.scalar()
        scalars = [item.scalar() for item in self.all_items()]
        if len({type(each) for each in scalars}) > 1 or len(set(scalars)) != len(scalars):
            raise self.refused("a set of one type")
        return frozenset(scalars)
