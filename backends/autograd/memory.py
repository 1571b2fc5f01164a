"""What kernels for the memory of a CPU need of autograd: the array in a box, and their answers in its graph."""

import numpy as np
from autograd import make_jvp, make_vjp
from autograd.extend import defjvp, defvjp, primitive
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import getval, isbox

from ..._kernels.kernel import Memory

array_classes = (ArrayBox,)


def traits(x):
    """What determines how an array is computed with: of a box round an array, not round another box."""
    value = x._value
    return (value.dtype, value.shape) if type(value) is np.ndarray else None


@primitive
def _attached(x, made):
    """An answer that a kernel has given: its call, the answer and what it keeps for the way back."""
    return made[1]


def _pull(ans, x, made):
    call, _, state = made

    def pull(g):
        if not (isbox(g) or isbox(x)):
            dx = call.backward(np.asarray(g), np.asarray(ans), x, call.take(state))
            if dx is not None:
                return dx
        return make_vjp(call.by_rules)(x)[0](g)

    return pull


defvjp(_attached, _pull)
defjvp(_attached, lambda t, ans, x, made: make_jvp(made[0].by_rules)(x)(t)[1])

memory = Memory(
    open=lambda x: x if type(x) is np.ndarray else None,
    is_plain=lambda x: type(getval(x)) is np.ndarray,
    view=getval,
    close=lambda array, like: array,
    load=lambda x: (True, 1, True),
    attach=lambda x, call, y, kept: _attached(x, (call, y, {"kept": kept})),
)
