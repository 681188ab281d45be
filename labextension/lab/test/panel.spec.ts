/** @jest-environment-options {"customExportConditions": ["node", "require"]} */
import { Widget } from '@lumino/widgets';

import { ServerLine } from '../../view/src/line';
import { PagesServer, until } from '../../view/test/pages_server';
import { CodexPanel } from '../src/panel';

const REQUEST = {
  requestId: 'r1',
  threadId: 't1',
  turnId: 'u1',
  kind: 'command',
  title: 'Run this command?',
  command: 'touch made',
  digest: 'd'
};
const THREADS = [
  { id: 't2', preview: 'Long ago', status: { type: 'idle' }, updatedAt: 0 },
  { id: 't1', preview: 'Fit a line', status: { type: 'active', activeFlags: [] }, updatedAt: 1 }
];

let server: PagesServer;
let line: ServerLine;
let panel: CodexPanel;
let shown: string[];

beforeEach(async () => {
  server = await PagesServer.start();
  server.replies['thread/list'] = () => ({ data: THREADS });
  shown = [];
  line = new ServerLine(server.open);
  const nameOf = (turnId: string) => (turnId === 'u1' ? 'fit.ipynb' : null);
  panel = new CodexPanel(line, { nameOf, show: turnId => void shown.push(turnId) });
  Widget.attach(panel, document.body);
});

afterEach(async () => {
  panel.dispose();
  line.dispose();
  await server.stop();
});

const find = <T extends HTMLElement>(selector: string) => [
  ...panel.node.querySelectorAll<T>(selector)
];
const button = (words: string) =>
  find<HTMLButtonElement>('button').find(({ textContent }) => textContent === words);
const words = (selector: string) => find(selector).map(({ textContent }) => textContent);

test('it lists the threads, those that run first, each with its state in words', async () => {
  await until(() => find('.jp-Codex-thread').length === 2, 'they are listed');
  expect(words('.jp-Codex-title')).toEqual(['Fit a line', 'Long ago']);
  expect(words('.jp-Codex-about')[0]).toMatch(/^running · /);
  expect(words('.jp-Codex-stop')).toEqual(['Stop']);
});

test('without threads it says how to begin', async () => {
  server.replies['thread/list'] = () => ({ data: [] });
  await until(() => find('.jp-Codex-empty').length, 'it says so');
  expect(words('.jp-Codex-empty')[0]).toContain('%%codex');
});

test('what waits can be read and answered in place, and counts in the title', async () => {
  server.replies['serverRequest/answer'] = () => ({ status: 'ok' });
  await until(() => server.count('serverRequest/list'), 'the line is up');
  expect(find('.jp-Codex-waiting')[0]!.hidden).toBe(true);
  server.tell('serverRequest/opened', { request: REQUEST });
  await until(() => button('Run'), 'the card is there');
  expect(words('.jp-Codex-name')).toEqual(['fit.ipynb']);
  expect(panel.title.label).toBe('1');
  button('Show')!.click();
  expect(shown).toEqual(['u1']);
  button("Don't run")!.click();
  await until(() => server.count('serverRequest/answer'), 'it was answered');
  const { params } = server.asked.find(({ method }) => method === 'serverRequest/answer')!;
  expect(params).toEqual({ requestId: 'r1', decision: 'decline', digest: 'd' });
  server.tell('serverRequest/resolved', { requestId: 'r1', threadId: 't1' });
  await until(() => !button('Run'), 'the card is gone');
  expect(panel.title.label).toBe('');
});

test("a delegate's question is found in the output of the turn that it works for", async () => {
  await until(() => server.count('serverRequest/list'), 'the line is up');
  const asked = { ...REQUEST, turnId: 'of the delegate', shownIn: ['of its parent', 'u1'] };
  server.tell('serverRequest/opened', { request: asked });
  await until(() => button('Run'), 'the card is there');
  expect(words('.jp-Codex-name')).toEqual(['fit.ipynb']);
  button('Show')!.click();
  expect(shown).toEqual(['u1']);
});

test('a question of a notebook that is not open says so', async () => {
  await until(() => server.count('serverRequest/list'), 'the line is up');
  server.tell('serverRequest/opened', { request: { ...REQUEST, turnId: 'u2' } });
  await until(() => button('Run'), 'the card is there');
  expect(words('.jp-Codex-name')).toEqual(['A notebook that is not open here']);
  expect(button('Show')).toBeUndefined();
});

test('stop interrupts the turn that runs in that thread', async () => {
  server.replies['thread/read'] = () => ({
    thread: {
      turns: [
        { id: 'u0', status: 'completed' },
        { id: 'u1', status: 'inProgress' }
      ]
    }
  });
  await until(() => button('Stop'), 'it can be stopped');
  button('Stop')!.click();
  await until(() => server.count('turn/interrupt'), 'it was interrupted');
  const { params } = server.asked.find(({ method }) => method === 'turn/interrupt')!;
  expect(params).toEqual({ threadId: 't1', turnId: 'u1' });
});

test('a stop that failed can be tried again and says why', async () => {
  server.replies['thread/read'] = () => 'no such thread';
  await until(() => button('Stop'), 'it can be stopped');
  const stop = button('Stop')!;
  stop.click();
  await until(() => stop.title, 'it says why');
  expect(stop.title).toContain('no such thread');
  expect(stop.disabled).toBe(false);
});

test('a change of status moves the thread up at once', async () => {
  await until(() => find('.jp-Codex-thread').length === 2, 'they are listed');
  const status = { type: 'active', activeFlags: ['waitingOnApproval'] };
  server.tell('thread/status/changed', { threadId: 't2', status });
  await until(() => words('.jp-Codex-title')[0] === 'Long ago', 'it moved');
  expect(words('.jp-Codex-about')[0]).toMatch(/^waits for you/);
});

test('a lost line is said, and its questions go until it is back', async () => {
  server.replies['serverRequest/list'] = () => ({ data: [REQUEST] });
  await until(() => button('Run'), 'the card is there');
  server.drop();
  await until(() => !find('.jp-Codex-notice')[0]!.hidden, 'it says so');
  expect(words('.jp-Codex-notice')[0]).toContain('is lost');
  expect(button('Run')).toBeUndefined();
  await until(() => button('Run'), 'it is back');
  expect(find('.jp-Codex-notice')[0]!.hidden).toBe(true);
});

test('a server without the extension is named as that', async () => {
  await server.stop();
  line.dispose();
  line = new ServerLine(server.open);
  panel.dispose();
  panel = new CodexPanel(line, { nameOf: () => null, show: () => undefined });
  await until(() => line.state === 'unavailable', 'it gave up');
  expect(words('.jp-Codex-notice')[0]).toContain('does not run codex_jupyter');
});
