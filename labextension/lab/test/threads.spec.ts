import { turnOf } from '../src/outputs';
import { ago, ordered, rowOf, stateOf } from '../src/threads';

test('what waits stands first, then what runs, each newest first', () => {
  const row = (id: string, state: any, updatedAt: number) => ({ id, title: id, state, updatedAt });
  const rows = [
    row('old', 'idle', 1),
    row('runs', 'running', 2),
    row('new', 'failed', 9),
    row('waits', 'waiting', 0),
    row('mid', 'idle', 5)
  ];
  expect(ordered(rows).map(({ id }) => id)).toEqual(['waits', 'runs', 'new', 'mid', 'old']);
});

test('a thread is called by its name, else by its first words, else new', () => {
  const base = { id: 't', status: { type: 'idle' }, updatedAt: 7 };
  expect(rowOf({ ...base, name: 'Fit', preview: 'x' }).title).toBe('Fit');
  expect(rowOf({ ...base, name: null, preview: ' Fit\n a  line ' }).title).toBe('Fit a line');
  expect(rowOf({ ...base, preview: '' }).title).toBe('New thread');
});

test.each([
  [{ type: 'active', activeFlags: [] }, 'running'],
  [{ type: 'active', activeFlags: ['waitingOnApproval'] }, 'waiting'],
  [{ type: 'systemError' }, 'failed'],
  [{ type: 'idle' }, 'idle'],
  [{ type: 'notLoaded' }, 'idle'],
  [undefined, 'idle']
])('status %j is %s', (status, state) => {
  expect(stateOf(status as any)).toBe(state);
});

test.each([
  [0, 'now'],
  [59, 'now'],
  [60, '1 min'],
  [3599, '59 min'],
  [3600, '1 h'],
  [86_400, '1 d']
])('%d seconds are %s', (passed, words) => {
  expect(ago(1000, 1000 + passed)).toBe(words);
  expect(ago(1000, 990)).toBe('now');
});

test('only a turn that the server runs is open', () => {
  const turn = { threadId: 't', turnId: 'u', status: 'inProgress', live: 'server' };
  expect(turnOf(turn)).toEqual({ threadId: 't', turnId: 'u', isOpen: true });
  expect(turnOf({ ...turn, live: undefined })?.isOpen).toBe(false);
  expect(turnOf({ ...turn, status: 'completed' })?.isOpen).toBe(false);
  expect(turnOf({ ...turn, turnId: 7 })).toBeNull();
  expect(turnOf('text')).toBeNull();
  expect(turnOf(undefined)).toBeNull();
});
