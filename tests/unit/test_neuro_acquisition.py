import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from tessera import nifti
from tessera.errors import InputError
from tessera.neuro.acquisition import check_headers, import_acquisition
from tessera.neuro.phantom import make_phantom, with_bad_samples, with_short_bvec

AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(0, shape=(12, 14, 16), shells={1000.0: 8}, n_b0=2)


@pytest.fixture
def folder(tmp_path, phantom):
    return write(tmp_path, phantom)


def write(folder, phantom):
    nifti.write(folder / "s.nii.gz", phantom.dwi, phantom.affine)
    np.savetxt(folder / "s.bval", phantom.bvals[np.newaxis])
    np.savetxt(folder / "s.bvec", phantom.bvecs.T)
    nifti.write(folder / "m.nii.gz", phantom.brain, phantom.affine)
    return folder


def check(folder, dwi="s.nii.gz", mask="m.nii.gz", **options):
    found = check_headers(
        folder / dwi,
        folder / "s.bval",
        folder / "s.bvec",
        folder / mask if mask else None,
        b0_max=50,
        **options,
    )
    return [str(problem).replace(f"{folder}/", "") for problem in found]


def refused(folder, is_b0=None, count=10):
    is_b0 = np.arange(count) == 0 if is_b0 is None else is_b0
    with pytest.raises(InputError) as caught:
        import_acquisition(folder / "s.nii.gz", folder / "out.npy", is_b0)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_a_sound_acquisition_has_no_problem(folder):
    assert check(folder) == []
    assert check(folder, mask=None) == []


def test_three_dimensions(folder, phantom):
    assert check(folder, dwi="m.nii.gz", mask=None) == [
        "m.nii.gz: the image has 3 dimensions, not 4; "
        "give the whole series, all volumes in one file."
    ]


def test_fewer_volumes(folder, phantom):
    nifti.write(folder / "s.nii.gz", phantom.dwi[:-1], phantom.affine)
    assert check(folder) == [
        "s.bval: 10 b-values, 10 b-vectors and 9 volumes; "
        "give one b-value and one b-vector per volume."
    ]


def test_missing_files_are_all_told(tmp_path):
    told = check(tmp_path)
    assert [line.split(":")[0] for line in told] == ["s.nii.gz", "m.nii.gz"]


def test_fault_of_gradients(tmp_path, phantom):
    write(tmp_path, with_short_bvec(phantom, volume=3))
    assert check(tmp_path) == [
        "s.bvec: column 4: length 0.42 differs from 1 by more than 1 %; "
        "normalise the vector or correct the file."
    ]


def test_fit_bmax_is_heeded(folder):
    (told,) = check(folder, fit_bmax=500)
    assert told.endswith("raise neuro.fit_bmax.")


def test_mask_of_another_shape(folder, phantom):
    nifti.write(folder / "m.nii.gz", phantom.brain[1:], phantom.affine)
    assert check(folder) == [
        "m.nii.gz: the mask has 16 x 14 x 11 voxels, the series 16 x 14 x 12; "
        "resample the mask to the grid of s.nii.gz."
    ]


def test_mask_with_another_affine(folder, phantom):
    moved = phantom.affine.copy()
    moved[0, 3] += 0.25
    nifti.write(folder / "m.nii.gz", phantom.brain, moved)
    assert check(folder) == [
        "m.nii.gz: the affine differs from that of the series by up to 0.25 mm; "
        "resample the mask to the grid of s.nii.gz."
    ]
    moved[0, 3] = phantom.affine[0, 3] + 0.0005
    nifti.write(folder / "m.nii.gz", phantom.brain, moved)
    assert check(folder) == []


