"""The schema of a canned query and of what its answers must fulfil."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from monitor.answer_checks import LONGEST, SHOWN, folded, known_language, pattern, visible
from monitor.config.section import Listed, Section, shown
from monitor.config.value_kinds import VERBATIM, SlugName, not_blank
from monitor.identity.fingerprint.features import LANGUAGES
from monitor.redaction import plain

Wanted = Annotated[str, AfterValidator(visible), VERBATIM]  # `" AI "` is the word alone


class ExpectSection(Section):
    """What each answer to a query must fulfil."""

    contains: Listed[Wanted] = Field(
        [],
        description="texts that the answer contains, blanks included; case, kinds of white space "
        "and typographic quotes and hyphens make no difference",
    )
    not_contains: Listed[Wanted] = Field(
        [], description="texts that it does not contain, compared in the same way"
    )
    matches: Annotated[str, AfterValidator(pattern), VERBATIM] | None = Field(
        None, description="Python regular expression that is found in it"
    )
    min_chars: int | None = Field(None, gt=0, le=LONGEST, description="fewest characters")
    max_chars: int | None = Field(None, gt=0, le=LONGEST, description="most characters")
    language: Annotated[str, AfterValidator(known_language)] | None = Field(
        None,
        description="its language or script, if the answer is long enough to tell: "
        f"{', '.join(LANGUAGES)}",
    )
    sources_at_least: int | None = Field(
        None, gt=0, description="fewest retrieved sources, in a dialect that lists them"
    )
    json_: bool = Field(False, alias="json", description="whether the answer is one JSON document")
    complete: bool = Field(True, description="whether it must not be cut by the token limit")

    @model_validator(mode="after")
    def _possible(self) -> "ExpectSection":
        if self.min_chars and self.max_chars and self.min_chars > self.max_chars:
            raise ValueError(
                f"min_chars = {self.min_chars}: write at most max_chars, which is {self.max_chars}"
            )
        for wanted in self.contains:
            if self.max_chars and len(wanted.strip()) > self.max_chars:
                raise ValueError(
                    f"a text in contains has {len(wanted.strip())} characters: raise max_chars, "
                    f"which is {self.max_chars}"
                )
            for unwanted in self.not_contains:
                if folded(unwanted) in f" {folded(wanted)} ":
                    raise ValueError(
                        f"no answer can contain “{plain(wanted, SHOWN)}” without "
                        f"“{plain(unwanted, SHOWN)}” (not_contains): remove one of them"
                    )
        return self


class QuerySection(Section):
    id: SlugName = Field(description="its name in reports: small letters, digits, `_ . -`")
    text: Annotated[str, AfterValidator(not_blank), VERBATIM] = Field(
        description="what is sent, blanks included"
    )
    identity: bool | None = Field(
        None,
        description="whether it asks directly which model answers",
        json_schema_extra=shown("as its words say"),
    )
    prompt_tokens: int | None = Field(
        None,
        gt=0,
        description="size of the whole prompt, where tokens are not reported; `monitor check` "
        "says what is known of it",
    )
    stop_after_chars: int | None = Field(
        None, gt=0, description="end the stream after so many characters: a cheaper probe"
    )
    expect: ExpectSection = ExpectSection()

    @model_validator(mode="after")
    def _reads_far_enough(self) -> "QuerySection":
        if self.stop_after_chars is not None:
            given = self.expect.model_fields_set - {"not_contains", "max_chars", "language"}
            if given - {"complete"}:
                names = ", ".join(sorted(name.removesuffix("_") for name in given - {"complete"}))
                raise ValueError(
                    f"expect ({names}) needs the whole answer: remove stop_after_chars or these "
                    "expectations"
                )
        return self
