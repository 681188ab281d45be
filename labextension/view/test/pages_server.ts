// A server for tests: speaks the protocol's frames over a real socket, and does what the test says.

import type { AddressInfo } from 'net';
import { type WebSocket as Socket, WebSocket, WebSocketServer } from 'ws';

type Params = Record<string, any>;
type Reply = (params: Params) => unknown;

export class PagesServer {
  static async start(): Promise<PagesServer> {
    const server = new PagesServer(0);
    await server.listening();
    return server;
  }

  constructor(port: number) {
    this._server = new WebSocketServer({ host: '127.0.0.1', port });
    this._server.on('connection', socket => this._serve(socket));
  }

  readonly asked: { method: string; params: Params }[] = [];
  replies: Record<string, Reply> = {};

  get port(): number {
    return (this._server.address() as AddressInfo).port;
  }

  readonly open = (): globalThis.WebSocket =>
    new WebSocket(`ws://127.0.0.1:${this._port}`) as unknown as globalThis.WebSocket;

  listening(): Promise<void> {
    return new Promise(resolve =>
      this._server.once('listening', () => {
        this._port = this.port;
        resolve();
      })
    );
  }

  tell(method: string, params: Params): void {
    this._sockets.forEach(socket => socket.send(JSON.stringify({ method, params })));
  }

  askPage(id: string, method: string): void {
    this._sockets.forEach(socket => socket.send(JSON.stringify({ id, method, params: {} })));
  }

  drop(): void {
    this._sockets.forEach(socket => socket.terminate());
  }

  count(method: string): number {
    return this.asked.filter(asked => asked.method === method).length;
  }

  stop(): Promise<void> {
    this.drop();
    return new Promise(resolve => this._server.close(() => resolve()));
  }

  private _serve(socket: Socket): void {
    this._sockets.add(socket);
    socket.on('close', () => this._sockets.delete(socket));
    socket.on('message', data => {
      const message = JSON.parse(String(data));
      if (message.method === undefined) {
        this.asked.push({ method: '(answer)', params: message });
        return;
      }
      this.asked.push({ method: message.method, params: message.params });
      if (message.id === undefined) {
        return;
      }
      const reply = this.replies[message.method];
      const result = reply
        ? reply(message.params)
        : message.method.endsWith('list')
          ? { data: [] }
          : {};
      const isError = typeof result === 'string';
      const outcome = isError ? { error: { code: -32600, message: result } } : { result };
      socket.send(JSON.stringify({ id: message.id, ...outcome }));
    });
  }

  private _server: WebSocketServer;
  private _sockets = new Set<Socket>();
  private _port = 0;
}

/** Wait until something is true, or fail with what was waited for. */
export async function until(isTrue: () => unknown, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!isTrue()) {
    if (Date.now() > deadline) {
      throw new Error(`never happened: ${what}`);
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

export function snapshot(more: Params = {}): Params {
  return {
    schema: 1,
    threadId: 't',
    turnId: 'u',
    status: 'inProgress',
    model: 'offline',
    sandbox: 'not sandboxed',
    items: [],
    delegates: [],
    plan: null,
    diff: null,
    requests: [],
    notices: [],
    usage: null,
    error: null,
    hold: null,
    startedAtMs: null,
    durationMs: null,
    truncated: false,
    ...more
  };
}
