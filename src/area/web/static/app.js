// What every page does beyond links and forms. Texts come from the page: <body data-say-…>.

const say = (name) => document.body.dataset[name] || "";

/* Errors show where they happened, and can be tried again. */

const box = (source) => source.closest("[data-errors-here]") || source.closest("form, .card, section, main") || document.body;

function clearError(source) {
  box(source).querySelectorAll(":scope > .call-error").forEach((one) => one.remove());
}

function showError(source, sentence, link, again) {
  clearError(source);
  const alert = document.createElement("div");
  alert.className = "alert alert-danger call-error";
  alert.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.textContent = sentence;
  alert.append(text);
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link;
    anchor.className = "btn btn-sm";
    anchor.textContent = say("saySignIn");
    alert.append(anchor, " ");
  }
  if (again) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-sm";
    button.textContent = say("sayAgain");
    button.addEventListener("click", () => {
      alert.remove();
      again();
    });
    alert.append(button);
  }
  box(source).prepend(alert);
  alert.scrollIntoView({ block: "nearest" });
}

function againWith(ctx) {
  const source = ctx.sourceElement;
  const event = ctx.sourceEvent;
  return () => {
    if (event && event.type === "submit") source.requestSubmit(event.submitter || undefined);
    else htmx.trigger(source, event ? event.type : "click");
  };
}

document.addEventListener("htmx:before:request", (event) => clearError(event.detail.ctx.sourceElement));

document.addEventListener("htmx:response:error", (event) => {
  const { ctx } = event.detail;
  if (ctx.response.status === 422) return; // a form that says what is wrong takes the place of the form
  const answer = new DOMParser().parseFromString(ctx.text || "", "text/html");
  const said = answer.querySelector("[data-problem]");
  const ended = ctx.response.status === 401;
  const here = encodeURIComponent(location.pathname + location.search);
  showError(ctx.sourceElement, said ? said.textContent.trim() : say("sayFailed"), ended && `/sign-in?next=${here}`, againWith(ctx));
});

document.addEventListener("htmx:error", (event) => {
  const ctx = event.detail.ctx;
  if (!ctx || !ctx.sourceElement || (ctx.response && ctx.response.status)) return;
  if (event.detail.error && event.detail.error.name === "AbortError") return;
  showError(ctx.sourceElement, say("sayAway"), null, againWith(ctx));
});

/* Going back brings what was typed, never a form that is to be sent again. Secrets are not kept. */

const TYPED = "input:not([type=password], [type=hidden], [type=file], [type=radio], [autocomplete=one-time-code]), textarea, select";
const isTyped = (field) => field.name && !field.closest(".pick, .editor, dialog");
const typedIn = (form) => [...form.querySelectorAll(TYPED)].filter(isTyped);
const postForms = () => [...document.querySelectorAll("form[method=post]")];

function keepTyped() {
  const typed = postForms().map((form) => typedIn(form).map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]));
  history.replaceState({ ...history.state, typed }, "");
}

function bringTyped() {
  const typed = (history.state && history.state.typed) || [];
  postForms().forEach((form, place) => {
    typedIn(form).forEach((field, at) => {
      const [name, value] = (typed[place] || [])[at] || [];
      if (name !== field.name) return;
      if (field.type === "checkbox") field.checked = value;
      else field.value = value;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    });
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const { posted } = document.body.dataset;
  if (posted) {
    history.replaceState(history.state, "", posted);
    keepTyped();
  }
  const [arrival] = performance.getEntriesByType("navigation");
  if (arrival && arrival.type === "back_forward") bringTyped();
});

document.addEventListener("change", (event) => {
  if (event.isTrusted && event.target.closest("form[method=post]") && isTyped(event.target)) keepTyped();
});

/* A form is sent once, however often its button is pressed; coming back by the back button it can be sent again. */

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method === "dialog" || form.matches("[hx-post], [hx-get], [hx-delete], [hx-patch], [hx-put]")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => form.classList.add("is-sending"), 300);
});

window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-sent]").forEach((form) => {
    delete form.dataset.sent;
    form.classList.remove("is-sending");
  });
});

/* While a dialog is open nothing behind it is replaced, so that its answer reaches the element that asked. */

let answering = false; // from the click in a dialog until what it asked about is done
const held = new Map(); // answers by the element that had asked, and names of events

const behindDialog = (target) => {
  const dialog = document.querySelector("dialog[open]");
  return (answering || dialog !== null) && !(dialog && target && dialog.contains(target));
};

