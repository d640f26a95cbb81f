"""The sentences in which a model identifies itself, as patterns over each language's phrases.

Every pattern captures `name` or `maker` and begins where the claim begins; `sentences` checks the
surrounding text. A bare claim gives only a name ("I'm Claude"), which may be a person's. A full
claim is sufficient by itself ("I was created by Anthropic").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from monitor.identity.self_identification.phrases import (
    LANGUAGES,
    LanguagePhrases,
    either,
    first_words,
    grouped,
    split,
)
from monitor.identity.self_identification.sentences import ANYBODY, CORRECTS, MAKER, NAME, STOP


def _spaced(phrases: str) -> str:
    return re.sub(r"(?<!,) ", r"\\s+", either(phrases))


_WORD = rf"(?!(?:{grouped(STOP)})\b)[\w'-]++"
# Not a product of the maker: "a Microsoft Excel assistant".
_PLAIN = rf"(?-i:(?=[a-z]|AI\b|KI\b|IA\b|LLM\b|{NAME}))(?:{_WORD}|{NAME})"
_ADVERB = _spaced(
    r"""(?:,? (?:actually|really|indeed|in fact|in reality|currently|simply|just|basically|also|
    technically|underneath|originally|proudly|of course|in realtà|davvero|sebenarnya|en realidad|
    realmente|en fait|en réalité|eigentlich|tatsächlich|na verdade)\b,?)*+"""
)
_TEAM = _spaced(
    """(?:(?:the|a|an|il|lo|la|el|le|o|das|der|die|dem) |l')?(?:(?:AI|research|safety|brilliant|
    talented|American|US|leading|tech|company) ){0,3}(?:team|company|lab|startup|researchers|
    engineers|scientists|people|folks|firm|società|azienda|empresa|equipo|entreprise|société|équipe|
    Unternehmen|Firma|equipe|perusahaan|tim) (?:(?:at|of|from|di|de|da|von|bei|chez|called|named|
    bernama|chiamata|llamada|appelée|namens) )?"""
)
_TEAM_FIRST = (
    "the|a|an|il|lo|la|el|le|o|das|der|die|dem|l'|AI|research|safety|brilliant|talented|American|"
    "US|leading|tech|company|team|lab|startup|researchers|engineers|scientists|people|folks|firm|"
    "società|azienda|empresa|equipo|entreprise|société|équipe|Unternehmen|Firma|equipe|perusahaan|tim"
)
_MADE_ME = _spaced(  # "made me laugh", "trained me as a baker" have another meaning
    r"""(?=\s*(?:[,.;:!()–—。-]|$)|\s+(?:on|using|with|and|su|con|usando|e|pada|dengan|dan|y|sur|avec|
    et|mit|auf|und|em|com|(?:to|per|untuk|para|pour|um) (?:help|assist|answer|provide|support|be
    (?: helpful| an| a helpful)|aiut|assist|membantu|ayudar|aider|zu helfen|ajudar)))"""
)
_AND = "(?:and|e|y|et|und|dan)"
_BY = rf"(?:{_TEAM})?(?P<maker>{MAKER})"
_VERSION = either(
    r"""(?:[\s-]+(?:v?\d+(?:\.\d+)*[a-z]?|\d+b|haiku|sonnet|opus|scout|maverick|instant|pro|flash|
    large|small|mini|nano|turbo|instruct|chat|plus|max|ultra|lite|r\d)\b)*+"""
)
_NAMED = rf"(?:{MAKER}'s\s+)?(?P<name>{NAME}){_VERSION}"
_WHICH = _spaced(
    r""",?\s*(?:(?:that|which|che|qui|que|yang|and|e|dan|y|et) )?
    (?:(?:was|is|has been|è stato|è stata|è|fue|ha sido|a été|est|foi) )?"""
)
_LINKS = _spaced(
    """made|created|developed|trained|built|designed|from|by|that|who|which|here|for|to|with|at|
    powered|based|called|named|di|da|del|della|de|creato|sviluppato|addestrato|che|qui|que|yang|
    untuk|para|pour|per|für|von|dari|buatan|oleh|ready|pronto|
    (?:and|e|ed|y|et|und|dan) (?:I|I'm|my|am|was|have|can|will|then|now|made|created|developed|
    trained|built|designed|based|powered|named|called|released|here|ready|sono|posso|addestrato|
    creato|sviluppato|mi|soy|estoy|puedo|me|entrenado|je|j'ai|entraîné|ich|bin|kann|wurde|trainiert|
    saya|dilatih|dirancang|siap|eu|sou|posso|treinado)"""
)
_GOING_ON = _spaced(
    """in|on|using|under|via|through|right now|today|currently|behind|family|series|architecture|
    architettura|architektur|arquitectura|technology|su|con|nel|nella|mit|pada|dengan|en|em|no|na|
    sur|avec|dans|auf|so that"""
)
_I = _spaced(  # the speaker continues: "as an AI made by OpenAI, I …", and not "…, ChatGPT …"
    """i|i'm|i've|i'd|i'll|my|io|mi|posso|non posso|non ho|saya|aku|yo|puedo|no puedo|no tengo|je|
    j'|ich|eu|não posso|não tenho"""
)
_VERBS = "|".join(
    _spaced(language_phrases.verbs) for language_phrases in LANGUAGES if language_phrases.verbs
)
_HEADS = grouped("|".join(_spaced(language_phrases.heads) for language_phrases in LANGUAGES))
_ALL_MADE = grouped("|".join(_spaced(f"{t.made}|{t.of}|{t.running}") for t in LANGUAGES))
_CALLED = grouped("|".join(_spaced(language_phrases.called) for language_phrases in LANGUAGES))
_STOPS = r"\s*(?:[,.;:!?()–—。-]|$)"
_STANDS = rf"(?={_STOPS}|\s+(?:{_LINKS}|{_ALL_MADE})\b)"  # no further noun follows


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One way to identify the speaker. `words`: the lower-case words with which it can begin."""

    pattern: re.Pattern[str]
    words: frozenset[str]


def _described(phrases: LanguagePhrases) -> str:
    heads, article = grouped(_spaced(phrases.heads)), grouped(_spaced(phrases.article))
    more = rf"(?:\s+(?:di\s+|de\s+|of\s+|d'\s*)?(?:{heads})\b){{0,8}}+"
    before = rf"(?:{_WORD}\s+){{0,6}}?" if phrases.leading else ""
    return rf"(?:(?:{article})\s*)?\b{before}(?:{heads})\b{more}"


def _patterns(phrases: LanguagePhrases) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The bare and full claims of one language, each with the phrases that can begin it."""
    be, was, runs = (
        rf"\b(?:{_spaced(p)}){_ADVERB}\s+" for p in (phrases.be, phrases.was, phrases.runs)
    )
    article, heads = (rf"(?:{grouped(_spaced(p))})" for p in (phrases.article, phrases.heads))
    running, makes = (rf"(?:{grouped(_spaced(p))})" for p in (phrases.running, phrases.makes))
    verbs = rf"(?:{_spaced(phrases.verbs)})"
    closed = rf"(?:\s+{_WORD}){{0,3}}?\s+{verbs}\b" if phrases.verbs else ""
    made_by = rf"(?:{grouped(_spaced(phrases.made))})"
    made, of = rf"{made_by}\s*{_BY}{closed}", rf"(?:{_spaced(phrases.of)})\s*{_BY}"
    more = rf"(?:\s+{_WORD}){{0,3}}?" if phrases.trailing else r"(?:\s+for(?:\s+[A-Z]\w++){1,3}+)?"
    described = _described(phrases) + more
    model = rf"(?:{article}\s*)?(?:{heads}\s+){{0,8}}+{_NAMED}"
    before_name = (
        rf"(?:(?:{article}\s*)?(?:{heads}\s+){{1,8}}+|(?:{phrases.definite or '(?!)'})\s+)?"
    )
    persona = rf"(?-i:[A-Z]|{NAME})[^.!?;{ANYBODY}]{{0,60}}?,\s+(?:(?>{described}(?=,?\s)),?\s+)?"
    denied = rf"\b(?:{_spaced(phrases.denied)})\s+[^.;!?]{{1,60}}?,?\s+(?:{CORRECTS})\s+"
    bare = [
        (phrases.be, rf"{be}{before_name}{_NAMED}"),
        (phrases.denied, rf"{denied}{before_name}{_NAMED}"),
    ]
    full = [
        (phrases.be, rf"{be}{article}\s*{_NAMED}\s+{heads}\b{_STANDS}"),
        (phrases.be, rf"{be}{described},?\s+(?:{_spaced(phrases.called)})\s+{_NAMED}"),
        (
            phrases.be,
            rf"{be}(?:(?>{described}(?=,)),\s+(?:specifically\s+)?)?{described}{_WHICH}{made}",
        ),
        (phrases.be, rf"{be}{_described(phrases)}{_WHICH}{of}"),
        (
            phrases.be,
            rf"{be}(?:{article}\s*)?{_BY}(?:'s)?\s+(?:{_PLAIN}\s+){{0,3}}?{heads}\b{_STANDS}",
        ),
        (phrases.be, rf"{be}{persona}{running}\s+{model}"),
        (phrases.be, rf"{be}{persona}{_WHICH}{made}"),
        (phrases.be, rf"{be}{described},?\s+{running}\s+{model}"),
        (phrases.was, rf"{was}(?:{_WORD}\s+{_AND}\s+)?{made}"),
        (phrases.runs, rf"{runs}{model}"),
        (
            f"*|a|o|la|the|l'|{_TEAM_FIRST}",
            rf"\b(?:(?:a|o|la|the)\s+|l')?{_BY}\s+(?:(?:who|that|qui|che|que)\s+)?{makes}\b{_MADE_ME}",
        ),
        (phrases.makes, rf"\b{makes}\s+{_BY}"),
        (phrases.maker, rf"\b(?:{_spaced(phrases.maker)})\s+{_BY}"),
        (
            phrases.role,
            rf"\b(?:{_spaced(phrases.role)})\s+(?:{_NAMED}|{described}{_WHICH}{made})(?=,\s+(?:{_I})\b)",
        ),
        (phrases.made, rf"\b{made}(?=[^,.]{{0,30}},\s+(?:{_spaced(phrases.be)})\s)"),
    ]
    if phrases.verbs:
        full.append(
            (phrases.be, rf"{be}{article}\s+(?:{phrases.made})\s+{_BY}\s+{verbs}\s+{heads}\b")
        )
    return bare, full