@pytest.mark.parametrize(
    ("affine", "what"),
    [
        (np.diag([2.0, 0, 2, 1]), "voxel sizes of 2 x 0 x 2 mm"),
        (np.diag([2.0, np.nan, 2, 1]), "voxel sizes of 2 x nan x 2 mm"),
        (
            np.array([[2.0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]),
            "the affine is singular (its axes lie in one plane)",
        ),
    ],
)
def test_useless_affine(folder, phantom, affine, what):
    image = nib.Nifti1Image(phantom.dwi.T, AFFINE)
    image.header.set_sform(affine, code=1)
    image.header["qform_code"] = 0
    with (folder / "s.nii").open("wb") as stream:
        image.header["magic"], image.header["vox_offset"] = b"n+1", 352
        stream.write(image.header.binaryblock + bytes(4) + phantom.dwi.tobytes())
    assert check(folder, dwi="s.nii") == [f"s.nii: {what}; correct sform and qform in the header."]


def test_import_keeps_the_samples(tmp_path, phantom):
    spoilt = with_bad_samples(phantom)
    spoilt.dwi[2, 0, 0, :3] = np.inf
    write(tmp_path, spoilt)
    is_b0 = spoilt.bvals == 0
    imported = import_acquisition(tmp_path / "s.nii.gz", tmp_path / "out.npy", is_b0)
    stored = np.load(tmp_path / "out.npy", allow_pickle=False)
    assert stored.dtype == np.float32
    assert stored.flags.c_contiguous
    expected = np.where(np.isfinite(spoilt.dwi), spoilt.dwi, np.nan)
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_array_equal(imported.nonfinite, np.isnan(expected).sum(axis=(1, 2, 3)))
    assert imported.nonfinite[2] == 27 + 3
    np.testing.assert_array_equal(imported.nonpositive, (expected <= 0).sum(axis=(1, 2, 3)))
    assert imported.nonpositive[1] > 0
    with np.errstate(invalid="ignore"):
        mean = expected[is_b0].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(imported.mean_b0, mean, rtol=1e-6)
    assert np.isnan(imported.mean_b0).sum() == 27


def test_mean_b0_skips_bad_samples(tmp_path, phantom):
    dwi = phantom.dwi.copy()
    first, second = np.flatnonzero(phantom.bvals == 0)
    dwi[first, 5, 5, 5] = np.nan
    nifti.write(tmp_path / "s.nii.gz", dwi, AFFINE)
    imported = import_acquisition(tmp_path / "s.nii.gz", tmp_path / "out.npy", phantom.bvals == 0)
    assert imported.mean_b0[5, 5, 5] == dwi[second, 5, 5, 5]


def test_truncated_data(folder):
    path = folder / "s.nii.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert check(folder) == []  # a compressed file shows it only when read
    assert refused(folder) == [
        "s.nii.gz: volume 7 of 10: the data cannot be read (the file ends early); "
        "copy or export the file again."
    ]


def test_corrupt_data(folder):
    path = folder / "s.nii.gz"
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2 : len(stored) // 2 + 40] = bytes(40)
    path.write_bytes(stored)
    (told,) = refused(folder)
    assert "of 10: the data cannot be read (" in told


def test_volumes_without_an_image(folder, phantom):
    dwi = phantom.dwi.copy()
    dwi[2], dwi[[4, 5]], dwi[7] = np.nan, 3.0, -dwi[7]
    nifti.write(folder / "s.nii.gz", dwi, AFFINE)
    remedy = "remove from the series, with b-value and b-vector, or export the file again."
    assert refused(folder) == [
        f"s.nii.gz: volume 3 of 10: holds no finite sample; {remedy}",
        f"s.nii.gz: volumes 5, 6 of 10: hold one value only; {remedy}",
        f"s.nii.gz: volume 8 of 10: holds no positive sample; {remedy}",
    ]


def test_memory_is_that_of_a_few_volumes(tmp_path):
    shape = (40, 20, 64, 64)
    with gzip.open(tmp_path / "s.nii.gz", "wb", compresslevel=1) as stream:
        header = nib.Nifti1Header()
        header.set_data_dtype(np.int16)
        header.set_data_shape(shape[::-1])
        header["magic"], header["vox_offset"] = b"n+1", 352
        stream.write(header.binaryblock + bytes(4))
        for v in range(shape[0]):
            stream.write((np.arange(np.prod(shape[1:])) % (500 + v)).astype("<i2"))
    tracemalloc.start()
    import_acquisition(tmp_path / "s.nii.gz", tmp_path / "out.npy", np.arange(40) == 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 4 * np.prod(shape[1:])  # of 40 volumes
    assert np.load(tmp_path / "out.npy", mmap_mode="r").shape == shape
