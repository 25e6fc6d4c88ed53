// Light or dark, before anything is drawn. Not a module: those run too late for that. Where nothing
// is kept, or may be kept, the system decides. That a script runs at all is noted, too: without one
// the page shows only that it needs one.
(() => {
  document.documentElement.dataset.script = "";
  try {
    const kept = localStorage.getItem("desist-console-theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch {
    // Storage is denied here: the system decides.
  }
})();
