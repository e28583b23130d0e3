// An editable combobox with a list of suggestions, as the ARIA practices describe it.

/**
 * @param {HTMLInputElement} input
 * @param {HTMLUListElement} list
 * @param {(text: string, signal: AbortSignal) => Promise<{genes: string[], total: number}>} suggest
 * @param {(name: string) => void} choose
 */
export function combobox(input, list, suggest, choose) {
  let request = null;
  let timer = 0;
  let active = -1;

  const options = () => [...list.querySelectorAll("[role=option]")];

  function close() {
    clearTimeout(timer);
    request?.abort();
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function take(name) {
    close();
    input.value = name;
    input.blur();
    choose(name);
  }

  function mark(index) {
    const all = options();
    active = all.length ? (index + all.length) % all.length : -1;
    all.forEach((option, k) => option.setAttribute("aria-selected", String(k === active)));
    if (active < 0) return;
    input.setAttribute("aria-activedescendant", all[active].id);
    all[active].scrollIntoView({ block: "nearest" });
  }

  function note(text) {
    const item = document.createElement("li");
    item.className = "more";
    item.setAttribute("role", "presentation");
    item.textContent = text;
    return item;
  }

  function show({ genes, total }) {
    const items = genes.map((name, k) => {
      const item = document.createElement("li");
      item.id = `genes-${k}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.textContent = name;
      // Before the input loses its focus, which would close the list.
      item.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        take(name);
      });
      return item;
    });
    if (!genes.length) items.push(note("No gene of this dataset is called so."));
    if (total > genes.length) {
      items.push(note(`and ${(total - genes.length).toLocaleString("en")} more: type on`));
    }
    list.replaceChildren(...items);
    list.hidden = false;
    active = -1;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
  }

  async function look() {
    request?.abort();
    request = new AbortController();
    const { signal } = request;
    try {
      const found = await suggest(input.value.trim(), signal);
      if (!signal.aborted && document.activeElement === input) show(found);
    } catch {
      // Aborted by the next letter, or told elsewhere.
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, 90);
  });
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => list.hidden && look());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) look();
      else mark(event.key === "ArrowDown" ? active + 1 : active < 0 ? -1 : active - 1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const name = active >= 0 ? options()[active].textContent : input.value.trim();
      if (name) take(name);
    } else if (event.key === "Escape") {
      close();
    }
  });
}
