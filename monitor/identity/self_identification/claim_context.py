"""What may stand around a self-identification, and what takes it back.

Before it only what is listed here may stand: greetings, "actually", one's own earlier
statement, or anything at all before a "but". Whatever else stands there ("people say",
"if", "the phrase") speaks of somebody else's words, and the claim does not count.
"""

import re

from monitor.identity.self_identification.phrases import either, grouped

BEFORE = 240  # characters of a sentence before a claim; more is no opening

GREETINGS = either(
    """hi|hello|hey|hi there|hello there|hey there|greetings|welcome|good morning|good afternoon|
    good evening|ciao|salve|buongiorno|buonasera|halo|hai|selamat pagi|selamat siang|selamat sore|
    selamat malam|selamat datang|hola|buenos días|buenas tardes|buenas|bonjour|bonsoir|salut|hallo|
    guten tag|guten morgen|guten abend|servus|moin|olá|oi|bom dia|boa tarde|boa noite"""
)
OPENERS = either(
    """yes|yep|yeah|sure|sure thing|certainly|of course|absolutely|right|correct|well|ok|okay|
    actually|honestly|frankly|in fact|indeed|basically|technically|
    (?:technically|strictly) speaking|it was|it's|it is|currently|to clarify|
    to be (?:clear|honest|transparent|precise|exact|fair)|to answer (?:your question|directly)|
    contrary to what (?:you|some|people|many)(?: may| might)?
    (?: think| believe)|thank you|thanks|for asking|great question|good question|glad you asked|
    (?:nice|pleased) to meet you|and|so|also|again|for the record|just to (?:clarify|be clear)|
    in reality|in truth|under the hood|underneath|behind the scenes|simply put|in short|
    that's right|that is (?:right|correct)|you're right|but|however|rather|instead|there|everyone|
    my friend|(?:please )?note that|i can (?:tell you|confirm)(?: that)?|i want to be clear that|
    i should mention that|the truth is(?: that)?|let me be clear|
    (?:let|allow) me(?: to)? introduce myself|sì|certo|certamente|beh|allora|in realtà|in effetti|
    a dire il vero|grazie|piacere|e|ma|però|quindi|infatti|di fatto|bensì|è|è stata|ya|iya|tentu|
    tentu saja|baik|sebenarnya|terima kasih|dan|tapi|tetapi|namun|jadi|perkenalkan|melainkan|sí|
    claro|por supuesto|bueno|en realidad|de hecho|gracias|encantado|mucho gusto|y|pero|sino|fue|
    entonces|oui|bien sûr|eh bien|en fait|en réalité|merci|enchanté|et|mais|donc|moi|alors|c'est|ja|
    klar|natürlich|gerne|eigentlich|tatsächlich|in wirklichkeit|danke|freut mich|und|aber|also|
    sondern|sim|com certeza|bem|na verdade|obrigado|obrigada|prazer|mas|então|de fato|foi"""
)
_OPENERS_ZH = either(
    """你好|您好|嗨|大家好|是的|没错|对|当然|好的|其实|实际上|事实上|谢谢|很高兴认识你|但是|但|
    而且|不过|并且|那么"""
)
_NO = "no|nope|non|nein|não|tidak|bukan|nee"  # opens only before punctuation: "No, I'm …"
_RESETS = either(
    """but|however|actually|in fact|ma|però|in realtà|tapi|tetapi|namun|sebenarnya|pero|sino|
    en realidad|mais|en fait|aber|sondern|tatsächlich|mas|na verdade"""
)
CORRECTS = "but(?: rather)?|bensì|ma|melainkan|tapi|sino|mais|sondern|mas"
# What the speaker says of himself before the claim. "My shirt reads" is none of it.
_OWN = either(
    """i am|i'm|i was|i've been|i have been|i go by|i answer to|i can|i can't|i don't|i do not|
    i help|i have no|my name is|my name's|you can call me|(?:people|they|users)(?: here)? call me|
    io sono|sono|non sono|mi chiamo|il mio nome è|mi chiamano|posso|non posso|saya|aku|
    nama saya|soy|yo soy|no soy|no|me llamo|me llaman|mi nombre es|puedo|no puedo|je suis|
    je ne suis pas|je m'appelle|on m'appelle|mon nom est|je peux|je ne peux pas|ich bin|ich heiße|
    ich heisse|ich kann|mein name ist|man nennt mich|sou|eu sou|não sou|eu não sou|não|
    me chamo|me chamam|meu nome é|posso|não posso"""
)
_CONCEDES = either(
    """while|although|though|even though|anche se|sebbene|meskipun|walaupun|aunque|bien que|
    même si|obwohl|auch wenn|embora"""
)
_AND = "and|e|ed|y|et|und|dan|which is why|so|then|because"

