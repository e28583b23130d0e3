"""Slabs and memory from the header alone, at the size of real acquisitions."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tessera.config import load_schema, validate_config
from tessera.neuro.plan import Plan
from tessera.neuro.presets import effective
from tessera.neuro.slabs import halo_of, mppca_radius

SCHEMA = load_schema(Path(__file__).parents[2] / "schemas", "config")
HCP = (145, 145, 174, 288)
UNIT = SimpleNamespace(unit="sub-1")


def plan(memory_mb=1100, **values):
    section = effective(validate_config({"neuro": values}, SCHEMA)["neuro"])
    made = Plan(section, memory_mb, threads=2, units=lambda: {"sub-1": {"dwi": "x.nii.gz"}})
    made._shapes = {"x.nii.gz": list(HCP)}
    return made


def promised(made):
    slabs = made.slabs(UNIT)
    return slabs, made.fit_mb(SimpleNamespace(unit="sub-1", slab=slabs[0]), 1)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("method", ["nlm", "none"])
def test_slabs_keep_to_the_budget(method, keep):
    slabs, memory = promised(plan(denoise={"method": method}, keep_denoised=keep))
    assert memory <= 1100
    assert 1 <= len(slabs) <= 30


def test_keeping_the_denoised_samples_costs_memory():
    none = {"method": "none"}
    assert len(plan(denoise=none).slabs(UNIT)) == 1
    assert len(plan(denoise=none, keep_denoised=True).slabs(UNIT)) > 3


def test_slabs_are_not_thinner_than_their_halos():
    slabs, memory = promised(plan(denoise={"method": "mppca"}))
    halo = halo_of({"method": "mppca", "patch_radius": 1}, 288)
    assert len(slabs) <= -(-174 // (2 * halo))
    assert memory > 1100, "and the job says that it needs more"


def test_the_last_retry_asks_for_more():
    made = plan()
    slab = SimpleNamespace(unit="sub-1", slab=made.slabs(UNIT)[0])
    assert made.fit_mb(slab, 3) == 3 * made.fit_mb(slab, 1)
    assert made.fit_minutes(slab, 2) == 2 * made.fit_minutes(slab, 1)


def test_a_number_of_slabs_is_taken_as_it_is():
    assert plan(slabs=3).slabs(UNIT) == ["0of3", "1of3", "2of3"]
    assert len(plan(slabs=500).slabs(UNIT)) == 174


@pytest.mark.parametrize(("volumes", "radius"), [(37, 2), (125, 2), (126, 3), (288, 3), (400, 4)])
def test_a_patch_has_as_many_voxels_as_there_are_volumes(volumes, radius):
    assert mppca_radius(1, volumes) == radius


def test_an_unreadable_header_is_one_slab():
    made = plan()
    made._shapes = {}
    assert made.slabs(UNIT) == ["0of1"]
