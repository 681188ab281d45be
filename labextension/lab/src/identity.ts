// Which notebook this is, for as long as it lives: an id in its own metadata.

import type { ICodexLine } from '@codex-jupyter/view';
import { UUID } from '@lumino/coreutils';

export const METADATA_KEY = 'codex_jupyter';

/** What the metadata of a notebook says of it. */
export interface Identity {
  readonly id: string;
  readonly path: string;
}

/** Read the metadata; what somebody else put there is none. */
export function readIdentity(metadata: unknown): Identity | null {
  if (typeof metadata !== 'object' || metadata === null) {
    return null;
  }
  const { id, path } = metadata as Record<string, unknown>;
  return typeof id === 'string' && id && typeof path === 'string' ? { id, path } : null;
}

/**
 * Decide who a notebook is that lies at `path` now.
 *
 * At another path than before it is a copy if the old file still exists, and gets an id of its
 * own; else it was renamed, and stays who it is.
 */
export async function identityAt(
  known: Identity | null,
  path: string,
  exists: (path: string) => Promise<boolean>
): Promise<Identity> {
  if (known === null) {
    return { id: UUID.uuid4(), path };
  }
  if (known.path === path) {
    return known;
  }
  return { id: (await exists(known.path)) ? UUID.uuid4() : known.id, path };
}

/** The part of the line to the server that telling who a notebook is needs. */
export type Line = Pick<ICodexLine, 'state' | 'stateChanged' | 'call'>;

/** Wait until the server can be told something; false if it has no extension of ours. */
export function isReachable(line: Line): Promise<boolean> {
  return new Promise(resolve => {
    const look = () => {
      if (line.state === 'open' || line.state === 'unavailable') {
        line.stateChanged.disconnect(look);
        resolve(line.state === 'open');
      }
    };
    line.stateChanged.connect(look);
    look();
  });
}

/**
 * Tell the server which notebook a kernel runs; returns who the notebook is.
 *
 * Two pages may show one notebook before it was ever saved with an id: the first that tells counts.
 */
export async function tellServer(
  line: Line,
  kernelId: string,
  identity: Identity,
  isNew: boolean
): Promise<Identity> {
  const { id: notebookId, path } = identity;
  const answer = await line.call('notebook/identify', { kernelId, notebookId, path, isNew });
  return { id: String(answer.notebookId ?? notebookId), path };
}

/** Does something once for all who want it at the same time, by what they want it for. */
export class Shared<K> {
  /** Return what is under way for `key`, or begin it. */
  run(key: K, begin: () => Promise<void>): Promise<void> {
    let running = this._running.get(key);
    if (running === undefined) {
      running = begin().finally(() => this._running.delete(key));
      this._running.set(key, running);
    }
    return running;
  }

  private _running = new Map<K, Promise<void>>();
}

/** Whether a cell asks the agent, so that its notebook has to be known. */
export function isCodexCell(source: string): boolean {
  return /^\s*%%?codex\b/m.test(source);
}
