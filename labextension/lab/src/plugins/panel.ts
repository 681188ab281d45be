import { ICodexLine } from '@codex-jupyter/view';
import { ILayoutRestorer, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';

import { TurnFinder } from '../finder';
import { codexIcon } from '../icon';
import { turnsIn } from '../outputs';
import { CodexPanel, shownTurn } from '../panel';

export const CommandIds = {
  open: 'codex:open-panel',
  interrupt: 'codex:interrupt-current-turn',
  showNext: 'codex:show-next-request'
};

export const panel: JupyterFrontEndPlugin<void> = {
  id: '@codex-jupyter/lab:panel',
  description: 'A side panel with the threads and what waits for an answer.',
  autoStart: true,
  requires: [ICodexLine],
  optional: [INotebookTracker, ICommandPalette, ILayoutRestorer],
  activate: (app, line: ICodexLine, tracker, palette, restorer) => {
    const finder = new TurnFinder(app, tracker as INotebookTracker | null);
    const widget = new CodexPanel(line, finder);
    app.shell.add(widget, 'right', { rank: 900 });
    (restorer as ILayoutRestorer | null)?.add(widget, widget.id);
    app.commands.addCommand(CommandIds.open, {
      label: 'Show the Codex Panel',
      icon: codexIcon,
      execute: () => app.shell.activateById(widget.id)
    });
    app.commands.addCommand(CommandIds.showNext, {
      label: 'Codex: Show What Waits for an Answer',
      isEnabled: () => line.requests.length > 0,
      execute: () => {
        const request = line.requests[0];
        const turnId = request ? shownTurn(request, finder) : null;
        if (turnId !== null) {
          finder.show(turnId);
        } else {
          app.shell.activateById(widget.id);
        }
      }
    });
    app.commands.addCommand(CommandIds.interrupt, {
      label: 'Codex: Stop the Turn of This Notebook',
      isEnabled: () =>
        line.state === 'open' && (tracker as INotebookTracker | null)?.currentWidget != null,
      execute: async () => {
        const current = (tracker as INotebookTracker | null)?.currentWidget;
        const open = current ? turnsIn(current).filter(place => place.isOpen) : [];
        for (const { threadId, turnId } of open) {
          await line.call('turn/interrupt', { threadId, turnId }).catch(() => undefined);
        }
      }
    });
    for (const command of Object.values(CommandIds)) {
      (palette as ICommandPalette | null)?.addItem({ command, category: 'Codex' });
    }
    line.requestsChanged.connect(() => app.commands.notifyCommandChanged(CommandIds.showNext));
    line.stateChanged.connect(() => app.commands.notifyCommandChanged(CommandIds.interrupt));
  }
};
