import numpy as np
import pytest
from dipy.segment.mask import median_otsu
from scipy import ndimage

from tessera.neuro.mask import brain_mask, check_mask, paper_mask
from tessera.neuro.phantom import make_phantom

ZOOMS = (2.0, 2.0, 2.0)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(3, shells={1000.0: 6}, n_b0=3)


@pytest.fixture(scope="module")
def mean_b0(phantom):
    return phantom.dwi[phantom.bvals == 0].mean(axis=0)


def test_the_brain_is_found(phantom, mean_b0):
    mask = brain_mask(mean_b0, ZOOMS)
    assert dice(mask, phantom.brain) > 0.97
    assert ndimage.label(mask)[1] == 1
    assert (ndimage.binary_fill_holes(mask) == mask).all()


def test_bad_samples_in_the_brain_are_covered(phantom, mean_b0):
    spoilt = mean_b0.copy()
    centre = tuple(n // 2 for n in spoilt.shape)
    spoilt[tuple(slice(c - 3, c + 4) for c in centre)] = np.nan
    mask = brain_mask(spoilt, ZOOMS)
    assert mask[centre]
    assert dice(mask, phantom.brain) > 0.97


def test_a_smaller_body_is_dropped(phantom, mean_b0):
    beside = mean_b0.copy()
    beside[:, :4, :4] = mean_b0.max()
    assert not brain_mask(beside, ZOOMS)[:, :4, :4].any()


def test_radius_is_in_mm_along_each_axis():
    # A plate 3 voxels thick: the median keeps it if less than about half of the window is outside.
    plate = np.zeros((21, 21, 21))
    plate[9:12] = 100
    assert brain_mask(plate, (5.0, 2.0, 2.0), 5.0).any()
    assert not brain_mask(plate, (1.0, 2.0, 2.0), 5.0).any()


def test_result_does_not_depend_on_the_order_of_axes(mean_b0):
    zooms = (3.0, 2.0, 1.5)
    turned = brain_mask(mean_b0.transpose(2, 0, 1).copy(), (1.5, 3.0, 2.0))
    np.testing.assert_array_equal(turned, brain_mask(mean_b0, zooms).transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(10, 10, 10), (1, 30, 30), (3, 3, 3)])
def test_small_volumes(shape):
    volume = np.full(shape, 5.0)
    volume[tuple(slice(n // 4, max(n // 4 + 1, 3 * n // 4)) for n in shape)] = 100
    assert brain_mask(volume, ZOOMS, 2.0).shape == shape


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_no_contrast_gives_an_empty_mask_and_a_problem(value):
    mask = brain_mask(np.full((8, 8, 8), value), ZOOMS)
    (problem,) = check_mask(mask, "sub-01_dwi.nii.gz")
    assert str(problem) == (
        "sub-01_dwi.nii.gz: the brain mask is empty; check the b0 volumes, or give a mask in "
        "column mask of the sheet."
    )


def test_a_mask_of_everything_is_fine():
    assert check_mask(np.ones((2, 2, 2), bool), "mask.nii.gz") == []


def test_paper_mask_is_median_otsu_whatever_the_order_of_axes(mean_b0):
    small = mean_b0[::2, ::2, ::2]
    _, reference = median_otsu(small.T, median_radius=4, numpass=2, dilate=1)
    settings = {"radius_voxels": 4, "passes": 2, "dilate": 1}
    np.testing.assert_array_equal(paper_mask(small, settings), reference.T)
    assert not paper_mask(np.zeros((8, 8, 8)), settings).any()
