// Keeps the regions of a page true. The socket only says that something changed; what changed is fetched from the
// region's own address, so it always obeys the page's filter, order and rights.
// The attributes it goes by: docs/explanation/live.md.
(() => {
  const WAIT = 120; // ms in which several events become one fetch
  const EVERY = 1000, TAIL_EVERY = 200; // ms between two fetches of a region while events keep coming
  const PING_EVERY = 25000, PONG_WITHIN = 10000;
  const POLL_VISIBLE = 5000, POLL_HIDDEN = 30000, POLL_AFTER_TRIES = 3;
  const HIDDEN_FOR = 5 * 60000;
  const REMEMBERED = 2000;
  // These change messages that their own number does not name: the whole log is drawn anew.
  const REDRAWS = new Set(["message.read", "message.peer_read"]);
  // Told by signals, which have no number to catch up from.
  const UNNUMBERED = /deliver|endpoint|job|line|rehearsal|shadow/;

  const pill = document.querySelector("[data-live-state]");
  const elements = () => [...document.querySelectorAll("[data-live]")];
  if (!pill || !elements().length) return;

  let last = Number(document.body.dataset.liveLast) || 0;
  let fresh = true, socket = null, open = false, listening = true, catchingUp = true, ended = "";
  let answered = false, tries = 0, polled = false, staleSince = null, reconnect, pong, hidden, lost = false;
  let paused = sessionStorage.getItem("live-paused") !== null, piled = 0, heardAt = null, drawnAt = new Date();
  const seen = new Set();
  const records = new WeakMap();
  const record = (el) => {
    if (!records.has(el)) {
      records.set(el, { busy: false, due: 0, at: -Infinity, full: false, since: null, from: null, failed: 0, behind: false, waits: {} });
      for (const leaves of ["pointerleave", "focusout"]) el.addEventListener(leaves, () => setTimeout(settle, 0, el));
    }
    return records.get(el);
  };
  const wanted = (state) => state.full || state.since !== null;

  // --- What the pill says

  const clock = (at) => at?.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: document.body.dataset.zone ?? "UTC" });
  const put = (name, words) => {
    for (const el of document.querySelectorAll(`[data-live-fact="${name}"]`)) el.textContent = words;
  };

  const say = () => {
    const states = elements().map(record);
    const stale = states.some((state) => state.failed) || !listening || !open;
    const polling = polled && !open && hidden !== "closed" && !states.some((state) => state.failed);
    if (answered && !states.some((state) => state.behind)) catchingUp = false;
    let name = "live", words = "Live";
    if (ended) [name, words] = ["ended", ended];
    else if (!navigator.onLine) [name, words] = ["offline", "Offline"];
    else if (paused) [name, words] = ["paused", piled ? `Paused, ${piled} new` : "Paused"];
    else if (polling) [name, words] = ["polling", "Every 5 s"];
    else if (catchingUp && (open || fresh)) [name, words] = ["catching-up", "Catching up"];
    else if (stale) [name, words] = ["stale", `Stale since ${clock((staleSince ??= new Date()))}`];
    if (name === "live" || name === "polling") staleSince = null;
    pill.hidden = false;
    pill.dataset.liveState = name;
    pill.querySelector("[data-live-words]").textContent = words;
    for (const el of elements()) el.classList.toggle("is-stale", record(el).failed > 0 || name === "stale" || name === "offline");
    for (const button of document.querySelectorAll("[data-live-pause]")) {
      button.hidden = Boolean(ended);
      button.setAttribute("aria-pressed", String(paused));
    }
    put("connection", open ? "Connected" : polling ? "Refused; asked for every 5 s" : "None");
    put("heard", clock(heardAt) ?? "None since this page was opened");
    put("drawn", clock(drawnAt));
    put("waiting", paused ? (piled ? `${piled} heard of` : "Nothing yet") : elements().map((el) => waitsInWords(record(el).waits)).filter(Boolean).join("; ") || "Nothing");
    badge();
  };

  // --- The title and the icon count what waits to be seen

  const title = document.title, icon = document.querySelector("link[rel=icon]"), calm = icon?.href;
  const badge = () => {
    const count = elements().reduce((sum, el) => sum + (record(el).waits.new ?? 0) + Number(el.dataset.liveCount ?? 0), 0);
    document.title = count ? `(${count}) ${title}` : title;
    const href = (count && icon?.dataset.new) || calm;
    if (icon && icon.href !== href) icon.href = href;
  };

  // --- Regions

  const refetch = async (el) => {
    const state = record(el);
    const tail = el.dataset.liveTail && !state.full && state.since !== null;
    const address = tail ? tailAddress(el, state) : fullAddress(el, state);
    const after = lastPosition(el);
    Object.assign(state, { busy: true, due: 0, at: performance.now(), full: false, since: null });
    say();
    try {
      const response = await fetch(address, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(15000) });
      if (response.redirected && new URL(response.url).pathname === document.body.dataset.signIn) end("Signed out");
      else if (response.status === 403) end("No longer yours");
      else if (response.status === 404) el.removeAttribute("data-live");
      else if (!response.ok) throw new Error(String(response.status));
      else await swap(el, await response.text(), tail, after);
      Object.assign(state, { failed: 0, from: null, behind: false });
      drawnAt = new Date();
      polled = !open;
    } catch {
      polled = false;
      // The old content stays; everything is asked for until an answer comes.
      state.failed += 1;
      state.full = true;
    }
    state.busy = false;
    if (state.failed) state.due = setTimeout(refetch, Math.min(10000, 250 * 2 ** state.failed), el);
    else if (wanted(state)) arm(el);
    say();
  };

  // The first of several changes is shown at once; while they keep coming, no more often than the region wants.
  const arm = (el) => {
    const state = record(el);
    if (state.due || state.busy || ended || paused) return;
    const every = Number(el.dataset.liveWait) || (el.dataset.liveTail ? TAIL_EVERY : EVERY);
    state.due = setTimeout(refetch, Math.max(WAIT, state.at + every - performance.now()), el);
  };

  const want = (el, number) => {
    const state = record(el);
    if (number === undefined || !el.dataset.liveTail) state.full = true;
    else state.since = Math.min(state.since ?? number, number);
    arm(el);
  };

  const wantAll = () => elements().forEach((el) => want(el));

  const positions = (el) => [...el.querySelectorAll("[data-position]")].map((item) => Number(item.dataset.position));
  const lastPosition = (el) => positions(el).at(-1) ?? 0;
  const tailAddress = (el, state) => `${el.dataset.liveTail}?after=${lastPosition(el)}&since=${state.since}`;
  const fullAddress = (el, state) => {
    if (!el.dataset.liveTail) return el.dataset.liveUrl;
    const from = state.from ?? positions(el)[0];
    return from ? `${el.dataset.liveUrl}?from=${from}` : el.dataset.liveUrl;
  };

  const swap = async (el, text, tail, after) => {
    const unfolded = [...el.querySelectorAll("details[open]")].map((details) => details.id);
    const detail = { tail: Boolean(tail), after };
    const focused = el.contains(document.activeElement);
    el.dispatchEvent(new CustomEvent("live:before", { bubbles: true, detail }));
    if (tail) await append(el, text, after);
    else await morph(el, arranged(el, text), el.dataset.liveSwap || "innerMorph");
    for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
    if (focused && document.activeElement === document.body) el.focus({ preventScroll: true });
    el.dispatchEvent(new CustomEvent("live:after", { bubbles: true, detail }));
    offer(el);
  };

  const morph = (target, text, style) => htmx.swap({ sourceElement: target, target, text, swap: style });

  // Changed items are morphed where they stand, new ones come after the last; older ones that are not shown stay out.
  const append = async (el, text, after) => {
    const template = document.createElement("template");
    template.innerHTML = text;
    const list = el.querySelector("ol");
    for (const item of [...template.content.children]) {
      const shown = document.getElementById(item.id);
      if (shown) await morph(shown, item.outerHTML, "outerMorph");
      else if (!item.dataset.position || Number(item.dataset.position) > after) list.append(item);
    }
    if (lastPosition(el)) document.getElementById("nothing-said")?.remove();
  };

  // --- Lists: what is under the pointer stays there

  const isHeld = (el) => el.matches(":hover, :focus-within") || el.querySelector("[data-selected]") !== null;
  const rowsOf = (list) => new Map([...list.children].filter((row) => row.matches("[data-row]")).map((row) => [row.id, row]));
  const waitsInWords = ({ new: added, moved, gone }) =>
    [added && `${added} new`, moved && `${moved} moved`, gone && `${gone} no longer here`].filter(Boolean).join(" · ");

  // The fresh rows, in the places of those that are shown. New ones wait; those that no longer match stay, marked; those
  // that new ones pushed to the next page stay too. The order changes only while nobody has a hand in the list.
  const arranged = (el, text) => {
    const state = record(el), template = document.createElement("template");
    template.innerHTML = text;
    const shown = el.querySelector("[data-rows]"), fresh = template.content.querySelector("[data-rows]");
    const old = shown && rowsOf(shown), now = fresh ? rowsOf(fresh) : new Map();
    const whole = state.whole || !old?.size || el.matches("[data-live-tail], [data-live-whole]");
    const swept = state.swept;
    Object.assign(state, { whole: false, swept: false, waits: {} });
    if (whole) return text;
    const ids = [...now.keys()], places = [...old.keys()], kept = places.filter((id) => now.has(id));
    const added = ids.length - kept.length;
    const pushed = new Set();
    if (template.content.querySelector("[rel=next]")) {
      for (let at = places.length; pushed.size < added && at && !now.has(places[at - 1]); at--) pushed.add(places[at - 1]);
    }
    // Most rows move up; a row is counted as moved when one that was above it is below it now.
    let least = Infinity, moved = 0, gone = 0;
    for (const id of ids.filter((id) => old.has(id)).reverse()) {
      const place = places.indexOf(id);
      if (place > least) moved++;
      else least = place;
    }
    const order = isHeld(el) ? kept : ids.filter((id) => old.has(id));
    if (order !== kept) moved = 0;
    const next = order.values();
    const rows = [...shown.children].map((child) => {
      if (now.has(child.id) && old.has(child.id)) return now.get(next.next().value);
      if (!old.has(child.id)) return template.content.getElementById(child.id) ?? child.cloneNode(true);
      const row = child.cloneNode(true);
      if (pushed.has(child.id)) return row;
      if (swept && "gone" in child.dataset) return "";
      gone++;
      row.dataset.gone = "";
      return row;
    });
    state.waits = { new: added, moved, gone };
    if (fresh) {
      fresh.replaceChildren(...rows);
      return template.innerHTML;
    }
    const same = el.cloneNode(true);
    same.querySelector("[data-rows]").replaceChildren(...rows);
    return same.innerHTML;
  };

  const settle = (el) => record(el).waits.moved && !isHeld(el) && want(el);

  const offer = (el) => {
    const state = record(el), words = waitsInWords(state.waits);
    if (words && !state.button?.isConnected) {
      const frame = Object.assign(document.createElement("div"), { className: "waits" });
      state.button = Object.assign(document.createElement("button"), { type: "button", className: "button is-primary is-small" });
      Object.assign(state.button.dataset, { key: ".", keyLabel: "Show what is new" });
      state.button.addEventListener("click", () => showWaiting(el));
      frame.append(state.button);
      el.before(frame);
    }
    if (!state.button) return;
    state.button.hidden = !words;
    state.button.textContent = words;
  };

  const showWaiting = async (el) => {
    const state = record(el), focused = document.activeElement === state.button;
    state.whole = true;
    if (!state.busy) {
      clearTimeout(state.due);
      await refetch(el);
    } else state.full = true;
    el.scrollTop = 0;
    if (focused) el.focus({ preventScroll: true });
  };

  // What one does next clears away what no longer matches.
  document.addEventListener("submit", () => elements().forEach((el) => (record(el).swept = true)));

  // --- What the socket says

  const hears = (el, event) => {
    const types = event.type && el.dataset.liveTypes?.split(" ");
    // A crowd is told as `job:*`.
    return el.dataset.live.split(" ").some((topic) => event.topics.includes(topic) || event.topics.includes(topic.replace(/:.*/, ":*"))) &&
      (!types || types.some((type) => event.type.startsWith(type)));
  };

  const happened = (event) => {
    if (seen.has(event.number)) return;
    seen.add(event.number);
    if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
    const appends = /^(message|tapback)\./.test(event.type) && !REDRAWS.has(event.type);
    pass(event, appends ? event.number : undefined);
  };

  const pass = (event, number) => {
    const regions = elements().filter((el) => hears(el, event));
    if (!regions.length) return;
    heardAt = new Date();
    if (paused) piled += 1;
    for (const el of regions) want(el, number);
  };

  const hello = () => send({ type: "hello", last, fresh });
  const send = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

  const caughtUp = () => {
    answered = true;
    for (const state of elements().map(record)) state.behind = wanted(state);
  };

  const heard = {
    ready(message) {
      listening = message.listening;
      hello();
    },
    events(message) {
      last = Math.max(last, message.last);
      message.events.forEach(happened);
      if (message.caught_up) {
        if (!fresh && elements().some((el) => record(el).failed)) wantAll();
        else if (lost) for (const el of elements()) if (UNNUMBERED.test(el.dataset.live)) want(el);
        fresh = lost = false;
        caughtUp();
      }
    },
    reset(message) {
      last = message.last;
      fresh = lost = false;
      wantAll();
      caughtUp();
    },
    later: () => setTimeout(hello, 1000),
    typing(message) {
      for (const el of elements()) {
        if (el.dataset.liveTail && message.topics.some((topic) => el.dataset.live.split(" ").includes(topic))) {
          el.dispatchEvent(new CustomEvent("live:typing", { detail: message }));
        }
      }
    },
    topics: (message) => pass(message),
    state: (message) => (listening = message.listening),
    pong(message) {
      clearTimeout(pong);
      listening = message.listening;
      // Something was lost on the way here, or was not for this page: ask.
      if (message.last > last) hello();
    },
  };

  // --- The socket

  const connect = () => {
    clearTimeout(reconnect);
    if (socket || ended || hidden === "closed") return;
    const mine = (socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/console/`));
    mine.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "ready") {
        tries = 0;
        polled = answered = false;
        open = catchingUp = true;
      }
      heard[message.type]?.(message);
      say();
    };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      open = false;
      lost = true;
      clearTimeout(pong);
      // What is fetched tells who one is now, if anybody.
      if (event.code === 4401 || event.code === 4403) {
        paused = false;
        wantAll();
      }
      // While pages can be fetched the socket is tried for at the pace of the polling, not slower.
      const wait = Math.min(polled ? POLL_VISIBLE : 30000, 500 * 2 ** Math.max(0, tries - 2)) * (0.5 + Math.random() / 2);
      tries += 1;
      if (!ended) reconnect = setTimeout(connect, wait);
      say();
    };
  };

  const drop = () => {
    const old = socket;
    if (!old) return;
    old.onclose({ code: 0 });
    old.onmessage = null;
    old.close();
  };

  const soon = () => {
    tries = Math.min(tries, 1);
    connect();
  };

  const end = (words) => {
    ended = words;
    clearTimeout(reconnect);
    socket?.close();
  };

  setInterval(() => {
    if (!open) return;
    send({ type: "ping" });
    clearTimeout(pong);
    pong = setTimeout(drop, PONG_WITHIN);
  }, PING_EVERY);

  // Where the socket is refused, pages are fetched anew now and then.
  (function poll() {
    setTimeout(() => {
      if (!open && !ended && tries >= POLL_AFTER_TRIES) wantAll();
      poll();
    }, document.hidden ? POLL_HIDDEN : POLL_VISIBLE);
  })();

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(() => ((hidden = "closed"), drop()), HIDDEN_FOR);
    else {
      hidden = undefined;
      soon();
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-live-pause]")) return;
    paused = !paused;
    piled = 0;
    if (paused) sessionStorage.setItem("live-paused", "");
    else sessionStorage.removeItem("live-paused");
    for (const el of elements()) {
      const state = record(el);
      if (paused && !state.failed) state.due = clearTimeout(state.due) ?? 0;
      else if (wanted(state)) arm(el);
    }
    say();
  });
  document.addEventListener("live:counted", badge);
  addEventListener("online", () => (soon(), say()));
  addEventListener("offline", say);
  addEventListener("pagehide", () => (ended ||= "Left"));
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    ended = "";
    wantAll();
    soon();
  });
  document.addEventListener("live:widen", (event) => {
    record(event.target).from = event.detail.from;
    want(event.target);
  });

  connect();
  say();
})();
