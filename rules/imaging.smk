"""Images of any size: objects at every point of a grid of parameters, in tables one can query."""

from tessera.imaging.plan import Plan as ImagingPlan
from tessera.imaging.plan import connectivity_of, read_images_of

imaging = config["imaging"]
pictures = ImagingPlan(
    imaging,
    memory_mb=config["memory_mb"],
    images=deferred(read_images_of, imaging, HOUSE / "schemas"),
)
# How voxels become objects, what is told of these, and what else the page shows.
joining = {
    "polarity": imaging["polarity"],
    "connectivity": connectivity_of(imaging["connectivity"]),
}
measuring = {key: imaging[key] for key in ("min_size", "border", "properties")}
showing = {key: value for key, value in imaging.items() if key not in ("tile", "strict")}


STRAYS["imaging"] = pictures.strays


rule imaging:
    """All of the pipeline: objects of every image, tables, database, comparison, and the page."""
    input:
        check="<work>/imaging/check.json",
        tables="<results>/imaging/tables",
        database="<results>/imaging/results.duckdb",
        compare="<results>/imaging/compare",
        labels=pictures.labels("<results>/imaging/labels/{image}__{params}.zarr"),
        page="<results>/imaging/imaging.html",


rule imaging_check:
    """Find what headers show to be wrong, in all images at once and before any voxel is read. The
    steps of an image look again at their own, so that none waits for this."""
    input:
        images=pictures.paths,
    output:
        check="<work>/imaging/check.json",
    log:
        "<logs>/imaging/check.log",
    benchmark:
        "<benchmarks>/imaging/check.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=pictures.check_mb,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        rows=pictures.rows,
        strict=imaging["strict"],
        code=code("imaging/imaging_check"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_check.py"


rule imaging_convert:
    """Write an image, of whatever kind, as an array that tiles are read from."""
    input:
        image=pictures.path,
    output:
        volume=temp(directory("<work>/imaging/{image}/volume")),
        verdict="<work>/imaging/{image}/convert.json",
    log:
        "<logs>/imaging/{image}/convert.log",
    benchmark:
        "<benchmarks>/imaging/{image}/convert.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.convert_mb,
        runtime=pictures.image_minutes,
    params:
        row=pictures.row,
        held=pictures.held,
        slice=imaging["slice"],
        memory_mb=config["memory_mb"],
        code=code("imaging/imaging_convert"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_convert.py"


rule imaging_extent:
    """The least and the greatest value of a part of an image after a filter."""
    input:
        volume="<work>/imaging/{image}/volume",
        verdict="<work>/imaging/{image}/convert.json",
    output:
        extent=temp("<work>/imaging/{image}/extent/{filter}/{part}.json"),
    log:
        "<logs>/imaging/{image}/extent/{filter}/{part}.log",
    benchmark:
        "<benchmarks>/imaging/{image}/extent/{filter}/{part}.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.tile_mb,
        runtime=pictures.part_minutes,
    params:
        filter=lambda wildcards: pictures.filters[wildcards.filter].as_dict(),
        tiling=pictures.whole_tiling,
        tiles=pictures.whole_tiles,
        code=code("imaging/imaging_extent"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_extent.py"


rule imaging_histogram:
    """The histogram of a part of an image after a filter."""
    input:
        volume="<work>/imaging/{image}/volume",
        extents=pictures.extents("<work>/imaging/{image}/extent/{filter}/{part}.json"),
        verdict="<work>/imaging/{image}/convert.json",
    output:
        counts=temp("<work>/imaging/{image}/histogram/{filter}/{part}.npz"),
    log:
        "<logs>/imaging/{image}/histogram/{filter}/{part}.log",
    benchmark:
        "<benchmarks>/imaging/{image}/histogram/{filter}/{part}.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.tile_mb,
        runtime=pictures.part_minutes,
    params:
        filter=lambda wildcards: pictures.filters[wildcards.filter].as_dict(),
        kinds=lambda wildcards: pictures.kinds_of(wildcards.filter),
        tiling=pictures.whole_tiling,
        tiles=pictures.whole_tiles,
        code=code("imaging/imaging_histogram"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_histogram.py"


rule imaging_threshold:
    """The threshold of every point of the grid, from the histograms of all parts."""
    input:
        volume="<work>/imaging/{image}/volume",
        histograms=pictures.histograms("<work>/imaging/{image}/histogram/{filter}/{part}.npz"),
        verdict="<work>/imaging/{image}/convert.json",
    output:
        thresholds="<work>/imaging/{image}/thresholds.json",
        verdict="<work>/imaging/{image}/verdict.json",
    log:
        "<logs>/imaging/{image}/threshold.log",
    benchmark:
        "<benchmarks>/imaging/{image}/threshold.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.check_mb,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        row=pictures.row,
        grid=pictures.whole_grid,
        filters=pictures.counted_filters,
        code=code("imaging/imaging_threshold"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_threshold.py"


rule imaging_seeds:
    """Pieces of what is above the lower thresholds of hysteresis, in a part of an image."""
    input:
        volume="<work>/imaging/{image}/volume",
        verdict="<work>/imaging/{image}/verdict.json",
    output:
        pieces=temp(directory("<work>/imaging/{image}/seeds/{filter}/{part}")),
    log:
        "<logs>/imaging/{image}/seeds/{filter}/{part}.log",
    benchmark:
        "<benchmarks>/imaging/{image}/seeds/{filter}/{part}.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.tile_mb,
        runtime=pictures.part_minutes,
    params:
        filter=lambda wildcards: pictures.filters[wildcards.filter].as_dict(),
        grid=pictures.points_of,
        tiling=pictures.whole_tiling,
        tiles=pictures.whole_tiles,
        code=code("imaging/imaging_seeds"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_seeds.py"


rule imaging_grow:
    """Masks of hysteresis thresholds: what is above the lower one and joined to the upper one."""
    input:
        volume="<work>/imaging/{image}/volume",
        pieces=pictures.parts("<work>/imaging/{image}/seeds/{filter}/{part}", everything=True),
        verdict="<work>/imaging/{image}/verdict.json",
    output:
        masks=temp(directory("<work>/imaging/{image}/masks/{filter}")),
    log:
        "<logs>/imaging/{image}/grow/{filter}.log",
    benchmark:
        "<benchmarks>/imaging/{image}/grow/{filter}.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.merge_mb,
        runtime=pictures.image_minutes,
    params:
        grid=pictures.points_of,
        tiling=pictures.whole_tiling,
        counts=pictures.whole_tile_counts,
        code=code("imaging/imaging_grow"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_grow.py"


rule imaging_segment:
    """Pieces of objects in a part of an image, at every point of the grid that has its filter."""
    input:
        volume="<work>/imaging/{image}/volume",
        thresholds="<work>/imaging/{image}/thresholds.json",
        masks=pictures.masks("<work>/imaging/{image}/masks/{filter}"),
        verdict="<work>/imaging/{image}/verdict.json",
    output:
        pieces=temp(directory("<work>/imaging/{image}/pieces/{filter}/{part}")),
    log:
        "<logs>/imaging/{image}/segment/{filter}/{part}.log",
    benchmark:
        "<benchmarks>/imaging/{image}/segment/{filter}/{part}.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.tile_mb,
        runtime=pictures.part_minutes,
    params:
        filter=lambda wildcards: pictures.filters[wildcards.filter].as_dict(),
        grid=pictures.points_of,
        settings=joining,
        tiling=pictures.tiling,
        tiles=pictures.tiles,
        code=code("imaging/imaging_segment"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_segment.py"


rule imaging_merge:
    """Whole objects of an image, from the pieces in all its tiles."""
    input:
        pieces=pictures.parts("<work>/imaging/{image}/pieces/{filter}/{part}"),
        verdict="<work>/imaging/{image}/verdict.json",
    output:
        objects=temp(directory("<work>/imaging/{image}/merged/{filter}")),
    log:
        "<logs>/imaging/{image}/merge/{filter}.log",
    benchmark:
        "<benchmarks>/imaging/{image}/merge/{filter}.jsonl"
    threads: 1
    resources:
        mem_mb=pictures.merge_mb,
        runtime=pictures.image_minutes,
    params:
        grid=lambda wildcards: list(pictures.points_of(wildcards)),
        connectivity=joining["connectivity"],
        tiling=pictures.tiling,
        counts=pictures.tile_counts,
        code=code("imaging/imaging_merge"),
    conda:
        "../envs/imaging.yaml"
    script:
        "../scripts/imaging/imaging_merge.py"
