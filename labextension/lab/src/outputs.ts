// Turns in the outputs of a notebook: where they are, and which of them were left unfinished.

import type { ICodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';

export const TURN_MIME = 'application/vnd.codex-jupyter.turn+json';

/** One turn's place in a notebook. */
export interface TurnPlace {
  readonly threadId: string;
  readonly turnId: string;
  readonly cell: ICodeCellModel;
  readonly cellIndex: number;
  readonly outputIndex: number;
  /** Whether the saved data says that the turn still runs, and that the server has it. */
  readonly isOpen: boolean;
}

/** What an output says about a turn, or null if it holds none. */
export function turnOf(
  data: unknown
): { threadId: string; turnId: string; isOpen: boolean } | null {
  if (typeof data !== 'object' || data === null) {
    return null;
  }
  const turn = data as Record<string, unknown>;
  if (typeof turn.threadId !== 'string' || typeof turn.turnId !== 'string') {
    return null;
  }
  const isOpen = turn.status === 'inProgress' && turn.live === 'server';
  return { threadId: turn.threadId, turnId: turn.turnId, isOpen };
}

/** Every turn in the outputs of a notebook, from its top. */
export function turnsIn(panel: NotebookPanel): TurnPlace[] {
  const places: TurnPlace[] = [];
  const cells = panel.content.model?.cells;
  for (let cellIndex = 0; cells && cellIndex < cells.length; cellIndex++) {
    const model = cells.get(cellIndex);
    if (model.type !== 'code') {
      continue;
    }
    const cell = model as ICodeCellModel;
    for (let outputIndex = 0; outputIndex < cell.outputs.length; outputIndex++) {
      const turn = turnOf(cell.outputs.get(outputIndex).data[TURN_MIME]);
      if (turn) {
        places.push({ ...turn, cell, cellIndex, outputIndex });
      }
    }
  }
  return places;
}

/** The finished form of a turn, as `turn/output` gives it. */
export interface SavedForm {
  readonly data: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
}

/** Put the finished form where the unfinished one still stands; false if nothing had to be done. */
export function writeFinished(panel: NotebookPanel, turnId: string, form: SavedForm): boolean {
  const place = turnsIn(panel).find(found => found.turnId === turnId && found.isOpen);
  if (!place) {
    return false;
  }
  place.cell.outputs.set(place.outputIndex, {
    output_type: 'display_data',
    data: form.data as never,
    metadata: form.metadata as never
  });
  return true;
}
