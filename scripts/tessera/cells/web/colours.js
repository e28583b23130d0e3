// Colours that stay apart for every kind of colour vision.

const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37],
];
export const GREY = "#d5d9de";

// Okabe and Ito's, without black; from the eighth group on, the same in darker and in lighter.
const OKABE_ITO = [
  [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0],
  [240, 228, 66],
];

const rgb = (parts) => `rgb(${parts.map(Math.round).join(",")})`;

/** Viridis at a share of its range. */
export function viridis(share) {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const k = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return rgb(VIRIDIS[k].map((low, c) => low + (at - k) * (VIRIDIS[k + 1][c] - low)));
}

/** Viridis as plotly wants it. */
export const VIRIDIS_SCALE = VIRIDIS.map((c, k) => [k / (VIRIDIS.length - 1), rgb(c)]);

/** The colour of the k-th group. */
export function groupColour(k) {
  const base = OKABE_ITO[k % OKABE_ITO.length];
  const round = Math.floor(k / OKABE_ITO.length) % 3;
  if (round === 1) return rgb(base.map((c) => c * 0.55));
  if (round === 2) return rgb(base.map((c) => c + (255 - c) * 0.55));
  return rgb(base);
}
