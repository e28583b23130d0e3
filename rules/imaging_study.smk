"""Tables, pictures and pages of the images, made of the objects that rules/imaging.smk found."""


rule imaging_objects:
    """Tables of an image: objects at every point, neighbours, how the points compare; and a plane of
    it with the outlines of its objects at the first point."""
    input:
        volume="<work>/imaging/{image}/volume",
        thresholds="<work>/imaging/{image}/thresholds.json",
        merged=pictures.merged("<work>/imaging/{image}/merged/{filter}"),
        masks=pictures.masks("<work>/imaging/{image}/masks/{filter}"),
        verdict="<work>/imaging/{image}/verdict.json",
    output:
        tables=directory("<work>/imaging/{image}/tables"),
        picture=report(
            directory("<results>/imaging/pictures/{image}"),
            patterns=["{name}.png"],
            category="Images",
            caption="../report/imaging_picture.rst",
            labels={"content": "picture of {image}"},
        ),
    log:
        "<logs>/imaging/{image}/objects.log",
    benchmark:
        "<benchmarks>/imaging/{image}/objects.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.merge_mb,
        runtime=pictures.image_minutes,
    params:
        row=pictures.row,
        grid=pictures.filter_names,
        filters=lambda wildcards: list(pictures.filters),
        point=pictures.point,
        settings=measuring | joining,
        tiling=pictures.tiling,
        code=code("imaging/imaging_objects"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_objects.py"


rule imaging_labels:
    """The volume of labels of an image at a point of the grid."""
    input:
        volume="<work>/imaging/{image}/volume",
        thresholds="<work>/imaging/{image}/thresholds.json",
        masks=pictures.masks("<work>/imaging/{image}/masks/{filter}"),
        merged=pictures.merged_of("<work>/imaging/{image}/merged/{filter}"),
        tables="<work>/imaging/{image}/tables",
        verdict="<work>/imaging/{image}/verdict.json",
    output:
        labels=directory("<results>/imaging/labels/{image}__{params}.zarr"),
    log:
        "<logs>/imaging/{image}/labels/{params}.log",
    benchmark:
        "<benchmarks>/imaging/{image}/labels/{params}.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.tile_mb,
        runtime=pictures.image_minutes,
    params:
        point=pictures.point,
        settings=joining,
        tiling=pictures.tiling,
        code=code("imaging/imaging_labels"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_labels.py"


rule imaging_database:
    """Tables of all images as parquet, and as one database."""
    input:
        tables=pictures.of_images("<work>/imaging/{image}/tables"),
        verdicts=pictures.of_images("<work>/imaging/{image}/verdict.json"),
    output:
        tables=directory("<results>/imaging/tables"),
        database=ensure("<results>/imaging/results.duckdb", non_empty=True),
    log:
        "<logs>/imaging/database.log",
    benchmark:
        "<benchmarks>/imaging/database.jsonl"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: config["memory_mb"] * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        rows=pictures.rows,
        grid=pictures.whole_grid,
        settings=showing,
        memory_mb=config["memory_mb"] // 2,
        code=code("imaging/imaging_database"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_database.py"


rule imaging_compare:
    """Points of the grid side by side: counts, sizes, agreement, and their charts."""
    input:
        tables=pictures.of_images("<work>/imaging/{image}/tables"),
        verdicts=pictures.of_images("<work>/imaging/{image}/verdict.json"),
    output:
        compare=report(
            directory("<results>/imaging/compare"),
            patterns=["{name}.png"],
            category="Images",
            caption="../report/imaging_picture.rst",
            labels={"content": "{name}"},
        ),
    log:
        "<logs>/imaging/compare.log",
    benchmark:
        "<benchmarks>/imaging/compare.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.check_mb,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        grid=pictures.whole_grid,
        code=code("imaging/imaging_compare"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_compare.py"


rule imaging_report:
    """The account of every image, what was set aside and why, and the page."""
    input:
        verdicts=pictures.of_images("<work>/imaging/{image}/verdict.json"),
        tables=pictures.of_images("<work>/imaging/{image}/tables"),
        pictures=pictures.of_images("<results>/imaging/pictures/{image}"),
        study="<results>/imaging/tables",
        compare="<results>/imaging/compare",
    output:
        images=report(
            ensure("<results>/imaging/images.tsv", non_empty=True),
            category="Images",
            caption="../report/imaging_images.rst",
            labels={"content": "images"},
        ),
        quarantine=report(
            ensure("<results>/imaging/quarantine.tsv", non_empty=True),
            category="Images",
            caption="../report/imaging_quarantine.rst",
            labels={"content": "what was set aside, and why"},
        ),
        ledger=ensure("<results>/imaging/ledger.json", non_empty=True),
        page=report(
            ensure("<results>/imaging/imaging.html", non_empty=True),
            category="Images",
            caption="../report/imaging_page.rst",
            labels={"content": "page of the images"},
        ),
    log:
        "<logs>/imaging/report.log",
    benchmark:
        "<benchmarks>/imaging/report.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.check_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        rows=pictures.rows,
        settings=showing,
        strict=imaging["strict"],
        code=code("imaging/imaging_report"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_report.py"
