"""Survey imaging, looked at: pictures, comparison with a reference catalogue, the page."""


rule astro_visit_picture:
    """A detector of a visit before and after cleaning."""
    input:
        visit=survey.file,
        clean="<results>/astro/clean/{visit}.fits.fz",
        facts="<work>/astro/{visit}/clean.json",
    output:
        picture=report(
            "<results>/astro/png/visit_{visit}.png",
            category="Survey imaging",
            subcategory="Exposures",
            caption="../report/astro_visit.rst",
            labels={"of": "visit {visit}", "content": "before and after cleaning"},
        ),
    log:
        "<logs>/astro/{visit}/picture.log",
    benchmark:
        "<benchmarks>/astro/{visit}/picture.jsonl"
    threads: 1
    resources:
        mem_mb=survey.picture_mb,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        headers=headers,
        code=code("astro/astro_visit_picture"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_visit_picture.py"


rule astro_patch_picture:
    """A co-add with its sources marked, and its depth."""
    input:
        coadd="<results>/astro/coadd/{patch}.fits.fz",
        catalogue="<results>/astro/catalogue.parquet",
    output:
        picture=report(
            "<results>/astro/png/patch_{patch}.png",
            category="Survey imaging",
            subcategory="Patches",
            caption="../report/astro_patch.rst",
            labels={"of": "patch {patch}", "content": "co-add, sources, depth"},
        ),
    log:
        "<logs>/astro/patches/{patch}/picture.log",
    benchmark:
        "<benchmarks>/astro/patches/{patch}/picture.jsonl"
    threads: 1
    resources:
        mem_mb=survey.picture_mb,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        zero_point=astro["zero_point"],
        skymap=astro["skymap"],
        code=code("astro/astro_patch_picture"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_patch_picture.py"


rule astro_qc:
    """Compare with the reference catalogue; account for every detector."""
    input:
        index="<results>/astro/index.parquet",
        catalogue="<results>/astro/catalogue.parquet",
        pooled="<work>/astro/catalogue.json",
        facts=survey.every_visit("<work>/astro/{visit}/clean.json"),
        coadds=survey.every_patch("<work>/astro/patches/{patch}/coadd.json"),
        thumbnails=survey.every_patch("<work>/astro/patches/{patch}/thumbnail.npz"),
        reference=survey.reference,
    output:
        qc=ensure("<results>/astro/qc.json", non_empty=True),
        quarantine=report(
            ensure("<results>/astro/quarantine.tsv", non_empty=True),
            category="Survey imaging",
            subcategory="Survey",
            caption="../report/astro_quarantine.rst",
            labels={"of": "all visits", "content": "what was set aside, and why"},
        ),
    log:
        "<logs>/astro/qc.log",
    benchmark:
        "<benchmarks>/astro/qc.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 550 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        windows=survey.windows,
        skymap=astro["skymap"],
        zero_point=astro["zero_point"],
        strict=astro["strict"],
        code=code("astro/astro_qc"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_qc.py"


rule astro_page:
    """The page of the survey, and its pictures."""
    input:
        qc="<results>/astro/qc.json",
        quarantine="<results>/astro/quarantine.tsv",
        catalogue="<results>/astro/catalogue.parquet",
        thumbnails=survey.every_patch("<work>/astro/patches/{patch}/thumbnail.npz"),
        reference=survey.reference,
    output:
        page=report(
            ensure("<results>/astro/qc.html", non_empty=True),
            category="Survey imaging",
            subcategory="Survey",
            caption="../report/astro_page.rst",
            labels={"of": "all", "content": "page of the survey"},
        ),
        survey=ensure("<results>/astro/png/survey.png", non_empty=True),
        residuals=ensure("<results>/astro/png/residuals.png", non_empty=True),
    log:
        "<logs>/astro/page.log",
    benchmark:
        "<benchmarks>/astro/page.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 800 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        windows=survey.windows,
        skymap=astro["skymap"],
        code=code("astro/astro_page"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_page.py"
