// Opens the files that a turn names, at their line, where the server can reach them.

import { PathExt } from '@jupyterlab/coreutils';
import type { CommandRegistry } from '@lumino/commands';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

/** What links to files in a turn dispatch; `view/static/review.js` has it too. */
export const OPEN_FILE = 'codex-jupyter:open-file';

/** A home folder, for a root that the server names by `~`: it tells pages no more than that. */
const HOME = /^(?:root|(?:[^/]+\/)?(?:home|Users)\/[^/]+)\//;

interface Place {
  path: string;
  line: number | null;
}

/** What of an opened document we use, if it is text. */
interface MaybeEditor {
  context?: { ready: Promise<void> };
  content?: {
    editor?: {
      setCursorPosition(position: { line: number; column: number }): void;
      revealPosition(position: { line: number; column: number }): void;
      focus(): void;
    };
  };
}

/** Open what links ask for, until disposed. `root` is the page's `serverRoot`. */
export function openFiles(commands: CommandRegistry, root: string): IDisposable {
  const listener = (event: Event) => {
    const place = readPlace((event as CustomEvent).detail);
    if (place) {
      void openFile(commands, root, place, event.target);
    }
  };
  document.addEventListener(OPEN_FILE, listener);
  return new DisposableDelegate(() => document.removeEventListener(OPEN_FILE, listener));
}

/** Return a path of the server's file system as its contents know it; null if it is not below. */
export function pathBelow(root: string, path: string): string | null {
  if (!root || !/^(?:[\\/]|[A-Za-z]:)/.test(path)) {
    return null;
  }
  const wanted = plain(path);
  const isOfHome = root === '~' || root.startsWith('~/');
  const base = isOfHome ? (HOME.exec(wanted)?.[0] ?? null) : '';
  if (base === null) {
    return null;
  }
  const folder = plain(isOfHome ? root.slice(2) : root);
  const start = base + (folder ? `${folder}/` : '');
  return wanted.startsWith(start) && wanted.length > start.length
    ? wanted.slice(start.length)
    : null;
}

async function openFile(
  commands: CommandRegistry,
  root: string,
  { path, line }: Place,
  link: EventTarget | null
): Promise<void> {
  const known = pathBelow(root, path);
  if (known === null) {
    explain(link, `${path} is not below this server's root`);
    return;
  }
  try {
    const opened = (await commands.execute('docmanager:open', { path: known })) as MaybeEditor;
    await opened?.context?.ready;
    const editor = opened?.content?.editor;
    if (editor && line !== null) {
      const position = { line: Math.max(0, line - 1), column: 0 };
      editor.setCursorPosition(position);
      editor.revealPosition(position);
      editor.focus();
    }
  } catch (error) {
    explain(link, `${path} could not be opened: ${error instanceof Error ? error.message : error}`);
  }
}

/** Anything in the page can dispatch events, so nothing here trusts their shape. */
function readPlace(detail: unknown): Place | null {
  const { path, line } = (detail ?? {}) as Record<string, unknown>;
  return typeof path === 'string' && path
    ? { path, line: Number.isInteger(line) ? (line as number) : null }
    : null;
}

function explain(link: EventTarget | null, words: string): void {
  if (link instanceof HTMLElement) {
    link.title = words;
    link.setAttribute('aria-disabled', 'true');
  }
}

/** Without its first slash, its last, and what `.` and `..` undo. */
function plain(path: string): string {
  const normal = PathExt.normalize(path.replace(/\\/g, '/')).replace(/^\/+|\/+$/g, '');
  return normal === '.' ? '' : normal;
}
