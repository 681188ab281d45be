/** @jest-environment node */
import { ServerLine } from '../src/line';
import type { PendingRequest } from '../src/tokens';
import { PagesServer, snapshot, until } from './pages_server';

const REQUEST: PendingRequest = {
  requestId: 'r1',
  threadId: 't',
  turnId: 'u',
  kind: 'command',
  title: 'Run this command?',
  digest: 'd'
};

let server: PagesServer;
let line: ServerLine;

beforeEach(async () => {
  server = await PagesServer.start();
});

afterEach(async () => {
  line.dispose();
  await server.stop();
});

async function opened(): Promise<void> {
  line = new ServerLine(server.open);
  await until(() => line.state === 'open', 'the line is open');
}

test('it greets, then says that it has, then asks what waits', async () => {
  server.replies['serverRequest/list'] = () => ({ data: [REQUEST] });
  await opened();
  await until(() => line.requests.length, 'the open question is known');
  expect(server.asked.map(asked => asked.method)).toEqual([
    'initialize',
    'initialized',
    'serverRequest/list'
  ]);
  expect(line.requests).toEqual([REQUEST]);
});

test('questions come and go', async () => {
  await opened();
  await until(() => server.count('serverRequest/list'), 'it asked');
  server.tell('serverRequest/opened', { request: REQUEST });
  await until(() => line.requests.length === 1, 'it opened');
  server.tell('serverRequest/opened', { request: REQUEST });
  server.tell('serverRequest/resolved', { requestId: 'r1', threadId: 't' });
  await until(() => line.requests.length === 0, 'it was settled');
});

test('an answer says whether it counted', async () => {
  server.replies['serverRequest/answer'] = params => ({
    status: params.requestId === 'r1' ? 'ok' : 'gone'
  });
  await opened();
  expect(await line.answer('r1', { decision: 'accept', digest: 'd' })).toBe('ok');
  expect(await line.answer('r2', { decision: 'accept' })).toBe('gone');
  expect(server.asked.at(-2)?.params).toEqual({ requestId: 'r1', decision: 'accept', digest: 'd' });
});

test('a refusal is an error with the words of the server', async () => {
  server.replies['turn/interrupt'] = () => 'no turn is running';
  await opened();
  await expect(line.call('turn/interrupt', {})).rejects.toThrow('no turn is running');
});

test('a request to a page is answered: it runs no tools', async () => {
  await opened();
  server.askPage('x', 'item/tool/call');
  await until(() => server.count('(answer)'), 'it answered');
  expect(server.asked.at(-1)?.params.error.code).toBe(-32601);
});

test('two who watch one turn share it, and the last one ends it', async () => {
  server.replies['turn/watch'] = () => ({
    known: true,
    snapshot: snapshot(),
    seq: 3,
    running: true,
    open: []
  });
  await opened();
  const first = line.watch('t', 'u');
  const second = line.watch('t', 'u');
  await first.known;
  expect(first.model).toBe(second.model);
  expect(server.count('turn/watch')).toBe(1);
  first.dispose();
  first.dispose();
  expect(server.count('turn/unwatch')).toBe(0);
  second.dispose();
  await until(() => server.count('turn/unwatch') === 1, 'it was unwatched');
});

test('a turn that the server does not know yet is asked for again when its thread stirs', async () => {
  let isKnown = false;
  server.replies['turn/watch'] = () =>
    isKnown
      ? { known: true, snapshot: snapshot(), seq: 0, running: true, open: [] }
      : { known: false, snapshot: null, seq: 0, running: false, open: [] };
  await opened();
  const watch = line.watch('t', 'u');
  await until(() => server.count('turn/watch') === 1, 'asked once');
  server.tell('thread/status/changed', { threadId: 'other', status: {} });
  isKnown = true;
  server.tell('thread/status/changed', { threadId: 't', status: {} });
  await watch.known;
  expect(server.count('turn/watch')).toBe(2);
});

