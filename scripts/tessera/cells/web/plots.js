// The charts that plotly draws. Positions are numbers and names are their labels, for plotly would
// take a group called "1" for a number and one called "2020-01-01" for a date.

import { VIRIDIS_SCALE, groupColour } from "./colours.js";
import { cut, literal, num, percent } from "./words.js";

const INK = "#1f2933";
const SOFT = "#566270";
const LINE = "#dfe3e8";
const CONFIG = {
  displaylogo: false,
  responsive: true,
  modeBarButtons: [["toImage"]],
  toImageButtonOptions: { format: "svg" },
};
const FONT = {
  family: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  size: 13,
  color: INK,
};
const HOVER = { bgcolor: INK, bordercolor: INK, font: { color: "#fff" }, align: "left" };

const narrow = () => window.innerWidth < 720;
const letters = () => (narrow() ? 15 : 30);

function layout(height, more) {
  return {
    height,
    font: FONT,
    hoverlabel: HOVER,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    dragmode: false,
    ...more,
  };
}

function names(labels) {
  return {
    tickmode: "array",
    tickvals: labels.map((_, k) => k),
    ticktext: labels.map((label) => literal(cut(label, letters()))),
    ticks: "outside",
    ticklen: 5,
    tickcolor: "rgba(0,0,0,0)",
    zeroline: false,
    fixedrange: true,
    automargin: true,
  };
}

/** A bar of colours: at the right, or beneath where there is no room. */
function bar(title) {
  const where = narrow()
    ? { orientation: "h", yref: "container", y: 0, yanchor: "bottom", xanchor: "center", x: 0.5 }
    : { len: 1 };
  return {
    title: {
      text: literal(title),
      side: narrow() ? "top" : "right",
      font: { size: 12, color: SOFT },
    },
    thickness: 11,
    outlinewidth: 0,
    tickfont: { size: 11 },
    nticks: 6,
    ...where,
  };
}

function summary(group, unit) {
  const lines = [
    `<b>${literal(group.group)}</b>  ${num(group.n)} cells, ${percent(group.fraction)} express it`,
    `mean ${num(group.mean)} ${literal(unit)}`,
    `5 % ${num(group.p05)} · 25 % ${num(group.p25)} · median ${num(group.median)}` +
      ` · 75 % ${num(group.p75)} · 95 % ${num(group.p95)}`,
    `lowest ${num(group.min)}, highest ${num(group.max)}`,
  ];
  return lines.join("<br>");
}

function violins(answer) {
  const traces = [];
  answer.groups.forEach((group, k) => {
    const colour = groupColour(k);
    if (group.density) {
      const inside = answer.grid
        .map((x, i) => [x, group.density[i]])
        .filter(([, density]) => density > 0);
      const half = inside.map(([, density]) => 0.42 * density);
      const x = inside.map(([at]) => at);
      traces.push({
        type: "scatter",
        mode: "lines",
        x: [...x, ...[...x].reverse()],
        y: [...half.map((h) => k - h), ...half.map((h) => k + h).reverse()],
        fill: "toself",
        fillcolor: colour,
        opacity: 0.75,
        line: { color: colour, width: 1 },
        hoverinfo: "skip",
      });
    }
    traces.push({
      type: "scatter",
      mode: "lines",
      x: [group.p25, group.p75],
      y: [k, k],
      line: { color: INK, width: 4 },
      hoverinfo: "skip",
    });
  });
  return traces;
}

function boxes(answer) {
  return answer.groups.map((group, k) => ({
    type: "box",
    orientation: "h",
    y: [k],
    q1: [group.p25],
    median: [group.median],
    q3: [group.p75],
    lowerfence: [group.p05],
    upperfence: [group.p95],
    width: 0.6,
    line: { color: INK, width: 1.2 },
    fillcolor: groupColour(k),
    hoverinfo: "skip",
  }));
}

