"""Whole-genome regression: ridge regressions by block, LOCO predictions, association tests."""

from tessera.wgr.plan import Plan as RegressionPlan
from tessera.wgr.plan import read_study as read_cohort

wgr = config["wgr"]
regression = RegressionPlan(
    wgr, study=deferred(read_cohort, wgr, workflow.pathvars.apply("<work>/wgr/vcf"))
)
joining = {
    key: wgr[key] for key in ("phenotypes", "traits", "trait_type", "covariates", "keep", "remove")
}
fitting = {key: wgr[key] for key in ("convention", "folds", "h2_grid")}
screening = {key: wgr[key] for key in ("maf", "hwe", "max_missing")}
testing = screening | {
    key: wgr[key] for key in ("convention", "test", "firth_p", "ref_first", "min_mac", "min_info")
}


# Settings that change no result, and therefore are not on the page.
SILENT = ("chunk_size", "keep_sums")

STRAYS["wgr"] = regression.strays


rule wgr:
    """All of the pipeline: predictions, association tables, pictures and the page."""
    input:
        page="<results>/wgr/wgr.html",
        blocks=foretold("<results>/wgr/blocks.json", regression.forecast),
        level1=lambda wildcards: expand(
            "<results>/wgr/level1/{trait}.json", trait=regression.traits()
        ),
        loco=lambda wildcards: expand("<results>/wgr/loco/{trait}.loco", trait=regression.traits()),
        tables=lambda wildcards: expand(
            "<results>/wgr/assoc/{trait}.{kind}",
            trait=regression.traits(),
            kind=["parquet", "regenie.gz"],
        ),


