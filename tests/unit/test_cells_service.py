import http.client
import subprocess
import sys
import threading
from urllib.parse import quote, urlsplit

import pytest

import services
from tessera.cells.service import PAGE, is_loopback
from tessera.cells.store import open_store
from tools import ROOT

SCRIPTS = sorted(path.name for path in PAGE.glob("*.js"))


# ---- errors ----


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (
            "/api/brian/info", 404,
            ["store: has no dataset brian; expected one of brain, hostile, logs "
             "(did you mean brain?)."],
        ),
        (
            "/api/brain/gene/gad1", 404,
            ["brain: has no gene gad1; expected the name of one of its 9 genes "
             "(did you mean Gad1?)."],
        ),
        (
            "/api/brain/violin/gad1", 404,
            ["brain: has no gene gad1; expected the name of one of its 9 genes "
             "(did you mean Gad1?)."],
        ),
        (
            "/api/brain/gene/Gad1?grouping=celltype", 400,
            ["brain: has no grouping celltype; expected one of cell_type, cell_type+sex "
             "(did you mean cell_type?)."],
        ),
        (
            "/api/brain/top?group=exc&by=men", 400,
            ["brain: has no group of cell_type exc; expected one of Exc, Glia, Int "
             "(did you mean Exc?).",
             "brain: has no statistic in cell_type men; expected one of n, count_nonzero, "
             "fraction, sum, mean, var, min, p05, p25, median, p75, p95, max, trimmed_mean "
             "(did you mean mean?)."],
        ),
        (
            "/api/brain/top?groupx=Exc&n=0", 400,
            ["request: parameter group: is missing; add group=... to the address.",
             "request: parameter n: is '0'; expected a whole number from 1 to 1,000.",
             "request: has no parameter 'groupx'; expected grouping, group, by, n "
             "(did you mean group?)."],
        ),
        (
            "/api/brain/genes?limit=9999", 400,
            ["request: parameter limit: is '9999'; expected a whole number from 1 to 1,000."],
        ),
        (
            "/api/brain/heatmap?genes=Gad1,nope,gad2", 400,
            ["brain: has no gene nope; expected the name of one of its 9 genes.",
             "brain: has no gene gad2; expected the name of one of its 9 genes "
             "(did you mean Gad2?)."],
        ),
        (
            "/api/brain/heatmap?by=max2", 400,
            ["request: parameter by: is 'max2'; expected one of n, count_nonzero, fraction, sum, "
             "mean, var, min, p05, p25, median, p75, p95, max, trimmed_mean "
             "(did you mean max?)."],
        ),
        (
            "/api/brain/heatmap?genes=" + ",".join(f"g{n}" for n in range(201)), 400,
            ["request: parameter genes: names 201 genes; name 200 at most."],
        ),
        (
            "/api/brain/expression/Gad1?cells=all", 400,
            ["request: parameter cells: is 'all'; expected one of index, name, umap."],
        ),
        (
            "/api/logs/umap", 404,
            ["logs: has no map: its metadata have no columns umap_1 and umap_2; add them, and "
             "publish anew."],
        ),
        (
            "/api/datasets?x=1", 400,
            ["request: has no parameter 'x'; this address takes none."],
        ),
        (
            "/api/brain/sql", 400,
            ["request: parameter q: is missing; add q=... to the address."],
        ),
    ],
    ids=lambda value: value.split("?")[0] if isinstance(value, str) else None,
)  # fmt: skip
def test_errors_say_what_and_what_to_do(server, path, status, said):
    assert services.refused(server, path, status) == said


@pytest.mark.parametrize("path", ["/api", "/api/", "/nothing", "/api/brain", "/api/brain/infos"])
def test_nothing_at_an_address(server, path):
    answer = server.get(path)
    assert (answer.status, answer.json) == (404, {"error": "There is nothing at this address."})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/api/datasets", "/api/brain/gene/Gad1", "/static/app.js"])
def test_the_service_only_reads(server, method, path):
    answer = server.get(path, method)
    assert answer.status == 405
    assert answer.json == {"error": "This service only reads: the method must be GET."}


# ---- safety ----


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../service.py", "/static/%2e%2e/service.py", "/static/..%2fservice.py"),
        *("/static//etc/passwd", "/../../etc/passwd", "/api/../CURRENT", "/api/%2e%2e/info"),
        *("/api/..%2f..%2fetc/info", "/api/brain%2fversions/info", "/api/.tmp-x/info"),
        *("/static/%00", "/api/%00/info", "/api/brain/gene/..%2f..%2fCURRENT"),
        "/api/brain/gene/%00",
    ],
)
def test_no_path_leads_out(server, path):
    """Sent as it is, by a connection that does not tidy it."""
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in (400, 404), body
    assert b"root:" not in body
    assert b"import " not in body


@pytest.mark.parametrize(
    "grouping", ["../../CURRENT", "..", "/etc", "cell_type/..", "cell_type/../cell_type", "\0"]
)
def test_no_grouping_leads_out(server, grouping):
    said = services.refused(
        server, f"/api/brain/gene/Gad1?grouping={quote(grouping, safe='')}", 400
    )
    assert said[0].startswith(f"brain: has no grouping {grouping}".rstrip())


# No address can end in "..", which every client takes for a step up.
@pytest.mark.parametrize("gene", sorted({*services.HOSTILE} - {".."}))
def test_hostile_names_of_genes_are_names(get, gene):
    for route in ("gene", "violin", "expression"):
        assert get(f"/api/hostile/{route}/{quote(gene, safe='')}")["gene"] == gene
    assert gene in get("/api/hostile/genes?search=" + quote(gene))["genes"]


