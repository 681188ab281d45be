// The page's one connection to the core: kept up, shared by everything in the page.

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { DisposableDelegate } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import { requestCard } from './card';
import { RpcSocket } from './socket';
import type { Answer, ICodexLine, ITurnWatch, LineState, Notified, PendingRequest } from './tokens';
import { ServerTurn } from './watch';

export const VERSION = '0.1.0';

const FIRST_WAIT = 500; // milliseconds before the first new attempt; each later one waits twice as long
const LONGEST_WAIT = 10_000;
const ABSENT_AFTER = 2; // attempts without one success before we say that there is no extension

interface Shared {
  turn: ServerTurn;
  users: number;
}

/** Opens sockets; the tests' one speaks to a server of theirs. */
export type OpenSocket = () => WebSocket;

export class ServerLine implements ICodexLine {
  constructor(open: OpenSocket = openPageSocket) {
    this._openSocket = open;
    this._connect();
  }

  get state(): LineState {
    return this._state;
  }

  get stateChanged(): ISignal<ICodexLine, void> {
    return this._stateChanged;
  }

  get requests(): ReadonlyArray<PendingRequest> {
    return this._requests;
  }

  get requestsChanged(): ISignal<ICodexLine, void> {
    return this._requestsChanged;
  }

  get notified(): ISignal<ICodexLine, Notified> {
    return this._notified;
  }

  call(method: string, params: object): Promise<Record<string, unknown>> {
    if (!this._socket) {
      return Promise.reject(new Error('There is no connection to the Jupyter server.'));
    }
    return this._socket.call(method, params);
  }

  async answer(requestId: string, answer: Answer): Promise<'ok' | 'gone'> {
    const reply = await this.call('serverRequest/answer', { requestId, ...answer });
    return reply.status === 'ok' ? 'ok' : 'gone';
  }

  watch(threadId: string, turnId: string): ITurnWatch {
    const key = `${threadId}/${turnId}`;
    let shared = this._turns.get(key);
    if (!shared) {
      shared = { turn: new ServerTurn(this, threadId, turnId), users: 0 };
      this._turns.set(key, shared);
      if (this._state === 'open') {
        void shared.turn.begin();
      }
    }
    shared.users += 1;
    const { turn } = shared;
    const end = new DisposableDelegate(() => this._release(key));
    return {
      model: turn,
      known: turn.known,
      ended: turn.ended,
      get isDisposed() {
        return end.isDisposed;
      },
      dispose: () => end.dispose()
    };
  }

  /** Close the connection for good; a page keeps its line, tests do not. */
  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    this._rpc?.close();
  }

  card(request: PendingRequest): ReturnType<ICodexLine['card']> {
    return requestCard(this, request);
  }

  private _release(key: string): void {
    const shared = this._turns.get(key);
    if (shared && --shared.users === 0) {
      this._turns.delete(key);
      const { threadId, turnId } = shared.turn;
      this.call('turn/unwatch', { threadId, turnId }).catch(() => undefined);
    }
  }

  private _connect(): void {
    let socket: WebSocket;
    try {
      socket = this._openSocket();
    } catch {
      this._ended(false);
      return;
    }
    const rpc: RpcSocket = new RpcSocket(
      socket,
      {
        opened: () => this._opened(rpc),
        notified: (method, params) => this._take(method, params),
        ended: wasOpen => this._ended(wasOpen)
      },
      VERSION
    );
    this._rpc = rpc;
  }

  private _opened(rpc: RpcSocket): void {
    this._socket = rpc;
    this._failures = 0;
    this._setState('open');
    for (const { turn } of this._turns.values()) {
      void turn.begin();
    }
    rpc.call('serverRequest/list', {}).then(
      listed => this._setRequests((listed.data ?? []) as PendingRequest[]),
      () => undefined
    );
  }

  private _ended(wasOpen: boolean): void {
    if (this._isDisposed) {
      return;
    }
    this._socket = null;
    this._failures = wasOpen ? 1 : this._failures + 1;
    this._wasEverOpen ||= wasOpen;
    const isAbsent = !this._wasEverOpen && this._failures >= ABSENT_AFTER;
    this._setState(isAbsent ? 'unavailable' : this._wasEverOpen ? 'lost' : 'connecting');
    for (const { turn } of this._turns.values()) {
      turn.lose();
    }
    this._setRequests([]);
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(this._failures - 1, 10));
    this._timer = setTimeout(() => this._connect(), wait * (0.75 + Math.random() / 2));
  }

  private _take(method: string, params: Record<string, unknown>): void {
    switch (method) {
      case 'thread/status/changed':
        // A page may ask for a turn a moment before it begins.
        for (const { turn } of this._turns.values()) {
          if (turn.threadId === params.threadId && !turn.isKnown) {
            void turn.begin();
          }
        }
        break;
      case 'turn/ops':
        this._turns.get(`${params.threadId}/${params.turnId}`)?.turn.receive(params);
        break;
      case 'serverRequest/opened': {
        const request = params.request as PendingRequest;
        this._setRequests([...this._without(request.requestId), request]);
        break;
      }
      case 'serverRequest/resolved':
        this._setRequests(this._without(String(params.requestId)));
        break;
    }
    this._notified.emit({ method, params });
  }

  private _without(requestId: string): PendingRequest[] {
    return this._requests.filter(request => request.requestId !== requestId);
  }

  private _setRequests(requests: PendingRequest[]): void {
    if (requests.length || this._requests.length) {
      this._requests = requests;
      this._requestsChanged.emit();
    }
  }

  private _setState(state: LineState): void {
    if (state !== this._state) {
      this._state = state;
      this._stateChanged.emit();
    }
  }

  private _openSocket: OpenSocket;
  private _rpc: RpcSocket | null = null;
  private _socket: RpcSocket | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _isDisposed = false;
  private _state: LineState = 'connecting';
  private _wasEverOpen = false;
  private _failures = 0;
  private _turns = new Map<string, Shared>();
  private _requests: PendingRequest[] = [];
  private _stateChanged = new Signal<this, void>(this);
  private _requestsChanged = new Signal<this, void>(this);
  private _notified = new Signal<this, Notified>(this);
}

/** Open the socket of this page, with its own credentials. */
export function openPageSocket(): WebSocket {
  const settings = ServerConnection.makeSettings();
  let url = URLExt.join(settings.wsUrl, 'codex', 'page');
  if (settings.appendToken && settings.token) {
    url += `?token=${encodeURIComponent(settings.token)}`;
  }
  return new settings.WebSocket(url);
}
