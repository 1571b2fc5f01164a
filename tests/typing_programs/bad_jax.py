"""What must be refused, each line by the kind of error of mypy and of pyright."""

import jax.numpy as jnp

from anyargmax import soft_argmax, soft_one_hot

x = jnp.ones((3, 4))

a: int = soft_argmax(x)  # refused: assignment, reportAssignmentType
b: str = soft_one_hot(x)  # refused: assignment, reportAssignmentType
soft_argmax(x, temperature=[0.5])  # refused: arg-type, reportArgumentType
