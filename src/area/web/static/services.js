// Shows of a connection's form the fields that the chosen kind has.
"use strict";
for (const form of document.querySelectorAll(".connect-form")) {
  const dependent = [...form.querySelectorAll("[data-when]")];
  const show = () => {
    for (const one of dependent) {
      const chosen = form.elements[one.dataset.when];
      one.hidden = !!chosen && !one.dataset.values.split(" ").includes(chosen.value);
      for (const input of one.querySelectorAll("input, select")) input.disabled = one.hidden;
    }
  };
  form.addEventListener("change", show);
  show();
}
