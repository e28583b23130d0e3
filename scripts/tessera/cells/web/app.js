// The page: what is chosen stands in its address, and everything shown follows from that.

import { Outdated, Refused, address, ask } from "./api.js";
import { combobox } from "./combobox.js";
import { drawExpression, drawMarkers } from "./plots.js";
import { drawTable } from "./table.js";
import { drawMaps } from "./umap.js";
import { count, element, num } from "./words.js";

const at = (id) => document.getElementById(id);
const main = document.querySelector("main");
const maps = {
  value: at("umap-value"), group: at("umap-group"), scale: at("umap-scale"),
  legend: at("umap-legend"),
};

let datasets = [];
let info = null; // of the dataset shown, and thereby of one version
let shown = {}; // answers that the panels show
let work = new AbortController();

// ---- what is chosen, in the address ----

function chosen() {
  const given = new URLSearchParams(location.search);
  const known = datasets.map(({ dataset }) => dataset);
  const dataset = known.includes(given.get("dataset")) ? given.get("dataset") : known[0];
  const shape = given.get("shape") === "box" ? "box" : "violin";
  return { dataset, gene: given.get("gene"), grouping: given.get("grouping"), shape };
}

/** The address of what is chosen, with a change. */
function link(change) {
  const next = { ...chosen(), ...change };
  const given = new URLSearchParams();
  for (const key of ["dataset", "gene", "grouping"]) if (next[key]) given.set(key, next[key]);
  if (next.shape === "box") given.set("shape", "box");
  return `?${given}`;
}

function choose(change) {
  history.pushState(null, "", link(change));
  show();
}

// ---- loading ----

async function show() {
  work.abort();
  work = new AbortController();
  const { signal } = work;
  main.setAttribute("aria-busy", "true");
  at("notice").hidden = true;
  try {
    await load(signal);
  } catch (error) {
    if (signal.aborted) return;
    try {
      if (!(error instanceof Outdated)) throw error;
      info = null; // published meanwhile: once more, all of the new version
      shown = {};
      await load(signal);
    } catch (again) {
      if (signal.aborted) return;
      fail(again);
    }
  }
  if (!signal.aborted) main.removeAttribute("aria-busy");
}

function fail(error) {
  if (!(error instanceof Refused)) console.error(error);
  at("notice").textContent =
    error instanceof Refused ? error.message : "The page met a fault of its own; load it again.";
  at("notice").hidden = false;
  for (const id of ["expression", "numbers"]) at(id).hidden = true;
  if (!info) at("title").textContent = "Nothing to show";
}

async function load(signal) {
  if (!datasets.length) {
    ({ datasets } = await ask(["datasets"], {}, signal));
    fill(at("dataset"), datasets.map(({ dataset }) => [dataset, dataset]));
    if (!datasets.length) throw new Refused("Nothing was published in this store so far.");
  }
  const wish = chosen();
  if (info?.dataset !== wish.dataset) {
    info = await ask([wish.dataset, "info"], {}, signal);
    shown = {};
    fill(at("grouping"), info.groupings.map(({ name, columns }) => [name, columns.join(" + ")]));
    drawFacts();
  }
  const known = info.groupings.map(({ name }) => name);
  const view = { ...wish, grouping: known.includes(wish.grouping) ? wish.grouping : known[0] };
  at("dataset").value = view.dataset;
  at("grouping").value = view.grouping;
  at("gene").value = view.gene ?? "";
  document.querySelector(`input[name=shape][value=${view.shape}]`).checked = true;
  document.title = view.gene ? `${view.gene} in ${view.dataset}` : `${view.dataset}, Tessera cells`;

  const grouping = info.groupings.find(({ name }) => name === view.grouping);
  const get = (path, query) => ask([view.dataset, ...path], query, signal, info.version);
  const of = { grouping: view.grouping };
  const common = Promise.all([
    keep("heatmap", view.grouping, () => get(["heatmap"], of)),
    info.umap ? keep("umap", view.grouping, () => get(["umap"], of)) : null,
  ]);
  const own = !view.gene ? [] : [
    get(["gene", view.gene], of),
    get(["violin", view.gene], of),
    info.umap ? get(["expression", view.gene], { cells: "umap" }) : null,
  ];
  // A gene that does not exist must not hide what shows without one.
  const told = Promise.allSettled(own);
  const [heatmap, umap] = await common;
  const answers = await told;
  if (signal.aborted) return;
  const refused = answers.find(({ status }) => status === "rejected")?.reason;
  if (refused instanceof Outdated) throw refused;
  const [statistics, violin, expression] = refused ? [] : answers.map(({ value }) => value);
  await draw({ view, grouping, heatmap, umap, statistics, violin, expression });
  if (refused) throw refused;
}