rule wgr_convert:
    """Turn a VCF, which cannot be read from the middle, into a PLINK 2 fileset."""
    input:
        vcf=regression.vcf,
    output:
        fileset=directory("<work>/wgr/vcf/{vcf}"),
    log:
        "<logs>/wgr/convert/{vcf}.log",
    benchmark:
        "<benchmarks>/wgr/convert/{vcf}.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        n_variants=regression.vcf_variants,
        code=code("wgr/wgr_convert"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_convert.py"


rule wgr_check:
    """Join people by id and look at every trait and covariate, before any genotype is read."""
    input:
        genotypes=regression.genotype_files("step1", "step2"),
        tables=regression.tables,
    output:
        check="<work>/wgr/check.json",
    log:
        "<logs>/wgr/check.log",
    benchmark:
        "<benchmarks>/wgr/check.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=regression.prep_mb,
        runtime=lambda wildcards, attempt: 15 * attempt,
        # No param: another value does not repeat the check, but wgr_strict.
        strict=int(wgr["strict"]),
    params:
        section=joining,
        filesets=regression.filesets("step1"),
        step2=regression.filesets("step2"),
        code=code("wgr/wgr_check"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_check.py"


rule wgr_strict:
    """Fail for the traits that an earlier check set aside, if that is asked for now."""
    input:
        check="<work>/wgr/check.json",
    output:
        strict="<work>/wgr/strict.txt",
    log:
        "<logs>/wgr/strict.log",
    benchmark:
        "<benchmarks>/wgr/strict.jsonl"
    # Nothing but the page has it as input, so that another `strict` repeats no regression; nor as
    # ancient(): Snakemake looks for no other changes in what comes after a job that is repeated.
    priority: 100
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 300 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        strict=wgr["strict"],
        code=code("wgr/wgr_strict"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_strict.py"


rule wgr_prep:
    """Who takes part, which traits can be analysed, and the variants of each block."""
    input:
        check="<work>/wgr/check.json",
        genotypes=regression.genotype_files("step1", "step2"),
        tables=regression.tables,
    output:
        study=ensure("<work>/wgr/study.npz", non_empty=True),
        facts=ensure("<work>/wgr/study.json", non_empty=True),
        variants=ensure("<work>/wgr/variants.npz", non_empty=True),
        tested=ensure("<work>/wgr/tested.parquet", non_empty=True),
        samples=ensure("<results>/wgr/samples.tsv", non_empty=True),
        dropped=ensure("<results>/wgr/dropped_variants.tsv", non_empty=True),
        blocks=ensure("<results>/wgr/blocks.json", non_empty=True),
        quarantine=report(
            ensure("<results>/wgr/quarantine.tsv", non_empty=True),
            category="Whole-genome regression",
            caption="../report/wgr_quarantine.rst",
            labels={"content": "traits that were set aside, and why"},
        ),
    log:
        "<logs>/wgr/prep.log",
    benchmark:
        "<benchmarks>/wgr/prep.jsonl"
    threads: 1
    resources:
        mem_mb=regression.prep_mb,
        runtime=regression.prep_minutes,
    params:
        section=joining,
        screening=screening,
        block_size=wgr["block_size"],
        filesets=regression.filesets("step1"),
        step2=regression.filesets("step2"),
        code=code("wgr/wgr_prep"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_prep.py"


rule wgr_sets:
    """Find the variants of all sets of the burden tests, before any is tested."""
    input:
        variants="<work>/wgr/tested.parquet",
        tables=regression.burden_tables,
    output:
        sets="<work>/wgr/sets.json",
    log:
        "<logs>/wgr/sets.log",
    benchmark:
        "<benchmarks>/wgr/sets.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=regression.prep_mb,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        burden=wgr["burden"],
        code=code("wgr/wgr_sets"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_sets.py"


rule wgr_level0:
    """Predict all traits from one block of variants, each person by models that have not seen it."""
    input:
        study="<work>/wgr/study.npz",
        facts="<work>/wgr/study.json",
        variants="<work>/wgr/variants.npz",
        genotypes=regression.genotype_files("step1"),
    output:
        predictions=temp("<results>/wgr/level0/{block}.npy"),
    log:
        "<logs>/wgr/level0/{block}.log",
    benchmark:
        "<benchmarks>/wgr/level0/{block}.jsonl"
    threads: 1
    resources:
        mem_mb=regression.level0_mb,
        runtime=regression.level0_minutes,
        # No param, since it changes no result.
        kept_mb=regression.kept_mb,
    params:
        block=regression.block,
        # For the same job of the next run, which need not find it. As an output flagged `update`,
        # Snakemake would copy it aside before every job and repeat the job where it is lost.
        sums="<work>/wgr/sums/{block}",
        settings=fitting,
        block_size=wgr["block_size"],
        filesets=regression.filesets("step1"),
        code=code("wgr/wgr_level0"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_level0.py"


rule wgr_level1:
    """Combine the predictions of all blocks for one trait, shrunk as cross-validation says."""
    input:
        study="<work>/wgr/study.npz",
        facts="<work>/wgr/study.json",
        blocks=regression.block_files("<results>/wgr/level0"),
    output:
        curve=ensure("<results>/wgr/level1/{trait}.json", non_empty=True),
        model=temp("<work>/wgr/level1/{trait}.npz"),
    log:
        "<logs>/wgr/level1/{trait}.log",
    benchmark:
        "<benchmarks>/wgr/level1/{trait}.jsonl"
    threads: 1
    resources:
        mem_mb=regression.level1_mb,
        runtime=regression.level1_minutes,
    params:
        settings=fitting,
        code=code("wgr/wgr_level1"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_level1.py"


rule wgr_loco:
    """Predict one trait from all chromosomes but one, for each of them."""
    input:
        study="<work>/wgr/study.npz",
        facts="<work>/wgr/study.json",
        model="<work>/wgr/level1/{trait}.npz",
        blocks=regression.block_files("<results>/wgr/level0"),
    output:
        table=ensure("<results>/wgr/loco/{trait}.loco", non_empty=True),
        predictions="<work>/wgr/loco/{trait}.npy",
    log:
        "<logs>/wgr/loco/{trait}.log",
    benchmark:
        "<benchmarks>/wgr/loco/{trait}.jsonl"
    threads: 1
    resources:
        mem_mb=regression.level1_mb,
        runtime=regression.level1_minutes,
    params:
        settings=fitting,
        chromosomes=lambda wildcards: [c for c, _ in regression.blocks.values()],
        code=code("wgr/wgr_loco"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_loco.py"


rule wgr_assoc:
    """Test a range of variants, or masks made of the rare variants of sets, against all traits."""
    input:
        study="<work>/wgr/study.npz",
        facts="<work>/wgr/study.json",
        variants="<work>/wgr/tested.parquet",
        loco=lambda wildcards: expand("<work>/wgr/loco/{trait}.npy", trait=regression.traits()),
        genotypes=regression.genotype_files("step2"),
        burden=regression.burden_of_chunk("<work>/wgr/sets.json"),
    output:
        part=temp(directory("<work>/wgr/assoc/{chunk}")),
    log:
        "<logs>/wgr/assoc/{chunk}.log",
    benchmark:
        "<benchmarks>/wgr/assoc/{chunk}.jsonl"
    threads: 1
    resources:
        mem_mb=regression.assoc_mb,
        runtime=regression.assoc_minutes,
    params:
        chunk=regression.chunk,
        settings=testing,
        burden=lambda wildcards, input: wgr["burden"] if input.burden else None,
        filesets=regression.filesets("step2"),
        traits=regression.traits,
        code=code("wgr/wgr_assoc"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_assoc.py"


rule wgr_merge:
    """Write the tables of one trait: parquet, and text as REGENIE writes it."""
    input:
        facts="<work>/wgr/study.json",
        parts=regression.chunk_files("<work>/wgr/assoc"),
    output:
        parquet=ensure("<results>/wgr/assoc/{trait}.parquet", non_empty=True),
        regenie=ensure("<results>/wgr/assoc/{trait}.regenie.gz", non_empty=True),
        tally="<work>/wgr/tally/{trait}.json",
    log:
        "<logs>/wgr/merge/{trait}.log",
    benchmark:
        "<benchmarks>/wgr/merge/{trait}.jsonl"
    threads: 1
    resources:
        mem_mb=regression.merge_mb,
        runtime=regression.merge_minutes,
    params:
        code=code("wgr/wgr_merge"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_merge.py"


rule wgr_plots:
    """Draw the Manhattan and the QQ plot of one trait."""
    input:
        table="<results>/wgr/assoc/{trait}.parquet",
    output:
        figures=directory("<results>/wgr/figures/{trait}"),
        summary="<work>/wgr/summary/{trait}.json",
    log:
        "<logs>/wgr/plots/{trait}.log",
    benchmark:
        "<benchmarks>/wgr/plots/{trait}.jsonl"
    threads: 1
    resources:
        mem_mb=regression.merge_mb,
        runtime=regression.merge_minutes,
    params:
        code=code("wgr/wgr_plots"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_plots.py"


rule wgr_report:
    """The table of traits, the account of everything read, and the page."""
    input:
        strict="<work>/wgr/strict.txt",
        facts="<work>/wgr/study.json",
        quarantine="<results>/wgr/quarantine.tsv",
        sets=lambda wildcards: "<work>/wgr/sets.json" if wgr["burden"] else [],
        curves=lambda wildcards: expand(
            "<results>/wgr/level1/{trait}.json", trait=regression.traits()
        ),
        tallies=lambda wildcards: expand("<work>/wgr/tally/{trait}.json", trait=regression.traits()),
        figures=lambda wildcards: expand("<results>/wgr/figures/{trait}", trait=regression.traits()),
        summaries=lambda wildcards: expand(
            "<work>/wgr/summary/{trait}.json", trait=regression.traits()
        ),
    output:
        traits=report(
            ensure("<results>/wgr/traits.tsv", non_empty=True),
            category="Whole-genome regression",
            caption="../report/wgr_traits.rst",
            labels={"content": "traits"},
        ),
        ledger=ensure("<results>/wgr/ledger.json", non_empty=True),
        page=report(
            ensure("<results>/wgr/wgr.html", non_empty=True),
            category="Whole-genome regression",
            caption="../report/wgr_page.rst",
            labels={"content": "page of the study"},
        ),
    log:
        "<logs>/wgr/report.log",
    benchmark:
        "<benchmarks>/wgr/report.jsonl"
    threads: 1
    resources:
        mem_mb=regression.merge_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        settings={key: value for key, value in wgr.items() if key not in SILENT},
        traits=regression.traits,
        code=code("wgr/wgr_report"),
    conda:
        "../envs/wgr.yaml"
    script:
        "../scripts/wgr/wgr_report.py"
