// A list to choose from, for a field of the editor: asked for when it is opened, searched as it is typed, by keyboard too.

(() => {
  const dialog = () => document.getElementById("options");
  const list = () => document.getElementById("options-list");
  const search = () => dialog().querySelector("[type=search]");
  let waits = "";
  let asking = null; // the button that was pressed
  let round = 0;

  async function load() {
    const mine = ++round;
    list().innerHTML = waits;
    list().setAttribute("aria-busy", "true");
    const body = new URLSearchParams(new FormData(document.getElementById("editor")));
    let answer = null;
    try {
      answer = await fetch(asking.dataset.options, { method: "POST", body, headers: { "HX-Request": "true" } });
    } catch {
      answer = null;
    }
    const text = answer && answer.ok ? await answer.text() : "";
    if (mine !== round) return;
    list().setAttribute("aria-busy", "false");
    if (text) list().innerHTML = text;
    else problem(answer);
    filter();
  }

  function problem(answer) {
    const say = document.body.dataset;
    const alert = document.createElement("div");
    alert.className = "alert alert-warning";
    alert.setAttribute("role", "alert");
    alert.textContent = answer ? say.sayFailed : say.sayAway;
    const again = document.createElement("button");
    again.type = "button";
    again.className = "btn btn-sm";
    again.dataset.again = "";
    again.textContent = say.sayAgain;
    list().replaceChildren(alert, again);
  }

  const shown = () => [...list().querySelectorAll("li:not([hidden]) > button")];

  function filter() {
    const words = search().value.toLowerCase().split(/\s+/).filter(Boolean);
    list().querySelectorAll("li").forEach((one) => {
      const text = `${one.textContent} ${one.firstElementChild.dataset.value}`.toLowerCase();
      one.hidden = !words.every((word) => text.includes(word));
    });
    const none = list().querySelector("[data-none]");
    if (none) none.hidden = shown().length > 0;
  }

  function take(option) {
    const field = document.getElementById(asking.dataset.for);
    const named = document.getElementById("editor").elements[`n.${field.name}`];
    if (named) named.value = `${option.dataset.value}\n${option.dataset.label}`;
    field.value = option.dataset.value;
    dialog().close();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
    field.focus();
  }

  document.addEventListener("click", (event) => {
    const open = event.target.closest("#editor [data-options]");
    if (open) {
      if (!waits) waits = list().innerHTML;
      asking = open;
      document.getElementById("options-title").textContent = open.dataset.title;
      search().value = "";
      dialog().showModal();
      search().focus();
      load();
      return;
    }
    if (!dialog() || !dialog().open) return;
    const option = event.target.closest("#options-list [data-value]");
    if (option) take(option);
    else if (event.target.closest("#options [data-again]")) load();
    else if (event.target.closest("#options [data-close]") || event.target === dialog()) dialog().close();
  });

  document.addEventListener("input", (event) => {
    if (event.target.closest("#options [type=search]")) filter();
  });

  document.addEventListener("keydown", (event) => {
    if (!dialog() || !dialog().open) return;
    const buttons = shown();
    const at = buttons.indexOf(document.activeElement);
    if (event.key === "Escape") {
      event.preventDefault(); // in a search it would only empty it
      dialog().close();
    } else if (event.key === "Enter" && document.activeElement === search()) {
      event.preventDefault();
      if (buttons.length) take(buttons[0]);
    } else if (event.key === "ArrowDown" && buttons.length) {
      event.preventDefault();
      buttons[Math.min(at + 1, buttons.length - 1)].focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      (at ? buttons[at - 1] : search()).focus();
    }
  });
})();
