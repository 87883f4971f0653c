"""Numbers with a range in their type, which `config_checks` enforces.

Positive[int] is for a type checker an int; `Range` says which values are accepted.
"""

from typing import Annotated, NamedTuple, TypeVar


class Range(NamedTuple):
    """The values that a number may have, `low` and `high` included unless open."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False


_MAX = 1_000_000  # of anything: more is a slip, or an attack on the memory
_Number = TypeVar("_Number", int, float)

Positive = Annotated[_Number, Range(0, _MAX, open_low=True)]
NonNegative = Annotated[_Number, Range(0, _MAX)]
Signed = Annotated[float, Range(-_MAX, _MAX)]
Fraction = Annotated[float, Range(0, 1, open_high=True)]
Columns = Annotated[int, Range(1, 64)]  # each is an operation of its own in every layer
Threads = Annotated[int, Range(1, 1024)]  # also of virtual devices, which are threads
Seed = Annotated[int, Range(0, 2**32 - 1)]  # JAX uses 32 bits