/** Ask only for what is not there yet. */
async function keep(name, key, request) {
  if (shown[name]?.key !== key) shown[name] = { key, answer: await request() };
  return shown[name].answer;
}

// ---- drawing ----

async function draw(now) {
  const { view, grouping, heatmap, umap, statistics, violin, expression } = now;
  const groups = grouping.columns.join(" + ");
  at("title").textContent = statistics ? view.gene : view.dataset;
  subtitle(view, groups, heatmap, statistics);

  at("markers").hidden = !heatmap.genes.length;
  if (heatmap.genes.length) {
    await drawMarkers(at("markers-plot"), heatmap, (gene) => {
      choose({ gene });
      window.scrollTo({ top: 0, behavior: "smooth" });
    });
    at("markers-caption").textContent = `${heatmap.text} Click a row to choose its gene.`;
  }

  at("umap").hidden = !umap;
  if (umap) drawCells(umap, groups, view.gene, expression);

  for (const id of ["expression", "numbers"]) at(id).hidden = !statistics;
  shown.expression = statistics && (() => {
    const { shape } = chosen();
    at("expression-caption").textContent = violin.text[shape];
    return drawExpression(at("expression-plot"), violin, shape);
  });
  if (!statistics) return;
  at("expression-title").textContent = `${view.gene} by ${groups}`;
  await shown.expression();
  drawTable(at("table"), statistics);
  at("numbers-link").href = address([view.dataset, "gene", view.gene], {
    grouping: view.grouping,
  });
  at("definition").textContent = grouping.definition.text.join(" ");
}

function drawCells(umap, groups, name, expression) {
  let gene = null;
  if (expression) {
    const values = new Float64Array(umap.x.length);
    expression.index.forEach((k, i) => { values[k] = expression.values[i]; });
    gene = { name, values, unit: expression.unit };
  }
  at("umap-value-title").textContent = gene ? name : "No gene is chosen yet";
  at("umap-group-title").textContent = groups;
  at("umap-caption").textContent = umap.text;
  shown.maps = () => drawMaps(maps, umap, gene);
  shown.maps();
}

function subtitle(view, groups, heatmap, statistics) {
  const place = at("subtitle");
  if (statistics) {
    const n = statistics.rows.length;
    place.textContent =
      `in ${view.dataset}, ${count(n, "group")} of cells by ${groups}, ` +
      `version ${info.version.slice(0, 8)}`;
    return;
  }
  place.replaceChildren(
    `${count(info.cells, "cell")}, ${count(info.genes, "gene")}. Choose a gene above` +
      `${heatmap.genes.length ? ", or one of these: " : "."}`,
    element("br"),
    ...heatmap.genes.slice(0, 6).map((gene) => {
      const button = element("button", gene);
      button.type = "button";
      button.addEventListener("click", () => choose({ gene }));
      return button;
    }),
  );
}

function drawFacts() {
  const facts = [
    ["Dataset", info.dataset],
    ["Version", info.version],
    ["Cells", num(info.cells)],
    ["Genes", num(info.genes)],
    ["Values that are not zero", num(info.nnz)],
    ["Values shown", info.unit],
  ];
  at("facts").replaceChildren(...facts.map(([name, value]) => {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
  at("about").hidden = false;
}

function fill(select, choices) {
  select.replaceChildren(...choices.map(([value, text]) => {
    const option = element("option", text);
    option.value = value;
    return option;
  }));
}

// ---- what a reader does ----

combobox(
  at("gene"),
  at("genes"),
  (search, signal) => ask([chosen().dataset, "genes"], { search, limit: 12 }, signal),
  async (typed) => {
    // Letters may be typed in any case; the first gene found is the one of just this name.
    const query = { search: typed, limit: 1 };
    const found = await ask([chosen().dataset, "genes"], query).catch(() => ({ genes: [] }));
    const same = found.genes[0]?.toLowerCase() === typed.toLowerCase();
    choose({ gene: same ? found.genes[0] : typed });
  },
);
at("choices").addEventListener("submit", (event) => event.preventDefault());
at("dataset").addEventListener("change", (event) =>
  choose({ dataset: event.target.value, grouping: null }));
at("grouping").addEventListener("change", (event) => choose({ grouping: event.target.value }));
for (const input of document.querySelectorAll("input[name=shape]")) {
  input.addEventListener("change", () => {
    history.replaceState(null, "", link({ shape: input.value }));
    shown.expression?.();
  });
}
window.addEventListener("popstate", show);
let resized = 0;
window.addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    shown.maps?.();
    shown.expression?.();
  }, 150);
});
show();
