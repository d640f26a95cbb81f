"""How many tokens a probe used: as reported, else estimated from the characters of its texts."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from monitor.domain import Query, Target, Usage

LIMIT = 1_000_000_000  # no request holds as many; a count beyond it is a mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """Tokens of one request. `cached` and `written`, read from the provider's cache and
    written to it, are parts of `prompt`; `reasoning` is part of `answer`.

    `written_1h` is part of `written`.

    `estimated`: at least one of the two was counted from characters.
    `prompt_at_least`: only the query's own words are counted, because nobody said how
    large the prompt around them is.
    """

    prompt: int
    answer: int
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    reasoning: int = 0
    estimated: bool = False
    prompt_at_least: bool = False


def tokens(usage: Usage, *, text: str, query: Query, target: Target, cut: bool) -> TokenUse:
    """Count a probe's tokens.

    `text` is all the model was heard to write, reasoning included. `cut`: the stream was
    left, or ended, before its own end; what it reported of its answer so far is then no
    more than a floor.
    """
    prompt, sized = _prompt(query, target)
    reported_prompt, reported_answer = _count(usage.prompt_tokens), _count(usage.answer_tokens)
    received = estimate(len(text), target.chars_per_token)
    if reported_answer is None:
        answer = received
    else:
        answer = max(reported_answer, received) if cut else reported_answer
    known_prompt = reported_prompt is not None
    cached = min(_count(usage.cached_tokens) or 0, reported_prompt or 0)
    written = min(_count(usage.cache_write_tokens) or 0, (reported_prompt or 0) - cached)
    return TokenUse(
        prompt=prompt if reported_prompt is None else reported_prompt,
        answer=answer,
        cached=cached,
        written=written,
        written_1h=min(_count(usage.cache_write_1h_tokens) or 0, written),
        reasoning=min(_count(usage.reasoning_tokens) or 0, answer),
        estimated=cut or not known_prompt or reported_answer is None,
        prompt_at_least=not known_prompt and not sized,
    )


def expected(query: Query, target: Target, *, answer: int) -> TokenUse:
    """The tokens a query will use if its answer has so many, before anything is heard."""
    prompt, sized = _prompt(query, target)
    return TokenUse(prompt=prompt, answer=answer, estimated=True, prompt_at_least=not sized)


def estimate(characters: int, chars_per_token: Decimal) -> int:
    """Tokens in so many characters, a begun one counted whole."""
    return int((characters / chars_per_token).to_integral_value(ROUND_CEILING))


def _prompt(query: Query, target: Target) -> tuple[int, bool]:
    """The prompt's tokens, and whether its size was stated."""
    if query.prompt_tokens is not None:
        return query.prompt_tokens, True
    return estimate(len(query.text), target.chars_per_token), False


def _count(reported: int | None) -> int | None:
    return reported if reported is not None and 0 <= reported < LIMIT else None
