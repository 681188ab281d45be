// Draws a turn in an output: live while the server knows that it runs, else as it was saved.

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

import { sharedLine } from './shared_line';
import type { ICodexLine, ITurnWatch } from './tokens';
import { render } from './turn/turn_view.js';

export const TURN_MIME = 'application/vnd.codex-jupyter.turn+json';

const MAX_CHARS = 2_000_000; // a snapshot of ours has at most 256 KiB; a longer one is not ours

type Snapshot = Record<string, unknown>;
type Listener = (...args: unknown[]) => void;

/** Saved data in the place of a model: it changes when the output does, and answers nothing. */
class SavedTurn {
  constructor(snapshot: Snapshot) {
    this._snapshot = snapshot;
  }

  readonly link = {
    kernel: null,
    isDirect: false,
    ask: ({ action }: { action: string }) =>
      Promise.resolve(
        action === 'hello' ? { status: 'ok', running: false, open: [] } : { status: 'gone' }
      ),
    receive: () => undefined,
    dispose: () => undefined
  };

  get(name: string): unknown {
    return name === 'seq' ? 0 : this._snapshot;
  }

  on(name: string, listener: Listener): void {
    if (name === 'change:snapshot') {
      this._changed.push(listener);
    }
  }

  off(_name: string, listener: Listener): void {
    this._changed = this._changed.filter(other => other !== listener);
  }

  send(): void {
    // nobody listens
  }

  show(snapshot: Snapshot): void {
    this._snapshot = snapshot;
    this._changed.forEach(listener => listener());
  }

  private _snapshot: Snapshot;
  private _changed: Listener[] = [];
}

export class TurnRenderer extends Widget implements IRenderMime.IRenderer {
  constructor(mimeType: string, line: () => ICodexLine = sharedLine) {
    super();
    this._mimeType = mimeType;
    this._line = line;
    this.addClass('jp-Codex-turn');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const snapshot = readSnapshot(model.data[this._mimeType]);
    if (snapshot === null) {
      this._say('This output is not a turn that this version of codex_jupyter can show.');
      return;
    }
    const id = `${snapshot.threadId}/${snapshot.turnId}`;
    if (id === this._shown && this._watch) {
      return; // the server tells what happens; drawing anew would move what is under the pointer
    }
    if (id === this._shown && this._saved) {
      this._saved.show(snapshot);
    } else {
      this._asking?.dispose();
      this._asking = null;
      this._saved = new SavedTurn(snapshot);
      this._draw(this._saved);
    }
    this._shown = id;
    if (snapshot.status !== 'inProgress' || snapshot.live !== 'server') {
      this._asking?.dispose();
      this._asking = null;
    } else if (!this._asking) {
      this._follow(String(snapshot.threadId), String(snapshot.turnId));
    }
  }

  dispose(): void {
    this._clear();
    super.dispose();
  }

  /** Go live as soon as the server says that it knows the turn. */
  private _follow(threadId: string, turnId: string): void {
    this._asking?.dispose();
    const watch = this._line().watch(threadId, turnId);
    this._asking = watch;
    void watch.known.then(() => {
      if (watch !== this._asking || this.isDisposed) {
        return;
      }
      this._draw(watch.model);
      this._watch = watch;
    });
  }

  private _draw(model: unknown): void {
    this._stop?.();
    this._stop = null;
    this._watch = null;
    this.node.textContent = '';
    try {
      this._stop = render({ model, el: this.node });
    } catch {
      this._say('This saved turn is damaged and cannot be drawn.');
    }
  }

  private _say(text: string): void {
    this._clear();
    this.node.textContent = text;
  }

  private _clear(): void {
    this._stop?.();
    this._stop = null;
    this._asking?.dispose();
    this._asking = null;
    this._watch = null;
    this._saved = null;
    this._shown = null;
  }

  private _mimeType: string;
  private _line: () => ICodexLine;
  private _stop: (() => void) | null = null;
  private _asking: ITurnWatch | null = null;
  private _watch: ITurnWatch | null = null;
  private _saved: SavedTurn | null = null;
  private _shown: string | null = null;
}

/** Take what a notebook holds for a turn, if it has the shape of one. */
export function readSnapshot(data: unknown): Snapshot | null {
  if (typeof data !== 'object' || data === null || JSON.stringify(data).length > MAX_CHARS) {
    return null;
  }
  const snapshot = data as Snapshot;
  const isTurn =
    snapshot.schema === 1 &&
    typeof snapshot.threadId === 'string' &&
    typeof snapshot.turnId === 'string' &&
    ['items', 'requests', 'notices'].every(name => Array.isArray(snapshot[name]));
  return isTurn ? snapshot : null;
}
