import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel

from tessera.neuro.gradients import to_ras
from tessera.neuro.nlm import nlmeans
from tessera.neuro.noise import sigma_map
from tessera.neuro.phantom import (
    BACKGROUND,
    GREY,
    VENTRICLE,
    WHITE,
    make_phantom,
    with_bad_samples,
    with_short_bvec,
)
from tessera.neuro.tensor import eigen, fit_tensor

SMALL = {"shape": (18, 22, 20), "shells": {1000.0: 12}, "n_b0": 2}


def fit(phantom, dwi, mask):
    bvecs = to_ras(phantom.bvecs, phantom.affine)
    table = gradient_table(phantom.bvals, bvecs=bvecs, b0_threshold=50)
    return TensorModel(table, fit_method="WLS").fit(dwi[:, mask].T.astype(np.float64))


@pytest.mark.parametrize("orientation", ["negative", "positive", "oblique"])
def test_truth_is_what_a_fit_of_the_clean_signal_gives(orientation):
    phantom = make_phantom(1, orientation=orientation, **SMALL)
    found = fit(phantom, phantom.clean, phantom.brain)
    np.testing.assert_allclose(found.fa, phantom.fa[phantom.brain], atol=1e-4)
    np.testing.assert_allclose(found.md, phantom.md[phantom.brain], rtol=1e-4)
    anisotropic = phantom.fa > 0
    v1 = fit(phantom, phantom.clean, anisotropic).evecs[..., 0]
    cosine = np.abs((v1 * phantom.v1[:, anisotropic].T).sum(axis=1))
    assert np.degrees(np.arccos(np.clip(cosine, 0, 1))).max() < 0.1


def test_tissues_have_their_values():
    phantom = make_phantom(1)
    share = np.bincount(phantom.labels.ravel()) / phantom.labels.size
    assert (share > 0.005).all()
    white = phantom.fa[phantom.labels == WHITE]
    assert 0.25 < white.min() < 0.35
    assert 0.75 < white.max() <= 0.8
    assert set(phantom.fa[phantom.labels == GREY]) == {np.float32(0.12)}
    assert not phantom.fa[phantom.labels == VENTRICLE].any()
    assert set(phantom.md[phantom.labels == VENTRICLE]) == {np.float32(3e-3)}
    for truth in (phantom.fa, phantom.md, phantom.s0, phantom.clean[3]):
        assert not truth[phantom.labels == BACKGROUND].any()


def test_noise_is_rician_with_the_stated_sigma():
    phantom = make_phantom(1)
    white = phantom.labels == WHITE
    assert np.median((phantom.s0 / phantom.sigma)[white]) == pytest.approx(22, rel=1e-3)
    air = phantom.labels == BACKGROUND
    mean_square = np.square(phantom.dwi / phantom.sigma)[:, air].mean()
    assert mean_square == pytest.approx(2, rel=0.005)
    square = np.square(phantom.dwi[:, phantom.brain].astype(np.float64)).mean()
    expected = np.square(phantom.clean.astype(np.float64)) + 2 * phantom.sigma**2
    assert square == pytest.approx(expected[:, phantom.brain].mean(), rel=0.002)


def test_random_numbers_belong_to_seed_item_and_volume():
    phantom = make_phantom(1, **SMALL)
    np.testing.assert_array_equal(make_phantom(1, **SMALL).dwi, phantom.dwi)
    assert not np.array_equal(make_phantom(2, **SMALL).dwi, phantom.dwi)
    assert not np.array_equal(make_phantom(1, 1, **SMALL).dwi, phantom.dwi)
    longer = make_phantom(1, **SMALL | {"n_b0": 3})
    np.testing.assert_array_equal(longer.dwi[0], phantom.dwi[0])
    first, second = (
        (volume - clean)[phantom.brain]
        for volume, clean in zip(phantom.dwi[1:3], phantom.clean[1:3], strict=True)
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_orientations_store_the_same_head():
    negative, positive = (make_phantom(1, orientation=o, **SMALL) for o in ("negative", "positive"))
    np.testing.assert_array_equal(negative.labels, positive.labels)
    assert np.linalg.det(negative.affine[:3, :3]) < 0 < np.linalg.det(positive.affine[:3, :3])
    oblique = make_phantom(1, orientation="oblique", **SMALL).affine
    axes = oblique[:3, :3] / 2
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    turned = np.degrees(np.arccos((np.trace(axes @ np.diag([-1, 1, 1])) - 1) / 2))
    assert turned == pytest.approx(20)


def test_directions_are_spread():
    phantom = make_phantom(1, shape=(9, 9, 9), shells={1000.0: 32, 2000.0: 60})
    for b, count in ((1000, 32), (2000, 60)):
        directions = phantom.bvecs[phantom.bvals == b]
        assert len(directions) == count
        np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
        # Isotropic to second order: the mean of g g' is a third of the identity.
        np.testing.assert_allclose(directions.T @ directions / count, np.eye(3) / 3, atol=0.02)
    assert phantom.bvals[0] == 0
    assert np.count_nonzero(phantom.bvals == 0) == 5


def test_injected_faults():
    phantom = make_phantom(1, **SMALL)
    spoilt = with_bad_samples(phantom)
    touched = (spoilt.dwi != phantom.dwi).any(axis=0)
    assert touched.sum() == 27 + 18 + 18
    assert np.isnan(spoilt.dwi).sum() == 27 * len(phantom.bvals)
    assert (spoilt.dwi == 0).sum() > 0
    assert (spoilt.dwi < 0).sum() > 0
    short = with_short_bvec(phantom)
    lengths = np.linalg.norm(short.bvecs, axis=1)
    assert lengths[12] == pytest.approx(0.42)
    assert np.isfinite(phantom.dwi).all()


def test_denoising_brings_fa_closer_to_the_truth():
    phantom = make_phantom(1)
    sigma = sigma_map(phantom.dwi, phantom.brain)
    slab = slice(12, 32)  # a good half of the brain, to save time
    noisy, brain, white = phantom.dwi[:, slab], phantom.brain[slab], phantom.labels[slab] == WHITE
    denoised = np.stack([nlmeans(volume, sigma[slab], mask=brain) for volume in noisy])
    raw, clean = (
        fit(phantom, dwi, white).fa - phantom.fa[slab][white] for dwi in (noisy, denoised)
    )
    assert np.sqrt(np.mean(clean**2)) < 0.65 * np.sqrt(np.mean(raw**2))
    assert abs(clean.mean()) < 0.006


@pytest.mark.parametrize("orientation", ["positive", "oblique"])
def test_either_rule_of_the_frame_ignored_turns_the_vectors(orientation):
    """The sign rule is seen where the determinant is positive, the rotation where oblique."""
    phantom = make_phantom(1, shape=(16, 24, 22), orientation=orientation)
    clear = (phantom.labels == WHITE) & (phantom.fa > 0.4)

    def angle(bvecs):
        fit = fit_tensor(phantom.clean[:, clear].T, phantom.bvals, bvecs, method="wls_fitted")
        cosine = np.abs(np.sum(eigen(fit.tensor)[1] * phantom.v1[:, clear].T, axis=1))
        return np.degrees(np.median(np.arccos(np.clip(cosine, 0, 1))))

    axes = phantom.affine[:3, :3] / np.linalg.norm(phantom.affine[:3, :3], axis=0)
    ignored = phantom.bvecs @ axes.T if orientation == "positive" else phantom.bvecs
    assert angle(to_ras(phantom.bvecs, phantom.affine)) < 0.05
    assert angle(ignored) > 40
