// The thread's own manners: follow the newest only from the bottom, never move what is being read, say where the unseen
// begin, show who is typing.
(() => {
  const TYPING_FOR = 60000;
  const scroller = document.getElementById("thread-scroll");
  const log = document.getElementById("thread-log");
  if (!scroller || !log) return;

  const button = document.getElementById("new-messages");
  const words = document.getElementById("new-messages-words");
  const announcements = document.getElementById("announcements");
  const typing = document.getElementById("typing");
  let unread = 0, unseen = "", held = null, reading = null, standsAt = 0, typingBy = "", typingEnds;

  // The scroller runs from the bottom up (column-reverse), so the newest is at 0.
  const atBottom = () => scroller.scrollTop > -40;
  const bubbles = () => [...log.querySelectorAll("[data-position]")];
  const newest = () => Number(bubbles().at(-1)?.dataset.position ?? 0);

  const show = () => {
    button.hidden = unread === 0;
    words.textContent = `${unread} new`;
    log.dataset.liveCount = unread;
    log.dispatchEvent(new Event("live:counted", { bubbles: true }));
  };

  // What is being read: the first message in sight, and how far it stands from the top.
  const place = () => {
    const top = scroller.getBoundingClientRect().top;
    const el = bubbles().find((bubble) => bubble.getBoundingClientRect().bottom > top);
    return el && { id: el.id, top: el.getBoundingClientRect().top };
  };

  log.addEventListener("live:before", (event) => {
    // The place is measured once per scroll: measured at each change, rounding would let it creep.
    if (!reading || scroller.scrollTop !== standsAt) reading = place();
    held = { bottom: atBottom(), newest: newest() };
    log.setAttribute("aria-live", event.detail.tail && held.bottom ? "polite" : "off");
  });

  log.addEventListener("live:after", (event) => {
    const added = bubbles().filter((bubble) => Number(bubble.dataset.position) > held.newest);
    // The line above the first unseen one stays until the thread is left.
    const isWatched = held.bottom && !document.hidden;
    if (!isWatched && added.length && !unread) unseen = added[0].id;
    if (!isWatched) unread += added.length;
    for (const bubble of bubbles()) bubble.toggleAttribute("data-unseen", bubble.id === unseen);
    const el = reading && document.getElementById(reading.id);
    if (held.bottom) scroller.scrollTop = 0;
    else if (el) scroller.scrollTop += el.getBoundingClientRect().top - reading.top;
    standsAt = scroller.scrollTop;
    if (held.bottom || !el) reading = null;
    if (added.length && !event.detail.tail) announcements.textContent = added.length === 1 ? "1 message added" : `${added.length} messages added`;
    if (added.some((bubble) => bubble.classList.contains(typingBy === "agent" ? "is-outbound" : "is-inbound"))) stopTyping();
    show();
  });

  const look = () => {
    if (!atBottom() || document.hidden || !unread) return;
    unread = 0;
    show();
  };
  scroller.addEventListener("scroll", look, { passive: true });
  document.addEventListener("visibilitychange", look);

  button.addEventListener("click", () => {
    scroller.scrollTop = 0;
    look();
    scroller.focus({ preventScroll: true });
  });

  log.addEventListener("click", (event) => {
    const link = event.target.closest("[data-earlier]");
    if (!link || !log.dataset.live || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    log.dispatchEvent(new CustomEvent("live:widen", { bubbles: true, detail: { from: Number(link.dataset.earlier) } }));
  });

  const stopTyping = () => {
    clearTimeout(typingEnds);
    typingBy = "";
    typing.hidden = true;
  };

  log.addEventListener("live:typing", (event) => {
    if (!event.detail.on) return stopTyping();
    const follow = atBottom();
    typingBy = event.detail.by;
    typing.classList.toggle("is-outbound", typingBy === "agent");
    document.getElementById("typing-words").textContent = typingBy === "agent" ? "The agent is typing" : "The human is typing";
    typing.hidden = false;
    if (follow) scroller.scrollTop = 0;
    clearTimeout(typingEnds);
    typingEnds = setTimeout(stopTyping, TYPING_FOR);
  });
})();
