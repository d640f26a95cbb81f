"""What an answer says of its own maker: "I'm Claude, an AI created by Anthropic".

Weak evidence by nature: models are sometimes wrong about themselves, and a persona hides
them. So a claim is read only where its sentence can be taken apart completely; whatever
stands outside the grammar makes it no claim. A missed claim costs little, a false one
names the wrong model.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from itertools import chain

from monitor.identity.self_identification import claim_context, grammar
from monitor.identity.self_identification.alternation import either
from monitor.identity.self_identification.phrases import LANGUAGES
from monitor.identity.self_identification.sentences import cleaned, sentences, unglued
from monitor.identity.self_identification.speakers import (
    BARE_NAME,
    MAKER,
    MARK,
    SpeakerName,
    marked,
)

SENTENCE = 640  # characters of a sentence looked at: `guards.BEFORE`, and a long claim behind it
EFFORT = 200  # how much a text may cost: each place where a claim could begin is 1 …
_TRIED = 4  # … and as much more where nothing before it speaks against a claim


@dataclass(frozen=True, slots=True)
class SelfClaim:
    """The text says who speaks. `family` follows from the maker where no name is given."""

    family: str
    maker: str
    text: str


_PHRASES = (
    *(
        phrases
        for language_phrases in LANGUAGES
        for phrases in astuple(language_phrases)
        if isinstance(phrases, str)
    ),
    claim_context.GREETINGS,
    claim_context.OPENERS,
    claim_context.FICTION,
    claim_context.REPORTS,
    "claude chatgpt gpt llama gemini deepmind haiku sonnet opus scout mistral qwen deepseek grok",
    "kimi anthropic openai meta google alibaba xai how can help you today not here assist with",
    "of course architecture model chat users people here call me while under fastest the team at",
    "not no never neither nor anyone someone some who they he she you we it about than like let's",
    "non bukan tidak nicht kein pas não non né ni weder anda kamu chi qualcuno orang banyak",
)
_VOCABULARY = frozenset(
    word.lower()
    for phrases in _PHRASES
    for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", phrases)
    if len(word) > 1 or word in ("I", "i", "a")
)
_ALTERNATIVE = re.compile(r"\s*(?:or|o|atau|ou|oder)\s", re.I)  # "Claude or Llama"
_COMPOUND = re.compile(r"-\w")  # "OpenAI-certified"
_PROPER = re.compile(r"\s+(?!(?:AI|KI|IA|LLM)\b)[A-ZÀ-Ý]")  # the name goes on: "Meta Design"
_INTRODUCES = re.compile(r"this is|hier ist", re.I)  # may as well introduce somebody else
_MADE_BY = re.compile(rf"[\s,]*(?:made |created |developed )?(?:by|from)\s+({MAKER})")
_WORD = re.compile(r"\w")
_POINTED = re.compile(r"\s*[,.!:;(–—-]")
_ASKS = re.compile(  # a question of its own after the claim: "I'm Claude, how can I help?"
    either(
        r"""[,–—!-]\s*¿?(?:and\s+)?(?:how|what|where|who|which|can|may|is there|come|cosa|in cosa|
        di cosa|posso|bagaimana|apa|ada|cómo|qué|en qué|puedo|comment|que|en quoi|puis|wie|was|
        womit|kann|como|o que|em que|怎么|有什么|请问|需要|我能|我可以)"""
    ),
    re.I,
)


def self_claims(text: str) -> tuple[SelfClaim, ...]:
    """The distinct claims of a text about its own speaker, in order. Never fails.

    Reads the first `LONGEST` characters, and `SENTENCE` of each sentence, and stops after
    `EFFORT`: the time does not grow with the text.
    """
    legible = sentences(unglued(cleaned(text, BARE_NAME), _VOCABULARY))
    lines, speakers = marked("\n".join(legible))
    if not speakers:
        return ()
    reported = lines.split("\n")
    found: dict[tuple[str, str], SelfClaim] = {}
    left = EFFORT
    for at, sentence in enumerate(reported):
        if not MARK.search(sentence):
            continue
        claims, effort = _claims(sentence, speakers, left)
        left -= effort
        if claims and not _foreign(reported, at):
            for claim in claims:
                found.setdefault((claim.family, claim.maker), claim)
        if left <= 0:
            break
    return tuple(found.values())


@cache
def prepare() -> None:
    """Compile what is compiled on first use: a quarter of a second that no answer should pay.

    Only the first call does anything.
    """
    self_claims("I'm Claude, an AI made by Anthropic.")


def _foreign(reported: Sequence[str], at: int) -> bool:
    """Whether the sentences around one make it a story, a sample or a joke."""
    if any(claim_context.staged(earlier) for earlier in reported[max(0, at - 2) : at]):
        return True
    return at + 1 < len(reported) and claim_context.retracted(reported[at + 1])


def _claims(
    whole: str, speakers: Mapping[str, SpeakerName], most: int
) -> tuple[list[SelfClaim], int]:
    """The claims of one sentence that stand, bare names first; and the effort it took."""
    sentence = whole[:SENTENCE]
    last_name = max((match.start() for match in MARK.finditer(sentence)), default=0)
    places = grammar.beginnings(sentence, min(claim_context.BEFORE, last_name) + 1)
    opened: dict[int, bool] = {}
    found: list[SelfClaim] = []
    effort = 0
    for bare, phrasings in ((True, grammar.bare()), (False, grammar.full())):
        for phrasing in phrasings:
            end = 0
            for place in sorted(
                chain.from_iterable(places[w] for w in phrasing.words & places.keys())
            ):
                if place not in opened:
                    if effort >= most:
                        return found, effort
                    opened[place] = claim_context.opens(sentence[:place])
                    effort += 1 + _TRIED * opened[place]
                if place < end or not opened[place]:
                    continue
                match = phrasing.pattern.match(sentence, place)
                if match is None:
                    continue
                end = match.end()
                groups = match.groupdict()
                speaker = speakers.get(groups.get("name") or groups.get("maker") or "")
                if speaker and _stands(match, whole, speakers, speaker=speaker, bare=bare):
                    text = MARK.sub(lambda letter: speakers[letter[0]].written, match[0])
                    found.append(SelfClaim(speaker.family, speaker.maker, text.strip()))
    return found, effort


def _stands(
    match: re.Match[str],
    whole: str,
    speakers: Mapping[str, SpeakerName],
    *,
    speaker: SpeakerName,
    bare: bool,
) -> bool:
    """Whether nothing around the claim makes it somebody else's, or no claim at all."""
    sentence = match.string
    after = sentence[match.end() :]
    if claim_context.unsaid(after) or _ALTERNATIVE.match(after):
        return False
    if _COMPOUND.match(after):
        return False
    if whole.endswith("?") and not _ASKS.search(after):
        return False
    if not bare:
        goes_on = _PROPER.match(after) and not sentence.istitle()
        return bool(grammar.FOLLOWS.match(after)) and not goes_on
    made = _MADE_BY.match(after)
    if made and speakers[made[1]].maker != speaker.maker:
        return False
    if not _WORD.search(after):
        return not _INTRODUCES.match(match[0])
    return _assistant(after, certain=speaker.certain)


def _assistant(after: str, *, certain: bool) -> bool:
    """Whether the sentence goes on after a bare name as an assistant's would."""
    if re.match(r"[a-zà-ÿ0-9'-]", after, re.I):
        return False
    if certain and _POINTED.match(after):
        return True
    return bool(grammar.GOES_ON.match(after) or grammar.CHINESE_GOES_ON.match(after))
