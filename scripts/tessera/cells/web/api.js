// Requests to this page's own server, and nothing else.

/** An answer that is no success; its message is a sentence for the reader. */
export class Refused extends Error {}

/** An answer about another version than the page shows: a new one was published meanwhile. */
export class Outdated extends Error {}

/**
 * Ask the server.
 * @param {string[]} path - parts of the path under api/, not yet encoded
 * @param {Object} query - parameters; those that are null are left out
 * @param {AbortSignal} [signal]
 * @param {string} [version] - the version that the answer must be about
 */
export async function ask(path, query = {}, signal = undefined, version = undefined) {
  let response;
  try {
    response = await fetch(address(path, query), { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer; start it again with “cells.py serve”.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refused(answer.error ?? `The server answered with status ${response.status}.`);
  }
  if (version && answer.version !== version) throw new Outdated();
  return answer;
}

/** The address of an answer, relative to the page. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value != null);
  const search = new URLSearchParams(given).toString();
  return `api/${path.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}
