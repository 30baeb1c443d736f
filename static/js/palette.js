// The palette: Ctrl+K (⌘K on a Mac) or a link with data-palette opens it; what it offers is drawn by the server. The
// focus stays in the field; arrows move the chosen option, Enter goes there.
(() => {
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const field = dialog.querySelector("[role=combobox]"), list = dialog.querySelector("[role=listbox]");
  const options = () => [...list.querySelectorAll("[role=option]")];
  const chosen = () => list.querySelector("[aria-selected=true]");

  let answered, goes = false; // Enter before the answer goes to its first as soon as it is there

  const choose = (option) => {
    chosen()?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) field.setAttribute("aria-activedescendant", option.id);
    else field.removeAttribute("aria-activedescendant");
  };

  const open = () => {
    if (dialog.open) return dialog.close();
    document.querySelector("dialog:modal")?.close();
    dialog.showModal();
    answered = undefined;
    goes = false;
    field.select();
    field.dispatchEvent(new Event("palette:open"));
  };

  const keys = {
    ArrowDown: (all, at) => all[(at + 1) % all.length],
    ArrowUp: (all, at) => all.at(at > 0 ? at - 1 : -1),
    PageDown: (all) => all.at(-1),
    PageUp: (all) => all[0],
  };

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
    if (!event.target.closest("[data-palette]") || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    open();
  });
  field.addEventListener("keydown", (event) => {
    const all = options();
    if (event.isComposing) return;
    if (event.key === "Enter") {
      goes = field.value !== answered;
      if (!goes) chosen()?.click();
    } else if (all.length && keys[event.key]) choose(keys[event.key](all, all.indexOf(chosen())));
    else return;
    event.preventDefault();
  });
  document.addEventListener("htmx:before:request", (event) => {
    if (event.detail.ctx.sourceElement === field) event.detail.ctx.asked = field.value;
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.sourceElement !== field) return;
    answered = event.detail.ctx.asked;
    choose(options()[0]);
    // An answer to less than was typed leads nowhere; the whole one is under way.
    if (!goes || answered !== field.value) return;
    goes = false;
    chosen()?.click();
  });
})();
