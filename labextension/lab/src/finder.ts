// Finds the notebook that shows a turn.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import { turnsIn } from './outputs';
import type { ITurnFinder } from './panel';

export class TurnFinder implements ITurnFinder {
  constructor(app: JupyterFrontEnd, tracker: INotebookTracker | null) {
    this._app = app;
    this._tracker = tracker;
  }

  nameOf(turnId: string): string | null {
    return this._find(turnId)?.title.label ?? null;
  }

  show(turnId: string): void {
    const panel = this._find(turnId);
    const place = panel && turnsIn(panel).find(found => found.turnId === turnId);
    if (!panel || !place) {
      return;
    }
    this._app.shell.activateById(panel.id);
    panel.content.activeCellIndex = place.cellIndex;
    const cell = panel.content.widgets[place.cellIndex];
    void panel.content.scrollToItem(place.cellIndex, 'smart').then(() => {
      cell?.node.querySelector('.cxj-card')?.scrollIntoView({ block: 'center' });
    });
  }

  private _find(turnId: string): NotebookPanel | undefined {
    return this._tracker?.find(panel => turnsIn(panel).some(found => found.turnId === turnId));
  }

  private _app: JupyterFrontEnd;
  private _tracker: INotebookTracker | null;
}
