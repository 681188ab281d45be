import { ICodexLine } from '@codex-jupyter/view';
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';

import { CommandIds } from './panel';

/** Says that something waits, where the person does not look. */
export const notices: JupyterFrontEndPlugin<void> = {
  id: '@codex-jupyter/lab:notices',
  description: 'Says when a turn waits for an answer that nobody sees.',
  autoStart: true,
  requires: [ICodexLine],
  activate: (app, line: ICodexLine) => {
    const shown = new Map<string, string>();
    line.requestsChanged.connect(() => {
      const open = new Map(line.requests.map(request => [request.requestId, request]));
      for (const [requestId, id] of shown) {
        if (!open.has(requestId)) {
          Notification.dismiss(id);
          shown.delete(requestId);
        }
      }
      for (const [requestId, request] of open) {
        if (!shown.has(requestId) && !isCardInView()) {
          const show = {
            label: 'Show',
            callback: () => void app.commands.execute(CommandIds.showNext)
          };
          const id = Notification.warning(`Codex waits for you: ${request.title}`, {
            autoClose: false,
            actions: [show]
          });
          shown.set(requestId, id);
        }
      }
    });
  }
};

/** Whether the page is looked at and shows a notebook or the panel, where the card is. */
function isCardInView(): boolean {
  if (document.hidden) {
    return false;
  }
  const places = document.querySelectorAll('.jp-NotebookPanel .jp-Codex-turn, .jp-Codex-panel');
  return [...places].some(place => (place as HTMLElement).offsetParent !== null);
}
