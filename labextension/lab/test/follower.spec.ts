/** @jest-environment-options {"customExportConditions": ["node", "require"]} */
import type { NotebookPanel } from '@jupyterlab/notebook';
import { NotebookModel } from '@jupyterlab/notebook/lib/model';
import { Signal } from '@lumino/signaling';

import { ServerLine } from '../../view/src/line';
import { PagesServer, snapshot, until } from '../../view/test/pages_server';
import { TurnFollower } from '../src/follower';
import { TURN_MIME, turnsIn } from '../src/outputs';

const FORM = {
  data: { [TURN_MIME]: snapshot({ status: 'completed' }), 'text/markdown': 'Done.' },
  metadata: { codex: true }
};

let server: PagesServer;
let line: ServerLine;
let follower: TurnFollower;

// Yjs warns of what JupyterLab's own model does when a cell is made.
beforeAll(() => jest.spyOn(console, 'warn').mockImplementation());

beforeEach(async () => {
  server = await PagesServer.start();
  server.replies['turn/output'] = () => FORM;
  line = new ServerLine(server.open);
});

afterEach(async () => {
  follower.dispose();
  line.dispose();
  await server.stop();
});

function serverSays(status: string): void {
  server.replies['turn/watch'] = () => ({
    known: true,
    snapshot: snapshot({ status }),
    seq: 1,
    running: status === 'inProgress',
    open: []
  });
}

/** What a panel shows of a notebook with one output, over JupyterLab's own model. */
function open(turn: object): { panel: NotebookPanel; disposed: Signal<object, void> } {
  const model = new NotebookModel();
  model.sharedModel.insertCell(0, {
    cell_type: 'code',
    source: '%%codex\nGo.',
    outputs: [
      { output_type: 'stream', name: 'stdout', text: 'before' },
      { output_type: 'display_data', data: { [TURN_MIME]: turn } as never, metadata: {} }
    ]
  });
  const disposed = new Signal<object, void>({});
  const panel = { content: { model }, context: { ready: Promise.resolve() }, disposed };
  follower = new TurnFollower(panel as unknown as NotebookPanel, line);
  return { panel: panel as unknown as NotebookPanel, disposed };
}

const running = snapshot({ live: 'server' });
const outputs = (panel: NotebookPanel) => {
  const cell = panel.content.model!.cells.get(0) as never as { outputs: { toJSON(): any[] } };
  return cell.outputs.toJSON();
};

test('a turn that ended while the page was away is written where it began', async () => {
  serverSays('completed');
  const { panel } = open(running);
  expect(turnsIn(panel)).toMatchObject([{ turnId: 'u', outputIndex: 1, isOpen: true }]);
  await until(() => !turnsIn(panel)[0]!.isOpen, 'the output was written');
  const [before, written] = outputs(panel);
  expect(before.text).toBe('before');
  expect(written.data).toEqual(FORM.data);
  expect(written.metadata).toEqual(FORM.metadata);
  expect(server.count('turn/output')).toBe(1);
});

test('a turn that ends while the page looks on is written too', async () => {
  serverSays('inProgress');
  const { panel } = open(running);
  await until(() => server.count('turn/watch'), 'it is watched');
  const ops = [{ op: 'status', status: 'completed' }];
  server.tell('turn/ops', { threadId: 't', turnId: 'u', seq: 2, ops });
  await until(() => !turnsIn(panel)[0]!.isOpen, 'the output was written');
});

test("the kernel's own last word is left as it is", async () => {
  serverSays('completed');
  const { panel } = open(running);
  await until(() => server.count('turn/watch'), 'it is watched');
  const kernels = { ...snapshot({ status: 'completed' }), model: 'by the kernel' };
  turnsIn(panel)[0]!.cell.outputs.set(1, {
    output_type: 'display_data',
    data: { [TURN_MIME]: kernels } as never,
    metadata: {}
  });
  await until(() => server.count('turn/unwatch'), 'it was let go');
  expect(server.count('turn/output')).toBe(0);
  expect(outputs(panel)[1].data[TURN_MIME].model).toBe('by the kernel');
});

test.each([
  ['finished', snapshot({ status: 'completed', live: 'server' })],
  ["of a kernel's own core", snapshot({})]
])('a turn that is %s is nobody to ask about', async (_what, turn) => {
  open(turn);
  await until(() => server.count('serverRequest/list'), 'the line is up');
  server.tell('thread/status/changed', { threadId: 't', status: { type: 'idle' } });
  await line.call('thread/list', {});
  expect(server.count('turn/watch')).toBe(0);
});

test('after a lost line it begins again', async () => {
  serverSays('inProgress');
  const { panel } = open(running);
  await until(() => server.count('turn/watch'), 'it is watched');
  serverSays('interrupted');
  server.drop();
  await until(() => !turnsIn(panel)[0]!.isOpen, 'the output was written');
});

test('a closed notebook is left alone', async () => {
  serverSays('inProgress');
  const { panel, disposed } = open(running);
  await until(() => server.count('turn/watch'), 'it is watched');
  disposed.emit();
  await until(() => server.count('turn/unwatch'), 'it was let go');
  expect(follower.isDisposed).toBe(true);
  expect(turnsIn(panel)[0]!.isOpen).toBe(true);
});
