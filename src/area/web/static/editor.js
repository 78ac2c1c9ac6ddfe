// The editor: sends the form whenever something changed, never while an answer is awaited, and never lets an answer that is
// older than what was typed since take its place.

(() => {
  const WAIT = 450; // ms after the last key
  const FIND = 180; // in a search
  const RETRY = 10000; // while the server is away
  const form = () => document.getElementById("editor");

  let changed = false; // since it was last sent
  let timer = null;
  let busy = false;
  let asked = null; // a button that was pressed while an answer was awaited
  let saving = false;
  let verb = "";
  let failed = ""; // why what was typed last is not on the server: a status, or "away"

  htmx.config.morphIgnore.push("open"); // who folded something out wants it to stay

  function send(what) {
    clearTimeout(timer);
    timer = null;
    if (busy || saving) {
      if (what !== undefined) asked = what;
      else changed = true;
      return;
    }
    const one = form();
    verb = what || "";
    one.elements.do.value = verb;
    changed = false;
    busy = true;
    htmx.trigger(one, "refresh");
  }

  function state(name) {
    const line = document.getElementById("draft-state");
    line.textContent = document.getElementById("save-bar").dataset[name];
    line.className = name === "saySaving" ? "small quiet cut" : "small field-error";
  }

  function later(wait) {
    changed = true;
    if (!failed && wait !== FIND) state("saySaving");
    clearTimeout(timer);
    timer = setTimeout(() => send(), wait);
  }

  function touch(input) {
    const touched = form().elements.touched;
    const names = new Set(touched.value.split(" ").filter(Boolean));
    if (input.name) names.add(input.name.replace(/^m\.([ar]\.[^.]+)\..*/, "$1")); // one mark of several
    touched.value = [...names].join(" ");
  }

  document.addEventListener("input", (event) => {
    if (!event.target.closest("#editor") || !event.target.name) return;
    touch(event.target);
    later(event.target.dataset.find ? FIND : event.target.matches("select, [type=checkbox]") ? 0 : WAIT);
  });

  document.addEventListener("change", (event) => {
    if (event.target.closest("#editor") && changed) later(0);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("#editor [data-do]");
    if (button) send(button.dataset.do);
    const chip = event.target.closest("#editor [data-insert]");
    if (chip) insert(chip.dataset);
    const eye = event.target.closest("#editor [data-reveal]");
    if (eye) reveal(eye);
    const link = event.target.closest("#errors a");
    if (link) {
      event.preventDefault();
      show(document.getElementById(link.hash.slice(1)));
    }
  });

  /* A secret is shown while its button is pressed in; keep() never stores it. */

  const seen = new Set(); // ids of secrets that are shown

  function reveal(eye) {
    const id = eye.dataset.reveal;
    if (!seen.delete(id)) seen.add(id);
    look(eye);
  }

  function look(eye) {
    const secret = document.getElementById(eye.dataset.reveal);
    const shown = seen.has(secret.id);
    secret.type = shown ? "text" : "password";
    secret.dataset.secret = "";
    eye.setAttribute("aria-pressed", String(shown));
  }

  document.addEventListener("htmx:after:swap", () => document.querySelectorAll("#editor [data-reveal]").forEach(look));

  /* Saving: once, and not while an answer is awaited. */

  document.addEventListener(
    "submit",
    (event) => {
      if (event.target !== form()) return;
      if (saving || busy) {
        event.preventDefault();
        event.stopImmediatePropagation();
        if (!saving) asked = "save";
        return;
      }
      clearTimeout(timer);
      form().elements.do.value = verb = "save";
      changed = false;
      saving = busy = true;
    },
    true,
  );

  const ours = (event) => event.detail.ctx && event.detail.ctx.sourceElement && event.detail.ctx.sourceElement.id === "editor";

  document.addEventListener("htmx:before:swap", (event) => {
    if (!ours(event)) return;
    if (changed && !verb) event.preventDefault(); // what was typed meanwhile is on its way, with a newer answer
  });

  document.addEventListener("htmx:after:swap", (event) => {
    if (!ours(event) || !verb) return;
    if (verb.startsWith("choose") || verb.startsWith("service")) zones();
    const id = form().dataset.focus || (verb === "try" ? "dry" : "");
    const found = (id && document.getElementById(id)) || document.querySelector("#editor [aria-invalid]");
    if (id || verb === "try") show(found);
  });

  document.addEventListener("htmx:finally:request", (event) => {
    if (!ours(event)) return;
    const leaves = event.detail.ctx.hx && event.detail.ctx.hx.redirect;
    busy = false;
    const status = event.detail.ctx.response ? event.detail.ctx.response.status : 0;
    failed = status !== 200 && status !== 422 ? status || "away" : "";
    if (failed) unsaved();
    else if (!leaves) forget();
    if (leaves) {
      forget();
      saving = true; // until the next page is there
      return;
    }
    saving = false;
    verb = "";
    if (form().elements.do) form().elements.do.value = "";
    if (asked !== null) {
      const what = asked;
      asked = null;
      if (what === "save") form().requestSubmit();
      else send(what);
    } else if (changed) {
      later(100);
    }
  });

  window.addEventListener("pageshow", () => {
    saving = busy = false;
  });

  /* What is typed and can't be sent is tried again, kept in this tab, and not left without a question. */

  function unsaved() {
    state(failed === 401 ? "sayEnded" : "sayAway");
    keep();
    clearTimeout(timer);
    if (failed === "away" || failed >= 500) timer = setTimeout(() => send(), RETRY);
  }

  window.addEventListener("beforeunload", (event) => {
    if (failed && failed !== 401) event.preventDefault();
  });

  window.addEventListener("pagehide", () => {
    if (!changed || saving || failed || !form()) return;
    form().elements.do.value = "";
    navigator.sendBeacon("/areas/editor", new URLSearchParams(new FormData(form())));
  });

  function show(found) {
    if (!found) return;
    const folded = found.closest("details:not([open])");
    if (folded) folded.open = true;
    found.focus({ preventScroll: true });
    found.scrollIntoView({ block: "nearest" });
  }

  /* Values are inserted where the caret was. */

  let last = null;

  document.addEventListener("focusin", (event) => {
    if (event.target.matches("#editor [data-fill]")) last = event.target.id;
  });

  function insert(chip) {
    const field = (last && document.getElementById(last)) || document.querySelector("#editor [data-fill]");
    if (!field) return;
    const text = "prose" in field.dataset ? chip.insertProse : chip.insert;
    field.focus();
    if (document.execCommand("insertText", false, text)) return; // this can be undone by its keys
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    const asks = document.querySelector("dialog[open]");
    if (!form() || event.repeat) return;
    event.preventDefault();
    if (!asks) form().requestSubmit();
  });

  /* Keys: down from the search into what was found, and Enter takes the first; Enter in a field saves nothing. */

  document.addEventListener("keydown", (event) => {
    const here = event.target;
    if (!here.closest || !here.closest("#editor") || event.isComposing) return;
    const picker = here.closest(".picker");
    if (event.key === "Enter" && here.matches("input:not([type=checkbox])")) {
      event.preventDefault();
      if (!here.dataset.find) return send();
      if (changed || busy) enter = here.dataset.find;
      else take(here.dataset.find);
    } else if (picker && ["ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft"].includes(event.key)) {
      const buttons = [...picker.querySelectorAll(".found button, .tiles button")];
      const at = buttons.indexOf(here);
      if (at < 0 && event.key !== "ArrowDown") return;
      const step = at < 0 ? 1 : columns(buttons, event.key);
      event.preventDefault();
      if (at + step < 0) picker.querySelector("[data-find]").focus();
      else (buttons[at + step] || here).focus();
    } else if (event.key === "Escape" && picker) {
      const close = picker.querySelector("[data-do^=close]");
      if (close) close.click();
    }
  });

  function columns(buttons, key) {
    if (key === "ArrowRight") return 1;
    if (key === "ArrowLeft") return -1;
    const across = buttons.filter((one) => one.offsetTop === buttons[0].offsetTop).length || 1;
    return key === "ArrowDown" ? across : -across;
  }

  let enter = ""; // Enter was pressed before the answer was there

  function take(side) {
    const first = document.querySelector(`#found-${side} > .found button`);
    if (first) first.click();
  }

  document.addEventListener("htmx:finally:request", (event) => {
    if (!ours(event) || !enter || changed || busy) return;
    const side = enter;
    enter = "";
    take(side);
  });

  /* The session has ended: what could not be sent waits in this tab until somebody, the same one, has signed in. */

  const place = () => `area-draft/${form().dataset.draft}`;

  function forget() {
    if (form()) sessionStorage.removeItem(place());
  }

  function keep() {
    const secret = new Set([...form().querySelectorAll("[type=password], [data-secret]")].map((one) => one.name));
    const typed = [...new FormData(form())].filter(([name]) => !secret.has(name) && name !== "do");
    sessionStorage.setItem(place(), JSON.stringify(typed));
  }

  /* Times are meant in the time zone of whoever writes them. */

  function zones() {
    document.querySelectorAll("#editor [data-zone]").forEach((one) => {
      if (!one.value && one.dataset.zone !== "UTC") one.value = one.dataset.zone;
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!form()) return;
    zones();
    const kept = sessionStorage.getItem(place());
    if (!kept) return;
    forget();
    const blank = [...form().querySelectorAll("[type=checkbox]")].map((one) => [one.name, ""]);
    const values = { ...Object.fromEntries([...blank, ...JSON.parse(kept)]), restored: "1" };
    htmx.ajax("POST", "/areas/editor", { source: form(), target: "#editor", swap: "outerHTML", values });
  });
})();
