"""Whether engines, the faster implementations of a rule for one kind of memory, may serve."""

import os

# The environment variable ANYARGMAX_ENGINES=0 turns all of them off: then every call takes its rule.
ENABLED = os.environ.get("ANYARGMAX_ENGINES", "1") != "0"
