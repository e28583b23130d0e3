from __future__ import annotations

import numpy as np
import pytest
import sep
from scipy.ndimage import gaussian_filter, label
from scipy.spatial import cKDTree

from coadds import grid, simulate
from tessera.astro import detect, noise, sources, totals

KERNEL = detect.moffat_kernel(4.0, 3.0)


def gaussian(shape: tuple[int, int], *stars: tuple[float, float, float, float]) -> np.ndarray:
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for row, column, height, sigma in stars:
        image += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
    return image.astype(np.float32)


@pytest.fixture(scope="module")
def noise_map() -> np.ndarray:
    """A filtered image of white noise, 2 megapixels."""
    rng = np.random.default_rng(4)
    image = rng.normal(0, 2, (1400, 1400)).astype(np.float32)
    good = np.ones(image.shape, bool)
    return detect.matched_filter(image, np.full_like(image, 4), good, KERNEL, 1.0)


def test_matched_filter_equals_the_plain_sums():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(23, 31)).astype(np.float32)
    variance = rng.uniform(0.5, 3, image.shape).astype(np.float32)
    good = rng.random(image.shape) > 0.2
    kernel = detect.moffat_kernel(2.0, 2.5)
    radius = kernel.shape[0] // 2
    result = detect.matched_filter(image, variance, good, kernel, 1.7)
    weight = np.pad(np.where(good, 1 / variance.astype(float), 0), radius)
    signal = np.pad(np.where(good, image / variance.astype(float), 0), radius)
    for y, x in np.ndindex(image.shape):
        window = (slice(y, y + 2 * radius + 1), slice(x, x + 2 * radius + 1))
        value = (kernel * signal[window]).sum() / np.sqrt(
            1.7 * (kernel.astype(float) ** 2 * weight[window]).sum()
        )
        assert result[y, x] == pytest.approx(value if good[y, x] else 0.0, abs=1e-5)


def test_blank_sky_has_unit_deviation(noise_map):
    assert noise_map[20:-20, 20:-20].std() == pytest.approx(1, abs=0.01)


def test_resampled_sky_has_unit_deviation():
    coadd = simulate(grid(500, 1000, 0, [5.0]), (500, 500), visits=5, seed=2)
    everywhere = np.ones(coadd.image.shape, bool)
    covariance, _ = noise.autocovariance(coadd.image, coadd.variance, everywhere)
    factor = noise.kernel_factor(covariance, KERNEL)
    filtered = detect.matched_filter(coadd.image, coadd.variance, everywhere, KERNEL, factor)
    assert filtered[20:-20, 20:-20].std() == pytest.approx(1, abs=0.04)
    plain = detect.matched_filter(coadd.image, coadd.variance, everywhere, KERNEL, 1.0)
    assert plain[20:-20, 20:-20].std() > 1.07


@pytest.mark.parametrize("level", [3.0, 3.5, 4.0])
def test_peaks_of_noise_are_as_many_as_predicted(noise_map, level):
    rough = detect.roughness(noise_map, np.ones(noise_map.shape, bool))
    predicted = detect.noise_peaks(level, rough, noise_map.size)
    found = detect.detect(noise_map, level, 0.05)
    # Peaks that stand close together count as one, and pixels miss the very top.
    assert len(found.x) == pytest.approx(predicted, abs=0.15 * predicted + 3 * np.sqrt(predicted))


def test_isolated_sources_have_the_segments_that_sep_finds():
    rng = np.random.default_rng(1)
    stars = [
        (30.0 + 40 * j + rng.uniform(-5, 5), 30.0 + 40 * i + rng.uniform(-5, 5), h, 2.5)
        for j in range(4)
        for i in range(4)
        for h in [rng.uniform(5, 500)]
    ]
    image = gaussian((190, 190), *stars)
    found = detect.detect(image, 4.0, 0.05)
    objects, segments = sep.extract(
        image, detect.ISOPHOTE, minarea=1, filter_kernel=None, segmentation_map=True
    )
    assert len(found.x) == len(objects) == 16
    order = np.lexsort((objects["xcpeak"], objects["ycpeak"]))
    for n, theirs in enumerate(order):
        assert np.array_equal(found.segments == n + 1, segments == theirs + 1)
        assert (found.y[n], found.x[n]) == (objects["ycpeak"][theirs], objects["xcpeak"][theirs])
        assert found.total[n] == pytest.approx(objects["cflux"][theirs], rel=1e-4)
    assert not found.touching.any()


def test_without_separation_segments_are_the_connected_parts():
    image = gaussian_filter(np.random.default_rng(5).normal(size=(200, 300)), 2).astype(np.float32)
    image *= 3 / image.std()
    found = detect.detect(image, detect.ISOPHOTE, 1e9)
    expected, count = label(image > detect.ISOPHOTE, np.ones((3, 3)))
    assert len(found.x) == count
    assert np.array_equal(found.segments > 0, expected > 0)
    pairs = np.unique(np.stack([found.segments[expected > 0], expected[expected > 0]]), axis=1)
    assert pairs.shape[1] == count


