"""Permutations of subjects: the k-th depends on the seed and on k, on nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def permutation(k: int, blocks: Ints, seed: int) -> Ints:
    """Return the k-th permutation, (N,) places in ``range(N)``.

    Parameters
    ----------
    k
        Its number; 0 is the identity, the data as observed.
    blocks
        (N,) exchangeability block of each subject; subjects change places within a block only.
    seed
        Seed of them all. The numbers are those of Philox with the key (seed, k).
    """
    places = np.arange(len(blocks))
    if k == 0:
        return places
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, k], np.uint64)))
    # Block by block, the members in their order take the places of the members in a random one.
    places[np.argsort(blocks, kind="stable")] = np.lexsort((rng.random(len(blocks)), blocks))
    return places
