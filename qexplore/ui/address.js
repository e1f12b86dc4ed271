// One page, one entry in the browser's history. Streamlit 1.67 adds an entry whenever its script changes the address
// of the page that is open: when a page drops what was bound on the page before it, or takes up its own settings
// again. Back then leads to an address that nobody has visited. Here such a change takes the place of the entry.
if (!window.qexploreKeepsHistory) {
  window.qexploreKeepsHistory = true;
  const add = history.pushState.bind(history);
  history.pushState = (state, title, address) => {
    const samePage = new URL(address ?? location.href, location.href).pathname === location.pathname;
    if (samePage) history.replaceState(state, title, address);
    else add(state, title, address);
  };
}
