"""Reasoning that a server leaves inside the answer text, between tags such as `<think>`.

Only the start of an answer is searched: later on, an answer may write about such tags. A tag may
be split over any number of events. Many chat templates open the reasoning themselves, so the
answer begins inside it and only the closing tag is seen: all text before that tag is reasoning.

No text is held back. It counts as answer text until a tag shows otherwise. The marks in
`Thoughts` also apply to the text of earlier events, so all text keeps its arrival time.
"""

import re
from collections.abc import Callable, Sequence

from monitor.dialects.tag_pairs import (
    ANSWER_PAIRS,
    MOST_CHARS,
    HarmonyChannels,
    TagPair,
    details_tag,
)
from monitor.domain import (
    FROM_START,
    TextKind,
    Thoughts,
)

Mark = tuple[int, TextKind]
Step = Callable[["ReasoningTags"], bool]  # processes the undecided text; False: it needs more text
ANSWER, REASONING, MARKUP = TextKind.ANSWER, TextKind.REASONING, TextKind.MARKUP
_HELD = 200  # characters of white space that may precede a tag
_MOST_BLOCKS = 50  # reasoning blocks, one after the other
_QUOTES = tuple("`'\"«“‘([{")
_PUNCTUATION = ".,;:!?)]}`'\"»”’"


class TagSet:
    """The tags that are searched for in the streams of one target."""

    def __init__(self, pairs: Sequence[TagPair], *, usual: bool) -> None:
        """`usual`: also search for the channels of gpt-oss and the `<details>` element of Dify."""
        self.pairs = tuple(pair for pair in pairs if pair.opening)
        self.usual = usual
        self.implied = next((pair for pair in pairs if not pair.opening), None)
        lone = [pair for pair in pairs if pair.kind is REASONING]
        self.closings = {pair.closing.lower(): pair for pair in lone}
        tags = {*self.closings, *(pair.opening.lower() for pair in self.pairs)}
        if usual:
            tags.add(HarmonyChannels.FINAL)
        self.tags = tuple(tags)
        self.longest = max(map(len, tags), default=0)
        alternatives = "|".join(re.escape(tag) for tag in sorted(tags, key=len, reverse=True))
        # Test two characters first, so that a text full of `<` stays cheap.
        begins = (
            [f"[{re.escape(''.join({tag[at] for tag in tags}))}]" for at in (0, 1)] if tags else []
        )
        pattern = f"(?={''.join(begins)})(?:{alternatives})"
        self.search = re.compile(pattern, re.IGNORECASE | re.ASCII).search
        firsts = sorted({tag[0] for tag in tags})
        # At most three, for speed. The empty string is in every text, so it selects every text.
        self.first_characters = (firsts * 3)[:3] if 0 < len(firsts) <= 3 else ["", "", ""]

    def opening(self, text: str) -> tuple[int, str, TextKind] | None:
        """Length of the opening tag here, its closing tag, and the kind of text between them.

        Length 0: no tag starts here. None: more text is needed to decide.
        """
        start = text[: self.longest].lower()
        for opening, closing, kind in self.pairs:
            if start.startswith(opening.lower()):
                return len(opening), closing, kind
        if self.usual:
            length = details_tag(text)
            if length is None or length:
                return None if length is None else (length, "</details>", REASONING)
        undecided = any(pair.opening.lower().startswith(start) for pair in self.pairs)
        return None if undecided else (0, "", REASONING)


def _begun(text: str, tags: Sequence[str]) -> int:
    """How many characters at the end of the text may be the start of one of the tags."""
    firsts = "".join({tag[0] for tag in tags})
    for at in range(max(0, len(text) - MOST_CHARS), len(text)):
        if text[at] in firsts:
            end = text[at:].lower()
            if any(tag.startswith(end) for tag in tags):
                return len(text) - at
    return 0


def _find(tag: str, text: str) -> int | None:
    # `lower()` can lengthen a text: "İ" becomes two characters.
    found = re.search(re.escape(tag), text, re.IGNORECASE | re.ASCII)
    return None if found is None else found.start()


