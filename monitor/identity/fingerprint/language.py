"""Whether an answer can be judged at all by its looks; if not, why."""

import re
from collections import Counter
from collections.abc import Iterable

SHORTEST = 40  # characters; less has no manner
LONGEST = 20_000  # characters looked at
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    ("chinese", re.compile("[\u4e00-\u9fff]")),
    ("japanese", re.compile("[\u3040-\u30ff]")),
    ("korean", re.compile("[\uac00-\ud7af]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("thai", re.compile("[\u0e00-\u0e7f]")),
    ("devanagari", re.compile("[\u0900-\u097f]")),
)
_SMALL_WORDS = {
    "english": "the and of to is in you that it for are with your this can have be or not i'm",
    "italian": "il di che è per un una sono con del della le gli non come questo puoi anche nel",
    "indonesian": "yang dan di untuk dengan adalah ini itu anda saya dari pada tidak bisa juga",
    "spanish": "el de que y en los las un una para con por es su se como más puede del",
    "french": "le de et les des en un une pour que vous est dans avec qui sur pas plus du",
    "german": "der die und das ist zu den mit sie ein eine für auf nicht von im auch werden",
    "portuguese": "o de que e do da em um uma para com os você não por mais como as no",
    "dutch": "de het een en van is dat te voor met op zijn niet je ook aan worden als",
}
_LANGUAGES = {name: frozenset(text.split()) for name, text in _SMALL_WORDS.items()}
_SCARCE = 3  # small words; fewer tell no language
_REFUSES = re.compile(
    r"\W*(?:i(?:'|’)?m (?:really |very )?sorry|i am sorry|sorry|i apologi[sz]e|unfortunately,? i|"
    r"i (?:can(?:no|')?t|can’t|am unable|am not able|won't)|i(?:'|’)m (?:unable|not able)|"
    r"mi dispiace|lo siento|maaf|désolé|es tut mir leid|desculpe)\b",
    re.I,
)


def language(text: str) -> str | None:
    """The language of an answer, or its script; None where it cannot be told."""
    text = text[:LONGEST]
    for name, script in _SCRIPTS:
        if 5 * len(script.findall(text)) > len(text):
            return name
    message = Counter(word.lower() for word in _WORD.findall(text))
    found = {name: sum(message[word] for word in small) for name, small in _LANGUAGES.items()}
    best = max(found, key=lambda name: found[name])
    candidate = max(count for name, count in found.items() if name != best)
    return best if found[best] >= _SCARCE and found[best] > candidate else None


def usual_language(texts: Iterable[str]) -> str | None:
    """The language most of these are in; None where hardly any tells."""
    notified = Counter(language(text) for text in texts)
    name, count = notified.most_common(1)[0] if notified else (None, 0)
    return name if 2 * count > notified.total() else None


def refuses(text: str) -> bool:
    """The answer opens like a refusal or an apology, whoever wrote it."""
    return _REFUSES.match(text[:LONGEST]) is not None


def unsuitable(text: str, *, usual: str | None, refusing: bool) -> str | None:
    """Why this answer says nothing about its author; None where it may.

    `usual` is the baseline's language, `refusing` whether refusals were learnt, too.
    """
    if len(text.strip()) < SHORTEST:
        return f"the answer has fewer than {SHORTEST} characters"
    if not refusing and refuses(text):
        return "the answer is a refusal or an apology, which all models word alike"
    spoken = language(text)
    if usual and spoken and spoken != usual:
        return f"the answer is in {spoken}, the baseline in {usual}"
    return None
