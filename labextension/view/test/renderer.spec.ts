/** @jest-environment-options {"customExportConditions": ["node", "require"]} */
import { ServerLine } from '../src/line';
import { readSnapshot, TURN_MIME, TurnRenderer } from '../src/renderer';
import { PagesServer, snapshot, until } from './pages_server';

const REQUEST = {
  requestId: 'r1',
  threadId: 't',
  turnId: 'u',
  itemId: 'c1',
  kind: 'command',
  title: 'Run this command?',
  command: 'touch made',
  digest: 'd',
  outcome: null
};

let server: PagesServer;
let line: ServerLine;
let renderer: TurnRenderer;

beforeEach(async () => {
  server = await PagesServer.start();
  line = new ServerLine(server.open);
  renderer = new TurnRenderer(TURN_MIME, () => line);
  document.body.append(renderer.node);
});

afterEach(async () => {
  renderer.dispose();
  line.dispose();
  await server.stop();
  document.body.textContent = '';
});

async function show(saved: object): Promise<void> {
  await renderer.renderModel({ data: { [TURN_MIME]: saved } } as never);
}

function knows(seen: object, open: string[] = []): void {
  server.replies['turn/watch'] = () => ({
    known: true,
    snapshot: snapshot(seen),
    seq: 3,
    running: true,
    open
  });
}

const text = () => renderer.node.textContent ?? '';
const buttons = () => [...renderer.node.querySelectorAll<HTMLButtonElement>('.cxj-button')];
const enabled = () => buttons().filter(button => !button.disabled);
const waits = (seen: object = {}) => snapshot({ live: 'server', ...seen });

test('a finished turn is drawn as it was saved, and nobody is asked', async () => {
  const items = [{ id: 'm', type: 'agentMessage', text: 'Kept **well**.', status: null }];
  await show(snapshot({ status: 'completed', items, requests: [REQUEST] }));
  await until(() => text().includes('Kept well.'), 'it is drawn');
  await until(() => line.state === 'open', 'the line is up');
  expect(server.count('turn/watch')).toBe(0);
  expect(buttons()).toEqual([]);
});

test('a delegate of a saved turn unfolds to what it said, and nobody is asked', async () => {
  const row = {
    threadId: 'child',
    turnId: 'c1',
    parentThreadId: 't',
    name: 'Ada',
    role: 'explorer',
    task: 'Look.',
    status: 'completed',
    activity: null,
    message: 'Found **it**.',
    tokens: 1200,
    startedAtMs: null,
    durationMs: 3400
  };
  await show(snapshot({ status: 'completed', delegates: [row] }));
  await until(() => text().includes('1 of 1 done'), 'the row is drawn');
  renderer.node.querySelector<HTMLButtonElement>('.cxj-who')!.click();
  await until(() => text().includes('Look.Found it.'), 'it is unfolded');
  expect(server.count('turn/snapshot')).toBe(0);
});

test('saved data alone never makes a button, whatever it claims', async () => {
  server.replies['turn/watch'] = () => ({ known: false, snapshot: null, seq: 0, open: [] });
  await show(waits({ requests: [REQUEST] }));
  await until(() => server.count('turn/watch'), 'the server was asked');
  await until(() => text().includes('is no longer open'), 'it says so');
  expect(buttons()).toEqual([]);
});

test.each(['with the snapshot', 'live'])(
  'a question that came %s dies with the line, and lives again with it',
  async way => {
    const isLive = way === 'live';
    knows({ requests: isLive ? [] : [REQUEST] }, isLive ? [] : ['r1']);
    await show(waits());
    await until(() => server.count('turn/watch'), 'the turn is watched');
    await until(() => renderer.node.querySelector('.cxj-stop:not([hidden])'), 'it is live');
    if (isLive) {
      const ops = [{ op: 'ask', request: REQUEST }];
      server.tell('turn/ops', { threadId: 't', turnId: 'u', seq: 4, ops });
    }
    await until(() => enabled().length === 4, 'all four buttons work');
    knows({ requests: [REQUEST] }, ['r1']);
    server.drop();
    await until(
      () => text().includes('The connection to the Jupyter server is lost'),
      'it says so'
    );
    expect(buttons()).toHaveLength(4);
    expect(enabled()).toEqual([]);
    await until(() => enabled().length === 4, 'they work again');
    expect(text()).not.toContain('is lost');
  }
);