test('after a break it comes back, watches anew, and nothing can be answered meanwhile', async () => {
  let seq = 5;
  server.replies['turn/watch'] = () => ({
    known: true,
    snapshot: snapshot(),
    seq,
    running: true,
    open: ['r1']
  });
  server.replies['serverRequest/list'] = () => ({ data: [REQUEST] });
  await opened();
  const watch = line.watch('t', 'u');
  await watch.known;
  const model = watch.model as any;
  const hello = () => model.link.ask({ action: 'hello' });
  expect(await hello()).toEqual({ status: 'ok', running: true, open: ['r1'] });
  await until(() => line.requests.length, 'the question is known');
  const states: string[] = [];
  line.stateChanged.connect(() => states.push(line.state));
  seq = 9;
  server.drop();
  await until(() => line.state === 'lost', 'lost');
  expect(line.requests).toEqual([]);
  expect(await hello()).toEqual({ status: 'lost' });
  expect(await model.link.ask({ action: 'decide', requestId: 'r1' })).toBeNull();
  await until(() => model.get('seq') === 9, 'watched anew');
  expect(states).toEqual(['lost', 'open']);
  expect((await hello()).open).toEqual(['r1']);
});

test('changes reach the drawing code, and the end is told', async () => {
  server.replies['turn/watch'] = () => ({
    known: true,
    snapshot: snapshot(),
    seq: 0,
    running: true,
    open: []
  });
  await opened();
  const watch = line.watch('t', 'u');
  await watch.known;
  const model = watch.model as any;
  const told: any[] = [];
  model.on('msg:custom', (message: any) => told.push(message));
  server.tell('turn/ops', {
    threadId: 't',
    turnId: 'u',
    seq: 1,
    ops: [{ op: 'ask', request: REQUEST }]
  });
  await until(() => told.length === 1, 'the change arrived');
  expect(told[0]).toEqual({ kind: 'ops', seq: 1, ops: [{ op: 'ask', request: REQUEST }] });
  expect((await model.link.ask({ action: 'hello' })).open).toEqual(['r1']);
  const end = { op: 'status', status: 'completed' };
  server.tell('turn/ops', {
    threadId: 't',
    turnId: 'u',
    seq: 2,
    ops: [{ op: 'settle', requestId: 'r1' }, end]
  });
  await watch.ended;
  expect(await model.link.ask({ action: 'hello' })).toEqual({
    status: 'ok',
    running: false,
    open: []
  });
});

test('a delegate is looked at, and stopped, by its own ids; the turn by its own', async () => {
  server.replies['turn/watch'] = () => ({
    known: true,
    snapshot: snapshot(),
    seq: 0,
    running: true,
    open: []
  });
  const seen = snapshot({ threadId: 'child', turnId: 'c1' });
  server.replies['turn/snapshot'] = ({ turnId }) => ({ snapshot: turnId === 'c1' ? seen : null });
  await opened();
  const watch = line.watch('t', 'u');
  await watch.known;
  const ask = (content: object) => (watch.model as any).link.ask(content);
  const child = { threadId: 'child', turnId: 'c1' };
  expect(await ask({ action: 'delegate', ...child })).toEqual({ status: 'ok', snapshot: seen });
  expect(server.asked.at(-1)).toEqual({ method: 'turn/snapshot', params: child });
  const gone = { action: 'delegate', threadId: 'child', turnId: 'c2' };
  expect(await ask(gone)).toEqual({ status: 'gone' });
  expect(await ask({ action: 'interrupt', ...child })).toEqual({ status: 'ok' });
  expect(server.asked.at(-1)).toEqual({ method: 'turn/interrupt', params: child });
  expect(await ask({ action: 'interrupt', turnId: 'u' })).toEqual({ status: 'ok' });
  expect(server.asked.at(-1)?.params).toEqual({ threadId: 't', turnId: 'u' });
  server.replies['turn/snapshot'] = () => 'no thread child';
  const refused = await ask({ action: 'delegate', ...child });
  expect(refused).toEqual({ status: 'error', message: 'no thread child' });
});

test('a server without the extension is told from one that went away', async () => {
  await server.stop();
  line = new ServerLine(server.open);
  expect(line.state).toBe('connecting');
  await until(() => line.state === 'unavailable', 'unavailable');
  server = new PagesServer(0);
  await server.listening();
});
