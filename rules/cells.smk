"""Expression matrices: statistics of every gene in every group, published all at once."""

from tessera.cells.plan import Plan as CellsPlan
from tessera.cells.plan import read_datasets

cells = config["cells"]
matrices = CellsPlan(
    cells,
    memory_mb=config["memory_mb"],
    datasets=deferred(read_datasets, cells, HOUSE / "schemas"),
)
# What decides the values, and what decides the columns that are made of them.
reading = {key: cells[key] for key in ("duplicate_genes", "normalize")}
telling = {key: value for key, value in cells.items() if key not in ("batch_nnz", "strict")}
reckoning = {key: cells[key] for key in ("normalize", "percentiles", "trim", "min_cells")}


STRAYS["cells"] = matrices.strays


rule cells:
    """All of the pipeline: every dataset published, its views verified, and the page."""
    input:
        check="<work>/cells/check.json",
        published=lambda wildcards: expand(
            "<results>/cells/{dataset}/published.json", dataset=matrices.datasets()
        ),
        collected=lambda wildcards: expand(
            "<work>/cells/{dataset}/gc.json", dataset=matrices.datasets()
        ),
        page="<results>/cells/cells.html",


rule cells_check:
    """Find what headers, names and metadata show to be wrong, in all datasets at once and before
    any value is read. Each ingestion looks again at its own, so that none waits for this."""
    input:
        files=matrices.all_files,
    output:
        check="<work>/cells/check.json",
    log:
        "<logs>/cells/check.log",
    benchmark:
        "<benchmarks>/cells/check.jsonl"
    priority: 100
    threads: 1
    resources:
        mem_mb=matrices.check_mb,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        rows=matrices.rows,
        groupings=cells["groupings"],
        reading=reading,
        strict=cells["strict"],
        code=code("cells/cells_check"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_check.py"


rule cells_ingest:
    """Read and validate a matrix once, into tiles of cells, each sorted by cell and by gene."""
    input:
        files=matrices.files,
    output:
        rows=temp(directory("<work>/cells/{dataset}/rows")),
        verdict="<work>/cells/{dataset}/verdict.json",
    log:
        "<logs>/cells/{dataset}/ingest.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/ingest.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.ingest_mb,
        runtime=matrices.ingest_minutes,
    params:
        row=matrices.row,
        groupings=cells["groupings"],
        reading=reading,
        batch_nnz=matrices.batch_nnz,
        code=code("cells/cells_ingest"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_ingest.py"


rule cells_transpose:
    """Gather a range of genes from all tiles of cells: the second pass of the transposition."""
    input:
        rows="<work>/cells/{dataset}/rows",
        verdict="<work>/cells/{dataset}/verdict.json",
    output:
        genes=temp(directory("<work>/cells/{dataset}/genes/{part}")),
    log:
        "<logs>/cells/{dataset}/transpose/{part}.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/transpose/{part}.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.part_mb,
        runtime=matrices.part_minutes,
    params:
        batch_nnz=matrices.batch_nnz,
        code=code("cells/cells_transpose"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_transpose.py"


rule cells_aggregate:
    """Every statistic of a range of genes in every group of one grouping."""
    input:
        genes="<work>/cells/{dataset}/genes/{part}",
        rows="<work>/cells/{dataset}/rows",
        verdict="<work>/cells/{dataset}/verdict.json",
    output:
        stats=temp("<work>/cells/{dataset}/stats/{grouping}/{part}.npy"),
    log:
        "<logs>/cells/{dataset}/aggregate/{grouping}/{part}.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/aggregate/{grouping}/{part}.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.part_mb,
        runtime=matrices.part_minutes,
    params:
        columns=matrices.grouping,
        settings=reckoning,
        batch_nnz=matrices.batch_nnz,
        code=code("cells/cells_aggregate"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_aggregate.py"


rule cells_assemble:
    """Put views, matrices and definitions together as one version, with its manifest."""
    input:
        rows="<work>/cells/{dataset}/rows",
        genes=matrices.parts("<work>/cells/{dataset}/genes/{part}"),
        stats=matrices.stats("<work>/cells/{dataset}/stats/{grouping}/{part}.npy"),
        verdict="<work>/cells/{dataset}/verdict.json",
    output:
        version=temp(directory("<work>/cells/{dataset}/version")),
    log:
        "<logs>/cells/{dataset}/assemble.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/assemble.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.assemble_mb,
        runtime=matrices.assemble_minutes,
    params:
        groupings=cells["groupings"],
        settings=reckoning | {key: cells[key] for key in ("statistics", "duplicate_genes")},
        code=code("cells/cells_assemble"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_assemble.py"


rule cells_verify:
    """Compare the version with what was read: sums and counts by three routes, and a sample of
    all statistics by another path."""
    input:
        rows="<work>/cells/{dataset}/rows",
        genes=matrices.parts("<work>/cells/{dataset}/genes/{part}"),
        version="<work>/cells/{dataset}/version",
        verdict="<work>/cells/{dataset}/verdict.json",
    output:
        report="<work>/cells/{dataset}/verify.json",
    log:
        "<logs>/cells/{dataset}/verify.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/verify.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.assemble_mb,
        runtime=matrices.assemble_minutes,
    params:
        seed=config["seed"],
        groupings=cells["groupings"],
        settings=reckoning,
        code=code("cells/cells_verify"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_verify.py"


rule cells_publish:
    """Let readers see the new version, whole, from one moment to the next."""
    input:
        version="<work>/cells/{dataset}/version",
        report="<work>/cells/{dataset}/verify.json",
        verdict="<work>/cells/{dataset}/verdict.json",
    output:
        published="<results>/cells/{dataset}/published.json",
    log:
        "<logs>/cells/{dataset}/publish.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/publish.jsonl"
    # One who published in between makes this one the loser: it is refused, and asks again.
    retries: 2
    threads: 1
    resources:
        mem_mb=matrices.check_mb,
        runtime=matrices.assemble_minutes,
    params:
        store=cells["store"],
        code=code("cells/cells_publish"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_publish.py"


rule cells_gc:
    """Remove versions that are neither kept nor within their grace time."""
    input:
        published="<results>/cells/{dataset}/published.json",
        verdict="<work>/cells/{dataset}/verdict.json",
    output:
        removed="<work>/cells/{dataset}/gc.json",
    log:
        "<logs>/cells/{dataset}/gc.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/gc.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.check_mb,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings={key: cells[key] for key in ("store", "keep_versions", "grace_hours")},
        code=code("cells/cells_gc"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_gc.py"


rule cells_figures:
    """Draw a published dataset: dot plot, heat map, and its cells where it has a layout of them."""
    input:
        published="<results>/cells/{dataset}/published.json",
        checked="<work>/cells/{dataset}/verify.json",
        verdict="<work>/cells/{dataset}/verdict.json",
    output:
        figures=directory("<results>/cells/{dataset}/figures"),
        summary="<work>/cells/{dataset}/summary.json",
    log:
        "<logs>/cells/{dataset}/figures.log",
    benchmark:
        "<benchmarks>/cells/{dataset}/figures.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.assemble_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        store=cells["store"],
        code=code("cells/cells_figures"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_figures.py"


rule cells_report:
    """The account of every dataset, what was set aside and why, and the page."""
    input:
        verdicts=lambda wildcards: expand(
            "<work>/cells/{dataset}/verdict.json", dataset=matrices.datasets()
        ),
        summaries=lambda wildcards: expand(
            "<work>/cells/{dataset}/summary.json", dataset=matrices.datasets()
        ),
        figures=lambda wildcards: expand(
            "<results>/cells/{dataset}/figures", dataset=matrices.datasets()
        ),
    output:
        datasets=report(
            ensure("<results>/cells/datasets.tsv", non_empty=True),
            category="Expression matrices",
            caption="../report/cells_datasets.rst",
            labels={"content": "datasets"},
        ),
        quarantine=report(
            ensure("<results>/cells/quarantine.tsv", non_empty=True),
            category="Expression matrices",
            caption="../report/cells_quarantine.rst",
            labels={"content": "what was set aside, and why"},
        ),
        ledger=ensure("<results>/cells/ledger.json", non_empty=True),
        page=report(
            ensure("<results>/cells/cells.html", non_empty=True),
            category="Expression matrices",
            caption="../report/cells_page.rst",
            labels={"content": "page of the datasets"},
        ),
    log:
        "<logs>/cells/report.log",
    benchmark:
        "<benchmarks>/cells/report.jsonl"
    threads: 1
    resources:
        mem_mb=matrices.check_mb,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        rows=matrices.rows,
        settings=telling,
        strict=cells["strict"],
        code=code("cells/cells_report"),
    conda:
        "../envs/cells.yaml"
    script:
        "../scripts/cells/cells_report.py"
