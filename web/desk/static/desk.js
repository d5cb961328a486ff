// What a browser adds to the desk: updates while a page is open, keys, drafts, times in words. The desk works without it.
"use strict";

const POLL_MS = 3000;
const RETRY_MS = 10000;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
// A browser may forbid storage; then null.
const stored = (storage, act) => { try { return act(window[storage]); } catch { return null; } };

// Times in words, next to the absolute ones.

function inWords(seconds) {
  const minutes = Math.floor(Math.abs(seconds) / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) return seconds < 0 ? "just now" : "under a minute left";
  const amount = minutes < 60 ? `${minutes} min`
    : hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
  return seconds < 0 ? `${amount} ago` : `${amount} left`;
}

function showTimes() {
  for (const time of $$("time[datetime]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    let words = time.nextElementSibling;
    if (!words?.matches(".relative")) {
      words = Object.assign(document.createElement("span"), { className: "relative" });
      time.after(words);
      time.title = new Date(time.dateTime).toLocaleString();
    }
    const text = ` (${inWords(seconds)})`;
    if (words.textContent !== text) words.textContent = text;
    time.closest(".deadline")?.classList.toggle("soon", seconds < 1800);
  }
}

// Drafts: what was typed is still there after a reload or a sign-in, in this tab only.

const draftOf = (form) => `draft ${new URL(form.action).pathname}`;

function keepDraft(form) {
  const fields = Object.fromEntries($$("input[name=amount], textarea", form).map((field) => [field.name, field.value]));
  stored("sessionStorage", (storage) => storage.setItem(draftOf(form), JSON.stringify(fields)));
}

function restoreDraft(form) {
  const draft = stored("sessionStorage", (storage) => JSON.parse(storage.getItem(draftOf(form))));
  for (const [name, value] of Object.entries(draft ?? {})) {
    const field = form.elements[name];
    if (field && field.value === field.defaultValue) field.value = value;
  }
}

function takeUp(card) {
  const form = $("form[data-decide]", card);
  if (form) restoreDraft(form);
  else stored("sessionStorage", (storage) => storage.removeItem(`draft /approvals/${card.dataset.refund}/decision`));
}

document.addEventListener("input", (event) => event.target.form?.matches("[data-decide]") && keepDraft(event.target.form));

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-sign-out]")) stored("sessionStorage", (storage) => storage.clear());
  if (!form.matches("[data-decide]")) return;
  // A double click sends the form once. The server would count it as one decision, too.
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => $$("form[data-sent]").forEach((form) => delete form.dataset.sent));

// Updates.

const page = document.body.dataset;
const shownCards = () => $$("article[data-refund]");
let etag = `W/"${page.version}"`;

function announce(text) {
  $("#live").textContent = text;
}

function notice(id) {
  if ($("main [data-offline]")?.dataset.offline === id) return;
  $("main [data-offline]")?.remove();
  if (!id) return;
  $("main").prepend($(`#${id}`).content.cloneNode(true));
  $("main [data-offline]").dataset.offline = id;
  announce($("main [data-offline]").textContent);
}

function closeCard(card, news) {
  const form = $("form[data-decide]", card);
  card.dataset.state = news.dataset.state;
  // Without a form it is the page of one decided refund, which shows the history as well: load all of it anew.
  if (!form) return location.reload();
  card.classList.add("done");
  $("fieldset", form).disabled = true;
  $(".closed-note", card)?.remove();
  form.before(...news.childNodes);
  $(".deadline", card)?.remove();
}

function addCards(incoming) {
  const list = $("main [data-cards]");
  const known = new Set(shownCards().map((card) => card.dataset.refund));
  const added = [];
  let previous = null;
  for (const card of $$("article", incoming)) {
    if (!known.has(card.dataset.refund)) {
      const fresh = document.importNode(card, true);
      fresh.classList.add("fresh");
      if (previous) previous.after(fresh);
      else list.prepend(fresh);
      takeUp(fresh);
      added.push(fresh);
    }
    previous = $(`article[data-refund="${card.dataset.refund}"]`, list);
  }
  return added;
}

