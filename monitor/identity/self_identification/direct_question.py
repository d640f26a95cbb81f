"""Whether a canned query asks the service directly who answers.

Only then may answers that name a model decide, and only in a row (see `standing`). A query
that does not ask must never count as one that does: what a text volunteers is often wrong.
"""

import re

from monitor.identity.model_names import compare

LONGEST = 2_000  # characters of a query looked at

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
    """Whether the words ask who or which model answers, in any of the eight languages."""
    line = " ".join(text[:LONGEST].replace("’", "'").split())
    if _ASKS.search(line) or _ASKS_HAN.search(line):
        return True
    named = _ARE_YOU.search(line)
    return named is not None and compare.parse(named[1]).family is not None
