// The meter under a new password, and the eye beside it. The server has the last word on what is a password.

const COMMON = /^(password|passwort|motdepasse|azerty|qwerty|qwertz|welcome|letmein|admin|area|iloveyou|abc|123)/i;

function score(password) {
  if (password.length < 8) return 0;
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z\d]/].filter((kind) => kind.test(password)).length;
  const different = new Set(password).size;
  if (different < 5 || COMMON.test(password)) return 1;
  const bits = password.length * 2 + kinds * 4 + different;
  return bits < 34 ? 1 : bits < 44 ? 2 : bits < 56 ? 3 : 4;
}

document.querySelectorAll("[data-password]").forEach((field) => {
  const input = field.querySelector("input");
  const verdict = field.querySelector("[data-verdict]");
  const meter = field.querySelector(".meter");
  const eye = field.querySelector("[data-show-password]");
  input.addEventListener("input", () => {
    const found = score(input.value);
    meter.dataset.score = found;
    verdict.textContent = field.getAttribute(`data-say-${found}`);
  });
  eye.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    eye.setAttribute("aria-pressed", String(!shown));
  });
});