/** Violins or boxes of a gene by group, with a dot for its share of cells and its mean. */
export function drawExpression(node, answer, shape) {
  const { groups, unit } = answer;
  const positions = groups.map((_, k) => k);
  const hover = groups.map((group) => summary(group, unit));
  const traces = shape === "violin" ? violins(answer) : boxes(answer);
  if (shape === "box") {
    traces.push({
      type: "scatter",
      mode: "markers",
      x: groups.flatMap((group) => [group.min, group.max]),
      y: positions.flatMap((k) => [k, k]),
      marker: { symbol: "line-ns-open", size: 7, color: SOFT, line: { width: 1.5 } },
      hoverinfo: "skip",
    });
  }
  traces.push({
    type: "scatter",
    mode: "markers",
    x: groups.map((group) => group.median),
    y: positions,
    marker: { size: 8, color: "#fff", line: { color: INK, width: 1.5 } },
    hovertext: hover,
    hoverinfo: "text",
  });
  const means = groups.map((group) => group.mean);
  traces.push({
    type: "scatter",
    mode: "markers+text",
    x: positions.map(() => 0),
    y: positions,
    xaxis: "x2",
    text: groups.map((group) => `${percent(group.fraction)}`),
    textposition: "middle right",
    textfont: { size: 12, color: SOFT },
    cliponaxis: false,
    marker: {
      size: groups.map((group) => 3 + 19 * Math.sqrt(group.fraction ?? 0)),
      color: means.map((mean) => mean ?? 0),
      colorscale: VIRIDIS_SCALE,
      cmin: Math.min(0, ...means),
      cmax: Math.max(...means) || 1,
      opacity: 1,
      line: { color: SOFT, width: 0.7 },
      colorbar: bar(`Mean, ${unit}`),
    },
    hovertext: hover,
    hoverinfo: "text",
  });
  const ends = [answer.grid[0], answer.grid.at(-1)];
  const pad = 0.02 * (ends[1] - ends[0] || 1);
  const split = narrow() ? 0.74 : 0.84;
  const beneath = narrow() ? 70 : 0;
  const frame = layout(Math.max(230, 96 + 34 * groups.length) + beneath, {
    margin: { l: 10, r: narrow() ? 30 : 10, t: 34, b: 48 + beneath },
    xaxis: {
      domain: [0, split],
      range: [ends[0] - pad, ends[1] + pad],
      title: { text: literal(`${cut(answer.gene, 40)}, ${unit}`), standoff: 8 },
      gridcolor: LINE,
      zerolinecolor: LINE,
      fixedrange: true,
    },
    xaxis2: {
      domain: [split + 0.04, 1],
      range: [-0.5, 1.5],
      visible: false,
      fixedrange: true,
    },
    yaxis: { ...names(groups.map((group) => group.group)), range: [groups.length - 0.5, -0.5],
      showgrid: false },
    annotations: [{
      text: "Cells that<br>express it",
      xref: "x2 domain", yref: "paper", x: 0, y: 1, xanchor: "left", yanchor: "bottom",
      showarrow: false, font: { size: 12, color: SOFT }, align: "left",
    }],
  });
  return window.Plotly.react(node, traces, frame, CONFIG);
}

/** Genes by groups, a colour for each; a click chooses the gene. */
export function drawMarkers(node, answer, choose) {
  const { genes, groups, values, fractions, unit, by } = answer;
  const relative = !unit.startsWith("log") && !unit.startsWith("ln");
  const shown = values.map((row) => {
    const top = Math.max(...row.map((value) => Math.abs(value ?? 0)));
    return relative && top ? row.map((value) => value && value / top) : row;
  });
  const hover = genes.map((gene, i) =>
    groups.map((group, j) =>
      [
        `<b>${literal(gene)}</b> in ${literal(group)}`,
        `${literal(by)} ${num(values[i][j])} ${literal(unit)}`,
        fractions && `${percent(fractions[i][j])} of cells express it`,
      ].filter(Boolean).join("<br>"),
    ),
  );
  const trace = {
    type: "heatmap",
    z: shown,
    zmin: Math.min(0, ...shown.flat()),
    x: groups.map((_, k) => k),
    y: genes.map((_, k) => k),
    colorscale: VIRIDIS_SCALE,
    hovertext: hover,
    hoverinfo: "text",
    xgap: 1,
    ygap: 1,
    colorbar: bar(relative ? "Share of the gene's highest" : `${by}, ${unit}`),
  };
  const beneath = narrow() ? 80 : 0;
  const frame = layout(Math.max(210, 110 + 18 * genes.length) + beneath, {
    margin: { l: 10, r: 10, t: 12, b: 20 + beneath },
    xaxis: { ...names(groups), showgrid: false, tickangle: groups.length > 4 ? -45 : 0 },
    yaxis: { ...names(genes), showgrid: false, range: [genes.length - 0.5, -0.5],
      tickfont: { size: 12 } },
  });
  const drawn = window.Plotly.react(node, [trace], frame, CONFIG);
  node.removeAllListeners("plotly_click");
  node.on("plotly_click", (event) => choose(genes[event.points[0].y]));
  return drawn;
}
