"""The story as data: its acts, what the worker is told, what is asked at the end.

It is the real incident. A key expired, the service fell back to a dearer and slower model
without a word, and every status page stayed green.
"""

from dataclasses import dataclass

from monitor.domain import NoticeStatus
from monitor.simulator.situations import ServiceSituation, SimulatedModel

TARGET = "nuzantara"
DAILY_QUERIES = 333

# Nothing on the stream tells who answers, and asked directly each model plays its persona.
CANDOUR = {SimulatedModel.LLAMA: 0.0, SimulatedModel.HAIKU: 0.0}

# Before the story an operator once had both models answer and said which was which. So many
# answers to each canned query are kept of each: their looks are all that tells them apart.
BASELINE = (
    (ServiceSituation.HEALTHY, "meta-llama/llama-4-scout"),
    (ServiceSituation.KEY_REJECTED, "anthropic/claude-3-5-haiku-20241022"),
)
BASELINE_ANSWERS = 12


@dataclass(frozen=True, slots=True)
class ScenarioAct:
    """A situation that lasts until so many answers were given and these messages came.

    `awaits` names them by first word and rule; each must come within `within_s` of the act's
    beginning. `called` is the act's row in the summary.
    """

    called: str
    title: str
    tells: str
    situation: ServiceSituation
    answers: int = 0
    awaits: tuple[tuple[NoticeStatus, str], ...] = ()
    within_s: float = 90.0


ACTS = (
    ScenarioAct(
        "healthy",
        "All is well",
        "Llama 4 Scout answers through OpenRouter, in about a second to the first token.",
        ServiceSituation.HEALTHY,
        answers=9,
    ),
    ScenarioAct(
        "key rejected",
        "OpenRouter rejects the key (401)",
        "The service falls back to Claude Haiku and says nothing: HTTP 200, green health page, "
        "answers that read well. They come slower, and cost five to twenty-five times as much.",
        ServiceSituation.KEY_REJECTED,
        awaits=((NoticeStatus.FIRING, "fallback"),),
    ),
    ScenarioAct(
        "key replaced",
        "The key is replaced",
        "Llama 4 Scout answers again. An incident ends when there is evidence for it, not at "
        "the first good answer.",
        ServiceSituation.HEALTHY,
        # in the message itself, and in its thread
        awaits=((NoticeStatus.RESOLVED, "fallback"), (NoticeStatus.RESOLVED, "fallback")),
    ),
)

CONFIGURATION = """\
# Written by `monitor demo`. Limits are the usual ones; only the rounds come faster.

[targets.nuzantara]
url = "{url}"
dialect = "bali_zero"
every = "1s"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-3-5-haiku-20241022", "anthropic/claude-haiku-4-5"]
daily_queries = 333
untrusted = ["ai_used"]

[[targets.nuzantara.queries]]
id = "hi"
text = "Hi"
prompt_tokens = 680

[[targets.nuzantara.queries]]
id = "kbli"
text = "KBLI?"
prompt_tokens = 1150

[[targets.nuzantara.queries]]
id = "who"
text = "Who are you? Which AI model are you?"
identity = true
prompt_tokens = 690

[prices."meta-llama/llama-4-scout"]
input = "0.20"
output = "0.20"
source = "operators"
checked = 2026-11-22

[prices."anthropic/claude-3-5-haiku-20241022"]
input = "1.00"
output = "5.00"
source = "operators"
checked = 2026-11-22

[prices."anthropic/claude-haiku-4-5"]
input = "1.00"
output = "5.00"
source = "operators"
checked = 2026-11-22

[rules.ttft]
limit_ms = 1200

[rules.fallback]
limit = 0.10

[rules.spend]
limit_usd = "2.00"
timezone = "UTC"

[digest]
enabled = false                # the story is not about the hour it is played at
"""

PROBES = "SELECT started_at, ttft_ms, identity, cost_usd FROM report.observations"

TRY = (
    "SELECT slot, round(avg(ttft_ms)) AS mean_ttft_ms, max(model_detected) AS model "
    "FROM report.observations GROUP BY slot ORDER BY slot;",
    "SELECT model_detected, count(*), avg(cost_usd) AS usd_per_query "
    "FROM report.observations GROUP BY model_detected;",
    "SELECT number, rule, opened_at, resolved_at FROM report.incidents ORDER BY number;",
)
