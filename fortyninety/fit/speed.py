"""Compute how fast one reader can be served at most: what a card reads for each token."""

from __future__ import annotations

from fortyninety.fit.shape import Shape
from fortyninety.fit.weights import Weights


def bytes_per_token(weights: Weights) -> int:
    """What is read of the weights for a token: all but the embedding, of which it takes one row.

    A checkpoint whose output head is its embedding reads that, and one with experts those that
    compute the token.
    """
    experts = weights.architecture.experts
    total = 0
    for each in weights.tensors:
        if each.place == "embedding" and not weights.architecture.tied:
            continue
        if experts is not None and ".experts." in each.name:
            total += each.size * experts.per_token // experts.count
        else:
            total += each.size
    return total


def most_tokens_per_second(weights: Weights, shape: Shape, bandwidth: float) -> float:
    """The ceiling for one reader, of cards that read `bandwidth` GB/s each.

    Cards that split a layer read at once, stages one after another.
    """
    return bandwidth * 1e9 * shape.tensor_parallel / bytes_per_token(weights)