function apply(html) {
  const news = new DOMParser().parseFromString(html, "text/html");
  const says = [];
  for (const closed of $$("[data-closed]", news)) {
    const card = $(`article[data-refund="${closed.dataset.closed}"]`);
    const words = closed.textContent.trim().replace(/\s+/g, " ");
    if (!card || card.dataset.state === closed.dataset.state) continue;
    closeCard(card, document.importNode(closed, true));
    says.push(`${$("h2", card).textContent.trim()}: ${words}`);
  }
  if ("list" in page) {
    const added = addCards($("[data-cards]", news));
    if (added.length) says.unshift(`${added.length} new ${added.length > 1 ? "requests" : "request"}.`);
    const open = $$("article[data-refund]:not(.done)").length;
    const more = $("[data-cards]", news).dataset.more === "yes";
    $("[data-count]").textContent = open ? `${open}${more ? " or more" : ""} waiting, soonest deadline first` : "Nothing waits";
    $("[data-empty]").hidden = shownCards().length > 0;
    document.title = `${open ? `(${open}${more ? "+" : ""}) ` : ""}Waiting for approval`;
  }
  if (says.length) announce(says.join(" "));
  showTimes();
}

async function poll() {
  let pause = POLL_MS;
  try {
    const query = new URLSearchParams({ shown: shownCards().map((card) => card.dataset.refund).join(",") });
    if ("list" in page) query.set("list", "");
    if (page.after) query.set("after", page.after);
    const answer = await fetch(`/approvals/waiting?${query}`, {
      headers: { "If-None-Match": etag }, cache: "no-store", signal: AbortSignal.timeout(RETRY_MS),
    });
    if (answer.status === 403) return notice("signed-out");
    if (answer.status !== 304 && !answer.ok) throw new Error(answer.statusText);
    if (answer.ok) {
      apply(await answer.text());
      etag = answer.headers.get("etag");
    }
    notice("");
  } catch {
    notice("offline");
    pause = RETRY_MS;
  }
  setTimeout(poll, pause);
}

// Keys.

const keysOn = () => stored("localStorage", (storage) => storage.getItem("desk keys")) !== "off";

function currentCard() {
  const cards = shownCards();
  return document.activeElement.closest?.("article[data-refund]") ?? cards.find((card) => card.matches(".current")) ?? null;
}

function goTo(card) {
  if (!card) return;
  $$(".current").forEach((other) => other.classList.remove("current"));
  card.classList.add("current");
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

const keys = {
  j: (cards, at) => goTo(cards[Math.min(at + 1, cards.length - 1)]),
  k: (cards, at) => goTo(cards[Math.max(at - 1, 0)]),
  a: (cards, at) => $("button.approve", cards[Math.max(at, 0)])?.focus(),
  r: (cards, at) => $("textarea", cards[Math.max(at, 0)])?.focus(),
  n: () => $("[data-next]")?.click(),
  "?": () => $("#keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("#keys").open) return;
  if (event.target.matches("input, textarea, select")) {
    if (event.key === "Escape") goTo(event.target.closest("article[data-refund]"));
    return;
  }
  if (!(event.key in keys) || !keysOn()) return;
  const cards = shownCards();
  if (!cards.length && event.key !== "?") return;
  event.preventDefault();
  keys[event.key](cards, cards.indexOf(currentCard()));
});

document.addEventListener("focusin", (event) => {
  const card = event.target.closest("article[data-refund]");
  if (!card || card.matches(".current")) return;
  $$(".current").forEach((other) => other.classList.remove("current"));
  card.classList.add("current");
});

$("[data-keys-on]").checked = keysOn();
$("[data-keys-on]").addEventListener("change", (event) =>
  stored("localStorage", (storage) => storage.setItem("desk keys", event.target.checked ? "on" : "off")));
$("[data-keys]")?.addEventListener("click", keys["?"]);
if ($("[data-keys]")) $("[data-keys]").hidden = false;

shownCards().forEach(takeUp);
showTimes();
setInterval(showTimes, 15000);
if ("live" in page) setTimeout(poll, POLL_MS);