class ReasoningTags:
    """Finds the reasoning at the start of one answer."""

    def __init__(self, tags: TagSet) -> None:
        self._tags = tags
        # Functions, not bound methods: a reference to itself would keep the object until
        # collection.
        self._step: Step = ReasoningTags._start
        self._rest = ""  # the undecided end of the text so far, always short
        self._at = 0  # its offset from the start of the current event's text
        self.last_text = ""  # the text before it
        self._closing, self._kind = "", REASONING
        self._encloses = False  # `_closing` ends the answer, not reasoning
        self._blocks = 0
        self._before = ""  # the character before the closing tag
        self._decided = False  # the answer has text outside every tag
        self._marks: list[Mark] = []
        self._answered = True
        self._harmony = HarmonyChannels()
        self.marked = False  # at least one mark was returned
        self.watching = False  # only a tag that begins in later text can change anything
        self.settled = not (tags.pairs or tags.implied)  # nothing can change any longer

    def add(self, text: str) -> Thoughts | None:
        """What the next text reveals about the text so far; None if nothing new."""
        self._at, self._rest = -len(self._rest), self._rest + text
        self._marks = []
        while self._step(self):
            pass
        self.watching = not self._rest and self._step is ReasoningTags._watch
        if not self._marks:
            return None
        self.marked = True
        return Thoughts(tuple(self._marks), self._answered)

    def _mark(self, kind: TextKind, at: int = 0, *, from_start: bool = False) -> None:
        self._marks.append((FROM_START if from_start else self._at + at, kind))

    def _take(self, length: int) -> None:
        if length:
            self.last_text = self._rest[:length]
        self._at, self._rest = self._at + length, self._rest[length:]

    def _to(self, step: Step) -> bool:
        self._step = step
        self.settled = step is ReasoningTags._nothing
        if self.settled:
            self._rest = ""
        return True

    def _nothing(self) -> bool:
        return False

    def _start(self) -> bool:
        """Only white space may precede the tag that opens the reasoning."""
        return self._opened(first=True)

    def _after(self) -> bool:
        """Reasoning has ended: white space is not an answer yet, and more reasoning may follow."""
        return self._opened(first=False)

    def _opened(self, *, first: bool) -> bool:
        blank = len(self._rest) - len(self._rest.lstrip())
        begun = self._rest[blank:]
        if first and blank > _HELD:
            return self._begin_answer()
        if not begun:
            if not first:
                self._take(blank)
            return False
        if self._tags.usual and HarmonyChannels.may_begin(begun):
            if not HarmonyChannels.begins(begun):
                return self._wait(blank, first=first)
            self._mark(MARKUP, blank, from_start=first)
            self._answered = False
            self._take(blank)
            return self._to(ReasoningTags._channels)
        if not first and (found := self._enclosed(begun)) is not None:
            if not found:
                return self._wait(blank, first=first)
            self._mark(MARKUP, blank)
            self._answered = False
            self._take(blank + found)
            return True
        opening = self._tags.opening(begun)
        if opening is None:
            return self._wait(blank, first=first)
        length, closing, kind = opening
        self._blocks += 1
        if length == 0 or self._blocks > _MOST_BLOCKS:
            if first:
                return self._begin_answer()
            return self._answer(blank)
        self._mark(MARKUP, blank, from_start=first)
        self._answered = False
        self._take(blank + length)
        self._closing, self._kind = closing, kind
        return self._to(ReasoningTags._begin_thoughts)

    def _wait(self, blank: int, *, first: bool) -> bool:
        """A tag may have begun: its text counts as answer text until the tag is complete."""
        if not first and not self._answered:
            self._mark(ANSWER, blank)
            self._answered = True
        return False

    def _enclosed(self, text: str) -> int | None:
        """Length of a tag that encloses the answer; 0: undecided; None: there is none."""
        start = text[:MOST_CHARS].lower()
        for opening, closing, _ in ANSWER_PAIRS:
            if start.startswith(opening.lower()):
                self._closing = closing
                self._encloses = True
                return len(opening)
            if opening.lower().startswith(start):
                return 0
        return None

    def _begin_answer(self) -> bool:
        """The answer does not start with a tag."""
        if implied := self._tags.implied:
            self._mark(REASONING, from_start=True)
            self._answered = False
            self._closing, self._kind = implied.closing, implied.kind
            return self._to(ReasoningTags._thoughts)
        return self._to(ReasoningTags._watch)

    def _answer(self, at: int) -> bool:
        self._mark(ANSWER, at)
        self._answered = True
        self._take(at)
        return self._to(
            ReasoningTags._until_enclosing if self._encloses else ReasoningTags._nothing
        )

    def _until_enclosing(self) -> bool:
        found = _find(self._closing, self._rest)
        if found is None:
            decided = len(self._rest) - _begun(self._rest, (self._closing.lower(),))
            self._decided = self._decided or decided > 0
            self._take(decided)
            return False
        self._mark(MARKUP, found)
        self._answered = self._decided or found > 0
        return self._to(ReasoningTags._nothing)

    def _begin_thoughts(self) -> bool:
        """White space alone between the tags is not reasoning."""
        blank = len(self._rest) - len(self._rest.lstrip())
        rest = self._rest[blank:].lower()
        closing = self._closing.lower()
        if rest.startswith(closing):
            self._take(blank + len(closing))
            return self._to(ReasoningTags._after)
        if blank <= _HELD and closing.startswith(rest):
            return False
        self._mark(self._kind)
        return self._to(ReasoningTags._thoughts)

    def _thoughts(self) -> bool:
        found = _find(self._closing, self._rest)
        if found is None:
            self._take(len(self._rest) - _begun(self._rest, (self._closing.lower(),)))
            return False
        self._mark(MARKUP, found)
        self._take(found + len(self._closing))
        return self._to(ReasoningTags._after)

    def _watch(self) -> bool:
        """A closing tag without an opening tag: everything before it is reasoning."""
        found = self._tags.search(self._rest)
        if found is None:
            self._take(len(self._rest) - _begun(self._rest, self._tags.tags))
            return False
        tag = found[0].lower()
        self._take(found.start())
        if tag == HarmonyChannels.FINAL:
            self._mark(REASONING, from_start=True)
            self._mark(MARKUP)
            self._answered = False
            return self._to(ReasoningTags._channels)
        if tag not in self._tags.closings or self.last_text.endswith(_QUOTES):
            return self._to(ReasoningTags._nothing)  # the answer mentions the tag
        self._before = self.last_text[-1:]
        self._mark(REASONING, from_start=True)
        self._mark(MARKUP)
        self._answered = False
        self._take(len(found[0]))
        return self._to(ReasoningTags._closed)

    def _closed(self) -> bool:
        """After a closing tag without an opening one: does the sentence continue across it?"""
        blank = len(self._rest) - len(self._rest.lstrip())
        if blank == len(self._rest) and blank <= _HELD:
            return False
        after = self._rest[blank : blank + 1]
        goes_on = self._before == " " == self._rest[:blank] and after.islower()
        ends = self._before not in ("", "\n") and not blank and after in _PUNCTUATION
        if goes_on or ends:
            self._mark(ANSWER, from_start=True)
            self._answered = True
            return self._to(ReasoningTags._nothing)
        return self._to(ReasoningTags._after)

    def _channels(self) -> bool:
        before = self._harmony.kind
        marks, taken = self._harmony.add(self._rest)
        ends = [*(at for at, _ in marks), taken]
        spans = zip([(0, before), *marks], ends, strict=True)
        self._decided = self._decided or any(
            kind is ANSWER and end > at for (at, kind), end in spans
        )
        begun = self._harmony.kind is ANSWER and taken < len(self._rest)
        if not marks and (self._decided or begun) != self._answered:
            marks = [(0, before)]
        self._answered = self._decided or begun
        for at, kind in marks:
            self._mark(kind, at)
        self._take(taken)
        return False
