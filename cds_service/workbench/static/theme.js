// Runs before the first paint, so that a chosen theme never flashes. Keeps the choice of theme alone, nothing of a bundle.
(() => {
  let kept = null;
  try {
    kept = localStorage.getItem("labcue-theme");
  } catch {
    // storage may be blocked: then the system's theme holds
  }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
