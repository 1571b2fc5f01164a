"""What each argument of the public functions is, by name.

A type checker sees the plain type; tools that draw random calls tell a temperature from an order by its name.
"""

from collections.abc import Sequence
from types import EllipsisType
from typing import Annotated, Any, Literal, Protocol, TypedDict, TypeVar

A = TypeVar("A")  # the class of an answer
A_co = TypeVar("A_co", covariant=True)


class AnyArray(Protocol):
    """An array of any framework, by what lists, numbers and strings lack."""

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...


class Array(AnyArray, Protocol[A_co]):
    """An array that says of which class an answer is: what indexing makes of it.

    For a parameter of torch that is a tensor, and for an array of NumPy one with any number of axes.
    """

    def __getitem__(self, key: EllipsisType, /) -> A_co: ...


Scores = Annotated[Array[A], "scores"]
Weights = Annotated[Array[A], "weights of any sign and sum, taken as they are"]
Shares = Annotated[Array[A], "non-negative weights that need not sum to 1"]
Target = Annotated[AnyArray, "weights that sum to 1 along the axis, or integer indices"]
Count = Annotated[int, "from 1 to the length of the axis"]

Axis = Annotated[int, "one axis"]
AxisOrAll = Annotated[int | None, "one axis, or None for the flattened array"]
SomeAxes = Annotated[int | tuple[int, ...], "one axis, or several"]
AxesOrAll = Annotated[int | tuple[int, ...] | None, "one axis, several, or None for all"]
Axes = Annotated[tuple[int, ...], "one axis or more, in order"]

# Arrays beside the scores may be of another class (a parameter, an array of other axes) and say nothing of the answer's.
Temperature = Annotated[float | AnyArray, "greater than 0, a number or an array of the reduced shape"]
Scale = Annotated[float | AnyArray, "greater than 0, a number or an array that broadcasts against the scores"]
Order = Annotated[float | AnyArray, "at least 1, a number or an array of the reduced shape"]
OrderNumber = Annotated[float, "at least 1"]
Mask = Annotated[AnyArray | None, "Boolean, broadcasts against the scores"]
Noise = Annotated[AnyArray, "of the shape of the scores, or longer by leading axes of draws"]
Choice = Annotated[AnyArray, "one-hot, or integer indices"]
Positions = Annotated[AnyArray | None, "one number for each entry of the axis"]
Window = Annotated[int | None, "how many entries from the argmax"]
Windows = Annotated[int | tuple[int, ...] | None, "how many entries from the argmax, one number or one for each axis"]
Ignored = Annotated[int | None, "the index of rows that do not count"]
Power = Annotated[float, "greater than 0"]
Rounds = Annotated[int, "at least 0"]
Key = Annotated[Any, "what a framework draws random numbers with"]
Members = Annotated[Any, "who holds the other shards of the axis: a process group of torch, a mesh axis of JAX"]
Draws = Annotated[int | Sequence[int], "one length, or several, of at least 0"]

Readout = Literal["mean", "median"]
Answer = Literal["mean", "median", "moments"]
Readouts = Literal["mean", "median", "moments", "covariance"]
Moments = Literal["moments"]  # which, as Pair, asks for two arrays
Pair = Literal["moments", "covariance"]
Coordinates = Literal["index", "corner", "center"]
Estimator = Literal["gumbel", "straight-through", "reinmax", "gumbel-rao", "gapped"]
Distribution = Literal["normal", "gumbel"]
Baseline = Literal["mean", "center"]
Kind = Literal["capped", "sigmoid", "subset"]


class PositionOptions(TypedDict, total=False):
    """What the layers of `soft_argmax` take by name."""

    keepdims: bool
    temperature: Temperature
    alpha: Order
    positions: Positions | Sequence[float]
    window: Window
    zero_background: bool
    readout: Readout
    hard: bool


class MapOptions(TypedDict, total=False):
    """What the layers of `spatial_soft_argmax` take by name."""

    coordinates: Coordinates
    temperature: Temperature
    alpha: Order
    window: Windows
    zero_background: bool
    readout: Readouts
    hard: bool


class ChoiceOptions(TypedDict, total=False):
    """What the layers of `sample_one_hot` take by name."""

    temperature: Temperature
    estimator: Estimator
    draws: int
