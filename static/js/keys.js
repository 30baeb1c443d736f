// Keys. Each one presses a control that is there to be seen; the page says which, so pages add keys without a script:
//
//   data-key="m"       what the key m presses: a link or button is clicked, a field is focused, a <details> or
//                      popover opened, of a <nav> the current link focused
//   data-key="g t"     g, then t; "X" is Shift+x; "ArrowLeft" and the like work too
//   data-rows          a list that j and k walk; data-rows="main" where a page has several
//   data-row           one of its rows, with a stable id. It has the focus itself if it has a tabindex, else its first
//                      link has. A data-key inside a row works while that row has the focus, and never in another; in the
//                      bar of what is selected (table.js) it comes first
//   data-back          the link back to the list (with data-key="u"): it leads to the list as it was left
//   data-step="-1|1"   hidden links (with data-key="[" and "]") that become its neighbours in the list one came from
//   data-key-label     the words of the `?` sheet, where the control's own name will not do
//
// Nothing of it works in fields, with Ctrl, Alt or Meta, behind an open dialog, or with data-shortcuts="off".
(() => {
  const THEN_WITHIN = 1500; // ms from the first key of a sequence to the second
  const FIELDS = "textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=button], [type=submit])";
  let typed = "", forget;

  const scope = () => document.querySelector("dialog:modal") ?? document;
  const current = () => document.activeElement?.closest("[data-row]");
  const control = (key) => {
    const found = [...scope().querySelectorAll(`[data-key="${CSS.escape(key)}"]`)]
      .filter((el) => !el.matches(":disabled") && (el.dataset.select || !el.closest("[hidden], [inert]")));
    const row = current();
    // What is selected is meant before the row that has the focus.
    return found.find((el) => el.closest("[data-bulk]")) ?? found.find((el) => row?.contains(el)) ?? found.find((el) => !el.closest("[data-row]"));
  };

  const inside = (el) =>
    el.contains(document.activeElement) || el.querySelector("[aria-current], a[href], button, select, input:not([type=hidden])")?.focus();
  const press = (el) => {
    const details = el.closest("details");
    if (el.matches(FIELDS)) {
      if (details) details.open = true;
      el.focus();
      el.select?.();
    } else if (el === details) {
      el.open = !el.open;
      el.querySelector("summary").focus();
    } else if (el.matches("nav")) inside(el);
    else {
      if (el.popoverTargetElement) el.focus();
      el.click();
      if (el.popoverTargetElement?.matches(":popover-open")) inside(el.popoverTargetElement);
    }
  };

  // --- Rows

  const lists = () => [...scope().querySelectorAll("[data-rows]")].sort((a, b) => (b.dataset.rows === "main") - (a.dataset.rows === "main"));
  const linkOf = (row) => row.querySelector("a[href]");

  const walk = (by) => {
    const list = current()?.closest("[data-rows]") ?? lists()[0];
    const rows = [...(list?.querySelectorAll("[data-row]") ?? [])].filter((row) => row.checkVisibility());
    const at = rows.indexOf(current());
    const frame = list?.closest("[role=region]")?.getBoundingClientRect() ?? { top: 0, bottom: innerHeight };
    const inSight = rows.filter((row) => row.getBoundingClientRect().bottom > frame.top && row.getBoundingClientRect().top < frame.bottom);
    const row = at >= 0 ? rows[at + by] : inSight.at(by > 0 ? 0 : -1);
    if (row) (row.hasAttribute("tabindex") ? row : (linkOf(row) ?? row)).focus();
  };

  const selectRange = () => {
    const box = current()?.querySelector('[data-key="x"]');
    box?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: true }));
  };

  const own = {
    j: () => walk(1),
    k: () => walk(-1),
    X: selectRange,
    Enter: (event) => event.target.matches("[data-row]") && linkOf(event.target)?.click(),
    Escape: (event) => {
      if (document.querySelector("dialog[open], :popover-open")) return;
      if (event.target.matches(FIELDS)) event.target.blur();
      else obey("u");
    },
  };

  const obey = (key) => {
    const el = control(key);
    if (el) press(el);
    return Boolean(el);
  };

  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    // A field of a dialog that was just closed keeps the focus until the next frame.
    const typing = target.matches(FIELDS) && target.checkVisibility();
    if (key !== "Escape" && (typing || document.querySelector('[data-shortcuts="off"]'))) return;
    // What a focused control does with the key itself comes first.
    if (key === "Enter" && !target.matches("[data-row]")) return;
    clearTimeout(forget);
    const keys = typed ? `${typed} ${key}` : key;
    typed = "";
    if (obey(keys)) event.preventDefault();
    else if (scope().querySelector(`[data-key^="${CSS.escape(`${keys} `)}"]`)) {
      typed = keys;
      forget = setTimeout(() => (typed = ""), THEN_WITHIN);
    } else if (own[keys] && (key.length > 1 || scope() === document)) {
      if (key.length === 1) event.preventDefault();
      own[keys](event);
    }
  });

  // --- The list one came from

  const kept = () => JSON.parse(sessionStorage.getItem("came") ?? "{}");
  const keep = (came) => sessionStorage.setItem("came", JSON.stringify(came));

  document.addEventListener("click", (event) => {
    const row = event.target.closest("a[href]")?.closest("[data-row]");
    const back = event.target.closest("[data-back]");
    if (row) keep({ from: location.href, row: row.id, links: [...row.closest("[data-rows]").querySelectorAll("[data-row]")].map((each) => linkOf(each)?.href) });
    else if (back) keep({ ...kept(), back: true });
  });

  const came = kept();
  const path = (address) => address && new URL(address).pathname;
  const at = came.links?.findIndex((link) => path(link) === location.pathname) ?? -1;
  const lead = () => {
    for (const link of document.querySelectorAll("[data-step]")) {
      const to = at >= 0 && came.links[at + Number(link.dataset.step)];
      if (to) Object.assign(link, { href: to, hidden: false });
    }
    for (const link of document.querySelectorAll("[data-back]")) if (path(came.from) === path(link.href)) link.href = came.from;
  };
  lead();
  for (const drawn of ["live:after", "htmx:after:swap"]) document.addEventListener(drawn, lead);
  if (came.back && came.from === location.href) {
    const row = document.getElementById(came.row);
    if (row) (linkOf(row) ?? row).focus();
    keep({ ...came, back: false });
  }

  // --- The sheet: what this very page answers to, beside the keys of all pages that stand in it already

  document.addEventListener("toggle", (event) => {
    const page = event.target.querySelector?.("[data-page-keys]");
    if (!page || event.newState !== "open") return;
    page.replaceChildren();
    for (const el of document.querySelectorAll("[data-key]")) {
      const { key, keyLabel } = el.dataset;
      if (event.target.querySelector(`[data-tells="${CSS.escape(key)}"]`) || event.target.contains(el)) continue;
      const [entry, keys, words] = ["div", "dt", "dd"].map((name) => document.createElement(name));
      entry.dataset.tells = key;
      keys.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      words.textContent = keyLabel ?? el.ariaLabel ?? (el.textContent.trim() || el.title || el.placeholder);
      entry.append(keys, words);
      page.append(entry);
    }
    page.closest("section").hidden = !page.childElementCount;
  }, true);
})();
