"""Texts made to be slow to read: what a hostile service may send in place of an answer."""

import random
import re
from collections.abc import Iterator
from dataclasses import astuple

from monitor.identity.self_identification import sentences
from monitor.identity.self_identification.phrases import LANGUAGES, either, split
from monitor.identity.self_identification.sentences import MAKERS, UNMISTAKABLE

KIB = 1024
LARGE = 256 * KIB

_END = "zzz I'm Claude, made by Anthropic."
# Name → what is repeated, with what stands before and behind it.
_REPEATED: dict[str, tuple[str, str, str]] = {
    "openers": ("", "also ", _END),
    "greetings": ("", "hi there ", _END),
    "greeting with a name": ("", "Hi Bob, ", _END),
    "openers with commas": ("", "well, and, ", _END),
    "Chinese openers": ("", "你好,", "zzz 我是Claude"),
    "denials": ("", "no, ", "I'm Claude"),
    "own clauses": ("", "I am a, and ", _END),
    "resets": ("", "but zzz ", _END),
    "concessions": ("", "although zzz, ", _END),
    "heads": ("saya adalah ", "asisten virtual ", "zzz Claude."),
    "heads of two words": ("saya adalah ", "model bahasa ", "zzz Claude."),
    "Spanish heads": ("soy un ", "modelo de IA ", "zzz Claude."),
    "French heads": ("je suis un ", "modèle d'IA ", "zzz Claude."),
    "description without end": ("I'm an ", "AI model ", ""),
    "description with commas": ("I'm an ", "AI, ", "made by zzz OpenAI"),
    "words without a head": ("I'm a ", "large ", "Claude"),
    "persona": ("I'm Z", ", a", " powered by Claude"),
    "adverbs": ("I'm", " really", " Claude"),
    "beginnings": ("", "I am ", "Claude"),
    "foreign beginnings": ("", "sono ", "Claude"),
    "claims": ("", "I'm Claude, made by Anthropic. ", ""),
    "claims in one sentence": ("", "I'm Claude, ", ""),
    "names": ("", "Claude ", ""),
    "names in sentences": ("", "OpenAI. ", ""),
    "many names": ("", "gpt-4 gpt-5 claude-3 llama 4 qwen2 ", ""),
    "versions": ("Claude", " 3.5", ""),
    "teams": ("I was made by ", "the team at ", "OpenAI"),
    "shouting": ("", "I AM CLAUDE MADE BY ANTHROPIC. ", ""),
    "retractions": ("I'm Claude", ", said", ""),
    "stages": ("", "imagine. ", "I'm Claude."),
    "Chinese claims": ("", "我是由", "Claude"),
    "one word": ("", "a", ""),
    "one glued word": ("", "IamClaudemadebyAnthropic", ""),
    "glued letters": ("", "aA", ""),
    "apostrophes": ("", "a'", ""),
    "capitals with a dotted i": ("", "İA", ""),
    "words of one letter": ("", "a ", ""),
    "blanks": ("", " ", "x"),
    "tabs and blanks before no line break": ("", " \t", "x"),
    "line breaks": ("", "\n", "x"),
    "blank lines with blanks": ("", " \n", "x"),
    "quotations": ("", '"a" ', ""),
    "quotations left open": ("", "'a ", ""),
    "quote lines": ("", "> a\n", ""),
    "fences": ("", "```\na\n```\n", ""),
    "fences left open": ("", "``` ~~~ ", ""),
    "footnotes": ("", "[1]", ""),
    "footnotes left open": ("", "[1", ""),
    "bold": ("", "*a", ""),
    "sentence ends": ("", ".", ""),
    "questions": ("", "?!", ""),
    "digits": ("", "1", ""),
    "dotted digits": ("", "1.", ""),
    "dashes": ("", "-1-", ""),
    "a list of names": ("", "a|", ""),
    "colons": ("", "us:", ""),
    "dates": ("", "jan-", "2024"),
    "prefixes": ("", "us.", "claude"),
    "questions for a name": ("", "what is your ", "model"),
    "questions for a model": ("", "which a b c model ", "you"),
    "questions to a person": ("", "are you a ", "?"),
    "escapes": ("", "\x1b[", "m"),
    "escapes without end": ("\x1b[", "0", ""),
    "terminal strings": ("", "\x1b]", "x"),
    "controls": ("", "\x00\u200b", ""),
    "lone surrogates": ("", "\ud800", ""),
    "half a secret": ("", "sk-live-0123456", ""),
    "whole secrets": ("", "sk-live-0123456789 ", ""),
    "characters that grow": ("", "\ufdfa", ""),
    "combining marks": ("a", "\u0301", ""),
    "emoji": ("", "🙂", ""),
    "Chinese": ("", "模型", ""),
    "braces": ("", '{"a":', ""),
    "brackets": ("", "[", ""),
    "backslashes": ('"', "\\", '"'),
    "fields": ("", "data: ", ""),
    "ampersands": ("", "&a", ""),
}


def large(size: int = LARGE) -> dict[str, str]:
    """Each shape by its name, in so many characters."""
    made = {}
    for name, (before, unit, after) in _REPEATED.items():
        times = (size - len(before) - len(after)) // len(unit)
        made[name] = before + unit * times + after
    return made


def generated(count: int, *, seed: int, size: int = 9_000) -> Iterator[str]:
    """Shapes out of the words that the patterns themselves know, combined at random."""
    chance, text = random.Random(seed), _vocabulary()
    names = ("Claude", "Anthropic", "OpenAI", "Llama 4", "ChatGPT")
    for _ in range(count):
        unit_words = [chance.choice(text) for _ in range(chance.choice((1, 1, 2, 2, 3, 4, 6)))]
        if chance.random() < 0.5:
            unit_words.insert(chance.randrange(len(unit_words) + 1), chance.choice(names))
        joint = chance.choice((" ", " ", ", ", ". ", "-", " , ", "\n", ""))
        unit = joint.join(unit_words) + joint
        long = chance.choice((230, 640, size))
        opening = chance.choice(("", "", "I'm ", "sono ", "saya adalah ", "Hi! ", "我是"))
        closing = chance.choice(
            ("", "Claude", "zzz Claude.", " zzz I'm Claude, made by OpenAI", "?")
        )
        yield opening + (unit * (long // len(unit) + 1))[:long] + closing


def _vocabulary() -> list[str]:
    tables = [
        phrases
        for language_phrases in LANGUAGES
        for phrases in astuple(language_phrases)
        if isinstance(phrases, str)
    ]
    tables += [
        sentences.GREETINGS,
        sentences.OPENERS,
        sentences.FICTION,
        sentences.REPORTS,
        sentences.CORRECTS,
    ]
    tables += [*UNMISTAKABLE.values(), *(names for names, _ in MAKERS.values())]
    phrases = {_worded(phrase) for table in tables for phrase in split(either(table))}
    more = (
        "zzz",
        "word",
        "A",
        "我",
        "我是",
        "由",
        "开发",
        "作为",
        "但",
        "你好",
        "不",
        "虽然",
        "no",
        "while",
        "I can",
        "not",
    )
    return sorted({phrase for phrase in phrases if phrase} | {*more})


def _worded(phrase: str) -> str:
    """One text that an alternative matches, near enough."""
    while group := re.search(r"\((?:\?i?:)?([^()]*)\)\??", phrase):
        phrase = phrase[: group.start()] + group[1].split("|")[0] + phrase[group.end() :]
    return re.sub(r"\[(.)[^]]*\]|\\d|\\w|[\\?+*]", r"\1", phrase).strip()
