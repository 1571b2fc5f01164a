"""What each argument of the public functions is, by name.

A type checker sees the plain type; tools that draw random calls tell a temperature from an order by its name.
"""

from typing import Annotated, Literal

from .._rules.rule import Array

Scores = Annotated[Array, "scores"]
Weights = Annotated[Array, "weights of any sign and sum, taken as they are"]
Shares = Annotated[Array, "non-negative weights that need not sum to 1"]
Target = Annotated[Array, "weights that sum to 1 along the axis, or integer indices"]
Count = Annotated[int, "from 1 to the length of the axis"]

Axis = Annotated[int, "one axis"]
AxisOrAll = Annotated[int | None, "one axis, or None for the flattened array"]
SomeAxes = Annotated[int | tuple[int, ...], "one axis, or several"]
AxesOrAll = Annotated[int | tuple[int, ...] | None, "one axis, several, or None for all"]
Axes = Annotated[tuple[int, ...], "one axis or more, in order"]

Temperature = Annotated[float | Array, "greater than 0, a number or an array of the reduced shape"]
Order = Annotated[float | Array, "at least 1, a number or an array of the reduced shape"]
OrderNumber = Annotated[float, "at least 1"]
Mask = Annotated[Array | None, "Boolean, broadcasts against the scores"]
Positions = Annotated[Array | None, "one number for each entry of the axis"]
Window = Annotated[int | None, "how many entries from the argmax"]
Windows = Annotated[int | tuple[int, ...] | None, "how many entries from the argmax, one number or one for each axis"]
Ignored = Annotated[int | None, "the index of rows that do not count"]
Power = Annotated[float, "greater than 0"]
Rounds = Annotated[int, "at least 0"]

Readout = Literal["mean", "median"]
Answer = Literal["mean", "median", "moments"]
Readouts = Literal["mean", "median", "moments", "covariance"]
Coordinates = Literal["index", "corner", "center"]
Kind = Literal["capped", "sigmoid"]