# Make-believe, conditions and translation: nothing said under them is a claim.
FICTION = either(
    """if|imagine|imagining|pretend|pretending|suppose|supposing|hypothetically|role|roles|
    role-play|roleplay|role-playing|story|tale|novel|scene|scenario|play|playing|character|script|
    poem|joke|joking|fiction|fictional|game|example|translate|translates|translation|translated|
    wish|dream|dreamt|actor|acting|parody|song|lyrics|would|could|might|maybe|perhaps|had|repeat|
    quote|phrase|sentence|prompt|typed|se|fossi|immagina|fingi|fingendo|storia|racconto|esempio|
    gioco|traduci|traduzione|forse|magari|kalau|jika|seandainya|andai|misalnya|bayangkan|
    pura-pura|cerita|contoh|terjemahan|mungkin|si|imagina|imaginemos|finge|finjamos|cuento|
    historia|ejemplo|juego|traducción|quizás|tal vez|imaginez|imaginons|supposons|histoire|rôle|
    exemple|jeu|traduction|peut-être|wenn|falls|stell|angenommen|geschichte|rolle|beispiel|spiel|
    übersetzung|vielleicht|wäre|imaginem|finja|história|exemplo|jogo|tradução|talvez"""
)
_FICTION_ZH = "如果|假如|假设|要是|想象|假装|扮演|故事|例如|比如|角色|翻译|也许|可能|游戏|台词"
REPORTS = either(
    """say|says|said|saying|tell|tells|told|claim|claims|claimed|think|thinks|thought|believe|
    believes|ask|asks|asked|asking|reply|replied|respond|answer|answered|write|wrote|heard|read|
    know|sure|dice|dicono|detto|chiede|penso|credo|so|bilang|kata|tanya|tahu|kira|dicen|dijo|sé|
    creo|pienso|dit|disent|demande|demandent|pense|crois|sais|sage|sagt|sagen|gesagt|fragt|denke|
    glaube|weiß|dizem|disse|diz|acho|sei"""
)
_REPORTS_ZH = "说|问|觉得|认为|以为|知道|告诉"
# An earlier sentence that makes the next ones somebody else's.
_STAGE = re.compile(
    either(
        r"""\b(?:imagine|pretend|role-?play\w*|let's play|story|scene|scenario|script|screenplay|
        poem|dialogue|fiction\w*|character|translat\w+|repeat after me|say the following|joke|
        for example|here(?:'s| is) (?:a|the|an|your) (?:example|sample|sentence|text|line|draft)|
        zodiac|horoscope|segno zodiacale|signo|sternzeichen|immagina|fingi|storia|traduzione|
        bayangkan|pura-pura|cerita|terjemahan|finge|imagina|cuento|traducción|histoire|traduction|
        imaginez|stell dir|geschichte|übersetzung|rollenspiel|história|tradução)\b|
        imagine|pretend|role-?play|zodiac|translat|想象|假装|扮演|故事|翻译|星座"""
    ),
    re.I,
)
# Taken back in the same sentence …
_UNSAID = re.compile(
    either(
        r"""just kidding|kidding|joking|scherzo|scherzavo|bercanda|es broma|je plaisante|scherz\b|
        brincadeira|开玩笑|so they (?:say|keep)|they (?:say|keep saying)|
        (?:he|she|people|you) says?\b|,\s*said|
        ,\s*(?:says?|jokes?|joked|claims?|claimed|writes|wrote|
        thinks|dice|dicono|kata|dicen|dit|disent|sagt|sagte|diz|dizem)\b|
        what (?:it|he|she|they|the prompt) |
        in (?:a|my|your|this|the|another) (?:wildest )?(?:story|game|scenario|play|role|scene|
        dreams?|novel|film|movie|imagination|universe|sketch|song|poem)\b|
        hypothetically|supposedly|allegedly|apparently|
        (?:is|was|would be|isn't) (?:a lie|false|wrong|not true|untrue|incorrect|true)|
        or (?:maybe|perhaps|something|at least)|is (?:a|the) (?:sentence|phrase|line|claim|lie)|
        means?\b|significa|translates|bedeutet|veut dire|artinya|是假的|的意思"""
    ),
    re.I,
)
# … or in the next.
_RETRACTS = re.compile(
    either(
        r"""\W*(?:said\b|says?\b|(?:he|she|they|nobody|no one) (?:said|says?)\b|
        just kidding|kidding|joking|i'm joking|scherzo|bercanda|es broma|je plaisante|
        brincadeira|(?:that|this|it)(?:'s| is| was) (?:a joke|not true|false|a lie|fake|wrong|what)|
        not really|the (?:quote|text|line|sentence|statement|phrase) above|or am i\b|or maybe)"""
    ),
    re.I,
)

