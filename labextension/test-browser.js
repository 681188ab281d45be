// What jsdom lacks and JupyterLab's modules or ours take for granted.

// Snapshots are JSON, so this copy of one is exact.
globalThis.structuredClone ??= value => JSON.parse(JSON.stringify(value));
if (typeof window !== 'undefined') {
  window.DragEvent ??= class DragEvent extends window.MouseEvent {};
  window.matchMedia ??= () => ({ matches: false, addEventListener() {} });
  window.ResizeObserver ??= class {
    observe() {}
    disconnect() {}
  };
}
