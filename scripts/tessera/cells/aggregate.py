"""Every statistic of a part of the genes in every group of a grouping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tessera.cells.layout import Array, ArrayWriter, Part, gene_batches
from tessera.cells.normalize import normalised
from tessera.cells.reduction import reduce_genes, scratch
from tessera.cells.statistics import columns, ranks


def aggregate_part(
    part: Part,
    totals: Array,
    codes: Array,
    sizes: Array,
    out: Path,
    *,
    normalize: str,
    percentiles: Sequence[float],
    trim: float,
    batch_nnz: int,
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> None:
    """Write the statistics of a part of the genes.

    Parameters
    ----------
    part
        The genes.
    totals
        ``(cells,)`` float64, the sum of each cell over all genes.
    codes
        ``(cells,)`` int32, the group of each cell; -1 for none.
    sizes
        ``(groups,)`` int64, the cells of each group; none of them empty.
    out
        The ``.npy`` file: float64 ``(genes of the part, groups, columns)``, columns as
        `tessera.cells.statistics.columns` names them, all of them.
    normalize
        What they are of, see `tessera.cells.normalize.normalised`.
    percentiles
        Between 0 and 100; the median is computed in any case.
    trim
        Share that the trimmed mean leaves out at each end, below 0.5.
    batch_nnz
        Values that are held in memory at a time, and numbers of the result as well; one gene's if
        it has more.
    progress
        Passes items on, for a bar of progress.

    Notes
    -----
    Sums are made cell by cell in the order of the file, zeros left out; those of a trimmed mean in
    the order of the values. The bytes do not depend on how genes are cut into parts and batches.
    """
    if len(codes) != len(totals) or not np.array_equal(np.bincount(codes + 1)[1:], sizes):
        raise ValueError("codes and sizes are not those of the groups of all cells")
    nnz = np.diff(part.indptr)
    wide = len(columns(percentiles))
    quantiles = np.true_divide(ranks(percentiles), 100)
    length = batch_nnz // (len(sizes) * wide)
    cells_file, values_file = part.files
    spare = scratch(min(int(sizes.max(initial=1)), int(nnz.max(initial=1))))
    with ArrayWriter(out, np.float64, (len(nnz), len(sizes), wide)) as writer:
        for first, last in progress(list(gene_batches(nnz, batch_nnz, length)), "genes"):
            ends = part.indptr[first : last + 1]
            cells = cells_file.read(*ends[[0, -1]].tolist())
            values = values_file.read(*ends[[0, -1]].tolist())
            values = normalised(values, cells, totals, normalize)
            batch = np.empty((last - first, len(sizes), wide))
            reduce_genes(ends - ends[0], cells, values, codes, sizes, quantiles, trim, spare, batch)
            writer.write(batch)
