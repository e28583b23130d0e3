"""Voxel-wise genome-wide association: every SNP against every voxel, mapped and reduced."""

from tessera.vgwas.plan import Plan as GwasPlan, read_study

vgwas = config["vgwas"]
gwas = GwasPlan(vgwas, study=deferred(read_study, vgwas, HOUSE / "schemas"))
# What decides a test, apart from what decides how the work is cut.
testing = {
    key: vgwas[key]
    for key in (
        *("coding", "missing", "min_mac", "max_missing", "threshold_p", "cluster_p", "cluster_t"),
        *("connectivity", "scheme", "seed", "max_hits", "engine"),
    )
}
joining = {
    key: vgwas[key]
    for key in (
        *("images", "mask", "covariates", "covariate_columns", "categorical"),
        *("exchangeability", "min_overlap", "nan", "strict"),
    )
}


STRAYS["vgwas"] = gwas.strays


rule vgwas:
    """All of the pipeline: hits, clusters, familywise p-values, maps and the page."""
    input:
        snps="<results>/vgwas/snps.parquet",
        hits="<results>/vgwas/hits.parquet",
        clusters="<results>/vgwas/clusters.tsv",
        inference="<results>/vgwas/inference.json",
        maps="<results>/vgwas/maps",
        page="<results>/vgwas/gwas.html",


