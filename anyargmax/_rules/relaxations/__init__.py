"""The relaxations, one file each: ``p_i = phi(z_i - tau)`` with ``sum p = k``. To add one is to add a file and its name here."""

from .capped import CAPPED
from .entmax import ENTMAX, GIVEN, LOGARITHM, SOFTMAX
from .record import Relaxation
from .sigmoid import SIGMOID
from .subset import SUBSET

# What `soft_top_k` may be asked for by name: the relaxations whose weights share a sum of k.
WINNERS = {relaxation.name: relaxation for relaxation in (CAPPED, SIGMOID, SUBSET)}

__all__ = ["ENTMAX", "GIVEN", "LOGARITHM", "SOFTMAX", "WINNERS", "Relaxation"]
