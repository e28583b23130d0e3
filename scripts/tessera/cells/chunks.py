"""What every kind of matrix gives: its genes, its values piece by piece, the table of its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class Chunk:
    """Some values of a matrix.

    Attributes
    ----------
    cells
        ``(n,)`` int64: number of the cell in the file, for each value.
    genes
        ``(n,)`` int32: number of the gene in the file.
    values
        ``(n,)`` float64 or float32, finite; zeros that the file spells out may be among them.
    """

    cells: npt.NDArray[np.int64]
    genes: npt.NDArray[np.int32]
    values: npt.NDArray[np.float64] | npt.NDArray[np.float32]


class Source(Protocol):
    """A matrix of cells and genes with the metadata of the cells.

    Attributes
    ----------
    file
        The matrix as the user named it.
    genes
        Names of the genes in the order of the file, as text whatever they look like; not yet
        unique.
    ordered
        Whether cells ascend over all chunks.
    n_cells
        Number of cells, where the header tells.
    warnings
        What is odd but no fault; complete after `table`.
    """

    file: str
    genes: list[str]
    ordered: bool
    n_cells: int | None
    warnings: list[str]

    def chunks(self, most: int) -> Iterator[Chunk]:
        """Go through all values that are not zero, at most ``most`` at a time.

        It can be called again. Each value of the file comes once, in order of cells if the source
        is ordered. A file that holds an entry twice gives it twice.

        Raises
        ------
        InputError
            At the end of the file, with every fault in it, the first 5 of a kind.
        """
        ...

    def table(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the cells with their metadata, once `chunks` came to its end.

        Parameters
        ----------
        columns
            Columns that group cells: as text, and without gaps.

        Returns
        -------
        DataFrame
            A row for each cell, in the order of the file: ``cell``, the columns of the metadata,
            and ``umap_1`` and ``umap_2`` where the file has them. Text is str, None where missing.

        Raises
        ------
        InputError
            Cells without a row of metadata, columns that do not exist, gaps in those that group.
        """
        ...


def as_floats(values: npt.NDArray[Any]) -> npt.NDArray[np.float64] | npt.NDArray[np.float32]:
    """Return numbers in single precision if they are no more than that, in double otherwise."""
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
        return values.astype(np.float32, copy=False)
    return values.astype(np.float64, copy=False)
