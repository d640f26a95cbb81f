"""A sequence of what is made of the samples of a window, each when somebody looks at it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class PackedSequence(Sequence[T]):
    """A sequence of samples, or of what is made of each, by their numbers."""

    __slots__ = ("_made", "_numbers")

    def __init__(self, numbers: Sequence[int], made: Callable[[int], T]) -> None:
        self._numbers = numbers
        self._made = made

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return list(map(self._made, self._numbers[index]))
        return self._made(self._numbers[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._made, self._numbers)

    def __reversed__(self) -> Iterator[T]:
        return map(self._made, reversed(self._numbers))