_OPENER = either(
    rf"""(?:(?:{grouped(GREETINGS)})\b(?: (?-i:[A-ZÀ-Ý])\w++(?=\s*[,.!]))?|
    (?:{grouped(OPENERS)})\b|(?:{grouped(_OPENERS_ZH)})|
    (?:{_NO})\b(?=\s*[,.!:–—-])|(?:不是|不)(?=\s*[,.!。]))\W*+"""
)
_REST = rf"\W*+(?:{_OPENER})*+"  # nothing but openers
_OPENED = re.compile(_REST, re.I)
# The last break counts in these two: where openers follow an earlier one, they follow it, too.
_OWN_CLAUSE = re.compile(
    rf"(?>\W*(?:(?!(?:{grouped(_OWN)})\b|我){_OPENER})*+(?:(?:{grouped(_OWN)})\b|我)"
    rf"[^?!:;]{{0,120}}(?:[,–—-]|\b(?:{_AND})\b)){_REST}",
    re.I,
)
_RESET = re.compile(rf"(?>.*(?:\b(?:{_RESETS})\b|但是?|不过|而是|其实|实际上)){_REST}", re.I)
_CONCEDED = re.compile(rf"{_REST}(?:(?:{_CONCEDES})\b|虽然|尽管)[^,]{{1,80}}+,{_REST}", re.I)
_FICTIONAL = re.compile(rf"\b(?:{grouped(FICTION)})\b|{_FICTION_ZH}", re.I)
_REPORTED = re.compile(rf"\b(?:{grouped(REPORTS)})\b|{_REPORTS_ZH}", re.I)


def opens(before: str) -> bool:
    """Whether what stands before a claim leaves it the speaker's own."""
    if len(before) > BEFORE:
        return False
    if _OPENED.fullmatch(before):
        return True
    if _FICTIONAL.search(before):
        return False
    if _RESET.fullmatch(before) or _CONCEDED.fullmatch(before):
        return True
    return bool(_OWN_CLAUSE.fullmatch(before)) and not _REPORTED.search(before)


def unsaid(after: str) -> bool:
    """Whether the rest of the sentence takes the claim back."""
    return bool(_UNSAID.search(after))


def staged(earlier: str) -> bool:
    """Whether an earlier sentence announces make-believe, a translation or a sample."""
    introduces = earlier.endswith(":") and not _OPENED.fullmatch(earlier[-BEFORE:])
    return introduces or bool(_STAGE.search(earlier))


def retracted(later: str) -> bool:
    """Whether the next sentence takes the claim back."""
    return bool(_RETRACTS.match(later))
