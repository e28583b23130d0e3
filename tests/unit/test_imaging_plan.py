"""The plan of a run: what is read, cut, and asked of jobs."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stacks import sentences, write_slices
from tessera.imaging.boxes import Box
from tessera.imaging.grid import points
from tessera.imaging.plan import Plan, box_of, connectivity_of, read_images_of

SCHEMAS = Path(__file__).parents[2] / "schemas"
WIDE = [{"name": "gaussian", "sigma": 2}]


def section(**settings):
    return {
        "images": "images.tsv", "filter": [{"name": "none"}], "threshold": [{"name": "otsu"}],
        "morphology": [{"op": "none"}], "tile": "auto", "slice": None, "write_labels": False,
    } | settings  # fmt: skip


def plan_of(memory_mb=1100, shape=(600, 700, 800), dtype="uint8", ndim=3, **settings):
    """Return the plan of an image `a`, and of `bad`, whose header cannot be read."""
    told = section(**settings)
    good = {"shape": list(shape), "ndim": ndim, "dtype": dtype}
    images = {
        "rows": {"a": {"image": "a", "path": "a.tif"}, "bad": {"image": "bad", "path": "b.tif"}},
        "headers": {"a": good, "bad": None}, "grid": points(told),
    }  # fmt: skip
    return Plan(told, memory_mb, lambda: images)


def of(image="a", **names):
    return SimpleNamespace(image=image, **names)


def test_the_edge_is_the_largest_whose_tile_fits_the_memory():
    edges = [plan_of(memory).tiling(of())["edge"] for memory in (400, 600, 1100, 4000)]
    assert edges == sorted(edges)
    assert edges[0] < edges[2] <= edges[3] == 256
    for memory in (500, 700, 1100, 2000):
        plan = plan_of(memory, filter=WIDE, dtype="float64")
        assert plan.tile_mb(of(), 1) <= memory
    plane = plan_of(1100, (1, 20000, 20000), "uint16", 2)
    assert plane.tiling(of())["edge"] > 256
    assert plane.tile_mb(of(), 1) <= 1100
    assert plane.tile_mb(of(), 2) == pytest.approx(2 * plane.tile_mb(of(), 1), abs=2)


def test_a_tile_is_never_smaller_than_what_filters_look_at():
    plan = plan_of(10, filter=[{"name": "gaussian", "sigma": 40}])
    assert plan.tiling(of())["edge"] == 160


@pytest.mark.parametrize("everything", [False, True])
def test_parts_are_ranges_that_make_up_all_tiles(everything):
    plan = plan_of(shape=(1000, 1100, 1200), tile=128)
    files = plan.parts("{image}/{filter}/{part}.npz", everything)(of(filter="none"))
    assert files == [f"a/none/{k}of5.npz" for k in range(1, 6)]
    ranges = [
        (plan.whole_tiles if everything else plan.tiles)(of(part=Path(f).stem)) for f in files
    ]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 8 * 9 * 10
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
    counts = plan.whole_tile_counts(of()) if everything else plan.tile_counts(of())
    assert counts == [stop - start for start, stop in ranges]


def test_there_are_no_more_parts_than_tiles():
    plan = plan_of(shape=(1500, 1500, 1500), tile=1024)
    assert plan.tile_counts(of()) == [1] * 8


def test_an_image_with_a_bad_header_has_one_part_so_that_its_steps_can_tell():
    plan = plan_of()
    assert plan.tile_counts(of("bad")) == [1]
    assert plan.tiling(of("bad"))["box"] == {"lo": (0, 0, 0), "hi": (1, 1, 1)}
    assert plan.tile_mb(of("bad"), 1) > 0
    assert plan.part_minutes(of("bad"), 1) > 0
    assert plan.extents("{part}")(of("bad", filter="none")) == []


def test_a_slice_is_a_box_one_plane_thick_but_thresholds_are_of_the_whole_image():
    plan = plan_of(slice={"axis": "y", "index": 5}, filter=WIDE)
    assert plan.tiling(of())["box"] == {"lo": (0, 5, 0), "hi": (600, 6, 800)}
    assert plan.whole_tiling(of())["box"] == {"lo": (0, 0, 0), "hi": (600, 700, 800)}
    assert plan.held(of()) is None


def test_only_the_plane_and_its_margin_is_converted_where_no_threshold_needs_more():
    fixed = [{"name": "fixed", "value": 5}]
    cut = {"axis": "z", "index": 3}
    assert plan_of(slice=cut, filter=WIDE, threshold=fixed).held(of()) == {
        "lo": (0, 0, 0), "hi": (12, 700, 800)
    }  # fmt: skip
    assert plan_of(threshold=fixed).held(of()) is None
    grown = [{"name": "hysteresis", "low": 1, "high": 2}]
    assert plan_of(slice=cut, threshold=grown).held(of()) is None


def test_a_slice_beyond_the_image_is_its_last_plane_until_a_step_tells():
    assert box_of((4, 5, 6), {"axis": "x", "index": 9}) == Box((0, 0, 5), (4, 5, 6))
    assert box_of((4, 5, 6), {"axis": "z", "index": 0}) == Box((0, 0, 0), (1, 5, 6))
    assert box_of((4, 5, 6), None) == Box((0, 0, 0), (4, 5, 6))


def test_connectivities_of_planes_are_those_of_volumes():
    assert [connectivity_of(n) for n in (4, 8, 6, 18, 26)] == [6, 26, 6, 18, 26]


def test_extents_are_needed_of_several_parts_whose_values_have_no_bins_of_their_own():
    shape = (1000, 1100, 1200)
    asked = of(filter="gaussian-2")
    assert len(plan_of(shape=shape, filter=WIDE).extents("{part}")(asked)) == 5
    assert plan_of(shape=(90, 90, 90), filter=WIDE).extents("{part}")(asked) == []
    assert plan_of(shape=shape).extents("{part}")(of(filter="none")) == []
    assert len(plan_of(shape=shape, dtype="float32").extents("{part}")(of(filter="none"))) == 5


def test_jobs_are_asked_for_what_the_grid_needs():
    plan = plan_of(
        filter=[{"name": "none"}, *WIDE],
        threshold=[{"name": "li"}, {"name": "hysteresis", "low": 1, "high": 2}],
    )
    assert plan.kinds_of("none") == ["li"]
    names = ["none_li_none", "none_hysteresis-1-2_none"]
    assert list(plan.points_of(of(filter="none"))) == names
    assert plan.masks("{image}/{filter}")(of(filter="none")) == ["a/none"]
    assert plan.masks("{image}/{filter}")(of(params="gaussian-2_li_none")) == []
    assert plan.merged_of("{filter}")(of(params="gaussian-2_li_none")) == "gaussian-2"
    assert plan.histograms("{filter}/{part}")(of()) == [
        f"{name}/{k}of2" for name in ("none", "gaussian-2") for k in (1, 2)
    ]
    assert plan.labels("{image}/{params}")(None) == []
    assert plan_of(write_labels=True).labels("{image}/{params}")(None) == [
        "a/none_otsu_none", "bad/none_otsu_none"
    ]  # fmt: skip


def test_rows_and_headers_of_a_sheet_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_slices("one", np.zeros((3, 4, 5), np.uint16))
    Path("bad.tif").write_bytes(b"no image")
    Path("images.tsv").write_text("image\tpath\tdose\na\tone\t1\nb\tbad.tif\t2\n")
    found = read_images_of(section(), SCHEMAS)
    assert list(found["rows"]) == ["a", "b"]
    assert found["headers"]["b"] is None
    assert tuple(found["headers"]["a"]["shape"]) == (3, 4, 5)
    assert found["headers"]["a"]["dtype"] == "uint16"


def test_faults_of_sheet_and_grid_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = sentences(read_images_of, section(images=None, filter=[{"name": "median"}]), SCHEMAS)
    assert told == [
        "config: imaging.images: no images are named; name the sheet with the columns image and "
        "path, or a folder of images.",
        "config: imaging.filter, entry 1.size: missing key; median has size: give it.",
    ]


def test_a_tile_smaller_than_what_filters_look_at_is_refused():
    close = [{"op": "close", "radius": 3}]
    small = section(images=None, tile=13, filter=WIDE, morphology=close)
    assert sentences(read_images_of, small, SCHEMAS)[1:] == [
        "config: imaging.tile: is 13, less than the 14 voxels around a tile that "
        "gaussian-2_otsu_close-3 looks at; make it 14 or more, or auto."
    ]
    assert len(sentences(read_images_of, small | {"tile": 14}, SCHEMAS)) == 1
