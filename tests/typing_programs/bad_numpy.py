"""What must be refused, each line by the kind of error of mypy and of pyright."""

import numpy as np

from anyargmax import expectation, jvp, sharpen, soft_argmax, soft_one_hot, soft_top_k, spatial_expectation, vjp

x = np.ones((3, 4))
mean, variance = x, x

soft_argmax([1.0, 2.0])  # refused: arg-type, reportArgumentType
soft_argmax((1.0, 2.0))  # refused: arg-type, reportArgumentType
soft_argmax(1)  # refused: arg-type, reportArgumentType
soft_argmax(1.0)  # refused: arg-type, reportArgumentType
soft_argmax("scores")  # refused: arg-type, reportArgumentType
soft_argmax(None)  # refused: arg-type, reportArgumentType
soft_argmax(x=x)  # refused: call-arg, reportCallIssue
soft_argmax(x, -1, True)  # refused: call-arg, reportCallIssue
soft_argmax(x, tau=1.0)  # refused: call-arg, reportCallIssue
soft_argmax(x, axis=1.0)  # refused: arg-type, reportArgumentType
soft_argmax(x, axis=(0, 1))  # refused: arg-type, reportArgumentType
soft_argmax(x, keepdims="no")  # refused: arg-type, reportArgumentType
soft_argmax(x, temperature="x")  # refused: arg-type, reportArgumentType
soft_argmax(x, temperature=[1.0])  # refused: arg-type, reportArgumentType
soft_argmax(x, alpha=None)  # refused: arg-type, reportArgumentType
soft_argmax(x, mask=True)  # refused: arg-type, reportArgumentType
soft_argmax(x, mask=[True])  # refused: arg-type, reportArgumentType
soft_argmax(x, positions=[0.0])  # refused: arg-type, reportArgumentType
soft_argmax(x, window=1.5)  # refused: arg-type, reportArgumentType
soft_argmax(x, readout="Median")  # refused: arg-type, reportArgumentType
soft_argmax(x, readout="moments")  # refused: arg-type, reportArgumentType
soft_one_hot(x, axis=[0, 1])  # refused: arg-type, reportArgumentType
soft_top_k(x)  # refused: call-arg, reportCallIssue
soft_top_k(x, 1.5)  # refused: arg-type, reportArgumentType
soft_top_k(x, 2, kind="Sigmoid")  # refused: arg-type, reportArgumentType
sharpen(x, power=x)  # refused: arg-type, reportArgumentType
expectation([0.5, 0.5])  # refused: call-overload, reportArgumentType
expectation(x, readout="covariance")  # refused: call-overload, reportArgumentType
spatial_expectation(x, axes=0)  # refused: call-overload, reportArgumentType
spatial_expectation(x, coordinates="centre")  # refused: call-overload, reportArgumentType
vjp(soft_argmax, [1.0])  # refused: call-overload, reportArgumentType
jvp(soft_argmax, x, x)  # refused: call-overload, reportArgumentType
jvp(soft_argmax, (x,))  # refused: call-overload, reportCallIssue
number: float = soft_argmax(x)  # refused: assignment, reportAssignmentType
pair: tuple[np.ndarray, np.ndarray] = expectation(x)  # refused: assignment, reportAssignmentType
