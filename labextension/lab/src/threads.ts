// The list of threads, read from what the server says.

export interface ThreadRow {
  readonly id: string;
  readonly title: string;
  readonly state: 'running' | 'waiting' | 'idle' | 'failed';
  /** Unix seconds. */
  readonly updatedAt: number;
}

/** Read one thread as `thread/list` and `thread/started` give it. */
export function rowOf(thread: Record<string, any>): ThreadRow {
  const title = String(thread.name || thread.preview || '')
    .replace(/\s+/g, ' ')
    .trim();
  return {
    id: String(thread.id),
    title: title || 'New thread',
    state: stateOf(thread.status),
    updatedAt: Number(thread.updatedAt) || 0
  };
}

export function stateOf(status: Record<string, any> | undefined): ThreadRow['state'] {
  switch (status?.type) {
    case 'active':
      return status.activeFlags?.length ? 'waiting' : 'running';
    case 'systemError':
      return 'failed';
    default:
      return 'idle';
  }
}

const RANK = { waiting: 0, running: 1, failed: 2, idle: 2 };

/** What waits first, then what runs, then the rest, each newest first. */
export function ordered(rows: ReadonlyArray<ThreadRow>): ThreadRow[] {
  return [...rows].sort(
    (a, b) => RANK[a.state] - RANK[b.state] || b.updatedAt - a.updatedAt || a.id.localeCompare(b.id)
  );
}

/** How long ago, in the fewest words. */
export function ago(seconds: number, now: number): string {
  const passed = Math.max(0, now - seconds);
  if (passed < 60) {
    return 'now';
  }
  if (passed < 3600) {
    return `${Math.floor(passed / 60)} min`;
  }
  return passed < 86_400 ? `${Math.floor(passed / 3600)} h` : `${Math.floor(passed / 86_400)} d`;
}
