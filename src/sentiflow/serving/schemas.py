"""What goes over the wire: requests, answers, and the one shape of every error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from sentiflow.settings import ServingSettings


class Refusal(Exception):
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status.
        code: a stable name for programs.
        message: a sentence for people; never holds anything of the request's texts.
        headers: further headers of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        """Keep what the answer says."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def as_json(self) -> bytes:
        """Return the answer's body."""
        return orjson.dumps({"error": {"code": self.code, "message": self.message}})


def _check_text(value: object) -> str:
    # Pydantic's own string check refuses lone surrogates, which the model answers.
    if not isinstance(value, str):
        raise PydanticCustomError("no_text", "must be a string")
    return value


Text = Annotated[str, PlainValidator(_check_text), WithJsonSchema({"type": "string"})]


class PredictRequest(BaseModel):
    """One text, or many; exactly one of both keys."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"texts": ["Great food!", "We waited an hour."]}]},
    )

    texts: list[Text] | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _has_one_of_both(self) -> PredictRequest:
        if (self.texts is None) == (self.text is None):
            raise PydanticCustomError("one_of_both", "must hold texts or text")
        return self

    def read_texts(self, limits: ServingSettings) -> Sequence[str]:
        """Return the texts.

        Raises:
            Refusal: there are none or too many, or one is too long.
        """
        texts = self.texts if self.texts is not None else [self.text or ""]
        if not 1 <= len(texts) <= limits.max_texts:
            raise Refusal(
                422,
                "number_of_texts",
                f"A request must hold 1 to {limits.max_texts} texts. Received: {len(texts)}. "
                "Send them in several requests.",
            )
        for position, text in enumerate(texts):
            if len(text) > limits.max_characters:
                raise Refusal(
                    422,
                    "text_too_long",
                    f"A text must have at most {limits.max_characters} characters. Received: "
                    f"text {position} of {len(text)} characters.",
                )
        return texts


class Prediction(BaseModel):
    """The answer to one text."""

    label: Literal["positive", "negative"]
    probability: float


class PredictAnswer(BaseModel):
    """The answers in the order of the texts, all by one version."""

    model: str
    model_version: int
    predictions: list[Prediction]


class Health(BaseModel):
    """Whether the service is alive, or ready."""

    status: Literal["alive", "ready"]
    warnings: list[str] | None = None


class ModelAnswer(BaseModel):
    """The version that answers and how it came to be; null where there is none."""

    model: str
    model_version: int | None
    run_id: str | None
    served_since: str | None
    loaded_from: Literal["registry", "local copy"] | None
    night: str | None
    outcome: str | None
    decision: str | None
    registry: str
    ledger: str
    warnings: list[str]
    failed_version: int | None
    failure: str | None


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """Every error looks like this."""

    error: ErrorDetail


def explain(problems: Sequence[Any]) -> Refusal:
    """Return the refusal that says what is wrong with a body, without quoting it.

    Args:
        problems: pydantic's list of errors; the first one counts.
    """
    problem = problems[0]
    kind = problem["type"]
    if kind == "json_invalid":
        return Refusal(
            400,
            "invalid_json",
            f"The body must be JSON. Received: a syntax error at character {problem['loc'][-1]}.",
        )
    place = problem["loc"][1:]
    if kind == "no_text":
        where = "text" if place[0] == "text" else f"texts[{place[-1]}]"
        return Refusal(422, "no_text", f"{where} must be a string.")
    if kind == "list_type":
        return Refusal(422, "no_list", "texts must be a list of strings.")
    if kind == "extra_forbidden":
        return Refusal(422, "unknown_key", "A body holds texts or text. Received: another key.")
    if kind == "one_of_both":
        return Refusal(422, "one_of_both", "A body must hold texts or text, and not both.")
    return Refusal(
        422,
        "no_object",
        'The body must be a JSON object such as {"texts": ["Great food!"]}, with the header '
        "Content-Type: application/json.",
    )
