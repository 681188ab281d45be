// Who a notebook is: new, the same, renamed, or a copy.

import { identityAt, isCodexCell, readIdentity } from '../src/identity';

const KNOWN = { id: 'abc', path: 'old/a.ipynb' };

test('a new notebook gets an id of its own', async () => {
  const one = await identityAt(null, 'a.ipynb', async () => true);
  const two = await identityAt(null, 'a.ipynb', async () => true);
  expect(one.path).toBe('a.ipynb');
  expect(one.id).not.toBe(two.id);
});

test('a notebook where it was is who it was, and nobody is asked', async () => {
  const exists = jest.fn();
  expect(await identityAt(KNOWN, KNOWN.path, exists)).toEqual(KNOWN);
  expect(exists).not.toHaveBeenCalled();
});

test('a renamed notebook stays who it is', async () => {
  const found = await identityAt(KNOWN, 'b.ipynb', async () => false);
  expect(found).toEqual({ id: 'abc', path: 'b.ipynb' });
});

test('a copy is somebody else', async () => {
  const asked: string[] = [];
  const found = await identityAt(KNOWN, 'b.ipynb', async path => asked.push(path) > 0);
  expect(asked).toEqual([KNOWN.path]);
  expect(found.path).toBe('b.ipynb');
  expect(found.id).not.toBe('abc');
});

test.each([null, undefined, 7, 'x', {}, { id: '' }, { id: 'a' }, { id: 1, path: 'p' }])(
  'metadata %p is no identity',
  metadata => {
    expect(readIdentity(metadata)).toBeNull();
  }
);

test.each([
  ['%%codex\nhello', true],
  ['%codex status', true],
  ['x = 1\n  %codex new', true],
  ['%%codexy', false],
  ['print("%%codex")', false],
  ['', false]
])('%j asks the agent: %p', (source, expected) => {
  expect(isCodexCell(source)).toBe(expected);
});