_HAN = "我|作"
_HERE = (  # "Claude here, …", "Claude is my name"
    rf"\b{_NAMED}\s+(?:here|speaking)(?=\s*(?:[,.!:–—-]|$))",
    rf"\b{_NAMED}\s+(?:is my name|è il mio nome|adalah nama saya|es mi nombre|est mon nom|"
    r"ist mein Name|é (?:o )?meu nome)",
)
_MAKES_ZH = "开发|训练|创建|创造|研发|打造|推出|制造|设计|提供"
_ONE = "(?:一个|一款|一种|一位|名为|名叫|叫做|叫)*+"
_FIRM = "(?:公司|团队|的团队|的工程师)?"
_BARE_ZH = (
    rf"(?:我是|我叫|我就是|我的名字是|我的名字叫){_ONE}"
    rf"(?:(?:来自)?\s*{MAKER}\s*的\s*)?\s*{_NAMED}"
)
_FULL_ZH = (
    rf"我是?{_ONE}(?:由|被)?\s*{_BY}\s*{_FIRM}所?(?:{_MAKES_ZH})",
    rf"我是[^,。不]{{1,12}},{_ONE}是?由?\s*{_BY}\s*{_FIRM}所?(?:{_MAKES_ZH})",
    rf"{_BY}\s*{_FIRM}(?:{_MAKES_ZH})了我",
    rf"我(?:的底层模型|背后的模型|的模型|使用的模型|的基础模型|使用的)是?(?:由)?\s*(?:{_NAMED}|{_BY})",
    rf"我是(?:来自)?\s*{_BY}\s*{_FIRM}的(?:AI|人工智能|大型|大|语言|智能)*+(?:助手|模型)",
    rf"我是?(?:基于|由)\s*(?:{MAKER}\s*的)?\s*{_NAMED}",
    rf"我的(?:开发者|创造者|创建者|开发公司)是\s*{_BY}",
    rf"作为{_ONE}由?\s*(?:{_NAMED}|{_BY}\s*{_FIRM}(?:{_MAKES_ZH}))[^,。]{{0,20}},我",
)

