"""Demonstration data, made from a seed or copied out of installed libraries."""


rule toy:
    """All demonstration data: run this once, before the pipelines."""
    input:
        neuro="<toy>/neuro/subjects.tsv",
        astro="<toy>/astro/visits.tsv",
        vgwas="<toy>/vgwas/images.tsv",
        wgr="<toy>/wgr/data",
        cells="<toy>/cells/datasets.tsv",
        imaging="<toy>/imaging/images.tsv",


rule toy_neuro:
    """Phantoms with known truth, two small real acquisitions from dipy, and a defective one."""
    output:
        sheet="<toy>/neuro/subjects.tsv",
        data=directory("<toy>/neuro/data"),
    log:
        "<logs>/toy/neuro.log",
    benchmark:
        "<benchmarks>/toy/neuro.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 800 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        seed=config["seed"],
        code=code("toy/toy_neuro"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/toy/toy_neuro.py"


rule toy_astro:
    """A survey of a sky with known truth: stars, galaxies, transients, movers and every defect."""
    output:
        sheet="<toy>/astro/visits.tsv",
        data=directory("<toy>/astro/data"),
    log:
        "<logs>/toy/astro.log",
    benchmark:
        "<benchmarks>/toy/astro.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 600 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        seed=config["seed"],
        code=code("toy/toy_astro"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/toy/toy_astro.py"


rule toy_vgwas:
    """A cohort with known truth: genotypes, maps with planted effects, covariates, defects."""
    output:
        sheet="<toy>/vgwas/images.tsv",
        data=directory("<toy>/vgwas/data"),
    log:
        "<logs>/toy/vgwas.log",
    benchmark:
        "<benchmarks>/toy/vgwas.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        seed=config["seed"],
        code=code("toy/toy_vgwas"),
    conda:
        "../envs/vgwas.yaml"
    script:
        "../scripts/toy/toy_vgwas.py"


rule toy_wgr:
    """A cohort with known truth: genotypes, traits with causal variants, covariates, genes."""
    output:
        data=directory("<toy>/wgr/data"),
    log:
        "<logs>/toy/wgr.log",
    benchmark:
        "<benchmarks>/toy/wgr.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        seed=config["seed"],
        code=code("toy/toy_wgr"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/toy/toy_wgr.py"


rule toy_cells:
    """Expression matrices with known truth, in each form that is read, and a spoiled one."""
    output:
        sheet="<toy>/cells/datasets.tsv",
        data=directory("<toy>/cells/data"),
    log:
        "<logs>/toy/cells.log",
    benchmark:
        "<benchmarks>/toy/cells.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 800 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        seed=config["seed"],
        code=code("toy/toy_cells"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/toy/toy_cells.py"


rule toy_imaging:
    """Simulated volumes whose objects are known, real pictures, and a damaged one."""
    output:
        sheet="<toy>/imaging/images.tsv",
        data=directory("<toy>/imaging/data"),
    log:
        "<logs>/toy/imaging.log",
    benchmark:
        "<benchmarks>/toy/imaging.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 600 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        seed=config["seed"],
        code=code("toy/toy_imaging"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/toy/toy_imaging.py"
