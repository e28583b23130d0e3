"""Demonstration data, made from a seed or copied out of installed libraries."""


rule toy:
    """All demonstration data: run this once, before the pipelines."""
    input:
        neuro="<toy>/neuro/subjects.tsv",


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
