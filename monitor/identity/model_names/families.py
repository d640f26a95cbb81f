"""What is known of model names: families, their makers, and words that are no part of a name.

These tables hold manners of naming, not lists of models: a family that is not here is
still compared, word by word.
"""

from collections.abc import Mapping
from dataclasses import dataclass

NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """How one family of models spells its names.

    numbered  a name without a generation means the first, not "whichever is current"
    closed    a size or context length is part of the name, not a remark on it
    compact   generations lose their dot: `gpt-35`, `qwen25`
    tiers     words every full name has one of: a name without any names only a generation
    serving   words about how a host serves the model
    keeps     words that are noise elsewhere and part of the name here
    """

    name: str
    vendor: str
    numbered: bool = False
    closed: bool = False
    compact: bool = False
    tiers: frozenset[str] = NONE
    serving: frozenset[str] = NONE
    keeps: frozenset[str] = NONE


def word_set(text: str) -> frozenset[str]:
    """A set of words, written as one text."""
    return frozenset(text.split())


SPEED = word_set("fast turbo highspeed ultrafast")
EFFORT = word_set("minimal low medium high xhigh")
CLAUDE_TIERS = word_set("opus sonnet haiku instant fable mythos")

CLAUDE = ModelFamily(
    name="claude",
    vendor="anthropic",
    compact=True,
    tiers=CLAUDE_TIERS,
    serving=word_set("fast thinking"),
)
GPT = ModelFamily(
    name="gpt",
    vendor="openai",
    numbered=True,
    closed=True,
    compact=True,
    serving=EFFORT,
    keeps=word_set("chat instruct"),
)
O_SERIES = ModelFamily(name="o", vendor="openai", serving=EFFORT, keeps=word_set("preview"))
LLAMA = ModelFamily(
    name="llama",
    vendor="meta",
    compact=True,
    tiers=word_set("scout maverick"),
    serving=SPEED
    | word_set("lite versatile instant specdec vision text basic tput reference reasoning"),
)
GEMINI = ModelFamily(
    name="gemini",
    vendor="google",
    numbered=True,
    closed=True,
    compact=True,
    tiers=word_set("pro flash lite ultra nano"),
)
NOVA = ModelFamily(
    name="nova", vendor="amazon", numbered=True, tiers=word_set("micro lite pro premier sonic")
)
QWEN = ModelFamily(name="qwen", vendor="alibaba", numbered=True, compact=True)
DEEPSEEK = ModelFamily(name="deepseek", vendor="deepseek", serving=SPEED, keeps=word_set("exp"))
KIMI = ModelFamily(name="kimi", vendor="moonshot", serving=SPEED)


def plain(
    vendor: str, names: str, *, numbered: bool = False, serving: str = ""
) -> dict[str, ModelFamily]:
    """Families of few peculiarities, by name."""
    return {
        name: ModelFamily(name=name, vendor=vendor, numbered=numbered, serving=word_set(serving))
        for name in names.split()
    }


# The word by which a family is recognised → the family.
FAMILIES: Mapping[str, ModelFamily] = {
    "claude": CLAUDE,
    "gpt": GPT,
    "chatgpt": GPT,
    "llama": LLAMA,
    "gemini": GEMINI,
    "nova": NOVA,
    "qwen": QWEN,
    "deepseek": DEEPSEEK,
    "kimi": KIMI,
    "qwq": ModelFamily(name="qwq", vendor="alibaba", keeps=word_set("preview")),
    "minimax": ModelFamily(name="minimax", vendor="minimax", serving=SPEED | word_set("text")),
    "glm": ModelFamily(name="glm", vendor="zhipu", serving=word_set("fast")),
    "phi": ModelFamily(name="phi", vendor="microsoft", compact=True),
    **plain("openai", "codex whisper"),
    **plain("meta", "codellama muse"),
    **plain("google", "gemma palm", numbered=True),
    **plain(
        "mistral",
        "mistral mixtral codestral magistral ministral devstral pixtral voxtral mathstral",
        serving="open labs",
    ),
    **plain("alibaba", "qvq"),
    **plain("xai", "grok"),
    **plain("cohere", "command aya"),
    **plain("microsoft", "mai wizardlm"),
    **plain("moonshot", "moonshot"),
    **plain("zhipu", "chatglm"),
    **plain("minimax", "abab"),
    **plain("perplexity", "sonar pplx"),
    **plain("nvidia", "nemotron"),
    **plain("amazon", "titan"),
    **plain("01ai", "yi", numbered=True),
    **plain("upstage", "solar", numbered=True),
    **plain("ai21", "jamba"),
    **plain("ibm", "granite"),
    **plain("tencent", "hunyuan hy"),
    **plain("baidu", "ernie"),
    **plain("bytedance", "doubao seed"),
    **plain("stepfun", "step"),
    **plain("writer", "palmyra"),
    **plain("tii", "falcon"),
    **plain("allenai", "olmo"),
    **plain("nousresearch", "hermes"),
    **plain("xiaomi", "mimo"),
    **plain("liquid", "lfm"),
    **plain("lg", "exaone"),
}

