import { ICodexLine } from '@codex-jupyter/view';
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';

import { TurnFollower } from '../follower';

export const outputs: JupyterFrontEndPlugin<void> = {
  id: '@codex-jupyter/lab:outputs',
  description: 'Writes turns that ended while no page heard of it into their notebooks.',
  autoStart: true,
  requires: [ICodexLine, INotebookTracker],
  activate: (_app, line: ICodexLine, tracker: INotebookTracker) => {
    tracker.forEach(panel => new TurnFollower(panel, line));
    tracker.widgetAdded.connect((_, panel) => {
      new TurnFollower(panel, line);
    });
  }
};
