"""The map steps: what the tiles of a part of an image give, at every point of a grid.

A part is a range of tiles. A filter is computed once for each tile, and all points of the grid that
have it share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tessera.imaging.boxes import Box, Tiling, margins, whole
from tessera.imaging.filters import Source, filtered
from tessera.imaging.grid import Point, Step, shape_margin
from tessera.imaging.histograms import counted, extent, histogram
from tessera.imaging.merge import Shell, TilePieces, split
from tessera.imaging.morphology import transformed
from tessera.imaging.runs import Mask, Runs, find_runs, measure, paint

Ints = npt.NDArray[np.int64]
Progress = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class Work:
    """What the map steps of an image have in common.

    Attributes
    ----------
    source
        The image.
    tiling
        Its tiles.
    tiles
        Numbers of the tiles of this part.
    """

    source: Source
    tiling: Tiling
    tiles: range

    def boxes(self) -> Iterator[Box]:
        """Yield the boxes of the tiles."""
        return (self.tiling.tile(number) for number in self.tiles)


def extent_of(work: Work, step: Step, progress: Progress) -> tuple[float, float]:
    """Return the least and the greatest value of a part after a filter."""
    boxes = progress(work.boxes(), "tiles", len(work.tiles))
    return extent(filtered(work.source, step, box) for box in boxes)


def histograms_of(
    work: Work,
    step: Step,
    kinds: Sequence[str],
    known: tuple[float, float] | None,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Count the values of a part after a filter.

    Parameters
    ----------
    kinds
        Thresholds that the histograms are for: ``otsu``, ``li``.
    known
        Extent of the whole image after the filter. If it is not known, this part is the whole;
        where every value has a bin of its own, it is not needed.

    Returns
    -------
    dict
        Kind to counts, as `tessera.imaging.histograms.histogram` has them; ``extent``, of the
        whole image; ``dtype``, the name of the type of the values.
    """
    ends = known
    found: dict[str, np.ndarray] = {}
    for box in progress(work.boxes(), "tiles", len(work.tiles)):
        values = filtered(work.source, step, box)
        if ends is None and counted(values.dtype):
            ends = (0.0, 0.0)
        low, high = ends = ends or extent_of(work, step, progress)
        for kind in kinds:
            counts = histogram(values, kind, low, high)
            found[kind] = found[kind] + counts if kind in found else counts
        found["dtype"] = np.array(values.dtype.name)
    return found | {"extent": np.array(ends)}


@dataclass(frozen=True)
class Rule:
    """How voxels become objects at a point of the grid.

    Attributes
    ----------
    point
        The point.
    value
        Voxels above it are foreground; None where `mask` tells.
    mask
        Where a hysteresis threshold left its mask: an image that is not 0 there.
    dark
        Whether objects are what is not above.
    connectivity
        6, 18 or 26.
    """

    point: Point
    value: float | None
    mask: Source | None
    dark: bool
    connectivity: int


def _mask(rule: Rule, values: np.ndarray, place: Box, source: Source, tile: Box) -> Mask:
    """Return the voxels of a tile that are of objects.

    Parameters
    ----------
    values
        Filtered voxels of the box `place`, which holds the tile and at least the margin of the
        point's morphology around it.
    """
    by = margins(source.ndim, shape_margin(rule.point.morphology))
    box = tile.grown(by, whole(source.shape))
    if rule.value is not None:
        mask = values[box.slices(place.lo)] > rule.value
    else:
        assert rule.mask is not None
        mask = rule.mask.read(box) > 0
    if rule.dark:
        mask = ~mask
    shaped = transformed(mask, rule.point.morphology, source.ndim == 2)
    return np.ascontiguousarray(shaped[tile.slices(box.lo)])


def objects_of_tile(
    source: Source, tile: Box, step: Step, rules: Sequence[Rule], of_filtered: bool = False
) -> Iterator[tuple[np.ndarray, Runs]]:
    """Yield intensities and runs of a tile at each point of the grid; all have the same filter."""
    reach = max(shape_margin(rule.point.morphology) for rule in rules)
    place = tile.grown(margins(source.ndim, reach), whole(source.shape))
    if any(rule.value is not None for rule in rules):
        values = filtered(source, step, place)
    else:
        values = np.empty(0)
    at_hand = values.size and (of_filtered or step.kind == "none")
    raw = np.ascontiguousarray(values[tile.slices(place.lo)] if at_hand else source.read(tile))
    for rule in rules:
        yield raw, find_runs(_mask(rule, values, place, source, tile), rule.connectivity)


def segment(
    work: Work,
    step: Step,
    rules: Mapping[str, Rule],
    unit: float,
    folder: Path,
    progress: Progress,
    *,
    of_filtered: bool = False,
) -> None:
    """Find the pieces of objects in a part, at each point of a grid.

    Parameters
    ----------
    work
        The part.
    step
        The filter that all points have.
    rules
        What to do at each point, by name.
    unit
        Of sums of intensities.
    folder
        Where ``NAME.pieces`` is written for each point.
    of_filtered
        Whether intensities are those after the filter, not those of the image.
    """
    with ExitStack() as files:
        streams = [files.enter_context((folder / f"{name}.pieces").open("wb")) for name in rules]
        for tile in progress(work.boxes(), "tiles", len(work.tiles)):
            each = objects_of_tile(work.source, tile, step, list(rules.values()), of_filtered)
            for stream, (raw, runs) in zip(streams, each, strict=True):
                pieces = measure(runs, raw, tile, work.source.shape, unit)
                found = split(runs, pieces, tile, work.tiling.box)
                for array in (found.closed, found.open, found.shell.place, found.shell.of):
                    np.save(stream, array)


def load_pieces(paths: Iterable[Path], tiles: Iterable[int]) -> Iterator[TilePieces]:
    """Yield the pieces of every tile of the parts that `segment` wrote, one at a time.

    Parameters
    ----------
    paths
        A file of each part, in order.
    tiles
        Number of tiles of each part.
    """
    for path, count in zip(paths, tiles, strict=True):
        with path.open("rb") as stream:
            for _ in range(count):
                closed, opened, place, of = (np.load(stream, allow_pickle=False) for _ in range(4))
                yield TilePieces(closed, opened, Shell(place, of))


def label(
    work: Work,
    rule: Rule,
    labels_of: Callable[[Ints], Ints],
    write: Callable[..., None],
    progress: Progress,
) -> None:
    """Make the volume of labels of a part.

    Parameters
    ----------
    work
        The part.
    rule
        What to do.
    labels_of
        From `first` of pieces, (P,) int64, to their labels, 0 for none.
    write
        Takes the box of a tile and its labels, uint32.
    """
    for tile in progress(work.boxes(), "tiles", len(work.tiles)):
        ((raw, runs),) = objects_of_tile(work.source, tile, rule.point.filter, [rule])
        pieces = measure(runs, raw, tile, work.source.shape, 1.0)
        write(tile, paint(runs, labels_of(pieces["first"]).astype(np.uint32), tile.shape))
