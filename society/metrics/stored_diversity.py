"""Reading of the measurements that `society diversity` stores in a run's folder. They are untrusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from society.core.errors import RunFolderError
from society.runs.files import MEASUREMENTS, own_file, validate_file

if TYPE_CHECKING:
    from society.runs.run import Run

LARGEST = 20_000_000
"""Maximum size of the file, in bytes."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
Number = Annotated[float, Field(gt=-1e300, lt=1e300, allow_inf_nan=False)]


class _Stored(BaseModel):
    """Base of plain data with exactly these fields, each of its declared type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StoredMean(_Stored):
    """A `Mean`. null is NaN, which only a mean of nothing is."""

    value: Number | None
    error: Number | None
    n: Count

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.n and self.value is None:
            raise ValueError("a mean of something has a value")
        return self


class StoredLikelihood(_Stored):
    """A `CrossLikelihood`."""

    nll: dict[str, dict[str, StoredMean]]
    kl: dict[str, dict[str, StoredMean]]


class StoredDiversity(_Stored):
    """A `ModelDiversity`."""

    iteration: Count
    turn: Literal["first", "last"]
    encoder: Annotated[str, Field(max_length=1000)]
    embedding: StoredMean
    likelihood: StoredLikelihood | None


_MEASURED = TypeAdapter(list[StoredDiversity])


def read_diversity(run: Run) -> list[dict[str, Any]]:
    """Return the measurements of `measure_diversity`: a mapping with the fields of `ModelDiversity` per iteration.

    The list is empty without measurements. Raises `RunFolderError` for a file that `measure_diversity` did not write.
    """
    path = own_file(run.folder, MEASUREMENTS)
    if path is None:
        return []
    found = validate_file(path, _MEASURED, LARGEST)
    if len({entry.iteration for entry in found}) < len(found):
        raise RunFolderError(f"{path} has an iteration twice.", "Remove it and measure again: society diversity RUN.")
    return [entry.model_dump() for entry in found]
