import shutil
import subprocess

import numpy as np
import pytest
from dipy.data import get_fnames
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import nifti
from tessera.errors import InputError
from tessera.neuro.gradients import read_gradients, to_ras
from tessera.neuro.phantom import make_phantom

N = 12


def unit_vectors(n, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def scheme():
    bvals, bvecs = np.full(N, 1000.0), unit_vectors(N)
    bvals[[0, 6]] = 0
    bvecs[[0, 6]] = 0
    return bvals, bvecs


@pytest.fixture
def read(tmp_path):
    """Write a scheme and read it; returns the arrays, or the problems without the folder."""

    def write_and_read(bvals, bvecs, n=N, b0_max=50, **options):
        np.savetxt(tmp_path / "s.bval", np.atleast_2d(bvals), fmt="%.8g")
        np.savetxt(tmp_path / "s.bvec", bvecs, fmt="%.8g")
        return read_files(n, b0_max, **options)

    def read_files(n=N, b0_max=50, **options):
        try:
            return read_gradients(
                tmp_path / "s.bval", tmp_path / "s.bvec", n, b0_max=b0_max, **options
            )
        except InputError as error:
            return [str(problem).replace(f"{tmp_path}/", "") for problem in error.problems]

    write_and_read.files = read_files
    write_and_read.folder = tmp_path
    return write_and_read


def test_both_orientations_are_read(scheme, read):
    for table in (scheme[1].T, scheme[1]):
        bvals, bvecs = read(scheme[0], table)
        np.testing.assert_array_equal(bvals, scheme[0])
        np.testing.assert_allclose(bvecs, scheme[1], atol=1e-7)
        np.testing.assert_allclose(
            np.linalg.norm(bvecs[scheme[0] > 0], axis=1), 1, rtol=0, atol=1e-15
        )


def test_a_column_of_bvals_is_read(scheme, read):
    np.testing.assert_array_equal(read(scheme[0][:, np.newaxis], scheme[1])[0], scheme[0])


def test_b0_may_lack_a_direction(scheme, read):
    scheme[1][0] = np.nan
    np.testing.assert_array_equal(read(scheme[0], scheme[1].T)[1][0], 0)


def test_b0_may_have_a_direction_of_any_length(scheme, read):
    scheme[0][0], scheme[1][0] = 15, [0, 0, 0.5]
    np.testing.assert_array_equal(read(scheme[0], scheme[1].T)[1][0], [0, 0, 1])


@pytest.mark.parametrize("name", ["small_64D", "small_101D"])
def test_real_acquisitions_are_sound(name):
    image, bval, bvec = get_fnames(name=name)
    count = nifti.read_header(image).shape[3]
    bvals, bvecs = read_gradients(bval, bvec, count, b0_max=50, fit_bmax=1500)
    assert bvals.shape == (count,)
    assert bvecs.shape == (count, 3)


def test_counts_differ(scheme, read):
    assert read(scheme[0][:-1], scheme[1].T, n=13) == [
        "s.bval: 11 b-values, 12 b-vectors and 13 volumes; "
        "give one b-value and one b-vector per volume."
    ]


def test_counts_differ_in_files_that_agree(scheme, read):
    assert read(scheme[0], scheme[1].T, n=13) == [
        "s.bval: 12 b-values, 12 b-vectors and 13 volumes; "
        "give one b-value and one b-vector per volume."
    ]


def test_vectors_of_no_shape(scheme, read):
    assert read(scheme[0], scheme[1].T[:2]) == [
        "s.bvec: 2 rows and 12 columns are no vectors; give 3 rows of 12 numbers each."
    ]
    lines = (read.folder / "s.bvec").read_text()
    (read.folder / "s.bvec").write_text(lines + "0 0 1\n")
    assert read.files() == [
        "s.bvec: 3 rows of 3 to 12 numbers are no vectors; give 3 rows of 12 numbers each."
    ]


def test_not_numbers_in_both_files(scheme, read):
    read(scheme[0], scheme[1].T)
    (read.folder / "s.bval").write_text("0 1000 one 1000\n")
    (read.folder / "s.bvec").write_text("0, 1,\n0 1 0\n0 0 1\n")
    assert read.files() == [
        "s.bval: row 1, column 3: 'one' is not a number; write numbers separated by spaces.",
        "s.bvec: row 1, column 1: '0,' is not a number (and 1 more); "
        "write numbers separated by spaces.",
    ]


def test_missing_and_empty_files(read):
    (read.folder / "s.bvec").write_text("\n")
    assert read.files() == [
        "s.bval: the file cannot be read (No such file or directory); "
        "correct the path or provide the file.",
        "s.bvec: the file is empty; provide the gradients.",
    ]


def test_binary_files_are_told_in_a_sentence(scheme, read):
    read(scheme[0], scheme[1].T)
    (read.folder / "s.bvec").write_bytes(bytes(range(256)))
    (told,) = read.files()
    assert "is not a number" in told
    assert len(told) < 200


def test_short_vector(scheme, read):
    scheme[1][10] *= 0.42
    assert read(scheme[0], scheme[1].T) == [
        "s.bvec: column 11: length 0.42 differs from 1 by more than 1 %; "
        "normalise the vector or correct the file."
    ]
    assert read(scheme[0], scheme[1])[0].startswith("s.bvec: row 11: ")


def test_all_vectors_scaled_are_one_problem(scheme, read):
    scheme[1][5] *= 0.5
    assert read(scheme[0], 3 * scheme[1].T) == [
        "s.bvec: columns 2, 3, 4, 5 and 6 more: lengths 1.50 to 3.00 differ from 1 by more than "
        "1 %; normalise the vectors or correct the file."
    ]


def test_a_length_within_one_percent_is_normalised(scheme, read):
    scheme[1][3] *= 1.0095
    assert np.linalg.norm(read(scheme[0], scheme[1].T)[1][3]) == pytest.approx(1, abs=1e-15)


def test_direction_missing_where_it_matters(scheme, read):
    scheme[1][[3, 4]] = np.nan
    assert read(scheme[0], scheme[1].T) == [
        "s.bvec: columns 4 and 5: the direction of a diffusion-weighted volume is not finite; "
        "correct the file."
    ]


def test_impossible_b_values(scheme, read):
    scheme[0][2], scheme[0][3] = -5, np.nan
    assert read(scheme[0], scheme[1].T) == [
        "s.bval: column 4: the b-value nan is not finite; correct the file.",
        "s.bval: column 3: the b-value -5 is negative; correct the file.",
    ]


def test_unit_of_b_values(scheme, read):
    assert read(scheme[0] / 1000, scheme[1].T) == [
        "s.bval: the largest b-value is 1, as if in ms/um2; "
        "multiply all b-values by 1000 to have s/mm2."
    ]


def test_only_b0s(scheme, read):
    assert read(scheme[0] * 0, scheme[1].T) == [
        "s.bval: all volumes have b <= 50 s/mm2 (only b0s); "
        "give an acquisition with diffusion weighting."
    ]


def test_no_b0(scheme, read):
    scheme[0][[0, 6]], scheme[1][[0, 6]] = 500, [0, 0, 1]
    assert read(scheme[0], scheme[1].T) == [
        "s.bval: no volume has b <= 50 s/mm2 (the smallest is 500), but the mask and S0 need a "
        "b0; add a b0 volume or raise neuro.b0_max (a preset fixes it)."
    ]


def test_too_few_directions(scheme, read):
    few = scheme[1][[1, 2, 3, 4, 5]]
    scheme[1][scheme[0] > 0] = np.concatenate([few, -few])
    assert read(scheme[0], scheme[1].T) == [
        "s.bvec: the 12 volumes determine 6 of the 7 unknowns of a tensor fit (b0 and at least 6 "
        "independent directions); give more directions."
    ]


def test_directions_in_a_plane_up_to_rounding(scheme, read):
    flat = scheme[1] * [1, 1, 1e-6]
    flat[scheme[0] > 0] /= np.linalg.norm(flat[scheme[0] > 0], axis=1, keepdims=True)
    (told,) = read(scheme[0], flat.T)
    assert "determine 4 of the 7 unknowns" in told


def test_directions_are_counted_below_fit_bmax(scheme, read):
    scheme[0][scheme[0] > 0] = 3000
    scheme[0][1:4] = 1000
    assert len(read(scheme[0], scheme[1].T)) == 2  # sound when all are fitted
    assert read(scheme[0], scheme[1].T, fit_bmax=1500) == [
        "s.bvec: the 5 volumes with b <= 1500 s/mm2 determine 4 of the 7 unknowns of a tensor fit "
        "(b0 and at least 6 independent directions); raise neuro.fit_bmax."
    ]


def test_problems_of_both_files_come_together(scheme, read):
    scheme[0][2] = -5
    scheme[1][10] *= 0.42
    told = read(scheme[0], scheme[1].T, n=13)
    assert [line.split(":")[0] for line in told] == ["s.bval", "s.bval", "s.bvec"]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(6, 200), b0s=st.integers(1, 3), seed=st.integers(0, 100))
