"""Tables of cases within one test."""

import inspect
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 120


def each(
    names: str | Sequence[str], rows: Iterable[Any], *, ids: Callable[[Any], Any] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Like `pytest.mark.parametrize`, but one test: for many cases that take no time.

    pytest spends more than a millisecond on each test it collects. All cases run, and a failure
    lists those that failed, with their values. Fixtures are made once for all cases.
    """
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    cases = [_case(row, ids, single=len(listed) == 1) for row in rows]

    def decorated(function: Callable[..., None]) -> Callable[..., None]:
        def run(**fixtures: Any) -> None:
            failed = []
            for name, values in cases:
                try:
                    function(**dict(zip(listed, values, strict=True)), **fixtures)
                except Exception as error:  # whatever it is: the other cases are tested, too
                    failed.append((f"{name}: {type(error).__name__}: {error}", error))
            if failed:
                texts = "\n\n".join(text for text, _ in failed)
                raise AssertionError(
                    f"{len(failed)} of {len(cases)} cases failed:\n{texts}"
                ) from failed[0][1]

        parameters = inspect.signature(function).parameters
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__module__, run.__qualname__ = function.__module__, function.__qualname__
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [parameter for name, parameter in parameters.items() if name not in listed]
        )
        return run

    return decorated


def _case(row: Any, ids: Callable[[Any], Any] | None, *, single: bool) -> tuple[str, Sequence[Any]]:
    """The name and the values of a row, be it one of `pytest.param`."""
    if isinstance(row, type(pytest.param())):
        assert not row.marks, "cases with marks are tests of their own"
        return row.id or _SHOWN.repr(row.values), row.values
    return _SHOWN.repr(ids(row) if ids else row), (row,) if single else row
