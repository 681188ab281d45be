// Who a notebook is: new, the same, renamed, or a copy.

import { Signal } from '@lumino/signaling';

import {
  identityAt,
  isCodexCell,
  isReachable,
  type Line,
  readIdentity,
  Shared,
  tellServer
} from '../src/identity';

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

/** A line whose state the test changes, at a server that knows the notebook as `known`. */
class TestLine {
  state: Line['state'] = 'connecting';
  stateChanged = new Signal<Line, void>(this as unknown as Line);
  asked: object[] = [];

  constructor(readonly known: string) {}

  become(state: Line['state']): void {
    this.state = state;
    this.stateChanged.emit();
  }

  async call(method: string, params: object): Promise<Record<string, unknown>> {
    this.asked.push({ method, ...params });
    return { notebookId: this.known };
  }
}

test.each([
  ['open', true],
  ['unavailable', false]
] as const)('a page waits for its line, until it is %s', async (last, expected) => {
  const line = new TestLine('');
  const states: Line['state'][] = ['lost', 'connecting', last];
  let isSettled = false;
  const reachable = isReachable(line as unknown as Line).finally(() => (isSettled = true));
  for (const state of states) {
    await Promise.resolve();
    expect(isSettled).toBe(false);
    line.become(state);
  }
  expect(await reachable).toBe(expected);
  expect(await isReachable(line as unknown as Line)).toBe(expected);
});

test('cells that are run at once make one id, and later ones look again', async () => {
  const shared = new Shared<string>();
  const ends: (() => void)[] = [];
  const begin = jest.fn(() => new Promise<void>(resolve => ends.push(resolve)));
  const cells = [shared.run('book', begin), shared.run('book', begin), shared.run('book', begin)];
  const other = shared.run('other', begin);
  expect(begin).toHaveBeenCalledTimes(2);
  ends.forEach(end => end());
  await Promise.all([...cells, other]);
  const failing = shared.run('book', () => Promise.reject(new Error('lost')));
  await expect(failing).rejects.toThrow('lost');
  void shared.run('book', begin);
  expect(begin).toHaveBeenCalledTimes(3);
});

test('the page keeps the id that counts', async () => {
  const line = new TestLine('first');
  const identity = { id: 'second', path: 'a.ipynb' };
  const kept = await tellServer(line as unknown as Line, 'k', identity, true);
  expect(kept).toEqual({ id: 'first', path: 'a.ipynb' });
  expect(line.asked).toEqual([
    {
      method: 'notebook/identify',
      kernelId: 'k',
      notebookId: 'second',
      path: 'a.ipynb',
      isNew: true
    }
  ]);
});