# Makers as they stand in paths, punctuation removed → the vendor.
MAKERS: Mapping[str, str] = {
    **{family.vendor: family.vendor for family in FAMILIES.values()},
    "metallama": "meta",
    "metamodels": "meta",
    "facebook": "meta",
    "mistralai": "mistral",
    "deepseekai": "deepseek",
    "qwen": "alibaba",
    "aws": "amazon",
    "xai": "xai",
    "cohereai": "cohere",
    "c4ai": "cohere",
    "coherelabs": "cohere",
    "moonshotai": "moonshot",
    "zai": "zhipu",
    "zaiorg": "zhipu",
    "thudm": "zhipu",
    "zhipuai": "zhipu",
    "bigmodel": "zhipu",
    "minimaxai": "minimax",
    "ai21labs": "ai21",
    "ibmgranite": "ibm",
    "bytedanceseed": "bytedance",
    "xiaomimimo": "xiaomi",
    "zerooneai": "01ai",
    "googlegla": "google",
    "googlevertex": "google",
    "deepmind": "google",
    "dashscope": "alibaba",
}

# Who only serves models of others; never evidence of a maker.
HOSTS = word_set(
    "openrouter litellm litellmproxy together togetherai togethercomputer groq azure azureai "
    "azureopenai bedrock bedrockconverse vertex vertexai fireworks fireworksai deepinfra novita "
    "huggingface hf cf ollama lmstudio cloudflare databricks cerebras sambanova nebius hyperbolic "
    "replicate anyscale github githubcopilot poe unsloth thebloke bartowski neuralmagic redhatai "
    "mlxcommunity hosted hostedvllm vllm baseten modal siliconflow parasail friendli helicone "
    "portkey vercel openai compatible openaicompatible system ai sagemaker watsonx oci gateway"
)
REGIONS = word_set("us eu apac ap jp au ca in global regional usgov")

# Parts of a path that name neither maker nor host.
PATHS = word_set(
    "models model accounts publishers projects locations endpoints deployments routers "
    "foundationmodel inferenceprofile applicationinferenceprofile library v1 v2"
)

# Words after a colon that choose a way of serving (`:free`, `:thinking`), never a model.
VARIANTS = word_set(
    "free nitro floor exacto online extended batch beta thinking fast cloud latest default "
    "selfmoderated standard flex priority"
)

# Words that say nothing about which model it is, whatever the family …
NOISE = word_set("instruct it hf latest free default maas tee model batch") | REGIONS
# … and those that say nothing as long as the family is known.
FAMILIAR_NOISE = word_set(
    "chat preview exp experimental beta stable legacy original official version extended nitro"
)
# Words that say nothing once a size has been named: `70b-instruct-turbo`.
SERVED = SPEED | word_set("lite versatile instant specdec basic tput reference highthroughput")

# Names a gateway or a service gives to a role, not to a model.
ROLES = word_set(
    "auto router default main primary secondary backup model llm assistant chat prod none null "
    "unknown undefined"
)

# Words by which a service marks that no model answered (`llama-4-scout-error`).
FAILURES = word_set("fallback error failed failure unavailable offline mock stub canned apology")

# Words that, with a family, make a name of one model even where nothing is numbered.
TIERS = CLAUDE_TIERS | word_set(
    "mini nano micro small medium large tiny plus max pro flash lite ultra premier turbo air r a "
    "scout maverick nemo saba chat reasoner coder vl oss deep reasoning thinking code express "
    "distill guard omni audio image vision search realtime next math embed base"
)
