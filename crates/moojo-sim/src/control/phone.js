"use strict";
// Fetches the page again and takes over the parts that change, so that all markup is made, and
// escaped, in one place: the server.
const PARTS = ["live", "clock"];
const thread = () => document.querySelector(".thread");
const toEnd = () => { thread().scrollTop = thread().scrollHeight; };

async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of PARTS) {
      const here = document.getElementById(id);
      const there = fresh.getElementById(id);
      if (!there || here.innerHTML === there.innerHTML) continue;
      const before = thread();
      const atEnd = before.scrollHeight - before.scrollTop - before.clientHeight < 40;
      const top = before.scrollTop;
      const numbersTop = document.querySelector("nav")?.scrollTop ?? 0;
      here.replaceChildren(...there.childNodes);
      if (atEnd) toEnd(); else thread().scrollTop = top;
      document.querySelector("nav")?.scrollTo(0, numbersTop);
    }
  } catch {
    // The simulator is gone, or restarting: the next round will tell.
  }
  setTimeout(refresh, 1000);
}

toEnd();
setTimeout(refresh, 1000);
