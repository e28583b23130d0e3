// Two maps of the same cells on canvases: by expression and by group. Plotly's fast scatter plots
// make code from strings, which this page's security policy forbids.

import { GREY, groupColour, viridis } from "./colours.js";
import { cut, element, num } from "./words.js";

const MARGIN = { left: 26, right: 8, top: 8, bottom: 26 };
const LETTERS = 26;

/** Where each cell stands on a canvas, in CSS pixels. */
function place(canvas, cells) {
  const { width, height } = canvas.getBoundingClientRect();
  const bounds = (values) => values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity],
  );
  const [left, right] = bounds(cells.x);
  const [low, high] = bounds(cells.y);
  const room = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
  // One scale for both axes: distances are what a UMAP shows.
  const scale = 0.96 * Math.min(room[0] / (right - left || 1), room[1] / (high - low || 1));
  const middle = [MARGIN.left + room[0] / 2, MARGIN.top + room[1] / 2];
  return {
    width,
    height,
    x: cells.x.map((value) => middle[0] + (value - (left + right) / 2) * scale),
    y: cells.y.map((value) => middle[1] - (value - (low + high) / 2) * scale),
    radius: Math.min(4, Math.max(0.8, 0.22 * Math.sqrt((room[0] * room[1]) / cells.x.length))),
  };
}

