"""distill: one reproducible pipeline from a reasoning teacher to small students.

The packages below bear the names of the stages in `dvc.yaml`, in the same order.
"""

__version__ = "0.1.0"
