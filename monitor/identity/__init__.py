"""Who answered: model names, what a response discloses and says, and the verdict on both."""

from monitor.identity.claims import AnswerSwitch, DeclaredModels, answer_switch
from monitor.identity.judge import judge
from monitor.identity.model_names.compare import ModelName, parse, same
from monitor.identity.self_identification.detector import (
    SelfClaim,
    SelfIdHistory,
    asks_for_model,
    prepare,
    self_claims,
    self_id_history,
)
from monitor.identity.token_counts.comparison import TokenCounts

__all__ = [
    "AnswerSwitch",
    "DeclaredModels",
    "ModelName",
    "SelfClaim",
    "SelfIdHistory",
    "TokenCounts",
    "answer_switch",
    "asks_for_model",
    "judge",
    "parse",
    "prepare",
    "same",
    "self_claims",
    "self_id_history",
]
