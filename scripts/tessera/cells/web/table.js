// The table of statistics, which a click on a heading sorts.

import { element, num, percent } from "./words.js";

const HEADINGS = {
  n: "cells", count_nonzero: "express it", fraction: "share", var: "variance",
  trimmed_mean: "trimmed mean",
};

/** p05 is 5 %, p02.5 is 2.5 %. */
function heading(column) {
  const percentile = /^p(\d+(?:\.\d+)?)$/.exec(column);
  return percentile ? `${Number(percentile[1])} %` : (HEADINGS[column] ?? column);
}

export function drawTable(table, answer) {
  const columns = ["group", ...answer.columns];
  const rows = answer.rows.map((row, k) => [answer.groups[k], ...row]);
  let order = { column: 0, down: false };

  function body() {
    const { column, down } = order;
    const sorted = rows.map((row, k) => [row[column], k]).sort(([a, i], [b, j]) => {
      if (column === 0 || a === b) return down ? j - i : i - j;
      if (a == null || b == null) return a == null ? 1 : -1;
      return down ? b - a : a - b;
    });
    table.tBodies[0].replaceChildren(...sorted.map(([, k]) => {
      const line = document.createElement("tr");
      line.append(...rows[k].map((value, c) => {
        if (c === 0) return element("td", value);
        const cell = element("td", columns[c] === "fraction" ? percent(value) : num(value));
        if (value != null) cell.title = String(value);
        return cell;
      }));
      return line;
    }));
    [...table.tHead.rows[0].cells].forEach((cell, c) => {
      if (c === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }

  const head = document.createElement("tr");
  head.append(...columns.map((name, c) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    const button = element("button", c ? heading(name) : "group");
    button.type = "button";
    button.title = name;
    button.addEventListener("click", () => {
      order = { column: c, down: order.column === c ? !order.down : c > 0 };
      body();
    });
    cell.append(button);
    return cell;
  }));
  table.tHead.replaceChildren(head);
  body();
}
