import { DelegateList } from '../src/turn/delegates.js';

type Content = Record<string, any>;

const ROW = {
  threadId: 'a',
  turnId: 'a1',
  parentThreadId: 't',
  name: 'Ada',
  role: 'explorer',
  task: 'Look around.',
  status: 'running',
  activity: '$ ls',
  message: null as string | null,
  tokens: 1200,
  startedAtMs: 1000,
  durationMs: null as number | null
};
const DONE = {
  ...ROW,
  status: 'completed',
  activity: null,
  message: 'Found **it**.',
  durationMs: 3400
};

let list: InstanceType<typeof DelegateList>;
let asked: { content: Content; answer: (reply: unknown) => Promise<void> }[];

beforeEach(() => {
  jest.useFakeTimers();
  asked = [];
  list = new DelegateList(
    (content: Content) =>
      new Promise<any>(resolve => {
        const answer = async (reply: unknown) => {
          resolve(reply);
          await jest.advanceTimersByTimeAsync(0);
        };
        asked.push({ content, answer });
      })
  );
  document.body.append(list.node);
});

afterEach(() => {
  list.dispose();
  document.body.textContent = '';
  jest.useRealTimers();
});

const seen = (text: string, more: object = {}) => ({
  status: 'ok',
  snapshot: { items: [{ id: 'm', type: 'agentMessage', text }], delegates: [], ...more }
});
const find = <T extends HTMLElement = HTMLElement>(selector: string) =>
  list.node.querySelector<T>(selector)!;
const all = (selector: string) => [...list.node.querySelectorAll<HTMLElement>(selector)];
const unfold = () => find<HTMLButtonElement>('.cxj-who').click();
const text = () => list.node.textContent ?? '';
const second = () => jest.advanceTimersByTimeAsync(1000);

test('there is no section without rows, and no bar for one', () => {
  list.update([], true);
  expect(list.node.hidden).toBe(true);
  list.update([ROW], true);
  expect(list.node.hidden).toBe(false);
  expect(find('.cxj-progress').hidden).toBe(true);
});

test('the head counts, and every row says who it is and what it does', () => {
  const failed = { ...ROW, threadId: 'b', name: 'Bo', role: null, status: 'failed', message: 'no' };
  list.update([DONE, failed, { ...ROW, threadId: 'c', parentThreadId: 'a' }], true);
  expect(find('.cxj-delegates-head').textContent).toBe(
    'Delegates · 1 of 3 done1 failed3.6k tokens'
  );
  expect(find('.cxj-progress').getAttribute('aria-valuenow')).toBe('2');
  expect(all('.cxj-gist').map(node => node.textContent)).toEqual([
    'Found it.',
    '$ ls',
    'failed · no'
  ]);
  const depth = (node: HTMLElement) => node.style.getPropertyValue('--cxj-depth');
  expect(all('.cxj-delegate').map(depth)).toEqual(['0', '1', '0']);
  expect(all('.cxj-stop-one:not([hidden])').map(node => node.title)).toEqual(['Stop Ada']);
});

test('a row that changes stays the same node, and the others are not touched', () => {
  const other = { ...ROW, threadId: 'b' };
  list.update([ROW, other], true);
  const before = all('.cxj-delegate');
  const touched = jest.fn();
  const observer = new MutationObserver(touched);
  observer.observe(before[1]!, { subtree: true, childList: true, characterData: true });
  list.update([{ ...ROW, activity: '$ pwd' }, other], true);
  expect(all('.cxj-delegate')).toEqual(before);
  expect(find('.cxj-gist').textContent).toBe('$ pwd');
  expect(observer.takeRecords()).toEqual([]);
});

test('its time goes on with the clock of the view, and stands when it has ended', () => {
  list.update([ROW], true);
  list.tick(43_000);
  expect(find('.cxj-time').textContent).toBe('42 s');
  list.update([DONE], true);
  list.tick(99_000);
  expect(find('.cxj-time').textContent).toBe('3.4 s');
});

test('an unfolded row that works is looked at every second, one look at a time', async () => {
  list.update([ROW], true);
  unfold();
  expect(asked.map(one => one.content)).toEqual([
    { action: 'delegate', threadId: 'a', turnId: 'a1' }
  ]);
  await second();
  await second();
  expect(asked).toHaveLength(1); // no answer yet
  await asked[0]!.answer(seen('First'));
  expect(text()).toContain('First');
  await second();
  expect(asked).toHaveLength(2);
  await asked[1]!.answer(seen('First, then second'));
  expect(text()).toContain('First, then second');
});

