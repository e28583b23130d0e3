"""Patches measured as the pipeline does, for tests of detection and photometry."""

from __future__ import annotations

import json
import warnings

import numpy as np

from tessera.astro import sources, totals

SETTINGS = sources.Settings()
SCALE = 0.27


def measure(coadd, settings=SETTINGS):
    return sources.measure_patch(
        coadd.image, coadd.variance, coadd.mask, coadd.nimage, settings=settings, pixel_scale=SCALE
    )


def finish(tables, facts, settings=SETTINGS):
    return totals.finish(tables, facts, settings=settings, pixel_scale=SCALE, zero_point=27.0)


def whole(image, variance=None, mask=None, nimage=None, settings=SETTINGS):
    """Measure a single patch; any warning is an error."""
    image = np.asarray(image, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table, facts = sources.measure_patch(
            image,
            np.ones_like(image) if variance is None else variance,
            np.zeros(image.shape, np.uint8) if mask is None else mask,
            np.full(image.shape, 8, np.int16) if nimage is None else nimage,
            settings=settings,
            pixel_scale=SCALE,
        )
        tables, pooled = finish({"only": table}, {"only": facts}, settings)
    json.dumps([facts, pooled], allow_nan=False)
    return tables["only"], facts, pooled


def moffat(shape, *stars, fwhm=4.0):
    y, x = np.indices(shape) + 0.0
    alpha = 0.5 * fwhm / np.sqrt(2 ** (1 / 3) - 1)
    image = np.zeros(shape)
    for column, row, flux in stars:
        square = (x - column) ** 2 + (y - row) ** 2
        image += flux * 2 / (np.pi * alpha**2) / (1 + square / alpha**2) ** 3
    return image