@pytest.mark.parametrize(
    ("apart", "heights", "expected"),
    [
        (12, (50, 50), 2),
        (12, (500, 8), 2),
        (5, (50, 50), 1),  # one top: at 2 sigma apart two Gaussians merge
        (6.6, (1000, 1000), 2),  # a saddle 30 % below the peaks
        (5.2, (1000, 1000), 1),  # a saddle 3 % below: less than the contrast
    ],
)
def test_neighbours_are_separated_at_saddles(apart, heights, expected):
    image = gaussian((60, 80), (30, 30, heights[0], 2.5), (30, 30 + apart, heights[1], 2.5))
    found = detect.detect(image, 4.0, 0.05)
    assert len(found.x) == expected
    assert found.touching.all() == (expected == 2)
    assert np.array_equal(np.unique(found.segments), np.arange(expected + 1))


def test_low_parts_alter_nothing():
    """What never reaches the level is dropped at the start: as if all were flooded and dropped."""
    image = gaussian_filter(np.random.default_rng(7).normal(size=(300, 200)), 2).astype(np.float32)
    image *= 3 / image.std()
    image = np.round(image, 1)  # ties
    every, tall = (detect.detect(image, level, 0.05) for level in (detect.ISOPHOTE, 6.0))
    keep = np.flatnonzero(every.height >= 6)
    assert 10 < len(keep) < len(every.x) / 2
    for name in ("y", "x", "height", "total", "touching"):
        assert np.array_equal(getattr(tall, name), getattr(every, name)[keep])
    number = np.zeros(len(every.x) + 1, np.int32)
    number[keep + 1] = np.arange(1, len(keep) + 1)
    assert np.array_equal(tall.segments, number[every.segments])


def test_ripples_of_noise_on_a_bright_source_are_no_sources():
    rng = np.random.default_rng(6)
    ripple = gaussian_filter(rng.normal(size=(200, 200)), 2)
    image = gaussian((200, 200), (100, 100, 400, 25)) + (0.7 * ripple / ripple.std()).astype("f4")
    assert len(detect.detect(image, 4.0, 0.05).x) <= 3


def test_refined_peaks_are_exact_for_gaussians():
    stars = [(20.3, 30.45, 9, 2.5), (60.0, 50.0, 300, 3.0), (90.49, 20.2, 40, 1.8)]
    image = gaussian((120, 90), *stars)
    found = detect.detect(image, 4.0, 0.05)
    refined = detect.refine(image, found.y, found.x)
    np.testing.assert_allclose(refined, [star[:2] for star in stars], atol=0.01)
    corner = gaussian((20, 20), (0, 0, 50, 2.0))
    found = detect.detect(corner, 4.0, 0.05)
    assert np.array_equal(detect.refine(corner, found.y, found.x), [[0.0, 0.0]])


def test_a_saturated_star_is_one_source():
    image = gaussian((80, 80), (40, 30, 50, 2), (40, 40, 80, 2), (40, 50, 50, 2), (10, 10, 20, 2))
    saturated = np.zeros(image.shape, bool)
    saturated[36:45, 25:56] = True
    found = detect.detect(image, 4.0, 0.05)
    joined, count = detect.join_saturated(found, saturated)
    assert (len(found.x), len(joined.x), count) == (4, 2, 2)
    assert (joined.y.tolist(), joined.x.tolist()) == ([10, 40], [10, 40])
    assert np.array_equal(joined.segments > 0, found.segments > 0)
    assert set(np.unique(joined.segments[30:50, 20:60])) == {0, 2}
    assert joined.total.sum() == pytest.approx(found.total.sum())
    same, none = detect.join_saturated(found, np.zeros(image.shape, bool))
    assert same is found
    assert none == 0


def test_nothing_and_everything():
    empty = detect.detect(np.zeros((30, 40), np.float32), 4.0, 0.05)
    assert len(empty.x) == 0
    assert not empty.segments.any()
    flat = detect.detect(np.full((30, 40), 9, np.float32), 4.0, 0.05)
    assert len(flat.x) == 1
    assert (flat.segments == 1).all()


def test_completeness_and_purity():
    """The promise of `threshold_sigma` and `purity`, over three fields of a quarter megapixel."""
    tables, facts, scenes = {}, {}, {}
    settings = sources.Settings()
    for seed in range(3):
        scene = grid(600, 45, seed, [5.0, 5.0, 5.0, 10.0, 10.0, 300.0], faint=300)
        coadd = simulate(scene, (600, 600), visits=6, seed=seed)
        tables[f"{seed}"], facts[f"{seed}"] = sources.measure_patch(
            coadd.image,
            coadd.variance,
            coadd.mask,
            coadd.nimage,
            settings=settings,
            pixel_scale=0.27,
        )
        scenes[f"{seed}"] = scene
    done, pooled = totals.finish(
        tables, facts, settings=settings, pixel_scale=0.27, zero_point=27.0
    )
    hits, false, rows = {5.0: [], 10.0: [], 300.0: []}, 0, 0
    for name, scene in scenes.items():
        places = done[name][["x", "y"]].to_numpy()
        test = scene[scene.kind == "test"]
        near = cKDTree(places).query(test[["x", "y"]])[0] < 2.5
        for snr, found in hits.items():
            found.extend(near[test.snr == snr])
        false += int((cKDTree(scene[["x", "y"]]).query(places)[0] > 4).sum())
        rows += len(places)
    assert np.mean(hits[5.0]) > 0.78
    assert np.mean(hits[10.0]) == 1
    assert np.mean(hits[300.0]) == 1
    assert false <= 0.015 * rows
    assert pooled["noise_peaks"] <= 0.01 * rows