test('a change of the row while a look is under way starts no second one', async () => {
  list.update([ROW], true);
  unfold();
  list.update([{ ...ROW, activity: '$ pwd' }], true);
  list.update([DONE], true);
  expect(asked).toHaveLength(1);
  await asked[0]!.answer(seen('Half'));
  expect(asked).toHaveLength(2); // it had ended meanwhile
  await asked[1]!.answer(seen('Whole'));
  await second();
  expect(asked).toHaveLength(2);
  expect(text()).toContain('Whole');
});

test('it is looked at once more when it ends, and then no more', async () => {
  list.update([ROW], true);
  unfold();
  await asked[0]!.answer(seen('Half'));
  list.update([DONE], true);
  expect(asked).toHaveLength(2);
  await asked[1]!.answer(seen('Whole'));
  await second();
  expect(asked).toHaveLength(2);
});

test.each(['folded', 'disposed'])('nobody asks after it was %s', async how => {
  list.update([ROW], true);
  unfold();
  await asked[0]!.answer(seen('Half'));
  expect(find('.cxj-who').getAttribute('aria-expanded')).toBe('true');
  if (how === 'folded') {
    unfold();
    expect(find('.cxj-who').getAttribute('aria-expanded')).toBe('false');
    expect(find('.cxj-delegate-body')).toBeNull();
  } else {
    list.dispose();
  }
  await second();
  expect(asked).toHaveLength(1);
});

test('an answer that comes after the row was folded and unfolded again is still one look', async () => {
  list.update([ROW], true);
  unfold();
  unfold();
  unfold();
  expect(asked).toHaveLength(1);
  await asked[0]!.answer(seen('First'));
  expect(text()).toContain('First');
});

test.each([{ status: 'gone' }, { status: 'error', message: 'no' }, null])(
  'where nobody knows its turn, it shows its last message: %j',
  async reply => {
    list.update([DONE], true);
    unfold();
    expect(text()).toContain('Look around.');
    await asked[0]!.answer(reply);
    expect(find('.cxj-delegate-turn').textContent).toBe('Found it.');
    expect(find('.cxj-delegate-turn strong')!.textContent).toBe('it');
    await second();
    expect(asked).toHaveLength(1);
  }
);

test('what was seen stays when a later look has no answer, and it is tried again later', async () => {
  list.update([ROW], true);
  unfold();
  await asked[0]!.answer(seen('First'));
  await second();
  await asked[1]!.answer(null);
  expect(text()).toContain('First');
  await second();
  expect(asked).toHaveLength(2);
  await second();
  expect(asked).toHaveLength(3);
});

test('one that waits is not asked for before it begins', async () => {
  list.update([{ ...ROW, status: 'waiting', turnId: null as never }], true);
  unfold();
  expect(text()).toContain('It has not begun yet.');
  expect(asked).toHaveLength(0);
  list.update([ROW], true);
  expect(asked).toHaveLength(1);
});

test('a stop says that it stops, until the row has ended', async () => {
  list.update([ROW], true);
  const stop = find<HTMLButtonElement>('.cxj-stop-one');
  stop.click();
  expect(asked[0]!.content).toEqual({ action: 'interrupt', threadId: 'a', turnId: 'a1' });
  await asked[0]!.answer({ status: 'ok' });
  list.update([{ ...ROW, activity: '$ pwd' }], true);
  expect([stop.textContent, stop.disabled]).toEqual(['Stopping…', true]);
  list.update([{ ...ROW, status: 'interrupted' }], true);
  expect(stop.hidden).toBe(true);
});

test('a stop that nobody answers can be pressed again', async () => {
  list.update([ROW], true);
  const stop = find<HTMLButtonElement>('.cxj-stop-one');
  stop.click();
  await asked[0]!.answer(null);
  expect([stop.textContent, stop.disabled]).toEqual(['Stop', false]);
});

test('when the turn is over or out of reach, nothing seems to work and nothing is asked', async () => {
  list.update([ROW], true);
  unfold();
  await asked[0]!.answer(seen('First'));
  list.update([ROW], false);
  await asked[1]?.answer(null);
  const before = asked.length;
  await second();
  expect(asked).toHaveLength(before);
  expect(find('.cxj-stop-one').hidden).toBe(true);
  expect(find('.cxj-gist').textContent).toBe('was still at work');
  list.update([ROW], true);
  expect(asked).toHaveLength(before + 1);
});

test('a long list is folded after fifty, and all of it is one click away', () => {
  const rows = Array.from({ length: 312 }, (_, n) => ({ ...DONE, threadId: `d${n}` }));
  list.update(rows, true);
  expect(all('.cxj-delegate')).toHaveLength(50);
  const more = find<HTMLButtonElement>('.cxj-more');
  expect(more.textContent).toBe('Show all 312');
  more.click();
  expect(all('.cxj-delegate')).toHaveLength(312);
  expect(more.hidden).toBe(true);
  expect(document.activeElement).toBe(all('.cxj-who')[50]);
});
