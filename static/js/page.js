// Small things every page shares: times that stay true, forms that submit themselves (data-auto-submit), the theme, focus
// that is not lost, what is copied (data-copy: its value, or the page's address), toasts that go away.
(() => {
  const TOAST_FOR = 15000;

  // The words of the `ago` template tag, which must stay the same.
  const distance = (moment) => {
    const seconds = (Date.now() - moment) / 1000;
    if (seconds < 60) return "now";
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
    return seconds < 7 * 86400 ? `${Math.floor(seconds / 86400)} d` : null;
  };

  const keepTimesTrue = () => {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const words = distance(new Date(time.dateTime));
      if (words && words !== time.textContent) time.textContent = words;
    }
  };
  setInterval(keepTimesTrue, 20000);

  document.addEventListener("change", (event) => {
    const form = event.target.closest("[data-auto-submit]");
    if (form && event.target.tagName === "SELECT") form.requestSubmit();
  });
  for (const button of document.querySelectorAll("[data-auto-submit] [data-submit]")) button.hidden = true;

  // The theme switch without a page load; the form works without this script too.
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-theme-form]");
    if (!form || !event.submitter) return;
    event.preventDefault();
    const theme = event.submitter.value;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const chosen = theme === "light" || theme === "dark";
    document.cookie = `theme=${theme}; Path=/; SameSite=Lax; Max-Age=31536000${secure}`;
    if (chosen) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const button of form.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button === event.submitter));
    }
  });

  // A control that its own action took away leaves the focus to the row that took its row's place, else to the region.
  let acted = null;
  const rowsOf = (list) => [...(document.getElementById(list?.id) ?? list)?.querySelectorAll("[data-row]") ?? []];
  document.addEventListener("submit", (event) => {
    const row = event.target.closest("[data-row]"), list = row?.closest("[data-rows]");
    acted = { list, at: rowsOf(list).indexOf(row) };
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (!acted) return;
    const { list, at } = acted, target = event.detail.ctx.target;
    acted = null;
    if (document.activeElement !== document.body) return;
    const row = at >= 0 && (rowsOf(list)[at] ?? rowsOf(list).at(-1));
    (row ? (row.querySelector("a[href]") ?? row) : target)?.focus?.({ preventScroll: true });
  });
  const busy = ({ type, detail: { ctx: { target } } }) => {
    if (type === "htmx:before:request") target?.setAttribute?.("aria-busy", "true");
    else target?.removeAttribute?.("aria-busy");
  };
  document.addEventListener("htmx:before:request", busy);
  document.addEventListener("htmx:finally:request", busy);

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (!copy) return;
    const words = copy.dataset.copy || location.href;
    // Without https there is no clipboard: then the words are shown to be copied by hand.
    try {
      await navigator.clipboard.writeText(words);
      say("Copied.");
    } catch {
      say(words);
    }
  });

  const toasts = document.getElementById("toasts");
  const expire = (toast) => {
    setTimeout(function leave() {
      // A toast in use stays: its Undo must not vanish under the pointer.
      if (toast.matches(":hover, :focus-within")) setTimeout(leave, 2000);
      else toast.remove();
    }, TOAST_FOR);
  };
  const say = (words, tone = "") => {
    const toast = document.createElement("div");
    toast.className = `toast ${tone}`;
    toast.append(Object.assign(document.createElement("p"), { textContent: words }));
    toasts.append(toast);
  };
  if (toasts) {
    new MutationObserver((changes) => {
      for (const change of changes) for (const node of change.addedNodes) if (node.nodeType === 1) expire(node);
    }).observe(toasts, { childList: true });
    for (const toast of toasts.children) expire(toast);
    const failed = () => say("That could not be saved just now. Nothing was changed; try again.", "is-bad");
    document.addEventListener("htmx:error", failed);
    document.addEventListener("htmx:response:error", (event) => {
      if (event.detail.ctx.response.status >= 500) failed();
    });
  }
})();
