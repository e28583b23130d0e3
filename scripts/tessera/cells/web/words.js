// Numbers and names as a reader sees them.

/** A number with four digits that count; a dash where there is none. */
export function num(value) {
  if (value == null) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("-", "−");
  const text = value.toLocaleString("en", { maximumSignificantDigits: 4 });
  return text.replace("-", "−");
}

export function percent(share) {
  if (share == null) return "–";
  const of100 = share * 100;
  if (of100 > 0 && of100 < 1) return "< 1 %";
  if (of100 < 100 && of100 > 99) return "> 99 %";
  return `${Math.round(of100)} %`;
}

/** A count with its noun. */
export const count = (n, noun) => `${num(n)} ${noun}${n === 1 ? "" : "s"}`;

/** A name cut to so many letters. */
export function cut(name, letters) {
  const all = [...name];
  return all.length > letters ? `${all.slice(0, letters - 1).join("")}…` : name;
}

/** Text that plotly shows letter by letter: it takes `<b>` and `&lt;` for marks of its own. */
export const literal = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** An element with a text and, where given, a class. */
export function element(tag, text = "", kind = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  return node;
}
