// Keeps the regions of a page true. The socket only says that something changed; what changed is fetched from the
// region's own address, so it always obeys the page's filter, order and rights.
(() => {
  const WAIT = 120; // ms in which several events become one fetch
  const PING_EVERY = 25000, PONG_WITHIN = 10000;
  const POLL_VISIBLE = 5000, POLL_HIDDEN = 30000, POLL_AFTER_TRIES = 3;
  const HIDDEN_FOR = 5 * 60000;
  const REMEMBERED = 2000;
  // These change messages that their own number does not name: the whole log is drawn anew.
  const REDRAWS = new Set(["message.read", "message.peer_read"]);

  const pill = document.querySelector("[data-live-state]");
  const elements = () => [...document.querySelectorAll("[data-live]")];
  if (!pill || !elements().length) return;

  let last = Number(document.body.dataset.liveLast) || 0;
  let fresh = true, socket = null, open = false, listening = true, catchingUp = true, ended = "";
  let tries = 0, polled = false, staleSince = null, reconnect, pong, hidden;
  const seen = new Set();
  const records = new WeakMap();
  const record = (el) => {
    if (!records.has(el)) records.set(el, { busy: false, due: 0, full: false, since: null, from: null, failed: 0 });
    return records.get(el);
  };
  const pending = (state) => state.busy || state.due || state.full || state.since !== null;

  // --- What the pill says

  const say = () => {
    const states = elements().map(record);
    const stale = states.some((state) => state.failed) || !listening || !open;
    const polling = polled && !open && !states.some((state) => state.failed);
    if (catchingUp && open && !states.some(pending)) catchingUp = false;
    let name = "live", words = "Live";
    if (ended) [name, words] = ["ended", ended];
    else if (!navigator.onLine) [name, words] = ["offline", "Offline"];
    else if (polling) [name, words] = ["polling", "Every 5 s"];
    else if (catchingUp && (open || fresh)) [name, words] = ["catching-up", "Catching up"];
    else if (stale) [name, words] = ["stale", `Stale since ${(staleSince ??= new Date()).toISOString().slice(11, 16)}`];
    if (name === "live" || name === "polling") staleSince = null;
    pill.hidden = false;
    pill.dataset.liveState = name;
    pill.querySelector("[data-live-words]").textContent = words;
  };

  // --- Regions

  const refetch = async (el) => {
    const state = record(el);
    const tail = el.dataset.liveTail && !state.full && state.since !== null;
    const address = tail ? tailAddress(el, state) : fullAddress(el, state);
    const after = lastPosition(el);
    Object.assign(state, { busy: true, due: 0, full: false, since: null });
    say();
    try {
      const response = await fetch(address, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(15000) });
      if (response.redirected && new URL(response.url).pathname === document.body.dataset.signIn) end("Signed out");
      else if (response.status === 403 || response.status === 404) end("No longer yours");
      else if (!response.ok) throw new Error(String(response.status));
      else await swap(el, await response.text(), tail, after);
      Object.assign(state, { failed: 0, from: null });
      polled = !open;
    } catch {
      polled = false;
      // The old content stays; everything is asked for until an answer comes.
      state.failed += 1;
      state.full = true;
    }
    state.busy = false;
    el.classList.toggle("is-stale", state.failed > 0);
    if (state.failed) state.due = setTimeout(refetch, Math.min(10000, 250 * 2 ** state.failed), el);
    else if (state.full || state.since !== null) arm(el);
    say();
  };

  const arm = (el) => {
    const state = record(el);
    if (!state.due && !state.busy && !ended) state.due = setTimeout(refetch, Number(el.dataset.liveWait) || WAIT, el);
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
    el.dispatchEvent(new CustomEvent("live:before", { detail }));
    if (tail) await append(el, text, after);
    else await morph(el, text, el.dataset.liveSwap || "innerMorph");
    for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
    el.dispatchEvent(new CustomEvent("live:after", { detail }));
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

  // --- What the socket says

  const hears = (el, event) => {
    const topics = el.dataset.live.split(" ");
    const types = el.dataset.liveTypes?.split(" ");
    return event.topics.some((topic) => topics.includes(topic)) && (!types || types.some((type) => event.type.startsWith(type)));
  };

  const happened = (event) => {
    if (seen.has(event.number)) return;
    seen.add(event.number);
    if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
    const appends = /^(message|tapback)\./.test(event.type) && !REDRAWS.has(event.type);
    for (const el of elements()) if (hears(el, event)) want(el, appends ? event.number : undefined);
  };

  const hello = () => send({ type: "hello", last, fresh });
  const send = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

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
        fresh = false;
      }
    },
    reset(message) {
      last = message.last;
      fresh = false;
      wantAll();
    },
    later: () => setTimeout(hello, 1000),
    typing(message) {
      for (const el of elements()) {
        if (el.dataset.liveTail && message.topics.some((topic) => el.dataset.live.split(" ").includes(topic))) {
          el.dispatchEvent(new CustomEvent("live:typing", { detail: message }));
        }
      }
    },
    topics(message) {
      for (const el of elements()) if (el.dataset.live.split(" ").some((topic) => message.topics.includes(topic))) want(el);
    },
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
        polled = false;
        open = catchingUp = true;
      }
      heard[message.type]?.(message);
      say();
    };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      open = false;
      clearTimeout(pong);
      if (event.code === 4401) end("Signed out");
      else if (event.code === 4403) wantAll();
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
