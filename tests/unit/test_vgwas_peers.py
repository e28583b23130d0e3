"""Agreement with PLINK 2, to every digit that it prints."""

import numpy as np
import pandas as pd
import pytest

from filesets import needs_plink2, people, plink2, snps
from gwas import make_study, scan, settings
from tessera.genotypes import GenotypeReader, find_fileset, read_variants, write_bed

N, S, V = 150, 30, 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A fileset with missing genotypes, covariates, six voxels with weak to strong effects."""
    folder = tmp_path_factory.mktemp("plink")
    rng = np.random.default_rng(12)
    g = rng.binomial(2, rng.uniform(0.1, 0.9, (S, 1)), (S, N)).astype(np.int8)
    voxels = rng.normal(size=(V, N)) + 0.5 * rng.normal(size=N)
    for voxel, snp, effect in ((1, 4, 0.6), (2, 5, -2), (3, 6, 12)):
        voxels[voxel] += effect * g[snp]
    covariates = rng.normal(size=(3, N))
    voxels = 10 + voxels * np.geomspace(0.1, 100, V)[:, None] + 0.3 * covariates[0]
    g[rng.random(g.shape) < 0.03] = -1
    write_bed(folder / "g", [g], people(N), snps(S))
    columns = {f"v{i}": voxel for i, voxel in enumerate(voxels)}
    for name, values in (("pheno", columns), ("covar", dict(zip("abc", covariates, strict=True)))):
        table = people(N).rename(columns={"fid": "#FID", "iid": "IID"}).assign(**values)
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, float_format="%.17g")
    return folder, voxels, covariates


def by_plink(folder, coding):
    """A row per SNP and voxel, of the effect of the allele that we count."""
    modifier = [] if coding == "additive" else [coding]
    plink2(
        "--bfile", folder / "g", "--pheno", folder / "pheno.tsv", "--covar", folder / "covar.tsv",
        "--glm", "hide-covar", "omit-ref", *modifier, "--threads", 1, "--memory", 640,
        "--out", folder / coding,
    )  # fmt: skip
    frames = []
    for voxel in range(V):
        [path] = folder.glob(f"{coding}.v{voxel}.glm.linear")
        frames.append(pd.read_csv(path, sep="\t").assign(voxel=voxel))
    table = pd.concat(frames).assign(snp=lambda t: t["ID"].str.removeprefix("rs").astype(int))
    return table.sort_values(["snp", "voxel"], ignore_index=True)


@needs_plink2
@pytest.mark.parametrize("coding", ["additive", "dominant", "recessive"])
def test_effects_errors_t_and_p_are_those_of_plink2(data, coding):
    folder, voxels, covariates = data
    peer = by_plink(folder, coding)
    fileset = find_fileset(str(folder / "g"))
    a1 = read_variants(fileset)["a1"].to_numpy()
    assert (peer["A1"] == a1[peer["snp"]]).all()
    with GenotypeReader([fileset], [np.arange(N)]) as reader:
        dosages = reader.read(0, S)
    chosen = settings(coding=coding, missing="complete", threshold_p=1.0)
    table, hits, _, _ = scan(make_study(voxels, covariates), dosages, chosen)
    peer = peer[peer["BETA"].notna()].reset_index(drop=True)
    assert len(hits) == len(peer) >= (S - 4) * V
    np.testing.assert_array_equal(hits[["snp", "voxel"]], peer[["snp", "voxel"]])
    np.testing.assert_array_equal(table["df"].to_numpy()[hits["snp"]], peer["OBS_CT"] - 5)
    # Half a unit of the sixth digit, the last printed, and a ten-millionth of the standard error.
    for ours, theirs, unit in (("beta", "BETA", peer["SE"]), ("se", "SE", 0), ("t", "T_STAT", 1)):
        off = np.abs(hits[ours] - peer[theirs])
        assert (off <= 5.2e-6 * np.abs(peer[theirs]) + 1e-7 * unit).all()
    seen = peer["P"] > 0
    np.testing.assert_allclose(
        10 ** -hits["log10p"][seen].astype(float), peer["P"][seen], rtol=1e-4
    )
    few = hits["log10p"].to_numpy() < 1
    np.testing.assert_allclose(10 ** -hits["log10p"][few].astype(float), peer["P"][few], rtol=6e-6)
    assert peer["T_STAT"].abs().max() > 12
