"""Images in memory, analysed tile by tile, and what is known of their objects otherwise."""

import math
from pathlib import Path

import numpy as np
from skimage.measure import label

from tessera.imaging import steps
from tessera.imaging.boxes import Tiling, whole
from tessera.imaging.grid import as_point, points
from tessera.imaging.merge import merge, split
from tessera.imaging.pieces import LIMB, PAIRS, PIECE
from tessera.imaging.runs import find_runs, measure
from tessera.imaging.segment import Work, histograms_of, segment

RANK = {6: 1, 18: 2, 26: 3}


class Voxels:
    """An array as a source of voxels."""

    def __init__(self, values, ndim=None):
        self.values, self.shape = values, values.shape
        self.ndim = ndim or (2 if values.shape[0] == 1 else 3)
        self.dtype = values.dtype.name
        self.greatest = float(np.abs(values).max()) if values.dtype.kind == "f" else 0.0

    def read(self, box):
        assert box == box.grown((0, 0, 0), whole(self.shape))
        return np.ascontiguousarray(self.values[box.slices()])


def quiet(items, *_):
    """Tell of no progress."""
    return items


def tiles_of(shape, edge):
    """Return the boxes of the tiles of an image."""
    tiling = Tiling(whole(shape), edge)
    return [tiling.tile(number) for number in range(len(tiling))]


def labelled(mask, connectivity):
    """Return the labels that scikit-image gives."""
    flat = [axis for axis, n in enumerate(mask.shape) if n == 1]
    thin = np.squeeze(mask, flat[0]) if flat else mask
    rank = min(RANK[connectivity], thin.ndim)
    return label(thin, connectivity=rank).reshape(mask.shape)


def sums(piece, unit=1.0):
    """Return sums of intensities, exactly."""
    return [(int(high) * 2**LIMB + int(low)) * unit for high, low in piece["total"]]


def known(labels, values, origin=(0, 0, 0), shape=None):
    """Return the objects of an image of integers as `PIECE`, voxel by voxel."""

    shape = shape or labels.shape
    found = np.zeros(labels.max(), PIECE)
    order = np.argsort(labels, axis=None, kind="stable")
    starts = np.searchsorted(labels.ravel()[order], np.arange(1, len(found) + 2))
    for k in range(len(found)):
        own = order[starts[k] : starts[k + 1]]
        places = np.stack(np.unravel_index(own, labels.shape), axis=1) + origin
        held = values.ravel()[own]
        first = np.ravel_multi_index(tuple(places[0]), shape)
        lo, hi = places.min(axis=0), places.max(axis=0) + 1
        near = places - lo
        squares = [int((near[:, a] * near[:, b]).sum()) for a, b in PAIRS]
        total = int(held.sum(dtype=np.int64))
        limbs = (total >> LIMB, total & ((1 << LIMB) - 1))
        found[k] = (first, len(own), lo, hi, near.sum(axis=0), squares, limbs, held.min(),
                    held.max())  # fmt: skip
    return found


def in_tiles(mask, values, connectivity, edge, unit=1.0, box=None):
    """Return the tiling of an image, and its objects merged from tiles."""
    tiling = Tiling(box or whole(mask.shape), edge)

    def tiles():
        for number in range(len(tiling)):
            tile = tiling.tile(number)
            runs = find_runs(np.ascontiguousarray(mask[tile.slices()]), connectivity)
            held = np.ascontiguousarray(values[tile.slices()])
            yield split(runs, measure(runs, held, tile, mask.shape, unit), tile, tiling.box)

    return tiling, merge(tiles(), tiling, connectivity)


def analysed(source, section, edge, folder, box=None, parts=2):
    """Analyse an image as the jobs do: return objects and labels of each point, and thresholds.

    Parameters
    ----------
    source
        `Voxels`.
    section
        Lists ``filter``, ``threshold`` and ``morphology``; ``polarity`` and ``connectivity``.
    edge
        Of the tiles.
    folder
        For files.
    box
        What is analysed; thresholds are of the whole image.
    parts
        How many parts the image is cut into.
    """
    grid = {point.name: point for point in points(section)}
    content = {name: point.as_dict() for name, point in grid.items()}
    settings = {"polarity": "bright", "connectivity": 26} | section
    everything, chosen = Tiling(whole(source.shape), edge), Tiling(box or whole(source.shape), edge)
    filters = dict.fromkeys(point.filter for point in grid.values())

    def run(tiling, name, step, rules, unit, **how):
        folders, counts = [], []
        size = math.ceil(len(tiling) / parts)
        for start in range(0, len(tiling), size):
            tiles = range(start, min(start + size, len(tiling)))
            folders.append(Path(folder, f"{name}-{step.name}-{start}"))
            folders[-1].mkdir()
            counts.append(len(tiles))
            segment(Work(source, tiling, tiles), step, rules, unit, folders[-1], quiet, **how)
        return folders, counts

    files = {}
    for step in filters:
        kinds = {p.threshold.kind for p in grid.values() if p.filter == step} & {"otsu", "li"}
        if kinds:
            work = Work(source, everything, range(len(everything)))
            files[step.name] = [Path(folder, f"{step.name}.npz")]
            counts = histograms_of(work, step, sorted(kinds), None, quiet)
            np.savez(files[step.name][0], **counts)
    values = steps.thresholds(source, "image.tif", content, files)
    found = {}
    for step in filters:
        own = {name: told for name, told in content.items() if as_point(told).filter == step}
        seeds = steps.seed_rules(own)
        if seeds:
            told = run(everything, "seeds", step, seeds, 1.0, of_filtered=True)
            work = Work(source, everything, range(len(everything)))
            Path(folder, step.name).mkdir()
            steps.grow(work, own, *told, Path(folder, step.name), quiet)
        rules = steps.rules(own, values, str(Path(folder, step.name)), settings)
        folders, counts = run(chosen, "pieces", step, rules, values["unit"])
        for name, rule in rules.items():
            merged = steps.merged(folders, counts, name, chosen, rule.connectivity)
            labels = np.zeros(chosen.box.shape, np.uint32)

            def put(tile, each, labels=labels):
                labels[tile.slices(chosen.box.lo)] = each

            numbers = steps.Labels(merged.parts, merged.objects["first"])
            work = Work(source, chosen, range(len(chosen)))
            steps.label(work, rule, numbers, put, quiet)
            found[name] = merged.objects, labels
    return found, values
