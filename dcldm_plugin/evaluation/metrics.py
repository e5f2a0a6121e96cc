"""The paper's metrics as free functions of features, with the formulas of its code family.

Oracle: `audioldm_eval` 0.0.3 (https://github.com/haoheliu/audioldm_eval, MIT), which the tests compare with. What is
odd in its formulas is kept, since the numbers in papers were made with them, and is said where it stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPSILON = 1e-6
SPLITS = 10  # of the inception score
SHUFFLE_SEED = 2020


def frechet_distance(first: Array, second: Array) -> float:
    """|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr sqrt(S1 S2) of two sets of features [n, width] and [m, width].

    S has n - 1 below the line. The trace of the root is the sum of the singular values of
    A B^T / sqrt((n - 1) (m - 1)), with A and B the centred features: exact also where n is smaller than the width,
    where the usual root of the product is not. It grows as n falls, so compare it at equal n only.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    difference = a.mean(axis=0) - b.mean(axis=0)
    a = (a - a.mean(axis=0)) / np.sqrt(len(a) - 1)
    b = (b - b.mean(axis=0)) / np.sqrt(len(b) - 1)
    spread = np.square(a).sum() + np.square(b).sum()
    if min(len(a), len(b)) > a.shape[1]:  # the same singular values, in the smaller of the two spaces
        a, b = (np.asarray(np.linalg.qr(each, mode="r")) for each in (a, b))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(difference @ difference + spread - 2.0 * root)


def kl_softmax(reference: Array, generated: Array) -> float:
    """KL: mean over pairs of sum_c p (log p - log(q + 1e-6)), p and q the softmax of logits [n, classes].

    p is the reference's. With the constant on one side only it can fall a little below nought.
    """
    return _divergence(_softmax(reference), _softmax(generated))


def kl_sigmoid(reference: Array, generated: Array) -> float:
    """KL_sigma: the same sum with sigmoids in place of the softmax.

    Not the divergence of Bernoulli variables, whose second term (of 1 - p) is not in it: it can be negative.
    """
    return _divergence(_sigmoid(reference), _sigmoid(generated))


def inception_score(logits: Array) -> float:
    """exp of the mean of KL(p(c | x) || p(c)), in ten parts of the shuffled logits [n, classes], and their mean.

    Fewer than ten sounds make as many parts as there are sounds, which says nothing: 1.
    """
    rows = np.asarray(logits, np.float64)
    rows = rows[np.random.RandomState(SHUFFLE_SEED).permutation(len(rows))]
    p, log_p = _softmax(rows), _log_softmax(rows)
    splits = min(SPLITS, len(rows))
    scores = []
    for index in range(splits):
        part = slice(index * len(rows) // splits, (index + 1) * len(rows) // splits)
        marginal = np.log(p[part].mean(axis=0, keepdims=True))
        scores.append(np.exp((p[part] * (log_p[part] - marginal)).sum(axis=1).mean()))
    return float(np.mean(scores))


def _divergence(p: Array, q: Array) -> float:
    logs = np.log(p, out=np.zeros_like(p), where=p > 0.0)  # 0 log 0 is 0, as in torch's kl_div
    return float((p * (logs - np.log(q + EPSILON))).sum() / len(p))


def _log_softmax(logits: Array) -> Array:
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _softmax(logits: Array) -> Array:
    return np.asarray(np.exp(_log_softmax(logits)))


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64))))
