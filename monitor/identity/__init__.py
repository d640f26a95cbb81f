"""Which model answered: names, disclosure, self-identification, writing style, token counts."""

from monitor.identity.claims import AnswerSwitch, DeclaredModels, answer_switch
from monitor.identity.judge import judge
from monitor.identity.learning import (
    AnswerEvidence,
    IdentityContext,
    IdentityLearning,
    JudgedAnswer,
    learning,
)
from monitor.identity.model_names.compare import ModelName, parse, same
from monitor.identity.self_identification.detector import (
    SelfClaim,
    SelfIdHistory,
    asks_for_model,
    prepare,
    self_claims,
    self_id_history,
    self_id_history_of,
)

__all__ = [
    "AnswerEvidence",
    "AnswerSwitch",
    "DeclaredModels",
    "IdentityContext",
    "IdentityLearning",
    "JudgedAnswer",
    "ModelName",
    "SelfClaim",
    "SelfIdHistory",
    "answer_switch",
    "asks_for_model",
    "judge",
    "learning",
    "parse",
    "prepare",
    "same",
    "self_claims",
    "self_id_history",
    "self_id_history_of",
]
