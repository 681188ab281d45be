// The side panel: what waits for an answer, and the threads.

import type { ICodexLine, PendingRequest } from '@codex-jupyter/view';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { codexIcon } from './icon';
import { ago, ordered, rowOf, stateOf, type ThreadRow } from './threads';

const REFRESH_AFTER = 300; // milliseconds; a turn's end tells us three things at once
const LISTED = 50;

const STATE_WORDS = { running: 'running', waiting: 'waits for you', idle: '', failed: 'failed' };

/** What the panel needs of the notebooks that are open. */
export interface ITurnFinder {
  /** The notebook whose output shows a turn, if one is open. */
  nameOf(turnId: string): string | null;
  /** Bring the turn's output into view. */
  show(turnId: string): void;
}

type Card = ReturnType<ICodexLine['card']>;

export class CodexPanel extends Widget {
  constructor(line: ICodexLine, finder: ITurnFinder) {
    super();
    this._line = line;
    this._finder = finder;
    this.id = 'codex-jupyter-panel';
    this.title.icon = codexIcon;
    this.title.caption = 'Codex';
    this.addClass('jp-Codex-panel');
    this._notice = add(this.node, 'div', 'jp-Codex-notice');
    this._notice.setAttribute('role', 'status');
    this._waiting = add(this.node, 'section', 'jp-Codex-waiting');
    this._waiting.setAttribute('aria-label', 'Waiting for an answer');
    this._waiting.setAttribute('aria-live', 'polite');
    const threads = add(this.node, 'section', 'jp-Codex-threads');
    add(threads, 'h2', 'jp-Codex-heading', 'Threads');
    this._list = add(threads, 'ul', 'jp-Codex-list');
    line.stateChanged.connect(this._stateChanged, this);
    line.requestsChanged.connect(this._drawRequests, this);
    line.notified.connect(this._hear, this);
    this._stateChanged();
    this._drawRequests();
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    clearTimeout(this._timer);
    this._line.stateChanged.disconnect(this._stateChanged, this);
    this._line.requestsChanged.disconnect(this._drawRequests, this);
    this._line.notified.disconnect(this._hear, this);
    this._cards.forEach(({ card }) => card.dispose());
    super.dispose();
  }

  protected onAfterShow(_message: Message): void {
    this._refreshSoon();
  }

  private _stateChanged(): void {
    const words = {
      open: '',
      connecting: 'Connecting to the Jupyter server…',
      lost: 'The connection to the Jupyter server is lost. Trying again…',
      unavailable:
        'This Jupyter server does not run codex_jupyter, so the agent lives in the kernels and answers in their cells only.'
    };
    this._notice.textContent = words[this._line.state];
    this._notice.hidden = this._line.state === 'open';
    if (this._line.state === 'open') {
      this._refreshSoon();
    }
  }

  private _hear(_line: ICodexLine, told: { method: string; params: Record<string, any> }): void {
    switch (told.method) {
      case 'thread/started':
        this._refreshSoon();
        break;
      case 'thread/status/changed': {
        const { threadId, status } = told.params;
        const at = this._rows.findIndex(row => row.id === threadId);
        if (at >= 0) {
          const state = stateOf(status);
          const updatedAt = Date.now() / 1000;
          this._rows = this._rows.map((row, n) => (n === at ? { ...row, state, updatedAt } : row));
          this._drawThreads();
        }
        this._refreshSoon();
        break;
      }
    }
  }