def test_spread_directions_always_suffice(tmp_path_factory, n, b0s, seed):
    folder = tmp_path_factory.mktemp("spread")
    phantom = make_phantom(seed, shape=(9, 9, 9), shells={1000.0: n}, n_b0=b0s)
    np.savetxt(folder / "s.bval", phantom.bvals)
    np.savetxt(folder / "s.bvec", phantom.bvecs)
    read_gradients(folder / "s.bval", folder / "s.bvec", n + b0s, b0_max=50)


AFFINES = {
    name: make_phantom(0, shape=(9, 9, 9), shells={1000.0: 6}, orientation=name).affine
    for name in ("negative", "positive", "oblique")
}
AFFINES["oblique_positive"] = AFFINES["oblique"] @ np.diag([-1, 1, 1, 1])
# Axes permuted and voxels of three sizes.
AFFINES["sagittal"] = np.array([[0, 0, 3.0, 1], [-2, 0, 0, 2], [0, 1.5, 0, 3], [0, 0, 0, 1]])


@pytest.mark.parametrize("name", AFFINES)
def test_scanner_axes_are_those_of_mrtrix(tmp_path, name):
    if not shutil.which("mrinfo"):
        pytest.skip("needs MRtrix (mrinfo)")
    vectors = unit_vectors(20)
    np.savetxt(tmp_path / "s.bval", np.full((1, 20), 1000))
    np.savetxt(tmp_path / "s.bvec", vectors.T, fmt="%.12f")
    nifti.write(tmp_path / "s.nii.gz", np.ones((20, 3, 4, 5), np.float32), AFFINES[name])
    command = ["mrinfo", "-dwgrad", "-fslgrad", "s.bvec", "s.bval", "s.nii.gz", "-quiet"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    reference = np.loadtxt(done.stdout.splitlines())
    affine = nifti.read_header(tmp_path / "s.nii.gz").affine
    np.testing.assert_allclose(to_ras(vectors, affine), reference[:, :3], atol=2e-6)


@pytest.mark.parametrize("orientation", ["negative", "positive", "oblique"])
def test_phantom_shares_one_scheme_in_scanner_axes(orientation):
    reference = make_phantom(0, shape=(9, 9, 9), orientation="negative")
    phantom = make_phantom(0, shape=(9, 9, 9), orientation=orientation)
    expected = to_ras(reference.bvecs, reference.affine)
    np.testing.assert_allclose(to_ras(phantom.bvecs, phantom.affine), expected, atol=1e-12)
    assert np.linalg.det(phantom.affine[:3, :3]) * (1 if orientation == "positive" else -1) > 0


def test_zero_vectors_stay_zero():
    np.testing.assert_array_equal(to_ras(np.zeros((2, 3)), AFFINES["oblique"]), 0)
