"""Answer text and reasoning of every event, when all marks of thoughts in the text are known."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from monitor.domain import ParsedEvent, TextKind

Mark = tuple[int, TextKind]


def separated(parsed: Sequence[ParsedEvent]) -> Iterator[tuple[str, str]]:
    """Answer text and reasoning of each event, in order. Tags are neither."""
    begins = [0, *(n for n, event in enumerate(parsed) if event.replaces and n), len(parsed)]
    for begin, end in pairwise(begins):
        yield from _separated(parsed[begin:end])


def _separated(parsed: Sequence[ParsedEvent]) -> Iterator[tuple[str, str]]:
    """The same of events none of which but the first replaces the text before it."""
    marks, at = [(0, TextKind.ANSWER)], 0
    for event in parsed:
        for place, kind in event.thoughts.marks if event.thoughts else ():
            place = max(0, at + place)
            while marks and marks[-1][0] >= place:
                marks.pop()
            marks.append((place, kind))
        at += len(event.text)
    kind, at, following = TextKind.ANSWER, 0, 0
    for event in parsed:
        texts = {TextKind.ANSWER: "", TextKind.REASONING: "", TextKind.MARKUP: ""}
        end = at + len(event.text)
        begin = at
        while at < end:
            while following < len(marks) and marks[following][0] <= at:
                kind = marks[following][1]
                following += 1
            until = min(end, marks[following][0]) if following < len(marks) else end
            texts[kind] += event.text[at - begin : until - begin]
            at = until
        yield texts[TextKind.ANSWER], event.reasoning + texts[TextKind.REASONING]
