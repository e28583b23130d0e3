"""Survey imaging: clean exposures, warp and stack them on sky patches, detect and measure."""

from tessera.astro.plan import Plan as SurveyPlan, read_survey

astro = config["astro"]
survey = SurveyPlan(
    astro,
    memory_mb=config["memory_mb"],
    threads=config["threads"],
    survey=deferred(read_survey, astro, HOUSE / "schemas"),
)
headers = {
    key: astro[key]
    for key in ("hdus", "gain_key", "read_noise_key", "saturation_key", "zero_point_key")
}
cleaning = {key: astro[key] for key in ("mask_bits", "background", "cosmic_rays")}


STRAYS["astro"] = survey.strays


rule astro:
    """All of the pipeline: co-adds, catalogue, quality figures and pictures."""
    input:
        index="<results>/astro/index.parquet",
        coadds=survey.every_patch("<results>/astro/coadd/{patch}.fits.fz"),
        mosaic=survey.mosaic("<results>/astro/coadd/mosaic.fits"),
        catalogue="<results>/astro/catalogue.parquet",
        qc="<results>/astro/qc.json",
        page="<results>/astro/qc.html",
        visits=survey.every_visit("<results>/astro/png/visit_{visit}.png"),
        patches=survey.every_patch("<results>/astro/png/patch_{patch}.png"),


