"""One plane of a volume: what it reads, and that it is the plane of the whole."""

from dataclasses import asdict

import numpy as np
import zarr
from scipy.ndimage import gaussian_filter
from skimage.measure import label

from tessera.imaging.boxes import Box, Tiling
from tessera.imaging.grid import Point, Step
from tessera.imaging.plan import Plan
from tessera.imaging.segment import Rule, Work, load_pieces, segment
from tessera.imaging.steps import merged
from tessera.imaging.volume import Volume, convert, look

CHUNK, PLANE = 16, 20
POINT = Point(Step("gaussian", (("sigma", 1.0),)), Step("fixed", (("value", 120.0),)), Step("none"))


def silent(items, *_):
    return items


def clouds():
    values = gaussian_filter(
        np.random.Generator(np.random.Philox(2)).normal(size=(64, 48, 48)), 1.5
    )
    low, high = values.min(), values.max()
    return ((values - low) / (high - low) * 255).astype(np.uint8)


def test_a_plane_reads_only_the_chunks_that_it_can_see(tmp_path):
    """All others are spoiled: who reads one of them would tell of it."""
    image = clouds()
    path = tmp_path / "volume.zarr"
    zarr.create_array(path, data=image, chunks=(CHUNK,) * 3, compressors=None)
    files = sorted(file for file in (path / "c").rglob("*") if file.is_file())
    seen = [file for file in files if int(file.relative_to(path).parts[1]) == PLANE // CHUNK]
    for file in set(files) - set(seen):
        file.write_bytes(b"spoiled")
    assert sum(file.stat().st_size for file in seen) == image.size // 4

    section = {"slice": {"axis": "z", "index": PLANE}, "tile": "auto"}
    study = {"rows": {"a": {}}, "headers": {"a": asdict(look(path))}, "grid": [POINT]}
    plan = Plan(section, 1100, lambda: study)
    wildcards = type("Wildcards", (), {"image": "a"})
    held, tiling = plan.held(wildcards), plan.tiling(wildcards)
    assert (held["lo"], held["hi"]) == ((16, 0, 0), (25, 48, 48))
    convert(path, tmp_path / "converted", box=Box(held["lo"], held["hi"]))
    volume = Volume(tmp_path / "converted")
    cut = Tiling(Box(tiling["box"]["lo"], tiling["box"]["hi"]), tiling["edge"])
    work = Work(volume, cut, range(len(cut)))
    rule = Rule(POINT, 120.0, None, False, 26)
    segment(work, POINT.filter, {"p": rule}, 1.0, tmp_path, silent)
    (pieces,) = load_pieces([tmp_path / "p.pieces"], [1])
    assert len(pieces.open) == 0

    found = merged([str(tmp_path)], [1], "p", cut, 26).objects
    mask = gaussian_filter(image.astype(np.float32), 1)[PLANE] > 120
    expected = label(mask, connectivity=2)
    np.testing.assert_array_equal(found["n"], np.bincount(expected.ravel())[1:])
    assert (found["lo"][:, 0] == PLANE).all()