rule vgwas_check:
    """Join the subjects by id and look at every header, before any map is read."""
    input:
        maps=gwas.map_files,
        genotypes=gwas.genotype_files,
        tables=gwas.named("mask", "covariates"),
    output:
        check="<work>/vgwas/check.json",
    log:
        "<logs>/vgwas/check.log",
    benchmark:
        "<benchmarks>/vgwas/check.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=gwas.check_mb,
        runtime=gwas.phenotype_minutes,
    params:
        section=joining,
        maps=gwas.maps,
        filesets=gwas.filesets,
        code=code("vgwas/vgwas_check"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_check.py"


rule vgwas_snps:
    """One table of the SNPs of all genotype filesets."""
    input:
        genotypes=gwas.genotype_files,
    output:
        variants=ensure("<work>/vgwas/variants.parquet", non_empty=True),
    log:
        "<logs>/vgwas/snps.log",
    benchmark:
        "<benchmarks>/vgwas/snps.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=gwas.snps_mb,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        filesets=gwas.filesets,
        code=code("vgwas/vgwas_snps"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_snps.py"


rule vgwas_regions:
    """The name of the region that each voxel of the mask lies in."""
    input:
        mask=lambda wildcards: vgwas["mask"],
        atlas=gwas.named("atlas"),
    output:
        regions=ensure("<work>/vgwas/regions.parquet", non_empty=True),
    log:
        "<logs>/vgwas/regions.log",
    benchmark:
        "<benchmarks>/vgwas/regions.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=gwas.check_mb,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        atlas=vgwas["atlas"],
        code=code("vgwas/vgwas_regions"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_regions.py"


rule vgwas_phenotype:
    """The maps as a matrix voxels x subjects, adjusted for the covariates in double precision."""
    input:
        check="<work>/vgwas/check.json",
        maps=gwas.map_files,
        genotypes=gwas.genotype_files,
        mask=lambda wildcards: vgwas["mask"],
    output:
        phenotype=ensure("<work>/vgwas/phenotype.npy", non_empty=True),
        study=ensure("<work>/vgwas/study.npz", non_empty=True),
        facts="<work>/vgwas/study.json",
        samples=ensure("<results>/vgwas/samples.tsv", non_empty=True),
        voxels=ensure("<work>/vgwas/voxels.parquet", non_empty=True),
        quarantine=report(
            ensure("<results>/vgwas/quarantine.tsv", non_empty=True),
            category="Voxel-wise GWAS",
            caption="../report/vgwas_quarantine.rst",
            labels={"content": "who was set aside, and why"},
        ),
    log:
        "<logs>/vgwas/phenotype.log",
    benchmark:
        "<benchmarks>/vgwas/phenotype.jsonl"
    threads: 1
    resources:
        mem_mb=gwas.phenotype_mb,
        runtime=gwas.phenotype_minutes,
    params:
        section=joining,
        maps=gwas.maps,
        filesets=gwas.filesets,
        code=code("vgwas/vgwas_phenotype"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_phenotype.py"


rule vgwas_map:
    """Test a range of SNPs against all voxels: as observed, which writes hits and clusters, or
    under a range of permutations, of which the largest t and cluster are kept."""
    input:
        phenotype="<work>/vgwas/phenotype.npy",
        study="<work>/vgwas/study.npz",
        variants="<work>/vgwas/variants.parquet",
        genotypes=gwas.genotype_files,
    output:
        part=directory("<work>/vgwas/map/{tile}"),
    log:
        "<logs>/vgwas/map/{tile}.log",
    benchmark:
        "<benchmarks>/vgwas/map/{tile}.jsonl"
    threads: 1
    resources:
        mem_mb=gwas.map_mb,
        runtime=gwas.map_minutes,
    params:
        tile=gwas.tile,
        settings=gwas.settings(testing),
        filesets=gwas.filesets,
        code=code("vgwas/vgwas_map"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_map.py"


rule vgwas_reduce:
    """Merge up to 32 parts: of the scan one after the other, of each permutation the largest."""
    input:
        parts=gwas.parts("<work>/vgwas"),
    output:
        part=temp(directory("<work>/vgwas/reduce/{node}")),
    log:
        "<logs>/vgwas/reduce/{node}.log",
    benchmark:
        "<benchmarks>/vgwas/reduce/{node}.jsonl"
    threads: 1
    resources:
        mem_mb=gwas.snps_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        code=code("vgwas/vgwas_reduce"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_reduce.py"


rule vgwas_inference:
    """Familywise p-values by the largest t and the largest cluster, inflation, tables, account."""
    input:
        part=gwas.whole("<work>/vgwas"),
        variants="<work>/vgwas/variants.parquet",
        voxels="<work>/vgwas/voxels.parquet",
        regions="<work>/vgwas/regions.parquet",
        samples="<results>/vgwas/samples.tsv",
        facts="<work>/vgwas/study.json",
    output:
        voxels=ensure("<results>/vgwas/voxels.parquet", non_empty=True),
        snps=ensure("<results>/vgwas/snps.parquet", non_empty=True),
        hits=ensure("<results>/vgwas/hits.parquet", non_empty=True),
        clusters=report(
            ensure("<results>/vgwas/clusters.tsv", non_empty=True),
            category="Voxel-wise GWAS",
            caption="../report/vgwas_clusters.rst",
            labels={"content": "clusters"},
        ),
        max_t=ensure("<results>/vgwas/null/max_t.npy", non_empty=True),
        max_cluster=ensure("<results>/vgwas/null/max_cluster.npy", non_empty=True),
        inference=ensure("<results>/vgwas/inference.json", non_empty=True),
        ledger=ensure("<results>/vgwas/ledger.json", non_empty=True),
    log:
        "<logs>/vgwas/inference.log",
    benchmark:
        "<benchmarks>/vgwas/inference.jsonl"
    threads: 1
    resources:
        mem_mb=gwas.snps_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        settings=testing,
        max_maps=vgwas["max_maps"],
        code=code("vgwas/vgwas_inference"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_inference.py"


rule vgwas_maps:
    """Maps of t of the SNPs that are beyond chance, and of the strongest."""
    input:
        inference="<results>/vgwas/inference.json",
        phenotype="<work>/vgwas/phenotype.npy",
        study="<work>/vgwas/study.npz",
        mask=lambda wildcards: vgwas["mask"],
        genotypes=gwas.genotype_files,
    output:
        maps=directory("<results>/vgwas/maps"),
    log:
        "<logs>/vgwas/maps.log",
    benchmark:
        "<benchmarks>/vgwas/maps.jsonl"
    threads: 1
    resources:
        mem_mb=gwas.map_mb,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        settings=testing,
        filesets=gwas.filesets,
        code=code("vgwas/vgwas_maps"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_maps.py"


rule vgwas_report:
    """The page of the study: Manhattan and QQ plots, null distributions, brains, tables."""
    input:
        inference="<results>/vgwas/inference.json",
        ledger="<results>/vgwas/ledger.json",
        snps="<results>/vgwas/snps.parquet",
        voxels="<results>/vgwas/voxels.parquet",
        hits="<results>/vgwas/hits.parquet",
        clusters="<results>/vgwas/clusters.tsv",
        max_t="<results>/vgwas/null/max_t.npy",
        max_cluster="<results>/vgwas/null/max_cluster.npy",
        maps="<results>/vgwas/maps",
        quarantine="<results>/vgwas/quarantine.tsv",
    output:
        page=report(
            ensure("<results>/vgwas/gwas.html", non_empty=True),
            category="Voxel-wise GWAS",
            caption="../report/vgwas_page.rst",
            labels={"content": "page of the study"},
        ),
        pictures=directory("<results>/vgwas/png"),
    log:
        "<logs>/vgwas/report.log",
    benchmark:
        "<benchmarks>/vgwas/report.jsonl"
    threads: 1
    resources:
        mem_mb=gwas.snps_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        code=code("vgwas/vgwas_report"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/vgwas/vgwas_report.py"
