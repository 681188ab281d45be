// Sees to it that a turn whose page was reloaded is still written into its notebook.

import type { ICodexLine, ITurnWatch } from '@codex-jupyter/view';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';

import { type SavedForm, turnsIn, writeFinished } from './outputs';

export const KERNEL_GRACE = 1500; // milliseconds in which the kernel's own last update may still come

/** Follows the unfinished turns of one open notebook. */
export class TurnFollower implements IDisposable {
  constructor(panel: NotebookPanel, line: ICodexLine) {
    this._panel = panel;
    this._line = line;
    panel.disposed.connect(this.dispose, this);
    line.stateChanged.connect(this._look, this);
    line.notified.connect(this._hear, this);
    void panel.context.ready.then(() => this._look());
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._line.stateChanged.disconnect(this._look, this);
    this._line.notified.disconnect(this._hear, this);
    this._watches.forEach(watch => watch.dispose());
    this._watches.clear();
  }

  private _hear(_line: ICodexLine, told: { method: string }): void {
    // A turn that begins shows up in an output a moment later; its end is a change of status too.
    if (told.method === 'thread/status/changed') {
      this._look();
    }
  }

  private _look(): void {
    if (this._isDisposed || this._line.state !== 'open') {
      return;
    }
    for (const { threadId, turnId, isOpen } of turnsIn(this._panel)) {
      if (isOpen && !this._watches.has(turnId)) {
        const watch = this._line.watch(threadId, turnId);
        this._watches.set(turnId, watch);
        void watch.ended.then(() => this._finish(threadId, turnId));
      }
    }
  }

  private async _finish(threadId: string, turnId: string): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, KERNEL_GRACE));
    this._watches.get(turnId)?.dispose();
    this._watches.delete(turnId);
    const isLeft =
      !this._isDisposed && turnsIn(this._panel).some(t => t.turnId === turnId && t.isOpen);
    if (!isLeft) {
      return;
    }
    try {
      const form = await this._line.call('turn/output', { threadId, turnId });
      if (!this._isDisposed) {
        writeFinished(this._panel, turnId, form as unknown as SavedForm);
      }
    } catch {
      // The line was lost or the turn is gone; with the next connection we look again.
    }
  }

  private _panel: NotebookPanel;
  private _line: ICodexLine;
  private _watches = new Map<string, ITurnWatch>();
  private _isDisposed = false;
}
