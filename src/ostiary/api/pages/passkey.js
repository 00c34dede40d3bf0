// Passkeys: a form with data-passkey asks its authenticator, then is sent like any other.
"use strict";

const able = typeof window.PublicKeyCredential?.parseCreationOptionsFromJSON === "function";

for (const form of able ? document.querySelectorAll("form[data-passkey]") : []) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    const why = form.querySelector("[role=alert]");
    why.hidden = true;
    try {
      const body = new URLSearchParams({ csrf: form.elements.csrf.value });
      const answer = await fetch(`${form.action}/options`, { method: "POST", body });
      if (!answer.ok) throw new Error("load the page again");
      const options = await answer.json();
      const credential = form.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      form.elements.credential.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch (error) {
      why.textContent = `The passkey was not used: ${error.message}`;
      why.hidden = false;
    }
  });
}
