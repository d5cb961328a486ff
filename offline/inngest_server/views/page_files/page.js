// Asks for the page again every second, and shows its live part when that has changed.
"use strict";
const [clock, live] = ["clock", "live"].map((id) => document.getElementById(id));
let shown = live.innerHTML;

async function refresh() {
  const selecting = String(getSelection()) !== "";
  const typing = document.activeElement.matches("#live textarea");
  if (document.hidden || selecting || typing) return;
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    clock.textContent = page.getElementById("clock").textContent;
    const fresh = page.getElementById("live").innerHTML;
    document.body.classList.remove("gone");
    if (fresh !== shown) live.innerHTML = shown = fresh;
  } catch {
    document.body.classList.add("gone");
  }
}

setInterval(refresh, 1000);