function brush(canvas, at) {
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(at.width * density);
  canvas.height = Math.round(at.height * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  pen.strokeStyle = "#8b96a3";
  pen.beginPath();
  pen.moveTo(MARGIN.left - 6, MARGIN.top);
  pen.lineTo(MARGIN.left - 6, at.height - MARGIN.bottom + 6);
  pen.lineTo(at.width - MARGIN.right, at.height - MARGIN.bottom + 6);
  pen.stroke();
  pen.fillStyle = "#566270";
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.fillText("UMAP 1", (MARGIN.left + at.width) / 2, at.height - 6);
  pen.save();
  pen.translate(13, (at.height - MARGIN.bottom) / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText("UMAP 2", 0, 0);
  pen.restore();
  return pen;
}

function dots(pen, at, order, colour) {
  for (const k of order) {
    pen.fillStyle = colour(k);
    pen.beginPath();
    pen.arc(at.x[k], at.y[k], at.radius, 0, 2 * Math.PI);
    pen.fill();
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Names written where most cells of a group are, unless they would lie on one another. */
function write(pen, at, cells) {
  const members = cells.groups.map(() => []);
  cells.code.forEach((code, k) => code >= 0 && members[code].push(k));
  const taken = [];
  pen.font = "600 12.5px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.lineWidth = 3.5;
  pen.strokeStyle = "rgba(255,255,255,0.9)";
  pen.lineJoin = "round";
  cells.groups
    .map((name, code) => ({ name: cut(name, LETTERS), of: members[code] }))
    .filter(({ of }) => of.length)
    .sort((a, b) => b.of.length - a.of.length)
    .forEach(({ name, of }) => {
      const half = pen.measureText(name).width / 2;
      const x = Math.min(Math.max(median(of.map((k) => at.x[k])), half + MARGIN.left),
        at.width - half - 4);
      const y = median(of.map((k) => at.y[k])) + 4;
      if (taken.some((t) => Math.abs(t.x - x) < t.half + half && Math.abs(t.y - y) < 15)) return;
      taken.push({ x, y, half });
      pen.strokeText(name, x, y);
      pen.fillStyle = "#1f2933";
      pen.fillText(name, x, y);
    });
}

/** A canvas tells of the cell under the pointer. */
function hover(canvas, at, words) {
  const tip = canvas.nextElementSibling;
  canvas.onpointerleave = () => { tip.hidden = true; };
  canvas.onpointermove = (event) => {
    const x = event.offsetX;
    const y = event.offsetY;
    let near = -1;
    let least = Math.max(at.radius, 5) ** 2;
    for (let k = 0; k < at.x.length; k += 1) {
      const away = (at.x[k] - x) ** 2 + (at.y[k] - y) ** 2;
      if (away <= least) [near, least] = [k, away];
    }
    tip.hidden = near < 0;
    if (near < 0) return;
    tip.textContent = words(near);
    const right = x > at.width / 2;
    tip.style.left = right ? "auto" : `${x + 12}px`;
    tip.style.right = right ? `${at.width - x + 12}px` : "auto";
    tip.style.top = `${Math.max(0, y - 14)}px`;
  };
}

function legend(list, cells, chosen, redraw) {
  list.replaceChildren(...cells.groups.map((name, code) => {
    const button = element("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(chosen === code));
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    mark.setAttribute("width", "11");
    mark.setAttribute("height", "11");
    mark.setAttribute("aria-hidden", "true");
    const disc = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of [["cx", 5.5], ["cy", 5.5], ["r", 5], ["fill", groupColour(code)]]) {
      disc.setAttribute(key, value);
    }
    mark.append(disc);
    button.append(mark, element("span", name));
    button.addEventListener("click", () => redraw(chosen === code ? null : code));
    const item = element("li");
    item.append(button);
    return item;
  }));
}

function scale(node, low, high, unit) {
  const strip = document.createElement("canvas");
  strip.width = 200;
  strip.height = 1;
  const pen = strip.getContext("2d");
  for (let k = 0; k < 200; k += 1) {
    pen.fillStyle = viridis(k / 199);
    pen.fillRect(k, 0, 1, 1);
  }
  node.replaceChildren(
    element("span", num(low)), strip, element("span", num(high)), element("span", unit, "unit"),
  );
}

/**
 * Draw both maps.
 * @param {Object} nodes - canvases `value` and `group`, `scale` and `legend`
 * @param {Object} cells - x, y, code, groups
 * @param {?Object} gene - name, unit, and `values` of these cells, zeros included; null: none yet
 * @param {?number} chosen - the group that alone keeps its colour
 */
export function drawMaps(nodes, cells, gene, chosen = null) {
  const at = place(nodes.group, cells);
  const all = cells.x.map((_, k) => k);
  // Cells come in the order of the file; drawn so, the last group would lie on all others.
  const mixed = all.map((k) => [(k * 0.6180339887) % 1, k]).sort((a, b) => a[0] - b[0])
    .map(([, k]) => k);
  const groupOf = (k) => cells.groups[cells.code[k]] ?? "in no group";

  const coloured = (k) => cells.code[k] >= 0 && (chosen == null || cells.code[k] === chosen);
  const pen = brush(nodes.group, at);
  dots(pen, at, mixed.filter((k) => !coloured(k)), () => GREY);
  dots(pen, at, mixed.filter(coloured), (k) => groupColour(cells.code[k]));
  write(pen, at, cells);
  hover(nodes.group, at, groupOf);
  nodes.group.setAttribute("aria-label", `Map of ${num(all.length)} cells, coloured by group`);
  legend(nodes.legend, cells, chosen, (code) => drawMaps(nodes, cells, gene, code));

  const where = place(nodes.value, cells);
  const ink = brush(nodes.value, where);
  nodes.scale.hidden = !gene;
  if (!gene) {
    dots(ink, where, all, () => GREY);
    hover(nodes.value, where, groupOf);
    nodes.value.setAttribute("aria-label", `Map of ${num(all.length)} cells; no gene is chosen`);
    return;
  }
  const { values } = gene;
  const express = all.filter((k) => values[k] !== 0).sort((a, b) => values[a] - values[b]);
  const ends = express.length ? [values[express[0]], values[express.at(-1)]] : [0, 0];
  const [low, high] = [Math.min(0, ends[0]), Math.max(0, ends[1])];
  dots(ink, where, mixed.filter((k) => values[k] === 0), () => GREY);
  dots(ink, where, express, (k) => viridis((values[k] - low) / (high - low || 1)));
  scale(nodes.scale, low, high, `${gene.unit}; grey: 0`);
  hover(nodes.value, where, (k) => `${groupOf(k)}\n${num(values[k])} ${gene.unit}`);
  nodes.value.setAttribute(
    "aria-label",
    `Map of ${num(all.length)} cells, coloured by ${gene.name}: ${num(express.length)} express it`,
  );
}