rule astro_index:
    """Every detector of every visit, from headers alone: place on the sky, zero point, faults.
    The reference catalogue is looked through as well, long before it is needed."""
    input:
        visits=survey.files,
        reference=survey.reference,
    output:
        index=ensure("<results>/astro/index.parquet", non_empty=True),
    log:
        "<logs>/astro/index.log",
    benchmark:
        "<benchmarks>/astro/index.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 300 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        visits=lambda wildcards: survey.visits,
        headers=headers,
        strict=astro["strict"],
        code=code("astro/astro_index"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_index.py"


# A visit is cleaned by one job, or by one per detector whose planes are then put together.
if astro["granularity"] == "visit":

    ruleorder: astro_clean > astro_gather

else:

    ruleorder: astro_gather > astro_clean


rule astro_clean:
    """Clean the detectors of a visit: sky, variance, cosmic rays, mask. A bad detector is set
    aside."""
    input:
        visit=survey.file,
    output:
        clean=ensure("<results>/astro/clean/{visit}.fits.fz", non_empty=True),
        facts="<work>/astro/{visit}/clean.json",
    log:
        "<logs>/astro/{visit}/clean.log",
    benchmark:
        "<benchmarks>/astro/{visit}/clean.jsonl"
    threads: config["threads"]
    resources:
        mem_mb=survey.clean_mb,
        runtime=survey.clean_minutes,
    params:
        headers=headers,
        cleaning=cleaning,
        code=code("astro/astro_clean"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_clean.py"


rule astro_clean_ccd:
    """Clean one detector of a visit; a bad one is set aside."""
    input:
        visit=survey.file,
    output:
        planes=temp("<work>/astro/{visit}/ccd-{ccd}.part"),
        facts=temp("<work>/astro/{visit}/ccd-{ccd}.json"),
    log:
        "<logs>/astro/{visit}/clean-{ccd}.log",
    benchmark:
        "<benchmarks>/astro/{visit}/clean-{ccd}.jsonl"
    threads: 1
    resources:
        mem_mb=survey.clean_ccd_mb,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        headers=headers,
        cleaning=cleaning,
        code=code("astro/astro_clean_ccd"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_clean_ccd.py"


rule astro_gather:
    """Put the cleaned detectors of a visit into one file."""
    input:
        visit=survey.file,
        planes=survey.every_ccd("<work>/astro/{visit}/ccd-{ccd}.part"),
        facts=survey.every_ccd("<work>/astro/{visit}/ccd-{ccd}.json"),
    output:
        clean=ensure("<results>/astro/clean/{visit}.fits.fz", non_empty=True),
        facts="<work>/astro/{visit}/clean.json",
    log:
        "<logs>/astro/{visit}/gather.log",
    benchmark:
        "<benchmarks>/astro/{visit}/gather.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 400 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        headers=headers,
        code=code("astro/astro_gather"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_gather.py"


rule astro_coadd:
    """Warp the exposures that touch a patch onto its grid and stack them, outliers clipped: block
    by block, so that memory does not grow with the number of visits."""
    input:
        clean=survey.touching("<results>/astro/clean/{visit}.fits.fz"),
        facts=survey.touching("<work>/astro/{visit}/clean.json"),
    output:
        coadd=ensure("<results>/astro/coadd/{patch}.fits.fz", non_empty=True),
        facts="<work>/astro/patches/{patch}/coadd.json",
        thumbnail="<work>/astro/patches/{patch}/thumbnail.npz",
    log:
        "<logs>/astro/patches/{patch}/coadd.log",
    benchmark:
        "<benchmarks>/astro/patches/{patch}/coadd.jsonl"
    threads: config["threads"]
    resources:
        mem_mb=survey.coadd_mb,
        runtime=survey.coadd_minutes,
    params:
        exposures=survey.exposures,
        window=survey.window,
        block=survey.block,
        skymap=astro["skymap"],
        zero_point=astro["zero_point"],
        kernel=astro["warp"]["kernel"],
        clip=astro["coadd"],
        code=code("astro/astro_coadd"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_coadd.py"


rule astro_mosaic:
    """Lay the patches of a header's grid side by side in one image."""
    input:
        coadds=survey.every_patch("<results>/astro/coadd/{patch}.fits.fz"),
    output:
        mosaic=ensure("<results>/astro/coadd/mosaic.fits", non_empty=True),
    log:
        "<logs>/astro/mosaic.log",
    benchmark:
        "<benchmarks>/astro/mosaic.jsonl"
    threads: 1
    resources:
        mem_mb=survey.picture_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        windows=survey.windows,
        skymap=astro["skymap"],
        code=code("astro/astro_mosaic"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_mosaic.py"


rule astro_detect:
    """Find and measure the sources of a patch."""
    input:
        coadd="<results>/astro/coadd/{patch}.fits.fz",
    output:
        sources="<work>/astro/patches/{patch}/sources.parquet",
        facts="<work>/astro/patches/{patch}/detect.json",
    log:
        "<logs>/astro/patches/{patch}/detect.log",
    benchmark:
        "<benchmarks>/astro/patches/{patch}/detect.jsonl"
    threads: 1
    resources:
        mem_mb=survey.detect_mb,
        runtime=survey.detect_minutes,
    params:
        detect=astro["detect"],
        skymap=astro["skymap"],
        zero_point=astro["zero_point"],
        code=code("astro/astro_detect"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_detect.py"


rule astro_catalogue:
    """One catalogue of all patches: aperture corrections, one detection each in overlaps."""
    input:
        sources=survey.every_patch("<work>/astro/patches/{patch}/sources.parquet"),
        facts=survey.every_patch("<work>/astro/patches/{patch}/detect.json"),
    output:
        parquet=ensure("<results>/astro/catalogue.parquet", non_empty=True),
        fits=ensure("<results>/astro/catalogue.fits", non_empty=True),
        ecsv=report(
            ensure("<results>/astro/catalogue.ecsv", non_empty=True),
            category="Survey imaging",
            subcategory="Survey",
            caption="../report/astro_catalogue.rst",
            labels={"of": "all patches", "content": "catalogue"},
        ),
        facts="<work>/astro/catalogue.json",
    log:
        "<logs>/astro/catalogue.log",
    benchmark:
        "<benchmarks>/astro/catalogue.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 600 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        windows=survey.windows,
        skymap=astro["skymap"],
        detect=astro["detect"],
        zero_point=astro["zero_point"],
        code=code("astro/astro_catalogue"),
    conda:
        "../envs/astro.yaml"
    script:
        "../scripts/astro/astro_catalogue.py"