_BOTH = [_patterns(language_phrases) for language_phrases in LANGUAGES]
_BARE = (
    *chain.from_iterable(bare for bare, _ in _BOTH),
    *(("*", pattern) for pattern in _HERE),
    (_HAN, _BARE_ZH),
)
_FULL = (
    *chain.from_iterable(full for _, full in _BOTH),
    *((f"*|{_HAN}", pattern) for pattern in _FULL_ZH),
)
# Where a phrasing may begin: a word in Latin script, a name, or one of two Chinese characters.
_BEGINNING = re.compile(
    rf"\b[^\W{ANYBODY}\u4e00-\u9fff]++|(?P<name>[{ANYBODY}])|[{_HAN.replace('|', '')}]"
)
ANY_NAME = "*"  # the key of every name, in `beginnings` and `Phrasing.words`


def beginnings(sentence: str, end: int) -> dict[str, list[int]]:
    """Where phrasings may begin before `end`: each lower-case word with its positions, in order."""
    found: dict[str, list[int]] = {}
    for match in _BEGINNING.finditer(sentence, 0, end):
        word = ANY_NAME if match["name"] else match[0].lower()
        found.setdefault(word, []).append(match.start())
    return found


def _compiled(phrasings: Sequence[tuple[str, str]]) -> tuple[Phrasing, ...]:
    return tuple(
        Phrasing(
            re.compile(pattern, re.I), first_words(either(begin)) | {ANY_NAME} & {*split(begin)}
        )
        for begin, pattern in phrasings
    )


