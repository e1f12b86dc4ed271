"""How the texts call what a network is judged by: accuracy, or mean IoU where every pixel has a class.

Documents and tables carry "metric": "miou" for the latter and nothing for the former.
"""

from __future__ import annotations

MIOU = "miou"


def named(metric: object) -> str:
    """'mean IoU' for "miou", else 'accuracy'."""
    return "mean IoU" if metric == MIOU else "accuracy"


def titled(metric: object) -> str:
    """The same at the head of a sentence."""
    return "Mean IoU" if metric == MIOU else "Accuracy"


def paired_test(metric: object) -> str:
    """The test that a p of two networks on the same images is of."""
    return "Wilcoxon's signed-rank test" if metric == MIOU else "McNemar's exact test"
