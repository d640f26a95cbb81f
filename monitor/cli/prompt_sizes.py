"""`monitor check`: where the sizes of prompts come from, which costs are computed with."""

from collections.abc import Iterator, Mapping

from monitor.cli.check_line import CheckLine
from monitor.domain import Query, Target
from monitor.storage.prompt_tokens import PromptSizes

_NONE = PromptSizes(None, 0, None, 0)
_FAR = 0.2  # a configured size so far off is no estimate any more


def lines(target: Target, found: Mapping[str, PromptSizes]) -> Iterator[CheckLine]:
    """A line for each query: what its prompt tokens are, and who says so.

    A warning where nobody does, and where the configured size is more than 20 % off.
    """
    for query in target.queries:
        yield _line(f"prompt size of {target.name}/{query.id}", query, found.get(query.id, _NONE))


def _line(what: str, query: Query, sizes: PromptSizes) -> CheckLine:
    configured = query.prompt_tokens
    if sizes.reported is not None:
        answers = f"mean of {sizes.reports} answers in 7 days"
        return CheckLine(
            what, True, f"{sizes.reported} tokens, reported by the service ({answers})"
        )
    if sizes.recorded is not None:
        answers = f"mean of {sizes.records} answers in 7 days"
        learnt = f"{sizes.recorded} tokens, learnt from the provider's records ({answers})"
        if configured is None:
            return CheckLine(what, None, f"{learnt}: set prompt_tokens = {sizes.recorded}")
        if abs(configured - sizes.recorded) > _FAR * sizes.recorded:
            return CheckLine(what, None, f"{configured} tokens are configured, but {learnt}: set "
                        f"prompt_tokens = {sizes.recorded}")  # fmt: skip
        return CheckLine(what, True, f"{configured} tokens, configured; {learnt}")
    if configured is not None:
        return CheckLine(what, True, f"{configured} tokens, configured (prompt_tokens)")
    return CheckLine(what, None, "not known: only the query's own text is counted, so costs are at "
                "least what is shown unless the service reports tokens. Set prompt_tokens to the "
                "size of the whole prompt")  # fmt: skip
