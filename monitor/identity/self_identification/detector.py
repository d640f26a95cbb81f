"""Self-identification: answers that name their own model, and queries that ask for it.

Only answers to a query that asks directly may decide, and only several in a row (see `standing`). A
query that does not ask must never count as one that does, because what a text volunteers is often
wrong.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from itertools import chain, takewhile

from monitor.domain import ClaimKind, Evidence
from monitor.identity.model_names import compare
from monitor.identity.self_identification import grammar
from monitor.identity.self_identification.phrases import LANGUAGES, either
from monitor.identity.self_identification.sentences import (
    BARE_NAME,
    BEFORE,
    FICTION,
    GREETINGS,
    MAKER,
    MARK,
    OPENERS,
    REPORTS,
    VOCABULARY,
    SpeakerName,
    cleaned,
    marked,
    opens,
    retracted,
    sentences,
    staged,
    unglued,
    unsaid,
)

LONGEST = 2_000  # characters of a query that are examined

_WHO = r"""
      who \s (?:are|r) \s (?:you|u)
    | who \s (?:made|created|developed|built|trained|designed) \s you
    | who \s is \s (?:behind|powering) \s (?:you|this)
    | (?:chi|quem) \s (?:sei|è|és|é \s você) | con \s chi \s (?:sto \s parlando|parlo)
    | chi \s ti \s ha \s (?:creato|fatto|sviluppato|addestrato)
    | siapa(?:kah)? \s (?:anda|kamu|namamu)
    | siapa \s yang \s (?:membuat|mengembangkan|menciptakan|melatih) \s (?:anda|kamu|mu)
    | qui (?:én)? \s eres | quién \s te \s (?:creó|hizo|desarrolló|entrenó)
    | qui \s (?:es-tu|êtes-vous) | qui \s (?:t'a|vous \s a) \s (?:créé|développé|entraîné|conçu)
    | wer \s (?:bist \s du|sind \s sie) | wer \s hat \s (?:dich|sie) \s \w+
    | quem \s (?:te|o|a) \s (?:criou|fez|desenvolveu|treinou)
"""
_MODEL = r"(?:language \s model|ai|llm|a\.i\.|ia|ki|model|models|modello|modell|modelo|modèle)"
_YOURS = r"""(?:
      (?:are \s you|you \s are|you're) (?: \s (?:using|running|based|built|powered|really|exactly))?
    | (?:do \s)? you \s (?:use|run|rely|employ) \w* | you \s (?:using|running)
    | (?:powers|drives|runs|behind|inside|under) \s (?:you|this)
    | (?:am \s i|i \s am|i'm) \s (?:talking|speaking|chatting)
)"""
_WHICH = rf"""
      (?:what|which) \s (?:\w+ \s){{0,3}}? {_MODEL} (?:\s \w+){{0,2}}? \s {_YOURS}
    | (?:what|which) \s (?:is|are) \s your \s (?:\w+ \s){{0,3}}? {_MODEL}
    | who \s \w+ \s (?:\w+ \s){{0,4}}? {_MODEL} \s (?:behind|inside|powering|under) \s (?:you|this)
    | are \s you \s (?:an? \s)? (?:ai|llm|language \s model)
    | (?:che|quale) \s (?:\w+ \s){{0,3}}? {_MODEL} .{{0,30}}? \s (?:sei|usi|utilizzi|stai)
    | (?:model|ai|llm) (?:\s (?:ai|bahasa|apa|yang|sedang)){{0,4}} \s (?:anda|kamu) \s
      (?:gunakan|pakai|adalah)
    | (?:anda|kamu) (?:\s \w+){{0,2}} \s (?:model|ai|llm) (?:\s (?:ai|bahasa))* \s apa
    | (?:qué|cuál) \s (?:\w+ \s){{0,3}}? {_MODEL} .{{0,30}}? \s (?:eres|usas|utilizas|estás)
    | quel(?:le)? \s (?:\w+ \s){{0,3}}? {_MODEL} .{{0,30}}? \s (?:es-tu|êtes-vous|utilis\w+)
    | welche[srmn]? \s (?:\w+[\s-]){{0,3}}? \w*{_MODEL} .{{0,30}}? \s
      (?:bist|nutzt|verwendest|benutzt|sind|steckt)
    | (?:que|qual) \s (?:\w+ \s){{0,3}}? {_MODEL} .{{0,30}}? \s (?:você|usas|usa|és)
"""
_ASKS = re.compile(rf"(?<!\w)(?:{_WHO}|{_WHICH})(?!\w)", re.VERBOSE | re.IGNORECASE)
_ASKS_HAN = re.compile(
    r"[你您](?:到底|究竟)?是谁|谁(?:创造|开发|训练|制造)了?[你您]|[你您](?:是|用|使用|背后).{0,8}(?:模型|AI)",
    re.IGNORECASE,
)
_ARE_YOU = re.compile(r"\bare you (?:really |actually )?(\w[\w .-]{2,30})\?", re.IGNORECASE)


def asks_for_model(text: str) -> bool:
    """Whether the query asks who or which model answers, in any of the eight languages."""
    line = " ".join(text[:LONGEST].replace("’", "'").split())
    if _ASKS.search(line) or _ASKS_HAN.search(line):
        return True
    named = _ARE_YOU.search(line)
    return named is not None and compare.parse(named[1]).family is not None


# What an answer says about its own maker: "I'm Claude, an AI created by Anthropic".
#
# This is weak evidence: models are sometimes wrong about themselves, and a persona hides them. So a
# claim counts only if its sentence matches the grammar completely. A missed claim costs little; a
# false one names the wrong model.


# characters of a sentence that are examined: `guards.BEFORE`, and a long claim after it
SENTENCE = 640
EFFORT = 200  # limit on the work per text: each place where a claim could begin costs 1 …
_TRIED = 4  # … and as much again if nothing before it excludes a claim


@dataclass(frozen=True, slots=True)
class SelfClaim:
    """The text names its speaker. `family` follows from the maker if no name is given."""

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
    GREETINGS,
    OPENERS,
    FICTION,
    REPORTS,
    VOCABULARY,
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
_INTRODUCES = re.compile(r"this is|hier ist", re.I)  # may also introduce somebody else
_MADE_BY = re.compile(rf"[\s,]*(?:made |created |developed )?(?:by|from)\s+({MAKER})")
_WORD = re.compile(r"\w")
_POINTED = re.compile(r"\s*[,.!:;(–—-]")
# the answer's own question follows the claim: "I'm Claude, how can I help?"
_QUESTION = re.compile(
    either(
        r"""[,–—!-]\s*¿?(?:and\s+)?(?:how|what|where|who|which|can|may|is there|come|cosa|in cosa|
        di cosa|posso|bagaimana|apa|ada|cómo|qué|en qué|puedo|comment|que|en quoi|puis|wie|was|
        womit|kann|como|o que|em que|怎么|有什么|请问|需要|我能|我可以)"""
    ),
    re.I,
)


def self_claims(text: str) -> tuple[SelfClaim, ...]:
    """The distinct claims of a text about its own speaker, in order. Never fails.

    Examines the first `LONGEST` characters, and `SENTENCE` characters of each sentence, and stops
    after `EFFORT`: the time does not grow with the text.
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
    """Compile the patterns in advance; it takes a quarter of a second.

    Only the first call does anything.
    """
    self_claims("I'm Claude, an AI made by Anthropic.")


def _foreign(reported: Sequence[str], at: int) -> bool:
    """Whether the neighbouring sentences make it a story, a sample or a joke."""
    if any(staged(earlier) for earlier in reported[max(0, at - 2) : at]):
        return True
    return at + 1 < len(reported) and retracted(reported[at + 1])


def _claims(
    whole: str, speakers: Mapping[str, SpeakerName], most: int
) -> tuple[list[SelfClaim], int]:
    """The valid claims of one sentence, bare names first; and the work it took."""
    sentence = whole[:SENTENCE]
    last_name = max((match.start() for match in MARK.finditer(sentence)), default=0)
    places = grammar.beginnings(sentence, min(BEFORE, last_name) + 1)
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
                    opened[place] = opens(sentence[:place])
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
    """Whether nothing around the claim assigns it to somebody else or negates it."""
    sentence = match.string
    after = sentence[match.end() :]
    if unsaid(after) or _ALTERNATIVE.match(after):
        return False
    if _COMPOUND.match(after):
        return False
    if whole.endswith("?") and not _QUESTION.search(after):
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
    """Whether the sentence continues after a bare name as an assistant's would."""
    if re.match(r"[a-zà-ÿ0-9'-]", after, re.I):
        return False
    if certain and _POINTED.match(after):
        return True
    return bool(grammar.GOES_ON.match(after) or grammar.CHINESE_GOES_ON.match(after))


# Earlier answers to direct questions: the only history that self-identification needs.


ROUNDS = 3  # consecutive direct questions that must get the same answer


@dataclass(frozen=True, slots=True)
class SelfIdHistory:
    """Families that the service named when asked directly, newest first, one per round.

    Answers that named no family are left out: with a persona, silence is not evidence.
    """

    families: tuple[str, ...] = ()

    def run(self, family: str) -> int:
        """How many of the latest consecutive answers named this family."""
        return sum(1 for _ in takewhile(family.__eq__, self.families))

    def once_claimed(self, families: Collection[str]) -> bool:
        """Whether any `ROUNDS` consecutive answers named one of these families."""
        spans = zip(*(self.families[i:] for i in range(ROUNDS)), strict=False)
        return any(span[0] in families and len(set(span)) == 1 for span in spans)


def self_id_history(answers: Iterable[Sequence[Evidence]]) -> SelfIdHistory:
    """The history from the evidence stored with each direct answer, newest first."""
    return self_id_history_of(
        {e.claim for e in answer if e.kind is ClaimKind.SELF} for answer in answers
    )


def self_id_history_of(claims: Iterable[Collection[str]]) -> SelfIdHistory:
    """The history from the families that each direct answer named, newest first."""
    return SelfIdHistory(tuple(next(iter(one)) for one in claims if len(one) == 1))
