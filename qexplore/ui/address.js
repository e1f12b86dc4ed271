// One page, one entry in the browser's history. Streamlit 1.67 adds an entry whenever its script changes the address
// of the page that is open: when a page drops what was bound on the page before it, or takes up its own settings
// again. Back then leads to an address that nobody has visited. Here such a change takes the place of the entry.
// And under load the next page may drop the settings of this one before the address goes on to it: then the entry that
// is left gets back the address that it had at the click which led on.
if (!window.qexploreKeepsHistory) {
  window.qexploreKeepsHistory = true;
  const add = history.pushState.bind(history);
  let clicked = new URL(location.href);
  addEventListener("click", () => { clicked = new URL(location.href); }, true);
  history.pushState = (state, title, address) => {
    const here = new URL(location.href);
    if (new URL(address ?? here, here).pathname === here.pathname) {
      history.replaceState(state, title, address);
      return;
    }
    if (clicked.pathname === here.pathname && onlyDrops(here, clicked)) {
      history.replaceState(history.state, "", clicked);
    }
    add(state, title, address);
  };
  const onlyDrops = (after, before) =>
    after.searchParams.size < before.searchParams.size &&
    [...after.searchParams].every(([name, value]) => before.searchParams.get(name) === value);
}
