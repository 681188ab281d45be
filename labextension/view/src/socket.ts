// JSON-RPC over one WebSocket, from greeting to end. Knows no method but the greeting.

export interface RpcError {
  readonly code: number;
  readonly message: string;
}

interface Waiting {
  resolve(result: Record<string, unknown>): void;
  reject(error: Error): void;
}

export interface SocketListener {
  /** The greeting was answered. */
  opened(): void;
  notified(method: string, params: Record<string, unknown>): void;
  /** It ended; `wasOpen` tells whether it was ever greeted. */
  ended(wasOpen: boolean): void;
}

const METHOD_NOT_FOUND = -32601;

/** One connection. It is made open and ends once; whoever wants another makes another. */
export class RpcSocket {
  constructor(socket: WebSocket, listener: SocketListener, version: string) {
    this._socket = socket;
    this._listener = listener;
    socket.onopen = () => void this._greet(version);
    socket.onmessage = event => this._receive(String(event.data));
    socket.onclose = () => this._end();
    socket.onerror = () => undefined; // a close follows
  }

  call(method: string, params: object): Promise<Record<string, unknown>> {
    if (this._hasEnded || this._socket.readyState !== 1) {
      return Promise.reject(new Error('The connection to the Jupyter server is closed.'));
    }
    const id = ++this._lastId;
    return new Promise((resolve, reject) => {
      this._waiting.set(id, { resolve, reject });
      this._socket.send(JSON.stringify({ id, method, params }));
    });
  }

  close(): void {
    this._socket.close();
    this._end();
  }

  private async _greet(version: string): Promise<void> {
    try {
      await this.call('initialize', {
        clientInfo: { name: 'codex_jupyter_page', title: 'codex_jupyter page', version },
        capabilities: { experimentalApi: true }
      });
    } catch {
      this.close();
      return;
    }
    this._socket.send(JSON.stringify({ method: 'initialized' }));
    this._isGreeted = true;
    this._listener.opened();
  }

  private _receive(text: string): void {
    let message: any;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof message?.method === 'string') {
      if (message.id === undefined) {
        this._listener.notified(message.method, message.params ?? {});
      } else {
        const error = { code: METHOD_NOT_FOUND, message: 'a page runs no tools' };
        this._socket.send(JSON.stringify({ id: message.id, error }));
      }
      return;
    }
    const waiting = this._waiting.get(message?.id);
    this._waiting.delete(message?.id);
    if (message?.error) {
      waiting?.reject(new Error(String((message.error as RpcError).message)));
    } else {
      waiting?.resolve(message?.result ?? {});
    }
  }

  private _end(): void {
    if (this._hasEnded) {
      return;
    }
    this._hasEnded = true;
    for (const waiting of this._waiting.values()) {
      waiting.reject(new Error('The connection to the Jupyter server was lost.'));
    }
    this._waiting.clear();
    this._listener.ended(this._isGreeted);
  }

  private _socket: WebSocket;
  private _listener: SocketListener;
  private _waiting = new Map<number, Waiting>();
  private _lastId = 0;
  private _isGreeted = false;
  private _hasEnded = false;
}
