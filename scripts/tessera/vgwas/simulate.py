"""A made-up study whose truth is known: people, their genotypes, covariates and brain maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage, special

N_PEOPLE = 322
CHROMOSOMES = {"1": 500, "2": 500, "3": 400, "19": 300, "22": 300}
"""Variants on each; chromosome 3 has the bad ones and no planted effect."""

SHAPE = (19, 25, 21)
AFFINE = np.array([[8.0, 0, 0, -80], [0, 8, 0, -112], [0, 0, 8, -64], [0, 0, 0, 1]])
LOBES = ("frontal", "parietal", "temporal", "occipital")
REGIONS = tuple(f"{side}_{lobe}" for side in ("left", "right") for lobe in LOBES)
"""Names of the labels 1, 2, ... of the atlas."""

SD = 0.05
"""Standard deviation of the noise of the maps; grey matter, as a share of a voxel, is about 0.5."""

BAD = ("monomorphic", "all_missing", "missing", "mac", "multiallelic", "collinear")

_LD = 0.9  # correlation of the Gaussians behind neighbours in a block
_FST = 0.01
_FWHM = 2.2  # voxels
_SITES = ("north", "south", "west")
_CENTRE, _SEMI_AXES = (37.0, -18.0, 10.0), (31.0, 84.0, 62.0)  # mm, of the right hemisphere
_VENTRICLE, _VENTRICLE_AXES = (12.0, -20.0, 12.0), (10.0, 26.0, 12.0)

# Name, chromosome, correlation, centre in mm and number of voxels of what is planted. A ball of
# radius 2 has 33 voxels.
_PLANTED = (
    ("strong", "1", 0.45, (-40.0, 32.0, 16.0), 33),
    ("negative", "2", -0.42, (40.0, -16.0, -24.0), 33),
    ("wide", "19", 0.16, (-40.0, -48.0, 16.0), 350),
    ("single", "22", 0.50, (32.0, 32.0, 24.0), 1),
)
_CONSTANT = ((24.0, -72.0, 16.0), 2)  # where, and how many voxels


@dataclass(frozen=True, eq=False)
class Roster:
    """Who has what; arrays ``(P,)``, of people in the order of their names.

    Attributes
    ----------
    names
        ``P0001`` and so on.
    genotyped, mapped, described
        There are genotypes, a map and a row of covariates.
    ageless, shifted
        Index of the one without age, and of the one whose map is on another grid.
    """

    names: NDArray[np.str_]
    genotyped: NDArray[np.bool_]
    mapped: NDArray[np.bool_]
    described: NDArray[np.bool_]
    ageless: int
    shifted: int

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Who can be part of the study."""
        usable = self.genotyped & self.mapped & self.described
        usable[[self.ageless, self.shifted]] = False
        return usable


@dataclass(frozen=True, eq=False)
class Genotypes:
    """Variants of all people.

    Attributes
    ----------
    variants
        ``id``, ``chr``, ``pos``, ``a1`` and ``a2``, a row per variant.
    counts
        ``(S, P)`` int8, how often each person has ``a1``.
    missing
        ``(S, P)`` bool: where no call was made.
    block
        ``(S,)`` number of the block in which variants are in linkage disequilibrium.
    ancestry
        ``(P,)`` 0 or 1, the group whose allele frequencies a person has.
    bad
        What is wrong, of `BAD`, to the index of the variant.
    """

    variants: pd.DataFrame
    counts: NDArray[np.int8]
    missing: NDArray[np.bool_]
    block: NDArray[np.int64]
    ancestry: NDArray[np.int64]
    bad: dict[str, int]

    @property
    def calls(self) -> NDArray[np.int8]:
        """``(S, P)`` int8, `counts` with -1 where no call was made."""
        return np.where(self.missing, np.int8(-1), self.counts)


@dataclass(frozen=True, eq=False)
class Effect:
    """What a variant does to the maps.

    Attributes
    ----------
    name
        Of the effect.
    variant
        Index of the variant.
    r
        Correlation of ``a1`` with the maps, covariates apart, the same in all `voxels`.
    voxels
        ``(3, V)`` indices (z, y, x), the centre first.
    """

    name: str
    variant: int
    r: float
    voxels: NDArray[np.int64]


