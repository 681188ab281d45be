// One turn, followed over the line: what `turn_view.js` takes for its model.

import type { ICodexLine } from './tokens';

type Listener = (...args: any[]) => void;

/** What a page asks of a turn, in the words of `turn_view.js`. */
interface PageRequest {
  action: 'hello' | 'decide' | 'answer' | 'interrupt' | 'delegate';
  /** Of a delegate, where the request is about one. */
  threadId?: string;
  turnId?: string;
  requestId?: string;
  decision?: string;
  digest?: string | null;
  answers?: Record<string, unknown>;
}

interface WatchResult {
  known: boolean;
  snapshot: Record<string, unknown> | null;
  seq: number;
  running: boolean;
  open: string[];
}

/** Stands where the widget's model stood: a snapshot, numbered changes, and a link for answers. */
export class ServerTurn {
  constructor(line: ICodexLine, threadId: string, turnId: string) {
    this.threadId = threadId;
    this.turnId = turnId;
    this._line = line;
    this.known = new Promise(resolve => (this._tellKnown = resolve));
    this.ended = new Promise(resolve => (this._tellEnded = resolve));
  }

  readonly threadId: string;
  readonly turnId: string;
  readonly known: Promise<void>;
  readonly ended: Promise<void>;

  /** Whether the server has ever known the turn. */
  isKnown = false;

  /** Where `turn_view.js` sends what the person decides. */
  readonly link = {
    kernel: null,
    isDirect: true,
    ask: (content: PageRequest) => this._ask(content),
    receive: () => undefined,
    dispose: () => undefined
  };

  get(name: 'snapshot' | 'seq'): unknown {
    return name === 'seq' ? this._seq : this._snapshot;
  }

  on(name: string, listener: Listener): void {
    this._listeners.set(name, [...(this._listeners.get(name) ?? []), listener]);
  }

  off(name: string, listener: Listener): void {
    const kept = (this._listeners.get(name) ?? []).filter(other => other !== listener);
    this._listeners.set(name, kept);
  }

  send(message: { kind?: string }): void {
    if (message.kind === 'resync') {
      void this.begin();
    }
  }

  /** Take a new snapshot and hear what comes after it; at first, and after a reconnect. */
  async begin(): Promise<void> {
    const round = ++this._round;
    let seen: WatchResult;
    try {
      seen = (await this._line.call('turn/watch', this._where)) as unknown as WatchResult;
    } catch {
      return; // the line was lost: it begins anew when it is back
    }
    if (round !== this._round) {
      return;
    }
    if (seen.known && seen.snapshot) {
      this._open = new Set(seen.open);
      this._isRunning = seen.running;
      this._snapshot = seen.snapshot;
      this._seq = seen.seq;
      this.isKnown = true;
      this._tellKnown();
      this._emit('change:snapshot');
      this._emit('line:changed');
      this._noteEnd(String(seen.snapshot.status));
    } else {
      this._open.clear();
      this._isRunning = false;
      this._emit('line:changed');
    }
  }

  /** The line was lost: nothing can be answered until it is back. */
  lose(): void {
    this._round += 1;
    this._open.clear();
    this._emit('line:changed');
  }

  receive(params: Record<string, any>): void {
    for (const op of params.ops ?? []) {
      if (op.op === 'ask') {
        this._open.add(op.request.requestId);
      } else if (op.op === 'settle') {
        this._open.delete(op.requestId);
      } else if (op.op === 'status') {
        this._isRunning = op.status === 'inProgress';
        this._noteEnd(op.status);
      }
    }
    this._emit('msg:custom', { kind: 'ops', seq: params.seq, ops: params.ops });
  }

  private async _ask(content: PageRequest): Promise<Record<string, unknown> | null> {
    if (this._line.state !== 'open') {
      return content.action === 'hello' ? { status: 'lost' } : null;
    }
    try {
      switch (content.action) {
        case 'hello':
          return { status: 'ok', running: this._isRunning, open: [...this._open] };
        case 'interrupt': {
          const { threadId, turnId } = content;
          const where = threadId ? { threadId, turnId } : this._where;
          await this._line.call('turn/interrupt', where);
          return { status: 'ok' };
        }
        case 'delegate': {
          const where = { threadId: content.threadId, turnId: content.turnId };
          const { snapshot } = await this._line.call('turn/snapshot', where);
          return snapshot ? { status: 'ok', snapshot } : { status: 'gone' };
        }
        default: {
          const { requestId = '', decision, digest, answers } = content;
          const answer = content.action === 'decide' ? { decision, digest } : { answers };
          return { status: await this._line.answer(requestId, answer) };
        }
      }
    } catch (error) {
      return { status: 'error', message: error instanceof Error ? error.message : String(error) };
    }
  }

  private get _where(): { threadId: string; turnId: string } {
    return { threadId: this.threadId, turnId: this.turnId };
  }

  private _noteEnd(status: string): void {
    if (status !== 'inProgress') {
      this._tellEnded();
    }
  }

  private _emit(name: string, ...args: unknown[]): void {
    for (const listener of this._listeners.get(name) ?? []) {
      listener(...args);
    }
  }

  private _line: ICodexLine;
  private _listeners = new Map<string, Listener[]>();
  private _snapshot: Record<string, unknown> = {};
  private _seq = 0;
  private _open = new Set<string>();
  private _isRunning = true;
  private _round = 0;
  private _tellKnown!: () => void;
  private _tellEnded!: () => void;
}
