"""Texts, and three toy tokenizers that split them differently."""

import random
import re
from math import ceil

from monitor.identity.fingerprint.features import language
from monitor.identity.token_counts.counts import Counter, TokenCount, shape

_WORDS = [
    "the",
    "a",
    "permit",
    "of",
    "company",
    "in",
    "Bali",
    "you",
    "need",
    "with",
    "property",
    "and",
    "investment",
    "for",
    "residence",
    "is",
    "foreign",
    "documents",
    "before",
    "application",
    "usually",
    "takes",
    "several",
    "weeks",
    "accountant",
    "registration",
]


def prose(seed: int, text: int = 120) -> str:
    """An answer of so many words, the same for the same seed."""
    draw = random.Random(seed)
    reported = [
        draw.choice(_WORDS) + draw.choice(["", "", "", "", ",", ".", "\n"]) for _ in range(text)
    ]
    return " ".join(reported)


def breaking(letters: int) -> Counter:
    """A tokenizer that breaks words after so many letters. One of 4 makes more than of 5."""

    def counter(text: str) -> int:
        runs = re.findall(r"[A-Za-z]+", text)
        marks = re.findall(r"[^\w\s]|\n", text)
        return sum(ceil(len(run) / letters) for run in runs) + len(marks)

    return counter


def count(
    seed: int, counter: Counter, *, query: str = "hi", exact: dict[str, Counter] | None = None
) -> TokenCount:
    """One answer as a service with that tokenizer counts it, a closing token now and then."""
    text = prose(seed)
    own = {model: of(text) for model, of in (exact or {}).items()}
    return TokenCount(query, counter(text) + seed % 3 // 2, shape(text), language(text), own)
