import gzip

import nibabel as nib
import numpy as np
import pytest

from tessera import nifti
from tessera.errors import InputError

OBLIQUE = np.array(
    [[-1.9, 0.3, 0.2, 90.0], [0.35, 1.88, -0.5, -70.0], [0.1, 0.5, 1.92, -30.0], [0, 0, 0, 1]]
)


def series(shape=(5, 4, 3, 2), dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def message(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_written_image_is_read_back_and_by_nibabel(tmp_path):
    path = tmp_path / "a.nii.gz"
    data = series()
    nifti.write(path, data, OBLIQUE)
    header = nifti.read_header(path)
    assert header.shape == (2, 3, 4, 5)
    assert header.dtype == np.float32
    np.testing.assert_allclose(header.affine, OBLIQUE, atol=1e-6)
    np.testing.assert_allclose(header.zooms, np.linalg.norm(OBLIQUE[:3, :3], axis=0), atol=1e-6)
    np.testing.assert_array_equal(np.stack(list(nifti.volumes(path))), data)
    image = nib.load(path)
    np.testing.assert_array_equal(image.get_fdata(), data.T)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1


def test_a_volume_is_read_as_a_series_of_one(tmp_path):
    path = tmp_path / "a.nii.gz"
    nifti.write(path, series((4, 3, 2)) > 5, np.eye(4))
    (volume,) = nifti.volumes(path)
    assert nifti.read_header(path).dtype == np.uint8
    np.testing.assert_array_equal(volume, series((4, 3, 2)) > 5)


def test_same_array_gives_same_bytes_under_any_name(tmp_path):
    nifti.write(tmp_path / "a.nii.gz", series(), OBLIQUE)
    nifti.write_volumes(
        tmp_path / ".b.nii.gz.tmp", iter(series()), (5, 4, 3, 2), OBLIQUE, np.float32
    )
    stored = (tmp_path / "a.nii.gz").read_bytes()
    assert stored == (tmp_path / ".b.nii.gz.tmp").read_bytes()
    assert stored[3] == 0  # no name
    assert stored[4:8] == bytes(4)  # no time


def test_free_text_of_a_written_header_is_blank(tmp_path):
    nifti.write(tmp_path / "a.nii.gz", series(), OBLIQUE)
    header = nib.load(tmp_path / "a.nii.gz").header
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        assert not header[field].tobytes().strip(b"\0")
    assert not header.extensions


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_scaling_is_applied(tmp_path, suffix):
    image = nib.Nifti1Image(np.arange(24, dtype=">i2").reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / f"a.{suffix}")
    (volume,) = nifti.volumes(tmp_path / f"a.{suffix}")
    expected = nib.load(tmp_path / f"a.{suffix}").get_fdata().T
    np.testing.assert_array_equal(volume, expected)
    assert volume.dtype == np.float32


def test_integers_are_rounded_and_never_wrapped(tmp_path):
    values = np.array([[[-0.6, 1.5, 254.6]]])
    nifti.write(tmp_path / "a.nii.gz", values, np.eye(4), dtype=np.int16)
    (volume,) = nifti.volumes(tmp_path / "a.nii.gz")
    assert volume.ravel().tolist() == [-1, 2, 255]
    for wrong in (values, values * np.nan):
        with pytest.raises(ValueError, match="do not fit uint8"):
            nifti.write(tmp_path / "b.nii.gz", wrong, np.eye(4), dtype=np.uint8)


def test_volumes_that_do_not_add_up_are_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    with pytest.raises(ValueError, match="4 volumes came where 5 were announced"):
        nifti.write_volumes(path, series()[:4], (5, 4, 3, 2), np.eye(4), np.float32)
    with pytest.raises(ValueError, match="volume of shape"):
        nifti.write_volumes(path, series((5, 4, 3, 3)), (5, 4, 3, 2), np.eye(4), np.float32)


def test_missing_file(tmp_path):
    path = tmp_path / "none.nii.gz"
    assert message(nifti.read_header, path) == (
        f"{path}: the file does not exist; correct the path or provide the file."
    )


def test_other_formats(tmp_path):
    path = tmp_path / "a.mgz"
    path.touch()
    assert message(nifti.read_header, path) == (
        f"{path}: the name ends neither in .nii nor in .nii.gz; convert the file to NIfTI."
    )


@pytest.mark.parametrize(
    "content", [b"", b"no image", gzip.compress(b"no image"), gzip.compress(bytes(348))[:30]]
)
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_files_that_are_no_images(tmp_path, content, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    told = message(nifti.read_header, path)
    assert told.startswith(f"{path}: this is no readable NIfTI image (")
    assert told.endswith("); copy or export the file again.")
    assert told.count(str(path)) == 1


def test_header_cut_short(tmp_path):
    nifti.write(tmp_path / "a.nii.gz", series(), OBLIQUE)
    stored = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(stored[:60])
    assert "this is no readable NIfTI image (" in message(nifti.read_header, tmp_path / "a.nii.gz")


def test_truncated_uncompressed_file_is_known_from_its_size(tmp_path):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(series().T, np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:-7])
    assert message(nifti.read_header, path) == (
        f"{path}: holds 825 bytes where its header announces 832; copy or export the file again."
    )


def test_truncated_data_name_the_volume_reached(tmp_path):
    path = tmp_path / "a.nii.gz"
    data = np.random.default_rng(0).random((5, 20, 20, 20), dtype=np.float32)
    nifti.write(path, data, np.eye(4))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    nifti.read_header(path)  # the header is whole
    read = []
    with pytest.raises(InputError) as caught:
        read.extend(nifti.volumes(path))
    assert str(caught.value) == (
        f"{path}: volume 3 of 5: the data cannot be read (the file ends early); "
        "copy or export the file again."
    )


def test_flipped_bit_is_found_by_the_checksum(tmp_path):
    path = tmp_path / "a.nii.gz"
    data = np.random.default_rng(0).random((5, 20, 20, 20), dtype=np.float32)
    nifti.write(path, data, np.eye(4))
    stored = bytearray(path.read_bytes())
    stored[-6] ^= 1  # in the checksum
    path.write_bytes(stored)
    assert "volume 5 of 5: the data cannot be read (CRC check failed" in message(
        list, nifti.volumes(path)
    )


def test_complex_samples_are_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.complex64), np.eye(4)), tmp_path / "a.nii")
    path = tmp_path / "a.nii"
    assert message(nifti.read_header, path) == (
        f"{path}: the samples are complex64, not real numbers; store magnitudes."
    )
