"""Bytes cut into pieces anywhere, as networks do."""

from itertools import pairwise

from hypothesis import strategies as st

CUTS = st.lists(st.integers(0, 10_000), max_size=20)


def cut_bytes(stream: bytes, at: list[int]) -> list[bytes]:
    """The stream in pieces, some of them perhaps empty."""
    places = [0, *sorted(place % (len(stream) + 1) for place in at), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]
