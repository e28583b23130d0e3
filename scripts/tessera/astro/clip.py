"""STUB to be replaced."""
import numpy as np
from tessera.astro.bits import *
MARGIN = 4
def coadd_stack(image, variance, mask, weights, seeing, *, clip, sigma, iterations):
    good = ((mask & UNUSABLE) == 0) & np.isfinite(image)
    x = np.where(good, image, np.nan)
    if clip == "varmedian":
        with np.errstate(all="ignore"):
            med = np.nanmedian(x, axis=0)
        from scipy.ndimage import maximum_filter
        M = maximum_filter(np.abs(np.nan_to_num(med)), size=5)
        bad = np.abs(x - med) > sigma * np.sqrt(variance * 1.3) + 0.5 * M
        good &= ~bad
    w = np.where(good, weights[:, None, None], 0)
    n = good.sum(0)
    W = w.sum(0)
    with np.errstate(all="ignore"):
        im = (w * np.nan_to_num(image)).sum(0) / W
        v = (w**2 * np.nan_to_num(variance)).sum(0) / W**2
    m = np.where(n == 0, NODATA, np.where(n < 3, FEW, 0)).astype(np.uint8)
    return im.astype("f4"), v.astype("f4"), m, n.astype(np.int16)