test.each(['with the snapshot', 'live'])(
  'a question that came %s stays dead when the server forgot the turn',
  async way => {
    const isLive = way === 'live';
    knows({ requests: isLive ? [] : [REQUEST] }, isLive ? [] : ['r1']);
    await show(waits());
    await until(() => renderer.node.querySelector('.cxj-stop:not([hidden])'), 'it is live');
    if (isLive) {
      const ops = [{ op: 'ask', request: REQUEST }];
      server.tell('turn/ops', { threadId: 't', turnId: 'u', seq: 4, ops });
    }
    await until(() => enabled().length === 4, 'all four buttons work');
    server.replies['turn/watch'] = () => ({ known: false, snapshot: null, seq: 0, open: [] });
    server.drop();
    await until(() => server.count('turn/watch') === 2, 'it asked again');
    await until(() => text().includes('This question is no longer open.'), 'it says so');
    expect(enabled()).toEqual([]);
  }
);

test('an answer goes out once, with what was read, and the card goes when it is settled', async () => {
  knows({ requests: [REQUEST] }, ['r1']);
  server.replies['serverRequest/answer'] = () => ({ status: 'ok' });
  await show(waits());
  await until(() => enabled().length === 4, 'all four buttons work');
  const [run] = buttons();
  run!.click();
  run!.click();
  await until(() => text().includes('Sent.'), 'it was sent');
  expect(server.count('serverRequest/answer')).toBe(1);
  const { params } = server.asked.find(({ method }) => method === 'serverRequest/answer')!;
  expect(params).toEqual({ requestId: 'r1', decision: 'accept', digest: 'd' });
  const settled = { op: 'settle', requestId: 'r1', outcome: 'accept' };
  server.tell('turn/ops', { threadId: 't', turnId: 'u', seq: 4, ops: [settled] });
  await until(() => buttons().length === 0, 'the card is gone');
});

test('an answer that came second says that another one counted', async () => {
  knows({ requests: [REQUEST] }, ['r1']);
  server.replies['serverRequest/answer'] = () => ({ status: 'gone' });
  await show(waits());
  await until(() => enabled().length === 4, 'all four buttons work');
  buttons()[0]!.click();
  await until(() => text().includes('Answered elsewhere'), 'it says so');
  expect(enabled()).toEqual([]);
});

test('a gap in the numbers is filled by a new snapshot', async () => {
  knows({});
  await show(waits());
  await until(() => server.count('turn/watch') === 1, 'the turn is watched');
  await until(() => renderer.node.querySelector('.cxj-stop:not([hidden])'), 'it is live');
  const items = [{ id: 'm', type: 'agentMessage', text: 'All of it.', status: null }];
  server.replies['turn/watch'] = () => ({
    known: true,
    snapshot: snapshot({ items }),
    seq: 9,
    running: true,
    open: []
  });
  server.tell('turn/ops', { threadId: 't', turnId: 'u', seq: 8, ops: [] });
  await until(() => text().includes('All of it.'), 'what was missed is there');
  expect(server.count('turn/watch')).toBe(2);
});

test('an update of the output does not draw anew what the server tells about', async () => {
  knows({});
  await show(waits());
  await until(() => renderer.node.querySelector('.cxj-stop:not([hidden])'), 'it is live');
  const drawn = renderer.node.firstElementChild;
  await show(snapshot({ status: 'completed' }));
  expect(renderer.node.firstElementChild).toBe(drawn);
});

test('markup in what the model says stays text', async () => {
  const nasty = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
  const items = [{ id: 'm', type: 'agentMessage', text: nasty, status: null }];
  await show(snapshot({ status: 'completed', items }));
  await until(() => text().includes('onerror'), 'it is drawn as text');
  expect(renderer.node.querySelector('img, script')).toBeNull();
});

test.each([
  ['text', 'nothing'],
  ['another version', { ...snapshot(), schema: 2 }],
  ['no items', { ...snapshot(), items: null }],
  ['an id that is none', { ...snapshot(), turnId: 7 }]
])('%s is no turn, and is said to be none', async (_name, data) => {
  expect(readSnapshot(data)).toBeNull();
  await show(data as object);
  expect(text()).toContain('not a turn');
});
