"""Small visits written to disk, sound or spoiled in one respect, for tests of the survey."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

SHAPE = (200, 180)
SCALE = 0.27  # arcsec
GAIN, READ_NOISE, SKY = 2.0, 6.0, 400.0

SETTINGS: dict[str, Any] = {
    "hdus": {"image": "IMAGE", "mask": "MASK", "variance": "VARIANCE"},
    "gain_key": "GAIN",
    "read_noise_key": "RDNOISE",
    "saturation_key": "SATURATE",
    "zero_point_key": "MAGZERO",
}


def wcs_header(
    shape: tuple[int, int] = SHAPE,
    ra: float = 0.0,
    dec: float = -5.0,
    angle: float = 0.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> fits.Header:
    """A TAN header whose image is centred on (ra, dec), then shifted by `offset` pixels."""
    header = fits.Header()
    step, turn = SCALE / 3600, np.radians(angle)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"] = (shape[1] + 1) / 2 - offset[0]
    header["CRPIX2"] = (shape[0] + 1) / 2 - offset[1]
    header["CD1_1"], header["CD1_2"] = -step * np.cos(turn), step * np.sin(turn)
    header["CD2_1"], header["CD2_2"] = step * np.sin(turn), step * np.cos(turn)
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["RADESYS"] = "ICRS"
    return header


class Exposure:
    """One visit with detectors side by side; planes and headers may be changed before `write`."""

    def __init__(self, seed: int = 1, ccds: int = 2, shape: tuple[int, int] = SHAPE) -> None:
        rng = np.random.default_rng(seed)
        self.primary = fits.Header()
        self.image, self.mask, self.variance, self.header = [], [], [], []
        for ccd in range(ccds):
            y, x = np.mgrid[: shape[0], : shape[1]]
            light = np.full(shape, SKY) + 0.05 * x
            for _ in range(12):
                cx, cy = rng.uniform(8, shape[1] - 8), rng.uniform(8, shape[0] - 8)
                light += rng.uniform(500, 3000) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8)
            counts = rng.poisson(light * GAIN) + rng.normal(0, READ_NOISE, shape)
            self.image.append((counts / GAIN).astype(np.float32))
            self.mask.append(np.zeros(shape, np.int16))
            self.variance.append((light / GAIN + (READ_NOISE / GAIN) ** 2).astype(np.float32))
            header = wcs_header(shape, offset=(ccd * (shape[1] + 10), 0))
            header["CCDNUM"] = ccd + 1
            header["GAIN"], header["RDNOISE"], header["MAGZERO"] = GAIN, READ_NOISE, 26.0
            header["SATURATE"] = 60000.0
            self.header.append(header)
        self.with_mask = self.with_variance = True
        self.names = {"image": "IMAGE", "mask": "MASK", "variance": "VARIANCE"}
        self.raw: Callable[[bytes], bytes] = bytes

    def write(self, path: Path) -> Path:
        hdus = fits.HDUList([fits.PrimaryHDU(header=self.primary)])
        for i, header in enumerate(self.header):
            version = i + 1
            hdus.append(fits.ImageHDU(self.image[i], header, name=self.names["image"], ver=version))
            ccd = fits.Header({"CCDNUM": header["CCDNUM"]}) if "CCDNUM" in header else None
            if self.with_mask:
                hdus.append(fits.ImageHDU(self.mask[i], ccd, name=self.names["mask"], ver=version))
            if self.with_variance:
                hdus.append(
                    fits.ImageHDU(self.variance[i], ccd, name=self.names["variance"], ver=version)
                )
        path.parent.mkdir(parents=True, exist_ok=True)
        hdus.writeto(path, overwrite=True, checksum=True)
        path.write_bytes(self.raw(path.read_bytes()))
        return path
