// What this extension offers to others. Read this first.

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

/** A question that waits for a person, as the server shows it. */
export interface PendingRequest {
  readonly requestId: string;
  readonly threadId: string;
  readonly turnId: string;
  readonly itemId?: string;
  readonly kind: 'command' | 'patch' | 'tool' | 'question';
  readonly title: string;
  readonly command?: string;
  readonly cwd?: string | null;
  readonly reason?: string | null;
  readonly warning?: string | null;
  readonly digest?: string;
  readonly sandbox?: string;
  readonly choices?: ReadonlyArray<string>;
  readonly changes?: ReadonlyArray<Record<string, unknown>>;
  readonly questions?: ReadonlyArray<Record<string, unknown>>;
  /** Turns above the one that asks, which show the question too: a delegate's has no output of its own. */
  readonly shownIn?: ReadonlyArray<string>;
  /** The delegate that asks, unless it is the turn itself. */
  readonly delegate?: {
    readonly threadId: string;
    readonly name: string;
    readonly role: string | null;
  };
}

/** What a person decided or answered. */
export interface Answer {
  readonly decision?: string;
  readonly digest?: string | null;
  readonly answers?: Record<string, unknown>;
}

/** `unavailable`: this server has no codex_jupyter extension. */
export type LineState = 'connecting' | 'open' | 'lost' | 'unavailable';

/** A notification of the server's. */
export interface Notified {
  readonly method: string;
  readonly params: Record<string, unknown>;
}

/** One turn, followed from wherever it is. Shared by all who watch it. */
export interface ITurnWatch extends IDisposable {
  /** What draws it: get, on, off, send and link, as `turn_view.js` expects of a model. */
  readonly model: unknown;
  /** Resolved as soon as the server knows the turn; it may begin, or be stored, or never be. */
  readonly known: Promise<void>;
  /** Resolved when the turn has ended; never if the server does not know it. */
  readonly ended: Promise<void>;
}

/** The page's own connection to the core in the Jupyter server; one for each page. */
export interface ICodexLine {
  readonly state: LineState;
  readonly stateChanged: ISignal<ICodexLine, void>;
  /** What waits for an answer in all threads, oldest first. */
  readonly requests: ReadonlyArray<PendingRequest>;
  readonly requestsChanged: ISignal<ICodexLine, void>;
  readonly notified: ISignal<ICodexLine, Notified>;
  /** Rejects with the server's words, or when the line is not open. */
  call(method: string, params: object): Promise<Record<string, unknown>>;
  answer(requestId: string, answer: Answer): Promise<'ok' | 'gone'>;
  watch(threadId: string, turnId: string): ITurnWatch;
  /** A card or form for a question, wired to `answer`. */
  card(request: PendingRequest): IDisposable & { readonly node: HTMLElement };
}

export const ICodexLine = new Token<ICodexLine>(
  '@codex-jupyter/view:ICodexLine',
  'The connection of this page to the Codex core in the Jupyter server.'
);
