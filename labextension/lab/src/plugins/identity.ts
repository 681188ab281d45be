import { ICodexLine } from '@codex-jupyter/view';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';

import {
  type Identity,
  identityAt,
  isCodexCell,
  isReachable,
  METADATA_KEY,
  readIdentity,
  Shared,
  tellServer
} from '../identity';

/** Tells the server which notebook a kernel runs, before its first cell that asks the agent. */
export const identity: JupyterFrontEndPlugin<void> = {
  id: '@codex-jupyter/lab:identity',
  description: 'Keeps the id of a notebook, so that its cells can be run again.',
  autoStart: true,
  requires: [ICodexLine, INotebookTracker],
  activate: (app, line: ICodexLine, tracker: INotebookTracker) => {
    const told = new Map<string, string>();
    const telling = new Shared<NotebookPanel>();
    const contents = app.serviceManager.contents;
    // Emitted before the cell is sent, so that the kernel's question waits for us, not we for it.
    NotebookActions.executionScheduled.connect((_, { notebook, cell }) => {
      const panel = tracker.find(candidate => candidate.content === notebook);
      if (panel && cell.model.type === 'code' && isCodexCell(sourceOf(cell))) {
        // All cells of a run are scheduled at once, and must not each make an id of their own.
        telling
          .run(panel, () => tell(panel, line, contents, told))
          .catch((reason: unknown) => {
            console.warn('codex: the notebook could not be identified', reason);
          });
      }
    });
  }
};

async function tell(
  panel: NotebookPanel,
  line: ICodexLine,
  contents: JupyterFrontEnd['serviceManager']['contents'],
  told: Map<string, string>
): Promise<void> {
  const kernelId = panel.sessionContext.session?.kernel?.id;
  const model = panel.content.model;
  if (!kernelId || !model || !(await isReachable(line))) {
    return;
  }
  const path = panel.context.path;
  const known = readIdentity(model.getMetadata(METADATA_KEY));
  let found = await identityAt(known, path, async old => {
    try {
      await contents.get(old, { content: false });
      return true;
    } catch {
      return false;
    }
  });
  if (told.get(kernelId) !== wordsOf(found)) {
    found = await tellServer(line, kernelId, found, found.id !== known?.id);
    told.set(kernelId, wordsOf(found));
  }
  if (found.id !== known?.id || found.path !== known.path) {
    model.setMetadata(METADATA_KEY, { ...found });
  }
}

function wordsOf({ id, path }: Identity): string {
  return `${id} ${path}`;
}

function sourceOf(cell: Cell): string {
  return cell.model.sharedModel.getSource();
}
