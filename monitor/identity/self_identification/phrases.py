"""Alternations of phrases, written and compiled so that matching one takes linear time.

Two rules keep the patterns of this package linear: a repeated group is possessive, so that
one text cannot be read as a repetition in two ways, and the longest phrase is tried first, so
that a possessive group does not stop short of a phrase that begins like another.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LITERAL = re.compile(r"[^\W_]+")


def either(phrases: str) -> str:
    """An alternation written over several lines, as one pattern."""
    return re.sub(r"\n\s*", "", phrases)


def split(alternation: str) -> list[str]:
    """The alternatives of a pattern, in order; a bar within parentheses separates none."""
    parts, depth, begun = [], 0, 0
    for at, character in enumerate(alternation):
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            parts.append(alternation[begun:at])
            begun = at + 1
    return [*parts, alternation[begun:]]


def grouped(alternation: str) -> str:
    """The same alternatives, each once, longest first and grouped by their first letter.

    The groups spare the engine most alternatives: it tries them one after another.
    """
    groups: dict[str, list[str]] = {}
    whole: list[str] = []
    for phrase in sorted(dict.fromkeys(split(alternation)), key=len, reverse=True):
        if phrase[:1].isalpha() and phrase[1:2] not in tuple("?*+{"):
            groups.setdefault(phrase[0].lower(), []).append(phrase)
        else:
            whole.append(phrase)
    for letter, phrases in groups.items():
        if len(phrases) == 1 or any(phrase[0] != phrases[0][0] for phrase in phrases):
            whole += phrases
        else:
            whole.append(f"{letter}(?:{'|'.join(phrase[1:] for phrase in phrases)})")
    return "|".join(whole)


def first_words(alternation: str) -> frozenset[str]:
    """The words, in lower case, with which a match of plain phrases can begin.

    Understands groups and optional groups at the beginning, which is all that phrases use.
    """
    return frozenset(word for phrase in split(alternation) for word in _first_words(phrase))


def _first_words(phrase: str) -> Iterator[str]:
    if not phrase.startswith("(?:"):
        if found := _LITERAL.match(phrase):
            yield found[0].lower()
        return
    depth = 0
    depths = [depth := depth + (sign == "(") - (sign == ")") for sign in phrase]
    end = depths.index(0)
    yield from first_words(phrase[3:end])
    if phrase[end + 1 : end + 2] == "?":
        yield from first_words(phrase[end + 2 :].lstrip())


# How a model says who it is, in seven languages of the Latin script: the phrases.
#
# Each phrase table is an alternation of plain words, so that its words also serve to take
# glued text apart. A line break inside a table stands for nothing.


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguagePhrases:
    """The phrases of one language.

    be        a name or a description of oneself follows: "I am"
    denied    the same, denied: "I am not"
    article   of a description: "an"
    heads     what a model calls itself: "assistant"
    made      a maker follows: "created by"; where the verb comes last, `verbs` closes it
    of        a maker follows a description at once: "from"
    called    a name follows a description: "called"
    was       `made` follows: "I was"
    runs      a model follows: "I run on"
    running   the same after one's own name: "I'm ZANTARA, powered by"
    makes     follows a maker: "created me"
    maker     a maker follows: "my creator is"
    role      "as", in "as an AI made by …, I"
    verbs     last verbs: "entwickelt"
    leading   adjectives may precede their noun
    trailing  adjectives may follow it
    definite  articles that may stand before a name alone: "sou o Claude"
    """

    be: str
    denied: str
    article: str
    heads: str
    made: str
    of: str
    called: str
    was: str
    runs: str
    running: str
    makes: str
    maker: str
    role: str
    verbs: str = ""
    leading: bool = True
    trailing: bool = True
    definite: str = ""


ENGLISH = LanguagePhrases(
    be="""I am|I'm|my name is|my name's|I am called|I'm called|this is|
        (?:you are|you're)(?: currently)? (?:talking|speaking|chatting) (?:to|with)""",
    denied="I am not|I'm not",
    article="a|an|the|your|one of",
    heads="""AI|artificial intelligence|model|models|LLM|assistant|chatbot|bot|system|agent|
        program|companion|product|creation""",
    made="""(?:made|created|developed|trained|built|designed|produced|provided|engineered|
        launched|released|offered|powered) by""",
    of="from|by|of",
    called="called|named|known as|specifically|namely",
    was="""I was|I have been|I've been|I am|I'm|
        (?:the|my)(?: underlying)?(?: AI| language| large language)? (?:model|AI|technology)
        (?: behind me| I use| I run on| powering me| that powers me)? (?:was|is|has been)""",
    runs="""I run on|I was built (?:on|using|with)|
        the (?:AI|AI model|model|language model) (?:answering|helping) you is|
        the (?:AI|AI model|model|language model) (?:behind|powering) this
        (?: chat| chatbot| assistant| service) is|
        (?:I am|I'm) (?:running on|powered by|based on|built on|built on top of|
        an instance of|a version of|a variant of|part of)|
        this (?:chat|chatbot|assistant|service|bot) (?:runs on|is powered by|is based on)|
        (?:the|my)(?: underlying| base)?(?: AI| language| large language)?
        (?: model| engine| AI| technology)
        (?: behind me| I use| I run on| powering me| that powers me)? is(?: called)?""",
    running="powered by|based on|built on|built on top of|built with|running on",
    makes="""(?:made|created|developed|trained|built|designed) me|is my (?:creator|maker|developer)|
        is the company (?:behind me|that (?:made|created|developed|trained|built) me)""",
    maker="""my (?:creator|maker|developer|creators|makers|developers|parent company) (?:is|are)|
        the company (?:behind me|that (?:made|created|developed|trained|built) me) is|
        I come from""",
    role="as",
    trailing=False,
)
ITALIAN = LanguagePhrases(
    be="sono|io sono|mi chiamo|il mio nome è|stai parlando con|stai chattando con",
    denied="non sono|io non sono",
    article="un|una|un'|il|lo|la|l'|il tuo|la tua|uno dei",
    heads="""AI|IA|intelligenza artificiale|modello|modelli|modello linguistico|
        modello di linguaggio|assistente|assistente virtuale|assistente digitale|chatbot|LLM|
        sistema|prodotto""",
    made="""(?:creato|creata|sviluppato|sviluppata|addestrato|addestrata|realizzato|realizzata|
        progettato|progettata|costruito|costruita|prodotto|ideato|fatto|fornito) da""",
    of="di|da|della|dell'",
    called="chiamato|chiamata|di nome|che si chiama",
    was="""sono stato|sono stata|io sono stato|il mio modello è(?: stato)?|
        il modello (?:che uso|dietro di me|che mi alimenta) è(?: stato)?""",
    runs="""sono basato su|sono basata su|mi baso su|funziono grazie a|funziono con|funziono su|
        sono alimentato da|il modello (?:che uso|su cui mi baso|dietro di me|che mi alimenta) è|
        il mio modello è|uso il modello""",
    running="basato su|basata su|alimentato da|alimentata da",
    makes="""mi ha (?:creato|creata|sviluppato|sviluppata|addestrato|addestrata|fatto)|
        è il mio creatore|è l'azienda che mi ha (?:creato|sviluppato|addestrato)""",
    maker="il mio creatore è|il mio sviluppatore è|i miei creatori sono",
    role="come|in quanto",
)
INDONESIAN = LanguagePhrases(
    be="""saya adalah|saya ini|saya|aku adalah|aku|nama saya adalah|nama saya|namaku|
        saya bernama|saya merupakan|(?:anda|kamu) sedang berbicara dengan""",
    denied="saya bukan|aku bukan|saya bukanlah",
    article="sebuah|seorang|asisten|model|AI|salah satu",
    heads="""AI|model|model bahasa|asisten|asisten virtual|chatbot|kecerdasan buatan|LLM|sistem|
        besar|bahasa|digital|virtual""",
    made="""(?:dibuat|dikembangkan|dilatih|diciptakan|dirancang|dibangun|disediakan)(?: oleh)?|
        buatan|ciptaan|besutan""",
    of="dari|oleh|milik",
    called="bernama|yang bernama|yang disebut|dengan nama",
    was="saya|aku|model(?: AI| bahasa)?(?: di balik)? saya",
    runs="""saya (?:berbasis|didukung oleh|ditenagai oleh|menggunakan model|berjalan di atas|
        berjalan dengan|berdasarkan|didasarkan pada)|
        model(?: AI| bahasa)?(?: di balik| yang)? saya(?: gunakan)? adalah""",
    running="berbasis|didukung oleh|ditenagai oleh|yang didukung oleh|yang ditenagai oleh",
    makes="""(?:yang )?(?:membuat|mengembangkan|melatih|menciptakan) saya|
        adalah (?:pencipta|pengembang) saya|
        adalah perusahaan yang (?:membuat|mengembangkan|menciptakan) saya""",
    maker="pencipta saya adalah|pembuat saya adalah|pengembang saya adalah",
    role="sebagai",
    leading=False,
)
SPANISH = LanguagePhrases(
    be="soy|yo soy|me llamo|mi nombre es|estás hablando con|estás chateando con|está hablando con",
    denied="no soy|yo no soy",
    article="un|una|el|la|tu|su|uno de los",
    heads="""IA|AI|inteligencia artificial|modelo|modelos|modelo de lenguaje|modelo de IA|
        asistente|asistente virtual|asistente digital|chatbot|LLM|sistema|producto""",
    made="""(?:creado|creada|desarrollado|desarrollada|entrenado|entrenada|diseñado|diseñada|
        hecho|hecha|construido|fabricado|producido) por""",
    of="de|por",
    called="llamado|llamada|que se llama",
    was="fui|he sido|yo fui|el modelo (?:detrás de mí|que uso|que me impulsa) (?:es|fue|ha sido)",
    runs="""estoy basado en|estoy basada en|me baso en|funciono con|funciono sobre|
        soy una versión de|estoy impulsado por|mi modelo es|
        el modelo (?:que uso|detrás de mí|que me impulsa|en el que me baso) es""",
    running="basado en|basada en|impulsado por|impulsada por",
    makes="""me (?:creó|desarrolló|entrenó|hizo|diseñó)|es mi creador|
        es la empresa que me (?:creó|desarrolló|entrenó)""",
    maker="mi creador es|mi desarrollador es|mis creadores son",
    role="como",
)
FRENCH = LanguagePhrases(
    be="""je suis|je m'appelle|mon nom est|moi, c'est|(?:vous parlez|tu parles) (?:à|avec)|
        vous discutez avec""",
    denied="je ne suis pas|je n'suis pas",
    article="un|une|le|la|l'|votre|ton|l'un des",
    heads="""IA|AI|intelligence artificielle|modèle|modèles|modèle de langage|modèle de langue|
        modèle d'IA|assistant|assistante|assistant virtuel|chatbot|LLM|agent|système|produit""",
    made="""(?:créé|créée|développé|développée|entraîné|entraînée|conçu|conçue|fabriqué|construit|
        produit|mis au point|proposé|fait) par""",
    of="de|d'|par|chez",
    called="appelé|appelée|nommé|nommée|qui s'appelle",
    was="j'ai été|je suis|le modèle (?:derrière moi|que j'utilise|qui m'anime) (?:a été|est)",
    runs="""je suis basé sur|je suis basée sur|je me base sur|je repose sur|je fonctionne avec|
        je fonctionne sur|je fonctionne grâce à|je suis propulsé par|je suis alimenté par|
        je suis une version de|
        mon modèle(?: sous-jacent)? est|
        le modèle (?:que j'utilise|derrière moi|qui m'anime|sur lequel je me base) est""",
    running="basé sur|basée sur|propulsé par|propulsée par|alimenté par",
    makes="""m'a (?:créé|créée|développé|développée|entraîné|entraînée|conçu|conçue)|
        est mon créateur|est l'entreprise qui m'a (?:créé|développé|entraîné|conçu)""",
    maker="mon créateur est|mon développeur est|mes créateurs sont",
    role="en tant que|en tant qu'",
)
GERMAN = LanguagePhrases(
    be="""ich bin|ich heiße|ich heisse|mein Name ist|du sprichst mit|Sie sprechen mit|
        du chattest mit|hier ist""",
    denied="ich bin nicht|ich bin kein|ich bin keine",
    article="ein|eine|das|der|die|dein|Ihr|eines der",
    heads="""KI|AI|künstliche Intelligenz|Modell|Modelle|Sprachmodell|KI-Modell|Assistent|
        Assistentin|KI-Assistent|KI-Assistentin|Chatbot|LLM|KI-Sprachmodell|System|Produkt""",
    made="""(?:(?:entwickelt|erstellt|trainiert|geschaffen|gebaut|programmiert) )?(?:von|durch)""",
    of="von|aus dem Hause|das von|der von|die von|, das von|, der von|, die von",
    called="namens|mit dem Namen|genannt",
    was="ich wurde|ich bin|das Modell hinter mir (?:wurde|ist)|mein Modell wurde",
    runs="""ich basiere auf|ich laufe auf|ich laufe mit|ich werde angetrieben von|
        ich bin eine Version von|das Modell hinter mir ist|mein Modell ist""",
    running="basierend auf|angetrieben von|auf Basis von",
    makes="""hat mich (?:entwickelt|erstellt|trainiert|geschaffen|gebaut|erschaffen)|
        ist mein Entwickler|ist mein Schöpfer""",
    maker="mein Entwickler ist|mein Schöpfer ist|meine Entwickler sind",
    role="als",
    verbs="""entwickelt|entwickeltes|erstellt|erstelltes|trainiert|trainiertes|geschaffen|gebaut|
        erschaffen|programmiert|hergestellt|konzipiert""",
    trailing=False,
)
PORTUGUESE = LanguagePhrases(
    be="""sou|eu sou|me chamo|chamo-me|meu nome é|o meu nome é|
        você está (?:falando|conversando) com|está a falar com""",
    denied="não sou|eu não sou",
    article="um|uma|o|a|seu|sua|um dos",
    heads="""IA|AI|inteligência artificial|modelo|modelos|modelo de linguagem|modelo de IA|
        assistente|assistente virtual|assistente digital|chatbot|LLM|sistema|produto""",
    made="""(?:criado|criada|desenvolvido|desenvolvida|treinado|treinada|feito|feita|projetado|
        projetada|construído|produzido) (?:pela|pelo|por)""",
    of="da|do|de|pela|pelo",
    called="chamado|chamada|que se chama",
    was="fui|eu fui|o modelo (?:por trás de mim|que uso) (?:é|foi)",
    runs="""sou baseado (?:em|no|na)|sou baseada (?:em|no|na)|eu me baseio (?:em|no|na)|
        funciono com|(?:eu )?uso o modelo|rodo (?:em|no|na)|meu modelo é|
        sou alimentado (?:por|pelo|pela)|
        sou uma versão (?:de|do|da)|o modelo (?:por trás de mim|que uso) é""",
    running="baseado (?:em|no|na)|baseada (?:em|no|na)|alimentado (?:por|pelo|pela)",
    makes="""me (?:criou|desenvolveu|treinou|fez|projetou)|é meu criador|
        é a empresa que me (?:criou|desenvolveu|treinou)""",
    maker="meu criador é|meu desenvolvedor é|meus criadores são",
    role="como",
    definite="o|a",
)
LANGUAGES = (ENGLISH, ITALIAN, INDONESIAN, SPANISH, FRENCH, GERMAN, PORTUGUESE)
