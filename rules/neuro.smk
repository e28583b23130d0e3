"""Diffusion MRI: mask, denoise, fit the tensor; BIDS in, BIDS derivatives out."""

from tessera.neuro.plan import Plan, read_units
from tessera.neuro.presets import effective, highest_b, overruled, settings_in_force

neuro = effective(config["neuro"])
for sentence in overruled(config["neuro"], defaults_of("neuro")):
    print(sentence, file=sys.stderr)
plan = Plan(
    neuro,
    memory_mb=config["memory_mb"],
    threads=config["threads"],
    units=deferred(read_units, neuro, HOUSE / "schemas"),
)
mppca = neuro["denoise"]["method"] == "mppca"
limits = {
    "b0_max": neuro["b0_max"],
    "fit_bmax": highest_b(neuro),
    "mppca_radius": neuro["denoise"].get("patch_radius") if mppca else None,
}


STRAYS["neuro"] = plan.strays


rule neuro:
    """All of the pipeline: maps and a page per acquisition, the table of the group."""
    input:
        check="<work>/neuro/check.json",
        group="<results>/neuro/group_dwi.tsv",
        pages=plan.of_units("<results>/neuro", "qc.html"),


rule neuro_check:
    """Find what headers and gradient tables show to be wrong, in all acquisitions at once and
    before anything expensive. Each import looks again at its own, so that none waits for this."""
    input:
        files=plan.files,
    output:
        check="<work>/neuro/check.json",
    log:
        "<logs>/neuro/check.log",
    benchmark:
        "<benchmarks>/neuro/check.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 400 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        rows=plan.rows,
        limits=limits,
        strict=neuro["strict"],
        code=code("neuro/neuro_check"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_check.py"


rule neuro_import:
    """Decompress an acquisition once; gradients to scanner axes, mean b0, verdict."""
    input:
        dwi=plan.file("dwi"),
        bval=plan.file("bval"),
        bvec=plan.file("bvec"),
        mask=plan.file("mask"),
    output:
        dwi=temp("<work>/neuro/{unit}/dwi.npy"),
        b0="<work>/neuro/{unit}/b0.npy",
        facts="<work>/neuro/{unit}/facts.json",
        verdict="<work>/neuro/{unit}/import.json",
    log:
        "<logs>/neuro/{unit}/import.log",
    benchmark:
        "<benchmarks>/neuro/{unit}/import.jsonl"
    threads: 1
    resources:
        mem_mb=plan.import_mb,
        runtime=plan.minutes,
    params:
        row=plan.row,
        limits=limits,
        code=code("neuro/neuro_import"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_import.py"


rule neuro_mask:
    """Brain mask: from the mean b0, or the one that the sheet names."""
    input:
        b0="<work>/neuro/{unit}/b0.npy",
        facts="<work>/neuro/{unit}/facts.json",
        mask=plan.file("mask"),
        verdict="<work>/neuro/{unit}/import.json",
    output:
        mask="<work>/neuro/{unit}/mask.npy",
        verdict="<work>/neuro/{unit}/mask.json",
    log:
        "<logs>/neuro/{unit}/mask.log",
    benchmark:
        "<benchmarks>/neuro/{unit}/mask.jsonl"
    threads: 1
    resources:
        mem_mb=plan.mask_mb,
        runtime=plan.minutes,
    params:
        mask=neuro["mask"],
        code=code("neuro/neuro_mask"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_mask.py"


rule neuro_noise:
    """Noise level: a map by MP-PCA, a number from the config, or one per volume (preset)."""
    input:
        dwi="<work>/neuro/{unit}/dwi.npy",
        mask="<work>/neuro/{unit}/mask.npy",
        facts="<work>/neuro/{unit}/facts.json",
        verdict="<work>/neuro/{unit}/mask.json",
    output:
        sigma="<work>/neuro/{unit}/sigma.npy",
        verdict="<work>/neuro/{unit}/noise.json",
    log:
        "<logs>/neuro/{unit}/noise.log",
    benchmark:
        "<benchmarks>/neuro/{unit}/noise.jsonl"
    threads: 1
    resources:
        mem_mb=plan.noise_mb,
        runtime=plan.minutes,
    params:
        sigma=neuro["denoise"]["sigma"],
        code=code("neuro/neuro_noise"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_noise.py"


rule neuro_fit:
    """Denoise a slab of slices with its halo and fit the tensor: one job for all its volumes."""
    input:
        dwi="<work>/neuro/{unit}/dwi.npy",
        mask="<work>/neuro/{unit}/mask.npy",
        sigma="<work>/neuro/{unit}/sigma.npy",
        facts="<work>/neuro/{unit}/facts.json",
        verdict="<work>/neuro/{unit}/noise.json",
    output:
        table=temp("<work>/neuro/{unit}/table-{slab}.npy"),
        denoised=temp("<work>/neuro/{unit}/denoised-{slab}.npy"),
    log:
        "<logs>/neuro/{unit}/fit-{slab}.log",
    benchmark:
        "<benchmarks>/neuro/{unit}/fit-{slab}.jsonl"
    threads: config["threads"]
    resources:
        mem_mb=plan.fit_mb,
        runtime=plan.fit_minutes,
    params:
        denoise=neuro["denoise"],
        fit=neuro["fit"],
        fit_bmax=highest_b(neuro),
        keep_denoised=neuro["keep_denoised"],
        code=code("neuro/neuro_fit"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_fit.py"


rule neuro_maps:
    """Gather the slabs into maps with sidecars: the folder appears complete or not at all."""
    input:
        tables=plan.of_slabs("<work>/neuro", "table-{slab}.npy"),
        denoised=plan.of_slabs("<work>/neuro", "denoised-{slab}.npy"),
        dwi="<work>/neuro/{unit}/dwi.npy",
        mask="<work>/neuro/{unit}/mask.npy",
        sigma="<work>/neuro/{unit}/sigma.npy",
        b0="<work>/neuro/{unit}/b0.npy",
        facts="<work>/neuro/{unit}/facts.json",
        verdict="<work>/neuro/{unit}/noise.json",
    output:
        maps=directory("<results>/neuro/{unit}/dwi"),
        summary="<work>/neuro/{unit}/summary.json",
    log:
        "<logs>/neuro/{unit}/maps.log",
    benchmark:
        "<benchmarks>/neuro/{unit}/maps.jsonl"
    threads: 1
    resources:
        mem_mb=plan.maps_mb,
        runtime=plan.minutes,
    params:
        settings=settings_in_force(neuro),
        keep_denoised=neuro["keep_denoised"],
        code=code("neuro/neuro_maps"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_maps.py"


rule neuro_qc:
    """One self-contained page per acquisition: pictures, histograms and numbers, or the reason
    why it was set aside."""
    input:
        maps="<results>/neuro/{unit}/dwi",
        b0="<work>/neuro/{unit}/b0.npy",
        facts="<work>/neuro/{unit}/facts.json",
        summary="<work>/neuro/{unit}/summary.json",
    output:
        page=report(
            "<results>/neuro/{unit}/qc.html",
            category="Diffusion MRI",
            subcategory="Acquisitions",
            caption="../report/neuro_qc.rst",
            labels={"acquisition": "{unit}", "content": "maps and sanity numbers"},
        ),
    log:
        "<logs>/neuro/{unit}/qc.log",
    benchmark:
        "<benchmarks>/neuro/{unit}/qc.jsonl"
    threads: 1
    resources:
        mem_mb=plan.qc_mb,
        runtime=plan.minutes,
    params:
        row=plan.row,
        settings=settings_in_force(neuro),
        code=code("neuro/neuro_qc"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_qc.py"


rule neuro_group:
    """The group's table, picture and quarantine list, and the dataset's description."""
    input:
        check="<work>/neuro/check.json",
        summaries=plan.of_units("<work>/neuro", "summary.json"),
    output:
        table=report(
            ensure("<results>/neuro/group_dwi.tsv", non_empty=True),
            category="Diffusion MRI",
            subcategory="Group",
            caption="../report/neuro_group.rst",
            labels={"acquisition": "all", "content": "table of the group"},
        ),
        sidecar=ensure("<results>/neuro/group_dwi.json", non_empty=True),
        quarantine=report(
            ensure("<results>/neuro/quarantine.tsv", non_empty=True),
            category="Diffusion MRI",
            subcategory="Group",
            caption="../report/neuro_quarantine.rst",
            labels={"acquisition": "all", "content": "set aside, and why"},
        ),
        figure=report(
            ensure("<results>/neuro/group_dwi.png", non_empty=True),
            category="Diffusion MRI",
            subcategory="Group",
            caption="../report/neuro_group.rst",
            labels={"acquisition": "all", "content": "picture of the group"},
        ),
        description=ensure("<results>/neuro/dataset_description.json", non_empty=True),
        ignore=ensure("<results>/neuro/.bidsignore", non_empty=True),
    log:
        "<logs>/neuro/group.log",
    benchmark:
        "<benchmarks>/neuro/group.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        rows=plan.rows,
        strict=neuro["strict"],
        version=VERSION,
        code=code("neuro/neuro_group"),
    conda:
        "../envs/neuro.yaml"
    script:
        "../scripts/neuro/neuro_group.py"