  private _refreshSoon(): void {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => void this._refresh(), REFRESH_AFTER);
  }

  private async _refresh(): Promise<void> {
    try {
      const asked = { limit: LISTED, sortKey: 'updated_at', modelProviders: [] };
      const listed = await this._line.call('thread/list', asked);
      this._rows = ((listed.data ?? []) as Record<string, any>[]).map(rowOf);
      this._drawThreads();
    } catch {
      // the notice says that there is no connection
    }
  }

  private _drawRequests(): void {
    const requests = this._line.requests;
    const ids = new Set(requests.map(request => request.requestId));
    for (const [id, { card, node }] of this._cards) {
      if (!ids.has(id)) {
        card.dispose();
        node.remove();
        this._cards.delete(id);
      }
    }
    for (const request of requests) {
      if (!this._cards.has(request.requestId)) {
        this._cards.set(request.requestId, this._addCard(request));
      }
    }
    this._waiting.hidden = requests.length === 0;
    this.title.label = requests.length ? String(requests.length) : '';
    this.title.caption = requests.length ? `Codex: ${requests.length} waiting for you` : 'Codex';
  }

  private _addCard(request: PendingRequest): { card: Card; node: HTMLElement } {
    const node = add(this._waiting, 'div', 'jp-Codex-request');
    const head = add(node, 'div', 'jp-Codex-from');
    const turnId = shownTurn(request, this._finder);
    const name = turnId === null ? null : this._finder.nameOf(turnId);
    add(head, 'span', 'jp-Codex-name', name ?? 'A notebook that is not open here');
    if (turnId !== null) {
      const show = add(head, 'button', 'jp-Codex-link', 'Show') as HTMLButtonElement;
      show.type = 'button';
      show.onclick = () => this._finder.show(turnId);
    }
    const card = this._line.card(request);
    node.append(card.node);
    return { card, node };
  }

  private _drawThreads(): void {
    if (this._rows.length === 0) {
      const words = 'No threads yet. Begin a cell with %%codex and run it.';
      this._list.replaceChildren(make('li', 'jp-Codex-empty', words));
      return;
    }
    this._list.replaceChildren(...ordered(this._rows).map(row => this._threadNode(row)));
  }

  private _threadNode(row: ThreadRow): HTMLElement {
    const node = make('li', 'jp-Codex-thread');
    node.dataset.state = row.state;
    add(node, 'span', 'jp-Codex-dot').setAttribute('aria-hidden', 'true');
    const text = add(node, 'span', 'jp-Codex-text');
    add(text, 'span', 'jp-Codex-title', row.title).title = row.title;
    const about = [STATE_WORDS[row.state], ago(row.updatedAt, Date.now() / 1000)];
    add(text, 'span', 'jp-Codex-about', about.filter(Boolean).join(' · '));
    if (row.state === 'running' || row.state === 'waiting') {
      const stop = add(node, 'button', 'jp-Codex-stop', 'Stop') as HTMLButtonElement;
      stop.type = 'button';
      stop.setAttribute('aria-label', `Stop ${row.title}`);
      stop.onclick = () => void this._stop(row.id, stop);
    }
    return node;
  }

  private async _stop(threadId: string, button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    button.textContent = 'Stopping…';
    try {
      await interruptThread(this._line, threadId);
    } catch (error) {
      button.disabled = false;
      button.textContent = 'Stop';
      button.title = error instanceof Error ? error.message : String(error);
    }
  }

  private _line: ICodexLine;
  private _finder: ITurnFinder;
  private _notice: HTMLElement;
  private _waiting: HTMLElement;
  private _list: HTMLElement;
  private _rows: ThreadRow[] = [];
  private _cards = new Map<string, { card: Card; node: HTMLElement }>();
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** The turn in whose output a question is to be found, if that notebook is open. */
export function shownTurn(request: PendingRequest, finder: ITurnFinder): string | null {
  const turns = [request.turnId, ...(request.shownIn ?? [])];
  return turns.find(turnId => finder.nameOf(turnId) !== null) ?? null;
}

/** Stop the turn that runs in a thread now; nothing if none does. */
export async function interruptThread(line: ICodexLine, threadId: string): Promise<boolean> {
  const read = await line.call('thread/read', { threadId, includeTurns: true });
  const turns = (read.thread as Record<string, any>).turns as Record<string, any>[];
  const running = turns.find(turn => turn.status === 'inProgress');
  if (running) {
    await line.call('turn/interrupt', { threadId, turnId: running.id });
  }
  return running !== undefined;
}

function make(tag: string, name: string, text = ''): HTMLElement {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  return node;
}

function add(parent: HTMLElement, tag: string, name: string, text = ''): HTMLElement {
  const node = make(tag, name, text);
  parent.append(node);
  return node;
}
