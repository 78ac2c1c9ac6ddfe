// Passkeys: sign in with one, show it as second factor or instead of the password, and make one.
// https://www.w3.org/TR/webauthn-3/ - binary values travel in base64url.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const ids = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

function written(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response, clientExtensionResults: {} };
}

async function use(options) {
  const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: ids(options.allowCredentials) };
  return written(await navigator.credentials.get({ publicKey }));
}

async function make(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: ids(options.excludeCredentials),
  };
  return written(await navigator.credentials.create({ publicKey }));
}

async function ask(address, body) {
  const answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const found = await answer.json();
  if (!answer.ok) throw new Error((found.errors && found.errors[0].message) || found.detail);
  return found;
}

const proofOf = (form) => Object.fromEntries(["password", "code"].filter((name) => form.elements[name]?.value).map((name) => [name, form.elements[name].value]));

const DOES = {
  async "sign-in"(button) {
    const { ticket, options } = await ask("/api/auth/passkey/options", {});
    await ask("/api/auth/passkey", { ticket, credential: await use(options) });
    window.location.assign(button.dataset.next);
  },
  async second(button) {
    const { ticket, options } = JSON.parse(button.dataset.asked);
    send(button.form, { ticket, credential: await use(options) });
  },
  async prove(button) {
    const { ticket, options } = await ask("/api/me/prove", {});
    send(button.form, { ticket, credential: await use(options) });
  },
  async add(button) {
    const form = button.form;
    if (!form.reportValidity()) return;
    const { ticket, options } = await ask("/api/me/passkeys/options", proofOf(form));
    send(form, { ticket, credential: await make(options) });
  },
};

function send(form, passkey) {
  form.elements.passkey.value = JSON.stringify(passkey);
  form.submit(); // without the browser's checks: the passkey stands in for the password
}

document.querySelectorAll("[data-passkey]").forEach((button) => {
  if (!window.PublicKeyCredential) return;
  button.hidden = false;
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    const problem = document.getElementById(button.dataset.problem);
    problem.hidden = true;
    button.disabled = true;
    try {
      await DOES[button.dataset.passkey](button);
    } catch (error) {
      const known = { NotAllowedError: button.dataset.sayNot, InvalidStateError: button.dataset.sayTwice };
      problem.textContent = known[error.name] || error.message;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
});

document.querySelectorAll("[data-save]").forEach((button) => {
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([document.querySelector(button.dataset.save).innerText.trim() + "\n"], { type: "text/plain" }));
    link.download = button.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
});
