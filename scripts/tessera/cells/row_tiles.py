"""Row tiles on their way to disk, and what is learned of the matrix meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tessera.cells import entries
from tessera.cells.faults import TOLD, told
from tessera.cells.gene_names import GeneNames
from tessera.cells.layout import Array, mapped, save, tile_path
from tessera.cells.normalize import cpm, is_log
from tessera.errors import Problem

_MERGED = 1 << 20  # values whose genes are made one at a time


class RowTiles:
    """Writes row tiles in order, and keeps count.

    Parameters
    ----------
    folder
        The folder ``rows/``.
    genes
        Where the genes of the file go.
    normalize
        Normalisation of the views, of which some values may have no part.

    Attributes
    ----------
    dtype
        float32, until a value needs more.
    found
        What was met, as a sum of `tessera.cells.entries.WHOLE` and its like.
    tiles
        First cell, last + 1 and values of each tile.
    nnz, sums
        ``(genes,)`` int64 and float64: values of each gene of the output.
    """

    def __init__(self, folder: Path, genes: GeneNames, normalize: str) -> None:
        self._folder, self._genes, self._normalize = folder, genes, normalize
        self.dtype: np.dtype = np.dtype(np.float32)
        self.found = 0
        self.tiles: list[tuple[int, int, int]] = []
        self.nnz = np.zeros(len(genes.names), np.int64)
        self.sums = np.zeros(len(genes.names))
        self._totals: list[Array] = []
        self._single: list[int] = []
        self._faults: dict[str, _Fault] = {}

    def note(self, found: int, cells: Array, genes: Array, values: Array) -> None:
        """Take note of what `keep` met among values of genes of the file."""
        if found & entries.STRAY:
            raise ValueError("the source gives values of cells or genes that do not exist")
        self._note(found, cells, genes, values, self._genes.of_file)

    def _note(
        self, found: int, cells: Array, genes: Array, values: Array, names: Sequence[str]
    ) -> None:
        self.found |= found
        if found & entries.DOUBLE:
            self.dtype = np.dtype(np.float64)
        if found & entries.ENDLESS:
            self._fault("endless", ~np.isfinite(values), cells, values, genes, names)

    def _fault(
        self,
        kind: str,
        bad: Array,
        cells: Array,
        values: Array,
        genes: Array | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Keep what is told of faulty values: how many, and the first."""
        places = np.flatnonzero(bad)
        if not len(places):
            return
        fault = self._faults.setdefault(kind, _Fault())
        fault.many += len(places)
        for place in places[: TOLD - len(fault.shown)].tolist():
            gene = None if genes is None else names[genes[place]]
            fault.shown.append((int(cells[place]), gene, float(values[place])))

    def write(self, start: int, stop: int, cells: Array, genes: Array, values: Array) -> None:
        """Write the tile of cells ``start`` to ``stop - 1``.

        Parameters
        ----------
        start, stop
            First cell, which is that after the last of the tile before, and last + 1.
        cells, genes, values
            ``(n,)`` int32 (cells among all, genes of the file) and float32 or float64: finite, not
            0, in any order; overwritten where genes fall together.
        """
        if not entries.ascending(cells, genes):
            n_genes = len(self._genes.place)
            cells, genes, values = entries.sort_entries(
                cells, genes, values, (start, stop), n_genes
            )
            again = entries.repeated(cells, genes)
            self._fault("twice", again, cells, values, genes, self._genes.of_file)
        if self._genes.merged:
            cells, genes, values = self._merge(start, stop, cells, genes, values)
        values = values.astype(self.dtype, copy=False)
        if values.dtype == np.float32:
            self._single.append(len(self.tiles))
        totals = np.zeros(stop - start)
        entries.add_up(cells, genes, values, start, totals, self.nnz, self.sums)
        self._check(start, cells, genes, values, totals)
        self._totals.append(totals)
        number = len(self.tiles)
        self.tiles.append((start, stop, len(values)))
        self._save(number, "indptr", entries.ends_of(cells, start, stop - start))
        self._save(number, "genes", genes)
        self._save(number, "values", values)
        ends = entries.ends_of(genes, 0, len(self.nnz))
        _, run_cells, run_values = entries.sort_by(genes, cells, values, ends, 0, False)
        self._save(number, "run_indptr", ends)
        self._save(number, "run_cells", run_cells)
        self._save(number, "run_values", run_values)

    def _save(self, number: int, name: str, values: Array) -> None:
        save(tile_path(self._folder, number, name), values)

    def _merge(
        self, start: int, stop: int, cells: Array, genes: Array, values: Array
    ) -> tuple[Array, Array, Array]:
        """Add up the values of genes that fall together, some cells at a time."""
        n_genes, left = len(self._genes.names), 0
        ends, sums = entries.ends_of(cells, start, stop - start), np.empty(len(values))
        for first, last in entries.cuts(np.diff(ends), _MERGED):
            at, span = slice(ends[first], ends[last]), (start + first, start + last)
            own = self._genes.place[genes[at]]
            summed = values[at].astype(np.float64)
            some = entries.sort_entries(cells[at], own, summed, span, n_genes)
            many = entries.merge(*some)
            one, two, three = (each[:many] for each in some)
            new = slice(left, left + many)
            cells[new], genes[new], sums[new] = one, two, three
            spare = [np.empty_like(each) for each in some]
            _, found = entries.keep(one, two, three, 0, n_genes, *spare)
            if not self.found & entries.ENDLESS:  # sums may be infinite where no value is
                self._note(found, one, two, three, self._genes.names)
            left += many
        return cells[:left], genes[:left], sums[:left]

    def _check(self, start: int, cells: Array, genes: Array, values: Array, totals: Array) -> None:
        """Look for what cannot be normalised."""
        if self._normalize == "none" or not self.found & entries.NEGATIVE:
            return
        self._fault("total", totals < 0, np.arange(start, start + len(totals)), totals)
        if is_log(self._normalize):
            scaled = cpm(values, totals[cells - start])
            self._fault("log", scaled <= -1, cells, scaled, genes, self._genes.names)

    @property
    def names(self) -> Sequence[str]:
        """Names of the genes of the output."""
        return self._genes.names

    def warnings(self, totals: Array) -> list[str]:
        """Return what a reader of the results should know, a sentence each."""
        if self._normalize == "none":
            return []
        told = []
        if self.found & entries.NEGATIVE:
            told.append("Some values are negative; counts per million of them mean little.")
        if self.found & entries.WHOLE:
            told.append(
                "Some values are no whole numbers; counts per million are meant for raw counts."
            )
        empty = int((totals == 0).sum())
        if empty:
            told.append(
                f"The values of {empty:,} of {len(totals):,} cells add up to 0; their normalised "
                "values are taken as 0."
            )
        return told

    def totals(self) -> Array:
        """Return the sum of each cell over all genes, ``(cells,)`` float64."""
        return np.concatenate(self._totals)

    def finish(self) -> None:
        """Give all tiles the type of values that the last of them needed."""
        if self.dtype == np.float64:
            for number in self._single:
                for name in ("values", "run_values"):
                    path = tile_path(self._folder, number, name)
                    self._save(number, name, mapped(path).astype(np.float64))

    def problems(self, file: str, cell_names: Sequence[str]) -> list[Problem]:
        """Tell of the faults: five of each kind, and how many more there are.

        Parameters
        ----------
        file
            The file as the user named it.
        cell_names
            Names of the cells.
        """
        problems: list[Problem] = []
        for kind, fault in self._faults.items():
            what, remedy = _SENTENCES[kind]
            sentences = [
                (
                    f"cell {cell_names[cell]}" + (f", gene {gene}" if gene is not None else ""),
                    what.format(value=value),
                )
                for cell, gene, value in fault.shown
            ]
            problems += told(file, range(fault.many), sentences.__getitem__, remedy)
        return problems


@dataclass
class _Fault:
    """Faulty values of one kind: how many, and cell, gene and value of the first."""

    many: int = 0
    shown: list[tuple[int, str | None, float]] = field(default_factory=list)


_SENTENCES = {
    "endless": (
        "the value is not finite ({value})",
        "give a finite number, or 0 where nothing was counted",
    ),
    "twice": ("there is more than one value", "keep one value of each gene in each cell"),
    "total": (
        "the values of the cell add up to {value:g}, so that there is nothing to scale them to",
        "give counts, or set cells.normalize to none",
    ),
    "log": (
        "{value:g} counts per million have no logarithm",
        "give counts, or set cells.normalize to none",
    ),
}
