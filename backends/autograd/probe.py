"""What the checks of `anyargmax.validation` need of autograd beside the adapter: its dtypes."""

VIEWS = {"autograd": {"dtypes": ("float16", "float32", "float64")}}
