"""Who answered: model names, what a response discloses and says, and the verdict on both."""

from monitor.identity.claims import DeclaredModels
from monitor.identity.judge import judge
from monitor.identity.model_names.compare import ModelName, parse, same
from monitor.identity.self_identification.detector import SelfClaim, prepare, self_claims
from monitor.identity.self_identification.direct_question import asks_for_model
from monitor.identity.self_identification.history import SelfIdHistory, self_id_history
from monitor.identity.switch import AnswerSwitch, answer_switch
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
