"""Studies: what the methods reach on the zoo, over several seeds, written as a document with its verdicts."""

from qexplore.studies import post_training, sensitivity, training  # noqa: F401  (each files its study)
from qexplore.studies.study import STUDIES

__all__ = ["STUDIES"]