document.addEventListener("htmx:before:swap", (event) => {
  const { ctx } = event.detail;
  if (!behindDialog(ctx.target)) return;
  event.preventDefault();
  held.set(ctx.sourceElement, ctx);
});

function letGo() {
  if (behindDialog(null)) return;
  const waiting = [...held];
  held.clear();
  waiting.forEach(([source, ctx]) => (ctx ? htmx.swap(ctx) : tell(source)));
}

document.addEventListener("close", () => setTimeout(letGo), true);

/* "Are you sure?", for buttons and forms with data-confirm, plain or htmx's. */

let questions = 0;

function ask(element) {
  const question = ++questions;
  answering = true;
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    menu.querySelector("summary").focus(); // where the focus returns to
    menu.open = false;
  });
  const dialog = document.getElementById("confirm");
  dialog.querySelector("[data-text]").textContent = element.dataset.confirm;
  const yes = dialog.querySelector("[value=yes]");
  yes.textContent = element.dataset.confirmYes || say("sayYes");
  yes.className = element.matches(".btn-bad, .btn-danger, .text-danger") ? "btn btn-danger" : "btn btn-primary";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    // the event comes some time after the closing, when the next question may have been asked already
    const closed = () => {
      if (question === questions && dialog.open) return;
      dialog.removeEventListener("close", closed);
      resolve(question === questions && dialog.returnValue === "yes");
    };
    dialog.addEventListener("close", closed);
  });
}

document.addEventListener(
  "click",
  async (event) => {
    const element = event.target.closest("[data-confirm]");
    if (!element || element.dataset.confirmed) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const yes = await ask(element);
    if (yes) {
      element.dataset.confirmed = "yes";
      element.click();
      delete element.dataset.confirmed;
    }
    answering = false;
    setTimeout(letGo);
  },
  true,
);

/* Copying. Browsers have no navigator.clipboard on plain http, and may refuse it anywhere. */

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.readOnly = true;
    area.className = "visually-hidden";
    const focused = document.activeElement;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (focused) focused.focus({ preventScroll: true });
    return done;
  }
}

function select(element) {
  if ("value" in element) return element.focus(), element.select();
  getSelection().selectAllChildren(element);
}

async function copy(button) {
  const from = document.querySelector(button.dataset.copy);
  const done = await copied("value" in from ? from.value : from.textContent);
  if (!done) select(from);
  const status = document.getElementById("page-status");
  status.textContent = done ? say("sayCopied") : say("sayCopyYourself");
  status.className = done ? "visually-hidden" : "told";
  button.classList.toggle("is-copied", done);
  setTimeout(() => {
    button.classList.remove("is-copied");
    status.className = "visually-hidden";
  }, done ? 1500 : 8000);
}

/* Small things. */

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  const theme = event.target.closest("[data-set-theme]");
  if (theme) window.setTheme(theme.dataset.setTheme);
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (!menu.contains(event.target) || event.target.closest("[data-closes]")) menu.open = false;
  });
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    document.querySelectorAll("details.menu[open]").forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  }
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector("main input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

/* Ctrl+K searches everything; arrows go through what is found, and Enter takes the first. */

const finder = () => document.getElementById("finder");
let awaited = false; // Enter was pressed before the answer was there

// earlier answers may still arrive: that of the empty field, when one types at once
const answered = () => finder().querySelector("#finds").dataset.query === finder().querySelector("input").value;

function openFinder() {
  const dialog = finder();
  if (!dialog || document.querySelector("dialog[open]")) return;
  dialog.showModal();
  const input = dialog.querySelector("input");
  input.value = "";
  htmx.trigger(input, "seek");
}

function takeFirst() {
  const first = finder().querySelector("#finds a[href]");
  if (first) first.click();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-find-all]")) openFinder();
  if (event.target.closest("[data-close-finder]") || event.target === finder()) finder().close();
  const seek = event.target.closest("#finder [data-seek]");
  if (!seek) return;
  event.preventDefault();
  const input = finder().querySelector("input");
  input.value = seek.dataset.seek;
  input.focus();
  htmx.trigger(input, "seek");
});

document.addEventListener("keydown", (event) => {
  const alone = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
  if (alone && event.key.toLowerCase() === "k" && finder()) {
    event.preventDefault();
    openFinder();
  }
  const dialog = event.target.closest && event.target.closest("#finder");
  if (!dialog || event.isComposing) return;
  const input = dialog.querySelector("input");
  const links = [...dialog.querySelectorAll("#finds a[href]")];
  const at = links.indexOf(event.target);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const to = at + (event.key === "ArrowDown" ? 1 : -1);
    (to < 0 ? input : links[Math.min(to, links.length - 1)] || input).focus();
  } else if (event.key === "Enter" && event.target === input) {
    event.preventDefault();
    if (answered()) takeFirst();
    else awaited = true;
  }
});

