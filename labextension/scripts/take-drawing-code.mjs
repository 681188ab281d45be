// The code that draws a turn has one source, in the Python package: kernels ship it as well.

import { cp, mkdir, readdir, rm } from 'node:fs/promises';

const from = new URL('../../codex_jupyter/view/static/', import.meta.url);
const to = new URL('../view/src/turn/', import.meta.url);
const style = new URL('../view/style/', import.meta.url);

await rm(to, { recursive: true, force: true });
await mkdir(to, { recursive: true });
for (const name of await readdir(from)) {
  await cp(new URL(name, from), new URL(name, name.endsWith('.css') ? style : to));
}
