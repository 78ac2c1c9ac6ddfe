// The profile: a picture that is too large is not sent at all, and the device's own time zone is one click away.

document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-picture]");
  if (!form || !event.target.files) return;
  const file = event.target.files[0];
  event.target.setCustomValidity(file && file.size > Number(form.dataset.most) ? form.dataset.sayLarge : "");
  event.target.reportValidity();
});

document.addEventListener("DOMContentLoaded", () => {
  const button = document.querySelector("[data-own-zone]");
  const select = document.getElementById("f-timezone");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const option = own && select && [...select.options].find((one) => one.value === own);
  if (!option || option.selected) return;
  button.textContent = button.dataset.ownZone.replace("%", own.replaceAll("_", " "));
  button.hidden = false;
  button.addEventListener("click", () => {
    select.value = own;
    button.hidden = true;
    select.focus();
  });
});