def stream(seed: int, item: int, part: int = 0) -> np.random.Generator:
    """Return random numbers: of the study (0), or of a person (1, 2, ...)."""
    return np.random.Generator(np.random.Philox(key=[seed, item], counter=[0, 0, 0, part]))


def make_roster(seed: int) -> Roster:
    """Return who has what: of 322 people 320 are genotyped, and 300 of these have a map."""
    order = stream(seed, 0).permutation(N_PEOPLE)
    genotyped, mapped, described = np.ones((3, N_PEOPLE), bool)
    genotyped[order[:2]] = False
    mapped[order[2:22]] = False
    described[order[22:25]] = False
    names = np.array([f"P{number:04d}" for number in range(1, N_PEOPLE + 1)])
    return Roster(names, genotyped, mapped, described, int(order[25]), int(order[26]))


def make_genotypes(seed: int, roster: Roster) -> Genotypes:
    """Make genotypes in blocks of linkage disequilibrium, of two ancestries.

    A haplotype is an autoregressive Gaussian, begun anew with each block, cut where the frequency
    of the minor allele says; frequencies of the ancestries follow Balding and Nichols (1995).

    Parameters
    ----------
    seed
        Of all random numbers.
    roster
        The people.

    Returns
    -------
    Genotypes
        With one variant of each kind of `BAD`.
    """
    rng = stream(seed, 0, 1)
    variants, block = _variants(rng)
    n_variants, n_people = len(variants), len(roster.names)
    ancestry = (rng.random(n_people) < 0.4).astype(np.int64)
    frequency = rng.uniform(0.03, 0.5, n_variants)
    scale = (1 - _FST) / _FST
    of_group = rng.beta(frequency * scale, (1 - frequency) * scale, (2, n_variants))
    threshold = special.ndtri(of_group.clip(0.01, 0.99))

    latent = np.empty((n_people, 2, n_variants))
    missing = np.empty((n_people, n_variants), bool)
    for person in range(n_people):
        own = stream(seed, person + 1)
        latent[person] = own.standard_normal((2, n_variants))
        missing[person] = own.random(n_variants) < 0.01
    for s in np.flatnonzero(block[1:] == block[:-1]) + 1:
        latent[..., s] = _LD * latent[..., s - 1] + np.sqrt(1 - _LD**2) * latent[..., s]
    counts = (latent < threshold[ancestry][:, np.newaxis]).sum(axis=1).astype(np.int8)
    # The counted allele is not always the minor one.
    major = rng.random(n_variants) < 0.3
    counts[:, major] = 2 - counts[:, major]
    clean = Genotypes(variants, counts.T.copy(), missing.T.copy(), block, ancestry, {})
    return _spoil(rng, clean, roster)


def make_covariates(seed: int, roster: Roster, genotypes: Genotypes) -> pd.DataFrame:
    """Return the covariates of all people, a row each.

    Parameters
    ----------
    seed
        Of all random numbers.
    roster, genotypes
        The people, whose ancestry ``pc1`` tells, and whose ``array`` the collinear variant.

    Returns
    -------
    pandas.DataFrame
        ``subject``; ``age`` in years; ``sex`` (F, M); ``site`` (three levels); ``pc1``; ``array``
        (0, 1); ``age_months``, the age once more.
    """
    rng = stream(seed, 0, 2)
    n_people = len(roster.names)
    age = rng.integers(450, 800, n_people)  # in tenths, so that months are exact as well
    return pd.DataFrame(
        {
            "subject": roster.names,
            "age": age / 10,
            "sex": rng.choice(["F", "M"], n_people),
            "site": rng.choice(_SITES, n_people, p=[0.5, 0.3, 0.2]),
            "pc1": (genotypes.ancestry * 2 - 1 + rng.normal(0, 0.3, n_people)).round(4),
            "array": genotypes.counts[genotypes.bad["collinear"]],
            "age_months": age * 12 / 10,
        }
    )