@cache
def bare() -> tuple[Phrasing, ...]:
    """Claims that give only a name. Compiled on first use, because most answers never need them."""
    return _compiled(_BARE)


@cache
def full() -> tuple[Phrasing, ...]:
    """Claims that give more than a name. Compiled on first use, as above."""
    return _compiled(_FULL)


# What may directly follow a full claim.
FOLLOWS = re.compile(
    rf"{_STOPS}|\s+(?:{_LINKS}|(?:{_GOING_ON})(?!\s+(?:how|why|when|what|where))|{_HEADS}|{_VERBS}|{_CALLED}|{_ALL_MADE})\b|[\u4e00-\u9fff]|"
    r"'s?\s+(?:own\s+)?(?:AI\s+|research\s+)?(?:team|researchers|engineers|lab|labs)\b",
    re.I,
)
# How an assistant's sentence continues after a bare name.
_ARTIFICIAL = _spaced(
    r"""(?:\w+ (?:de |di |d'\s*))?(?:AI|IA|KI|LLM|chatbot|language model|modello linguistico|
    modello di linguaggio|model bahasa|modelo de lenguaje|modelo de linguagem|modèle de lang\w+|
    Sprachmodell|KI-\w+|intelligen\w+ artificial\w*|artificial intelligence|kecerdasan buatan|
    (?:virtual|digital) assistant|assist?ente (?:virtuale|digitale|virtual|digital)|
    asisten (?:virtual|digital))"""
)
_HELP = _spaced(
    r"""(?:and )?(?:how|what) (?:can|may)|(?:and )?(?:I'm|I am) (?:here|happy|glad|ready|pleased)|
    here to|ready to|nice to|pleased|come posso|in cosa|bagaimana|ada yang|apa yang|siap|
    cómo puedo|en qué|comment puis|wie kann|womit|como posso|em que"""
)
_YOURS = _spaced(  # "your assistant"; a neighbour or an agent may be a person
    r"""(?:your|il tuo|la tua|tu|su|votre|ton|dein|deine|Ihr|Ihre|seu|sua) (?:[\w-]+ ){0,3}?
    (?:AI|IA|KI|[\w-]*assist?(?:ant|ante|ent|entin|ente)|asistente|asisten|chatbot|bot|helper|
    companion)\b"""
)
_DENIAL = _spaced("(?:(?:and|e|y|et|und|dan) )?(?:not|non|nicht|bukan|no|pas|não) ")
_PARTICIPLES = "|".join(_spaced(language_phrases.made) for language_phrases in LANGUAGES)
_ARTICLES = "|".join(_spaced(language_phrases.article) for language_phrases in LANGUAGES)
GOES_ON = re.compile(
    rf"[\s,(¿–—:-]*(?:{_HELP}|{_YOURS}|{_DENIAL}|(?:here|speaking)\b|{MAKER}'s\s|"
    rf"{_WHICH}(?:{_ALL_MADE})\s*(?:{_TEAM})?{MAKER}|"
    rf"{_AND}\s+(?:{_WORD}\s+){{0,2}}?(?:{_PARTICIPLES})\s*{MAKER}|(?:(?:{_ARTICLES})\s*)?"
    rf"(?:{_WORD}\s+){{0,5}}?"
    rf"(?:{_ARTIFICIAL}\b{_STANDS}|(?:{_HEADS})\s+(?:{_ALL_MADE})\s*{MAKER}))",
    re.I,
)
CHINESE_GOES_ON = re.compile(
    r"(?:[\s,.。(-]|由|是|模型|大模型|语言模型|驱动).*"
    r"(?:由|AI|人工智能|模型|助手|开发|很高兴|有什么|请问|能帮)"
)