document.addEventListener("input", () => (awaited = false));

document.addEventListener("htmx:after:swap", (event) => {
  if (!event.detail.ctx.sourceElement || !event.detail.ctx.sourceElement.closest("#finder")) return;
  if (!awaited || !answered()) return;
  awaited = false;
  takeFirst();
});

/* Times go on being true. */

const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function tellTimes() {
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto", style: "short" });
  document.querySelectorAll("time[data-ago]").forEach((time) => {
    const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
    const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) || UNITS.at(-1);
    time.textContent = words.format(Math.round(seconds / size), unit);
  });
}

setInterval(tellTimes, 15000);
document.addEventListener("DOMContentLoaded", tellTimes);
document.addEventListener("htmx:after:swap", tellTimes);

/* Times are shown in the account's zone: a new account gets the device's, and who is elsewhere is asked, once. */

const deviceZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";

function offsets(zone) {
  const year = new Date().getFullYear();
  const form = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
  const name = (at) => form.formatToParts(at).find((part) => part.type === "timeZoneName").value;
  return [0, 3, 6, 9].map((month) => name(new Date(Date.UTC(year, month, 15)))).join();
}

function differs(zone) {
  try {
    return deviceZone !== "" && offsets(zone) !== offsets(deviceZone);
  } catch {
    return false; // a zone that this browser doesn't know
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-device-zone]").forEach((input) => (input.value = deviceZone));
  const question = document.querySelector("[data-zone-question]");
  if (!question) return;
  const answer = `${question.dataset.zoneQuestion} at ${deviceZone}`;
  if (localStorage.getItem("keep-zone") === answer || !differs(question.dataset.zoneQuestion)) return;
  question.querySelectorAll("[data-device-name]").forEach((name) => (name.textContent = name.dataset.deviceName.replace("#", deviceZone.replaceAll("_", " "))));
  question.hidden = false;
  question.querySelector("[data-keep-zone]").addEventListener("click", () => {
    localStorage.setItem("keep-zone", answer);
    question.remove();
  });
});

/* What happens on the server is told by one stream for each page that is looked at; parts of the page that wait for
   `runs-changed` or `notices-changed` from:body then ask for themselves anew. */

let stream = null;
let due = null;

function tell(name) {
  if (behindDialog(null)) held.set(name, null);
  else htmx.trigger(document.body, name);
}

function runsChanged() {
  if (due) return;
  due = setTimeout(() => {
    due = null;
    tell("runs-changed");
  }, 400);
}

function listen() {
  if (stream || document.hidden || !document.body.hasAttribute("data-live")) return;
  stream = new EventSource("/api/executions/stream");
  stream.addEventListener("execution", runsChanged);
  stream.addEventListener("notices", (event) => {
    const { unread } = JSON.parse(event.data);
    document.querySelectorAll("[data-unread]").forEach((badge) => {
      if (badge.dataset.unread !== String(unread)) tell("notices-changed");
      badge.dataset.unread = unread;
      badge.textContent = unread > 99 ? "99+" : unread;
      badge.hidden = unread === 0;
    });
  });
}

function deafen() {
  if (stream) stream.close();
  stream = null;
}

// Who leaves the page wants nothing of it anew: what it shows may just be deleted. A download leaves nowhere.
window.addEventListener("beforeunload", () => {
  deafen();
  clearTimeout(due);
  due = null;
  setTimeout(listen, 3000);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return deafen();
  listen();
  runsChanged(); // something may have happened meanwhile
});
document.addEventListener("DOMContentLoaded", listen);
window.addEventListener("pagehide", deafen);
window.addEventListener("pageshow", listen);

/* Installable. */

if ("serviceWorker" in navigator && window.isSecureContext) navigator.serviceWorker.register("/service-worker.js");

/* Marking several AREAs or runs shows what can be done with them. */

document.addEventListener("change", (event) => {
  const form = event.target.closest("form");
  const bar = form && form.querySelector(".bulk");
  if (!bar || event.target.type !== "checkbox") return;
  const picked = form.querySelectorAll(".pick input:checked").length;
  bar.hidden = picked === 0;
  bar.querySelector("[data-picked]").textContent = say("sayPicked").replace("#", picked);
});
