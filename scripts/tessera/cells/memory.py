"""Memory of the jobs by formula, in megabytes, from what the headers tell.

Each is what a job takes at most, and no more than twice what it takes; `benchmarks/cells/memory.py`
compares them. In all of them the first number is Python with its libraries and compiled kernels. A
value that is held is its cell, its gene and itself, 12 bytes in single precision and 16 in double:
ingestion holds it as it comes, sorted by cell, and sorted by gene; a part of the genes as it is
read, and as it is gathered or normalised. How many groups there are hardly matters, since results
are made ``batch_nnz`` numbers at a time.
"""

from __future__ import annotations

_LEAST, _MOST = 1 << 16, 1 << 25  # values of a batch: more would not be faster
_COLUMNS = 4  # of metadata, where nobody says


def names_mb(cells: int, columns: int = _COLUMNS) -> float:
    """Return the memory of a job that reads names and metadata only."""
    return 330 + 1e-6 * _table(cells, columns)


def ingest_mb(batch_nnz: int, cells: int | None, genes: int, columns: int = _COLUMNS) -> float:
    """Return the memory of reading a matrix.

    Parameters
    ----------
    batch_nnz
        Non-zero values of a tile.
    cells
        Number of cells; None where nobody knows.
    genes
        Number of genes.
    columns
        Columns of the metadata.
    """
    return 380 + 1e-6 * (56 * batch_nnz + _table(cells or 0, columns) + 200 * genes)


def part_mb(batch_nnz: int, cells: int | None, genes: int) -> float:
    """Return the memory of transposing and aggregating a part of the genes; see `ingest_mb`."""
    return 330 + 1e-6 * (26 * batch_nnz + 100 * (cells or 0) + 100 * genes)


def assemble_mb(batch_nnz: int, cells: int | None, genes: int, columns: int = _COLUMNS) -> float:
    """Return the memory of putting a version together, and of looking at it; see `ingest_mb`."""
    return 480 + 1e-6 * (56 * batch_nnz + _table(cells or 0, columns) + 200 * genes)


def batch_for(memory_mb: float) -> int:
    """Return how many values a job may hold at a time, about half of its memory being for them."""
    return max(_LEAST, min(int((memory_mb - 380) * 1e6 / 2 / 56), _MOST))


def _table(cells: int, columns: int) -> float:
    """Return the bytes of names and metadata: read as text, as columns, and as they are written."""
    return float(cells) * (400 + 40 * columns)