def test_hostile_names_in_queries_are_names(get):
    assert get("/api/hostile/heatmap?genes=..")["genes"] == [".."]
    groups = sorted(services.HOSTILE_TYPES)
    assert get("/api/hostile/umap")["groups"] == groups
    for group in groups:
        assert get(f"/api/hostile/top?group={quote(group)}")["group"] == group


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/static/plotly.min.js", "/api/datasets", "/nothing"]
)
def test_headers_of_every_answer(server, path):
    headers = server.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_a_server_of_another_name_is_not_this_one(server, host):
    """As when a web site lets its own name point here (DNS rebinding)."""
    answer = server.get("/api/datasets", Host=host)
    assert answer.status == 400
    assert b"brain" not in answer.body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:99", "[::1]:80", "LOCALHOST:8000"])
def test_names_of_this_machine_are_known(server, host):
    assert server.get("/api/datasets", Host=host).status == 200


def test_a_given_host_is_known_by_its_name(shared_store):
    with services.served(shared_store, "cells.lab.example") as running:
        assert running.get("/api/datasets", Host="cells.lab.example").status == 200
        assert running.get("/api/datasets", Host="other.lab.example").status == 400
    with services.served(shared_store, "0.0.0.0") as running:
        assert running.get("/api/datasets", Host="anything.example").status == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("lab.example", False)),
    ],
)
def test_which_hosts_are_this_machine_alone(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("name", ["index.html", *SCRIPTS])
def test_the_page_names_no_other_host_and_puts_no_data_into_html(server, name):
    answer = server.get("/" if name == "index.html" else f"/static/{name}")
    assert answer.status == 200
    text = answer.body.decode().replace("http://www.w3.org/2000/svg", "")
    assert "//" not in [line for line in text.splitlines() if "http" in line]
    for word in ("http:", "https:", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval("):
        assert word not in text
    assert "<script>" not in text
    assert " on" not in [part for part in text.split("<") if part.startswith("img")]


# ---- versions ----


def test_an_answer_that_is_known_is_not_sent_again(server, shared_store):
    first = server.get("/api/brain/violin/Gad1")
    version = open_store(shared_store).current("brain").version
    assert first.json["version"] == version
    assert first.headers["etag"] == f'"{version}-1"'
    for known in (
        first.headers["etag"],
        f"W/{first.headers['etag']}",
        f'"x", {first.headers["etag"]}',
    ):
        again = server.get("/api/brain/violin/Gad1", If_None_Match=known)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert server.get("/api/brain/violin/Gad1", If_None_Match='"old-1"').status == 200


def test_sql_is_always_answered_anew(server):
    """A query may ask for the time."""
    tag = server.get("/api/brain/info").headers["etag"]
    answer = server.get("/api/brain/sql?q=SELECT+now()", If_None_Match=tag)
    assert answer.status == 200
    assert "etag" not in answer.headers


def test_a_new_version_is_answered_at_once_and_the_old_one_after_a_rollback(tmp_path):
    store = tmp_path / "store"
    old = services.publish(store, tmp_path / "old", "brain", services.tissue(1))
    with services.served(store) as running:
        first = running.get("/api/brain/gene/Gad1")
        new = services.publish(store, tmp_path / "new", "brain", services.tissue(9))
        second = running.get("/api/brain/gene/Gad1", If_None_Match=first.headers["etag"])
        assert (second.status, second.json["version"]) == (200, new)
        assert second.json["rows"] != first.json["rows"]
        open_store(store).rollback("brain")
        third = running.get("/api/brain/gene/Gad1", If_None_Match=second.headers["etag"])
        assert third.json == first.json
        assert third.json["version"] == old


def test_every_answer_is_of_one_version_while_others_are_published(tmp_path):
    """Rows of the table always belong to the version that the answer names."""
    store = tmp_path / "store"
    rows, seen, faults = {}, set(), []
    with services.served(store) as running:
        for seed in (1, 2):
            services.publish(store, tmp_path / str(seed), "brain", services.tissue(seed))
            answer = running.get("/api/brain/gene/Gad1").json
            rows[answer["version"]] = answer["rows"]
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                answer = running.get("/api/brain/gene/Gad1")
                if answer.status != 200 or answer.json["rows"] != rows[answer.json["version"]]:
                    faults.append(answer)
                seen.add(answer.json["version"])

        readers = [threading.Thread(target=ask) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(30):
            opened = open_store(store)
            other = next(v for v in rows if v != opened.current("brain").version)
            opened.rollback("brain", other)
        stop.set()
        for reader in readers:
            reader.join()
    assert not faults
    assert seen == set(rows)


def test_a_damaged_store_is_told_without_its_place(tmp_path):
    store = tmp_path / "store"
    services.publish(store, tmp_path / "one", "brain", services.tissue(1))
    with services.served(store) as running:
        assert running.get("/api/brain/info").status == 200
        (store / "brain/CURRENT").write_text("nonsense")
        answer = running.get("/api/brain/gene/Gad1")
    assert answer.status == 503
    assert "does not name a version" in answer.json["error"]
    assert str(tmp_path) not in answer.body.decode()


def test_the_command_serves_a_free_port_and_stops_in_peace(shared_store):
    command = [sys.executable, ROOT / "scripts/cells.py", "serve", "--store", shared_store]
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()
        assert said.endswith("/  (Ctrl-C stops it)\n")
        answer = services.Server(said.split("/  ")[0]).get("/api/datasets")
        assert (answer.status, "server" in answer.headers) == (200, False)
    finally:
        process.terminate()
        rest = process.communicate(timeout=30)[1]
    assert "Traceback" not in rest
