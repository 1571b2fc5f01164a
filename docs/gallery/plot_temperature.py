"""
Temperature
===========

Placeholder.
"""

import matplotlib.pyplot as plt
import numpy as np

from anyargmax import soft_argmax

plt.plot(soft_argmax(np.random.default_rng(0).normal(size=(5, 10)), -1))
plt.show()
