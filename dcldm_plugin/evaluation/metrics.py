"""The paper's metrics as free functions of features, with the formulas of its code family.

Oracle: `audioldm_eval` 0.0.3 (https://github.com/haoheliu/audioldm_eval, MIT), which the tests compare with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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
    if min(len(a), len(b)) > a.shape[1]:  # the same singular values, in the smaller of the two spaces
        a, b = (np.asarray(np.linalg.qr(each, mode="r")) for each in (a, b))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(difference @ difference + np.square(a).sum() + np.square(b).sum() - 2.0 * root)
