/** @jest-environment-options {"customExportConditions": ["node", "require"]} */
import { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';

import { until } from '../../view/test/pages_server';
import { fileLink, OPEN_FILE as DISPATCHED } from '../../view/src/turn/review.js';
import { OPEN_FILE, openFiles, pathBelow } from '../src/files';

test.each([
  ['/srv/work', '/srv/work/a/b.py', 'a/b.py'],
  ['/srv/work/', '/srv/work/./a/../b.py', 'b.py'],
  ['/', '/etc/hosts', 'etc/hosts'],
  ['/srv/work', '/srv/workshop/b.py', null],
  ['/srv/work', '/srv/work', null],
  ['/srv/work', '/srv/work/../secret', null],
  ['/srv/work', 'a/b.py', null],
  ['', '/srv/work/b.py', null],
  ['~/work', '/home/ada/work/b.py', 'b.py'],
  ['~/work', '/root/work/b.py', 'b.py'],
  ['~/work', '/Users/ada/work/b.py', 'b.py'],
  ['~/work', '/home/ada/other/work/b.py', null],
  ['~/work', '/srv/work/b.py', null],
  ['C:/work', 'C:\\work\\a\\b.py', 'a/b.py']
])('below %s, %s is %s', (root, path, known) => {
  expect(pathBelow(root, path)).toBe(known);
});

let listening: IDisposable;
let opened: unknown[];
let said: unknown[];
let commands: CommandRegistry;
let document_: unknown;

beforeEach(() => {
  opened = [];
  said = [];
  commands = new CommandRegistry();
  const say = (word: string) => (position: unknown) => said.push([word, position]);
  const editor = {
    setCursorPosition: say('cursor'),
    revealPosition: say('reveal'),
    focus: () => said.push('focus')
  };
  document_ = { context: { ready: Promise.resolve() }, content: { editor } };
  commands.addCommand('docmanager:open', {
    execute: args => {
      opened.push(args.path);
      return document_;
    }
  });
  listening = openFiles(commands, '/srv/work');
});

afterEach(() => {
  listening.dispose();
  document.body.textContent = '';
});

function click(path: string, line: number | null): HTMLElement {
  const link = fileLink(`${path}:${line}`, path, line);
  document.body.append(link);
  link.click();
  return link;
}

test('the view and this plugin mean the same event', () => {
  expect(OPEN_FILE).toBe(DISPATCHED);
});

test('a file is opened, and a text editor goes to the line', async () => {
  click('/srv/work/a/load.py', 3);
  await until(() => said.length === 3, 'it went to the line');
  expect(opened).toEqual(['a/load.py']);
  const position = { line: 2, column: 0 };
  expect(said).toEqual([['cursor', position], ['reveal', position], 'focus']);
});

test.each([undefined, {}, { content: {} }])(
  'what is no text editor is opened as it is: %j',
  async widget => {
    document_ = widget;
    const link = click('/srv/work/a.csv', 3);
    await until(() => opened.length === 1, 'it was opened');
    expect(link.title).toBe('/srv/work/a.csv');
  }
);

test('a file elsewhere is not opened, and its link says why', () => {
  const link = click('/etc/passwd', 1);
  expect(opened).toEqual([]);
  expect(link.title).toBe("/etc/passwd is not below this server's root");
  expect(link.getAttribute('aria-disabled')).toBe('true');
});

test('a file that cannot be opened says so', async () => {
  commands = new CommandRegistry(); // a page without documents
  listening.dispose();
  listening = openFiles(commands, '/srv/work');
  const link = click('/srv/work/a.py', 1);
  await until(() => link.title.includes('could not be opened'), 'it says so');
});

test.each([null, 3, {}, { path: 7 }, { path: '' }])('nonsense is ignored: %j', detail => {
  document.dispatchEvent(new CustomEvent(OPEN_FILE, { detail }));
  expect(opened).toEqual([]);
});

test('nothing is opened after it was disposed', () => {
  listening.dispose();
  click('/srv/work/a/load.py', 3);
  expect(opened).toEqual([]);
});
