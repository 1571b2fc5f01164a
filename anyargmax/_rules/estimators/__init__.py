"""What a draw is given as its gradient: one file for each estimator, which is a function of scores and noise of one shape."""

from .gapped import gapped
from .gumbel import gumbel
from .gumbel_rao import gumbel_rao
from .reinmax import reinmax
from .straight_through import straight_through

ESTIMATORS = {
    "gumbel": gumbel,
    "straight-through": straight_through,
    "reinmax": reinmax,
    "gumbel-rao": gumbel_rao,
    "gapped": gapped,
}
