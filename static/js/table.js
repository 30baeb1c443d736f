// Selection in a list. Without this script the same checkboxes and buttons are a plain form.
//
//   <form id="bulk" method="post" action="…?filter" data-bulk="the list's query">   the bulk bar. Hidden while nothing
//                                              is selected; another query (another list) ends the selection
//     <output data-count></output>             "3 selected"
//     <input type="hidden" name="all" value="1" data-all disabled>   enabled while all that match are meant
//   <input type="checkbox" name="id" value="…" form="bulk" id="select-…" data-key="x">              in each [data-row]
//   <input type="checkbox" data-select="page" form="bulk" data-key="* p">                           all on this page
//   <button type="button" data-select="all" form="bulk" data-key="* a">                             all that match
//   <button type="button" data-select="none" form="bulk" data-key="* n">                            none
//
// What is selected stays so while rows are drawn anew, and after an action; rows that have left the page are sent along.
(() => {
  const selections = new Map(); // by the form's id, for the form itself may be drawn anew
  let anchor = null;

  const selection = (form) => {
    const kept = selections.get(form.id);
    if (kept?.query === form.dataset.bulk) return kept;
    return selections.set(form.id, { query: form.dataset.bulk, ids: new Set(), all: false }).get(form.id);
  };
  const boxes = (form) => [...form.elements].filter((el) => el.type === "checkbox" && el.name === "id");

  const show = (form) => {
    const { ids, all } = selection(form);
    const shown = boxes(form), away = new Set(ids);
    for (const box of shown) {
      box.checked = all || ids.has(box.value);
      box.closest("[data-row]")?.toggleAttribute("data-selected", box.checked);
      away.delete(box.value);
    }
    for (const kept of form.querySelectorAll("[data-kept]")) kept.remove();
    for (const value of away) {
      const input = Object.assign(document.createElement("input"), { type: "hidden", name: "id", value });
      input.dataset.kept = "";
      form.append(input);
    }
    for (const input of form.querySelectorAll("[data-all]")) input.disabled = !all;
    for (const page of form.elements) {
      if (page.dataset.select !== "page") continue;
      page.checked = shown.length > 0 && shown.every((box) => box.checked);
      page.indeterminate = !page.checked && shown.some((box) => box.checked);
    }
    const words = `${ids.size} selected${away.size ? `, ${away.size} of them not shown` : ""}`;
    for (const count of form.querySelectorAll("[data-count]")) count.textContent = all ? "All that match are selected" : words;
    form.hidden = !all && !ids.size;
  };

  const mark = (form, chosen, on) => {
    const { ids } = selection(form);
    for (const box of chosen) on ? ids.add(box.value) : ids.delete(box.value);
  };

  document.addEventListener("click", (event) => {
    const el = event.target, form = el.form;
    if (!form?.matches("[data-bulk]")) return;
    const kept = selection(form), shown = boxes(form), from = shown.findIndex((box) => box.id === anchor), to = shown.indexOf(el);
    if (to >= 0) {
      // One taken out of "all that match" leaves those that can be seen.
      if (kept.all) mark(form, shown, true);
      kept.all = false;
      const range = event.shiftKey && from >= 0 ? shown.slice(Math.min(from, to), Math.max(from, to) + 1) : [el];
      mark(form, range, el.checked);
      anchor = el.id;
    } else if (el.dataset.select === "page") {
      kept.all = false;
      mark(form, shown, el.checked);
    } else if (el.dataset.select) {
      kept.all = el.dataset.select === "all";
      kept.ids.clear();
    } else return;
    show(form);
  });

  const showAll = () => document.querySelectorAll("form[data-bulk]").forEach(show);
  document.addEventListener("live:after", showAll);
  document.addEventListener("htmx:after:swap", showAll);
  showAll();
})();
