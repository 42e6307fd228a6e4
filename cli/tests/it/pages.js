// Calls an operation with Swagger UI as a person does: opens it, "Try it out", fills the parameters, "Execute". Everything
// else stays as the page fills it. Calls `done` with the status and the body of the response that is shown.
const [tag, id, path, method, parameters, done] = arguments;

async function appearing(what, find) {
  for (let tries = 0; tries < 1000; tries++) {
    const found = find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} does not appear`);
}

function type(input, value) {
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(input), "value").set.call(input, value);
  input.dispatchEvent(new Event(input.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
  // Leaves the field, because the page takes over what is typed a moment later only.
  input.dispatchEvent(new Event("focusout", { bubbles: true }));
}

(async () => {
  ui.layoutActions.show(["operations-tag", tag], true);
  const block = await appearing("the operation", () => document.getElementById(`operations-${tag}-${id}`));
  if (!block.classList.contains("is-open")) block.querySelector(".opblock-summary-control").click();
  const tryOut = await appearing("Try it out", () => block.querySelector(".try-out__btn"));
  if (!tryOut.classList.contains("cancel")) tryOut.click();
  const execute = await appearing("Execute", () => block.querySelector(".execute"));
  for (const [name, value] of Object.entries(parameters)) {
    const field = `tr[data-param-name="${name}"] :is(input, select):enabled`;
    type(await appearing(name, () => block.querySelector(field)), value);
  }
  await appearing("a page without a response", () => {
    block.querySelector(".btn-clear")?.click();
    return !block.querySelector(".live-responses-table");
  });
  execute.click();
  await appearing("the response", () => block.querySelector(".live-responses-table tr.response"));
  const { status, text } = ui.specSelectors.responseFor(path, method).toJS();
  ui.layoutActions.show(["operations", tag, id], false);
  ui.layoutActions.show(["operations-tag", tag], false);
  done([status, text]);
})().catch((error) => done([0, String(error)]));
