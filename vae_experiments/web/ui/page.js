// Videos of one group play, stop and move together; the first one leads.
(() => {
  const groups = new WeakMap();
  const lead = (group) => group.videos.reduce((a, b) => ((b.duration || 0) > (a.duration || 0) ? b : a));
  const play = (group) => group.videos.forEach((video) => video.play().catch(() => {}));
  const move = (group, seconds) =>
    group.videos.forEach((video) => { video.currentTime = Math.min(seconds, Math.max(0, (video.duration || 0) - 0.001)); });
  const begin = (element) => {
    const videos = [...element.querySelectorAll("video")];
    const group = { videos, button: element.querySelector(".play"), seek: element.querySelector(".seek"), held: false };
    groups.set(element, group);
    const ready = (video) => video.readyState >= 3 || new Promise((done) => ["canplay", "error"].forEach((name) => video.addEventListener(name, done, { once: true })));
    videos.forEach((video) => {
      video.muted = true;
      video.addEventListener("ended", () => { if (video === lead(group)) { move(group, 0); play(group); } });
      video.addEventListener("timeupdate", () => {
        const first = lead(group);
        if (video !== first || !first.duration) return;
        if (group.seek && !group.held) group.seek.value = (1000 * first.currentTime) / first.duration;
        videos.forEach((other) => {
          if (other !== first && !other.ended && Math.abs(other.currentTime - first.currentTime) > 0.12 && first.currentTime < other.duration) other.currentTime = first.currentTime;
        });
      });
      ["play", "pause"].forEach((name) => video.addEventListener(name, () => {
        if (group.button) group.button.textContent = lead(group).paused ? "►" : "❚❚";
      }));
    });
    group.button?.addEventListener("click", () => {
      if (lead(group).paused) play(group); else videos.forEach((video) => video.pause());
    });
    group.seek?.addEventListener("input", () => { group.held = true; move(group, (group.seek.value / 1000) * (lead(group).duration || 0)); });
    group.seek?.addEventListener("change", () => { group.held = false; });
    Promise.all(videos.map(ready)).then(() => { move(group, 0); play(group); });
  };
  const look = () => document.querySelectorAll(".together").forEach((element) => { if (!groups.has(element)) begin(element); });
  const start = () => { look(); new MutationObserver(look).observe(document.body, { childList: true, subtree: true }); };
  if (document.body) start(); else document.addEventListener("DOMContentLoaded", start);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".command .copy");
    if (!button) return;
    navigator.clipboard?.writeText(button.previousElementSibling.textContent).then(() => {
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  });
})();
