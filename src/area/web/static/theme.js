// Before anything is drawn: the theme that was chosen, or the system's.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = localStorage.getItem("theme");
    document.documentElement.dataset.bsTheme = chosen || (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = chosen || "system";
  };
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  window.setTheme = (name) => {
    if (name === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", name);
    apply();
  };
})();
