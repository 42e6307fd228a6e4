// Swagger UI with a sign-in of its own, so that nobody has to copy tokens. The access token is kept over a reload.
"use strict";

const SCHEME = "bearer";
const [form, signOut, status, errors] = ["sign-in", "sign-out", "status", "errors"].map((id) => document.getElementById(id));

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  filter: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: true,
  onComplete: () => show(localStorage.getItem("authorized") ? "You are signed in." : ""),
});

function show(text) {
  const isSignedIn = Boolean(ui.authSelectors.authorized().size);
  form.hidden = isSignedIn;
  signOut.hidden = !isSignedIn;
  status.value = text;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email, password } = Object.fromEntries(new FormData(form));
  const response = await fetch("/v1/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password }),
  }).catch(() => undefined);
  const answer = await response?.json();
  if (!response?.ok) {
    status.value = answer?.detail ?? "The API does not answer.";
    return;
  }
  const schema = ui.specSelectors.specJson().getIn(["components", "securitySchemes", SCHEME]);
  ui.authActions.authorizeWithPersistOption({ [SCHEME]: { name: SCHEME, schema, value: answer.tokens.access_token } });
  form.reset();
  show(`Signed in as ${email}.`);
});

signOut.addEventListener("click", () => {
  ui.authActions.logoutWithPersistOption([SCHEME]);
  show("");
});

errors.addEventListener("change", () => document.body.classList.toggle("folded", !errors.checked));
