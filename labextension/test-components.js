// Stands for JupyterLab's web components, which are compiled for browsers only: whatever is taken
// from it or done with it is nothing. None of ours draws with them.

const nothing = new Proxy(function () {}, {
  get: (_, name) => (name === '__esModule' ? true : typeof name === 'symbol' ? undefined : nothing),
  apply: () => nothing
});

module.exports = nothing;
