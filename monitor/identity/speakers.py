"""Names that models and their makers go by when they speak of themselves.

Those of `UNMISTAKABLE` are read in any case and need no context; those of `NAMES` mean
something else too (a person, an animal, a wind) and are read as written here only.
"""

from collections.abc import Mapping

UNMISTAKABLE: Mapping[str, str] = {
    "gpt": r"chat ?gpt|gpt[- ]?\d(?:\.\d)?\w?",
    "deepseek": r"deep ?seek(?:[- ](?:chat|coder|v\d(?:\.\d)?|r\d))?|深度求索",
    "qwen": r"qwen(?:-?\d(?:\.\d)?)?|tongyi qianwen|通义千问|千问",
    "llama": r"llama[- ]?\d(?:\.\d)?|meta ai",
    "claude": r"claude[- ]?\d(?:\.\d)?",
    "gemini": r"gemini[- ]?\d(?:\.\d)?",
    "mistral": r"mixtral|le chat|mistral (?:large|small|medium|nemo|7b)",
    "ernie": r"文心一言|ernie bot",
    "doubao": r"doubao|豆包",
    "glm": r"chatglm|glm-\d(?:\.\d)?|智谱清言",
    "hunyuan": r"hunyuan|混元",
    "phi": r"phi-\d(?:\.\d)?",
    "nova": r"amazon nova",
    "command": r"command (?:r\+?|a)\b",
}
NAMES: Mapping[str, str] = {
    "claude": "Claude",
    "llama": "(?:Meta )?L[Ll]a[Mm][Aa]",
    "gemini": "Gemini|Bard",
    "gemma": "Gemma",
    "mistral": "Mistral",
    "grok": "Grok",
    "kimi": "Kimi",
    "minimax": "Mini[Mm]ax",
    "nemotron": "Nemotron",
}
# Maker → its names, and the family it stands for when it alone is named.
MAKERS: Mapping[str, tuple[str, str]] = {
    "anthropic": ("(?i:anthropic)", "claude"),
    "openai": ("(?i:open ?ai)", "gpt"),
    "meta": ("Meta(?: AI| Platforms)?|Facebook(?: AI)?", "llama"),
    "google": ("Google(?: DeepMind| AI| Research)?|DeepMind|谷歌", "gemini"),
    "mistral": ("Mistral(?: AI)?", "mistral"),
    "alibaba": ("Alibaba(?: Cloud| Group)?|阿里(?:巴巴|云)?", "qwen"),
    "deepseek": ("(?i:deep ?seek)(?: AI)?|深度求索", "deepseek"),
    "xai": (r"[xX]\.?AI", "grok"),
    "cohere": ("Cohere", "command"),
    "microsoft": ("Microsoft|微软", "phi"),
    "moonshot": ("Moonshot(?: AI)?|月之暗面", "kimi"),
    "zhipu": (r"Zhipu(?: AI)?|Z\.ai|智谱(?:AI)?", "glm"),
    "baidu": ("Baidu|百度", "ernie"),
    "bytedance": ("ByteDance|字节跳动", "doubao"),
    "tencent": ("Tencent|腾讯", "hunyuan"),
    "minimax": ("Mini[Mm]ax", "minimax"),
    "amazon": ("Amazon|AWS", "nova"),
    "nvidia": ("NVIDIA|Nvidia", "nemotron"),
}

# Any of them, as one pattern.
NAME = "|".join(
    [f"(?i:{names})" for names in UNMISTAKABLE.values()]
    + [f"(?-i:{names})" for names in NAMES.values()]
)
MAKER = "|".join(f"(?-i:{names})" for names, _ in MAKERS.values())
