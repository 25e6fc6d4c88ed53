// Light or dark, before anything is drawn. Not a module: those run too late for that. Where nothing
// is kept, or may be kept, the system decides.
(() => {
  try {
    const kept = localStorage.getItem("desist-console-theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch {
    // Storage is denied here: the system decides.
  }
})();
