const ready = (video) => video.readyState >= 3 || new Promise((done) => { video.addEventListener("canplay", done, { once: true }); video.addEventListener("error", done, { once: true }); });
const inStep = (videos) => {
  const together = () => { for (const video of videos) { video.currentTime = 0; video.play(); } };
  Promise.all(videos.map(ready)).then(together);
  videos[0].onended = together;
  return together;
};