def make_brain() -> tuple[NDArray[np.bool_], NDArray[np.int16]]:
    """Return a mask of two hemispheres with ventricles, and an atlas of eight `REGIONS`.

    Returns
    -------
    mask, atlas
        ``(Z, Y, X)`` bool, and int16 that is zero outside the mask.
    """
    x, y, z = _world()

    def within(centre: tuple[float, ...], axes: tuple[float, ...]) -> NDArray[np.bool_]:
        # One half mirrors the other.
        parts = zip((np.abs(x), y, z), centre, axes, strict=True)
        return sum(((at - mid) / axis) ** 2 for at, mid, axis in parts) <= 1

    mask = within(_CENTRE, _SEMI_AXES) & ~within(_VENTRICLE, _VENTRICLE_AXES)
    lobe = np.select([(z < -4) & (y > -60), y < -64, y > -12], [2, 3, 0], default=1)
    atlas = np.where(mask, 1 + lobe + len(LOBES) * (x > 0), 0)
    return mask, atlas.astype(np.int16)


def plant_effects(genotypes: Genotypes, mask: NDArray[np.bool_]) -> list[Effect]:
    """Choose variants and voxels of the effects: ``strong``, ``negative``, ``wide``, ``single``.

    Each is at the common variant of its chromosome that is most correlated with its neighbours,
    and not at the edge of its block.

    Parameters
    ----------
    genotypes
        Of all people.
    mask
        ``(Z, Y, X)``, voxels that can have an effect.

    Returns
    -------
    list of Effect
        No two of one voxel.
    """
    counts, block = genotypes.counts.astype(np.float64), genotypes.block
    frequency = counts.mean(axis=1) / 2
    good = np.minimum(frequency, 1 - frequency) >= 0.3
    inner = np.zeros(len(block), bool)
    inner[2:-2] = block[:-4] == block[4:]
    effects = []
    for name, chromosome, r, centre, size in _PLANTED:
        here = (genotypes.variants["chr"] == chromosome).to_numpy()
        candidates = np.flatnonzero(good & inner & here)
        linkage = [
            np.abs(np.asarray(np.corrcoef(counts[s - 1 : s + 2]))[1]).sum() for s in candidates
        ]
        variant = int(candidates[np.argmax(linkage)])
        effects.append(Effect(name, variant, r, _nearest(mask, centre, size)))
    return effects


def make_maps(
    seed: int,
    covariates: pd.DataFrame,
    genotypes: Genotypes,
    effects: list[Effect],
    mask: NDArray[np.bool_],
) -> Iterator[NDArray[np.float32]]:
    """Make the map of each person in turn.

    Parameters
    ----------
    seed
        Of all random numbers.
    covariates
        Of all people; ``age``, ``sex``, ``site`` and ``pc1`` change the maps, ``array`` does not.
    genotypes, effects
        Of all people, and which variants change the maps.
    mask
        ``(Z, Y, X)``, voxels that are not zero.

    Yields
    ------
    ndarray
        ``(Z, Y, X)`` float32, the share of grey matter; two voxels of the mask are 0.5 throughout.
    """
    rng = stream(seed, 0, 3)
    age, site = covariates["age"].to_numpy(), covariates["site"].to_numpy()
    predictors = np.stack(
        [
            (age - 62.5) / 10,
            covariates["sex"].to_numpy() == "M",
            covariates["pc1"].to_numpy(),
            *(site == level for level in _SITES[1:]),
        ],
        axis=1,
    ).astype(np.float64)
    # In standard deviations of the noise; what a covariate does differs from place to place.
    means = (-0.5, 0.3, 0.4, 0.3, -0.4)
    slopes = np.stack([mean + 0.2 * _smooth_noise(rng) for mean in means])
    baseline = 0.5 + 0.06 * _smooth_noise(rng)
    doses = [genotypes.counts[effect.variant].astype(np.float64) for effect in effects]
    constant = tuple(_nearest(mask, *_CONSTANT))
    for person, own in enumerate(predictors):
        deviation = _smooth_noise(stream(seed, person + 1, 1)) + np.tensordot(own, slopes, 1)
        for effect, dose in zip(effects, doses, strict=True):
            step = effect.r / np.sqrt(1 - effect.r**2) / dose.std()
            deviation[tuple(effect.voxels)] += step * (dose[person] - dose.mean())
        image = baseline + SD * deviation
        image[constant] = 0.5
        yield np.where(mask, image, 0).astype(np.float32)


