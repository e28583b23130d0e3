"""What is remembered of the traits and the people of a block from one run to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tessera.wgr.cohort import Cohort
from tessera.wgr.kept import Shelf, digest_of
from tessera.wgr.plan import kept_factors
from tessera.wgr.ridge import Factor
from tessera.wgr.sums import Prints, folded, unfolded

Floats = npt.NDArray[np.float64]
Add = Callable[[Floats, Sequence[Factor]], None]


@dataclass(frozen=True)
class Adjustment:
    """What makes genotypes adjusted ones: ``scales * (G - loads @ basis.T)``.

    Attributes
    ----------
    means, scales
        ``(B,)``: put in place of missing genotypes; 0 where a genotype does not vary.
    loads
        ``(B, C)``: what of each genotype lies along the covariates.
    """

    means: Floats
    loads: Floats
    scales: Floats

    @classmethod
    def of(cls, arrays: dict[str, npt.NDArray[Any]]) -> Adjustment:
        """Take it from among other arrays."""
        return cls(arrays["means"], arrays["loads"], arrays["scales"])


class Recall:
    """The matrices of a cohort in a block, and the solutions of its traits, if they were kept.

    Both are told by a digest of all that they follow from: genotypes of these people, covariates,
    folds, penalties; solutions also by the trait's values.

    Parameters
    ----------
    shelf
        Has and gets the files.
    prints
        Fingerprints of the cohort's people, in their order.
    size
        Variants of the block.
    """

    def __init__(
        self, shelf: Shelf, prints: Prints, cohort: Cohort, size: int, lambdas: Floats, df: int
    ) -> None:
        self._shelf = shelf
        self._of = digest_of(prints, cohort.basis, cohort.folds, size, lambdas, df)
        self._folds = cohort.folds
        self._size = size
        self._grid = len(lambdas)

    def _name(self, kind: str) -> str:
        return f"{kind}-{self._of[:12]}"

    def solutions(self, traits: Floats) -> tuple[Adjustment | None, dict[int, Floats]]:
        """Return ``(K, L, B)`` coefficients of those columns of ``(n, T)`` that have some."""
        if self._fits:
            self._shelf.spare(self._name("factors"))
        kept = self._shelf.get(self._name("solutions"), self._of)
        if kept is None:
            return None, {}
        places = {name: place for place, name in enumerate(kept["traits"].tolist())}
        found = {}
        for column, name in enumerate(map(_named, traits.T)):
            if name in places:
                found[column] = kept["solutions"][places[name]]
        return Adjustment.of(kept), found

    def keep_solutions(self, traits: Floats, known: Adjustment, solutions: Floats) -> None:
        """Keep ``(T, K, L, B)`` coefficients."""
        with self._shelf.put(self._name("solutions"), self._of) as add:
            for name, array in vars(known).items():
                add(name, array)
            add("traits", np.array([_named(column) for column in traits.T], "S40"))
            add("solutions", solutions)

    def systems(self) -> tuple[Adjustment, Iterator[tuple[Floats, list[Factor]]]] | None:
        """Return the Gram matrix of those outside of each fold, with its factors."""
        if not self._fits:
            return None
        kept = self._shelf.get(self._name("factors"), self._of)
        if kept is None:
            return None

        def each() -> Iterator[tuple[Floats, list[Factor]]]:
            for fold in range(self._folds):
                factors = [kept[f"factor{fold}.{number}"] for number in range(self._grid)]
                yield unfolded(kept[f"gram{fold}"], self._size), factors

        return Adjustment.of(kept), each()

    @property
    def _fits(self) -> bool:
        if not hasattr(self, "_room"):
            wanted = kept_factors(self._size, self._folds, self._grid)
            self._room = self._shelf.take_room(wanted)
        return self._room

    @contextlib.contextmanager
    def keep_systems(self, known: Adjustment) -> Iterator[Add]:
        """Keep the systems of all folds, one after the other, if there is room for them."""
        if not self._fits:
            yield lambda gram, factors: None
            return
        with self._shelf.put(self._name("factors"), self._of) as add:
            for name, array in vars(known).items():
                add(name, array)
            fold = 0

            def add_fold(gram: Floats, factors: Sequence[Factor]) -> None:
                nonlocal fold
                add(f"gram{fold}", folded(gram))
                for number, factor in enumerate(factors):
                    add(f"factor{fold}.{number}", factor)
                fold += 1

            yield add_fold


def _named(column: Floats) -> bytes:
    return digest_of(np.ascontiguousarray(column)).encode()
