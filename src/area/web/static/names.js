// Names and filters, completed while `{{` is typed in a field of the editor. The names are those of the page's chips.

(() => {
  const MOST = 60;
  const SIMPLE = ["string", "number", "boolean", "date", "email", "url"];
  const list = () => document.getElementById("names");

  let field = null; // whose list is open
  let place = null; // what is being written there: where it begins, and the options
  let active = 0;

  /* What is written at the caret: a name, or a filter after one. */

  function written(input) {
    if (input.selectionStart !== input.selectionEnd) return null;
    const caret = input.selectionStart;
    const before = input.value.slice(0, caret);
    const start = before.lastIndexOf("{{");
    const inner = before.slice(start + 2);
    if (start < 0 || inner.includes("}}") || inner.length > 500) return null;
    const name = /^\s*([\w.[\]-]*)$/.exec(inner);
    if (name) return { start, caret, from: caret - name[1].length, query: name[1], filter: false };
    const bare = inner.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, (text) => "_".repeat(text.length));
    const filter = /^\s*([^|]*?)\s*(\|.*)?\|\s*(\w*)$/.exec(bare);
    if (!filter || /["']/.test(bare)) return null;
    const of = filter[2] ? "" : filter[1];
    return { start, caret, from: caret - filter[3].length, query: filter[3], filter: true, of };
  }

  function options(at) {
    const query = at.query.toLowerCase();
    const every = at.filter ? filters(at.of) : names();
    const rank = (one) => [one.path, one.label].findIndex((text) => text.toLowerCase().startsWith(query));
    const fit = every.filter((one) => `${one.path} ${one.label}`.toLowerCase().includes(query));
    return [...fit.filter((one) => rank(one) >= 0), ...fit.filter((one) => rank(one) < 0)].slice(0, MOST);
  }

  function names() {
    const types = JSON.parse(list().dataset.types);
    return [...document.querySelectorAll("#chips [data-path]")].map((chip) => ({
      path: chip.dataset.path,
      label: chip.dataset.label || "",
      group: chip.closest(".chip-group") ? chip.closest(".chip-group").getAttribute("aria-label") : "",
      detail: chip.dataset.example || types[chip.dataset.type] || "",
      type: types[chip.dataset.type] || "",
      chip: chip.dataset,
    }));
  }

  function filters(of) {
    const chip = [...document.querySelectorAll("#chips [data-path]")].find((one) => one.dataset.path === of);
    const simple = chip && SIMPLE.includes(chip.dataset.type);
    return [...document.getElementById("filters").options]
      .filter((one) => !simple || !one.dataset.takes || /text/.test(one.dataset.takes))
      .map((one) => ({ path: one.getAttribute("value"), label: one.textContent, group: "", detail: "", type: "" }));
  }

  /* The list below the field, or above it. */

  function update(input) {
    const at = written(input);
    const found = at ? options(at) : [];
    if (!found.length) return close();
    if (field && field !== input) close();
    field = input;
    place = { ...at, found };
    active = 0;
    draw();
  }

  function draw() {
    const box = list();
    box.replaceChildren();
    let group = null;
    let within = box;
    place.found.forEach((one, index) => {
      if (one.group !== group) {
        group = one.group;
        within = group ? section(box, group) : box;
      }
      within.append(option(one, index));
    });
    box.hidden = false;
    where();
    mark();
  }

  function section(box, title) {
    const part = document.createElement("div");
    part.setAttribute("role", "group");
    part.setAttribute("aria-label", title);
    const head = document.createElement("div");
    head.className = "names-group small quiet";
    head.setAttribute("aria-hidden", "true");
    head.textContent = title;
    part.append(head);
    box.append(part);
    return part;
  }

  function option(one, index) {
    const row = document.createElement("div");
    row.id = `names-${index}`;
    row.className = "names-option";
    row.setAttribute("role", "option");
    row.dataset.index = index;
    if (one.type) row.title = one.type;
    for (const [name, text] of [["mono", one.path], ["", one.label], ["quiet names-detail", one.detail]]) {
      if (!text) continue;
      const part = document.createElement("span");
      part.className = `${name} cut`;
      part.textContent = text;
      row.append(part, " ");
    }
    return row;
  }

  function where() {
    const box = list();
    const around = box.offsetParent.getBoundingClientRect();
    const at = field.getBoundingClientRect();
    const below = innerHeight - at.bottom;
    const above = below < box.offsetHeight + 80 && at.top > below;
    box.style.left = `${at.left - around.left}px`;
    box.style.width = `${at.width}px`;
    box.style.top = `${(above ? at.top - box.offsetHeight - 4 : at.bottom + 4) - around.top}px`;
  }

  function mark() {
    list().querySelectorAll("[role=option]").forEach((row, index) => {
      row.setAttribute("aria-selected", String(index === active));
      if (index === active) row.scrollIntoView({ block: "nearest" });
    });
    if (field.matches("input")) {
      field.setAttribute("role", "combobox");
      field.setAttribute("aria-expanded", "true");
    }
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", "names");
    field.setAttribute("aria-activedescendant", `names-${active}`);
  }

  function close() {
    if (!field) return;
    const given = ["aria-expanded", "aria-autocomplete", "aria-controls", "aria-activedescendant"];
    [...given, ...(field.matches("input") ? ["role"] : [])].forEach((name) => field.removeAttribute(name));
    list().hidden = true;
    field = place = null;
  }

  /* Taking what is marked. */

  function write(input, from, to, text) {
    input.setSelectionRange(from, to);
    if (document.execCommand("insertText", false, text)) return; // this can be undone by its keys
    input.setRangeText(text, from, to, "end");
    input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }

  function take(index) {
    const [input, at, one] = [field, place, place.found[index]];
    close();
    input.focus();
    const rest = input.value.slice(at.caret);
    const word = at.query ? /^[\w.-]*/.exec(rest)[0].length : 0; // what is left of a name that is being changed
    const after = rest.slice(word);
    const closing = /^\s*}}/.exec(after);
    if (at.filter || /^\s*\|/.test(after)) {
      write(input, at.from, at.caret + word, one.path + (closing || /^\s*\|/.test(after) ? "" : "}}"));
      const argument = at.filter ? one.path.indexOf(":") : -1;
      const end = at.from + one.path.length;
      if (argument > 0) input.setSelectionRange(at.from + argument + 1, end); // to be written over
      else input.setSelectionRange(end, end);
    } else {
      const text = "prose" in input.dataset ? one.chip.insertProse : one.chip.insert;
      write(input, at.start, at.caret + word + (closing ? closing[0].length : 0), text);
    }
  }

  document.addEventListener("input", (event) => {
    if (event.target.matches("#editor [data-fill]")) update(event.target);
  });

  document.addEventListener(
    "keydown",
    (event) => {
      if (!field || event.target !== field || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
      const last = place.found.length - 1;
      if (event.key === "ArrowDown") active = active === last ? 0 : active + 1;
      else if (event.key === "ArrowUp") active = active === 0 ? last : active - 1;
      else if (event.key === "Escape") close();
      else if (event.key === "Enter" || (event.key === "Tab" && !event.shiftKey)) take(active);
      else {
        if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) close();
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      if (field) mark();
    },
    true,
  );

  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("#names")) event.preventDefault(); // the field keeps the focus
  });

  document.addEventListener("click", (event) => {
    const row = event.target.closest("#names [role=option]");
    if (row) take(Number(row.dataset.index));
  });

  document.addEventListener("focusout", (event) => {
    if (event.target === field) close();
  });

  addEventListener("resize", () => field && where());

  document.addEventListener("htmx:after:swap", () => {
    if (!field) return;
    if (document.activeElement === field) {
      where();
      mark(); // an answer has none of these attributes
    } else close();
  });
})();