def _variants(rng: np.random.Generator) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Draw blocks, positions and alleles; blocks are farther apart than they are long."""
    blocks: list[NDArray[np.int64]] = []
    positions: list[NDArray[np.int64]] = []
    n_blocks = 0
    for size in CHROMOSOMES.values():
        lengths = rng.integers(5, 41, size)
        block = np.repeat(np.arange(size), lengths)[:size]
        steps = rng.integers(500, 5000, size)
        first = np.flatnonzero(np.diff(block, prepend=-1))
        steps[first] += rng.integers(300_000, 600_000, len(first))
        blocks.append(n_blocks + block)
        positions.append(1_000_000 + np.cumsum(steps))
        n_blocks += len(first)
    n_variants = sum(CHROMOSOMES.values())
    one = rng.integers(0, 4, n_variants)
    other = (one + rng.integers(1, 4, n_variants)) % 4
    letters = np.array(list("ACGT"), dtype=object)
    table = {
        "id": [f"rs{1_000_001 + s}" for s in range(n_variants)],
        "chr": np.repeat(list(CHROMOSOMES), list(CHROMOSOMES.values())),
        "pos": np.concatenate(positions),
        "a1": letters[one],
        "a2": letters[other],
    }
    return pd.DataFrame(table), np.concatenate(blocks)


def _spoil(rng: np.random.Generator, clean: Genotypes, roster: Roster) -> Genotypes:
    """Replace variants of chromosome 3 by bad ones, one of each kind."""
    variants, counts, missing = clean.variants.copy(), clean.counts.copy(), clean.missing.copy()
    n_people = counts.shape[1]
    places = rng.choice(np.flatnonzero(variants["chr"] == "3"), len(BAD), replace=False)
    bad = {what: int(place) for what, place in zip(BAD, places, strict=True)}
    complete = [bad[what] for what in ("monomorphic", "mac", "collinear")]
    counts[complete], missing[complete] = 0, False
    missing[bad["all_missing"]] = True
    missing[bad["missing"]] = rng.permutation(n_people) < n_people // 5
    counts[bad["mac"], rng.choice(np.flatnonzero(roster.usable), 4, replace=False)] = 1
    variants.loc[bad["multiallelic"], ["a1", "a2"]] = ["A,T", "G"]
    counts[bad["collinear"]] = rng.random(n_people) < 0.35
    return replace(clean, variants=variants, counts=counts, missing=missing, bad=bad)


def _world() -> NDArray[np.float64]:
    """Return where voxels are: ``(3, Z, Y, X)`` of x, y and z in mm."""
    ijk = np.indices(SHAPE)[::-1]
    return np.einsum("ab,bzyx->azyx", AFFINE[:3, :3], ijk) + AFFINE[:3, 3, None, None, None]


def _nearest(mask: NDArray[np.bool_], centre: tuple[float, ...], size: int) -> NDArray[np.int64]:
    """Return ``(3, size)`` indices (z, y, x) of the voxels of the mask that are nearest."""
    voxels = np.argwhere(mask)
    distance = np.sum((_world()[:, mask].T - centre) ** 2, axis=1)
    return voxels[np.argsort(distance, kind="stable")[:size]].T


def _smooth_noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return ``(Z, Y, X)`` Gaussian noise of unit variance that is smooth over `_FWHM`."""
    sigma = _FWHM / np.sqrt(8 * np.log(2))
    # Opposite faces of the grid meet, which keeps the variance the same everywhere.
    smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE), sigma, mode="wrap")
    impulse = np.zeros(2 * int(4 * sigma + 0.5) + 1)
    impulse[impulse.size // 2] = 1
    along = np.sum(ndimage.gaussian_filter1d(impulse, sigma, mode="constant") ** 2)
    return smooth / along**1.5
