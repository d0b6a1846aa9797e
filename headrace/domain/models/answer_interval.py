"""Between which bounds a quantity lies, as far as a model's package says."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class AnswerInterval(BaseModel):
    """How far a quantity may be from the answer: split conformal, by rows that the model was not fitted on.

    Attributes:
        coverage: share of later events that it is to hold, as far as they are exchangeable with those rows.
        half_width: it goes from the answer less this to the answer and this.
        rows: that it was made of.
    """

    model_config = ConfigDict(frozen=True)

    coverage: Annotated[float, Field(gt=0, lt=1)]
    half_width: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    rows: Annotated[int, Field(ge=1, lt=1 << 63)]
