// The list of plugins, nothing else.

import { IJupyterWidgetRegistry } from '@jupyter-widgets/base';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { VERSION } from './line';
import { sharedLine } from './shared_line';
import { ICodexLine } from './tokens';
import { CodexTurnModel, CodexTurnView, MODULE } from './widget';

export { ICodexLine } from './tokens';
export type { Answer, ITurnWatch, LineState, Notified, PendingRequest } from './tokens';

const line: JupyterFrontEndPlugin<ICodexLine> = {
  id: '@codex-jupyter/view:line',
  description: 'Connects the page to the Codex core in the Jupyter server.',
  autoStart: true,
  provides: ICodexLine,
  activate: (_app: JupyterFrontEnd) => sharedLine()
};

const widget: JupyterFrontEndPlugin<void> = {
  id: '@codex-jupyter/view:widget',
  description: 'The live view of turns whose core is in the kernel.',
  autoStart: true,
  requires: [IJupyterWidgetRegistry],
  activate: (_app: JupyterFrontEnd, registry: IJupyterWidgetRegistry) =>
    registry.registerWidget({
      name: MODULE,
      version: VERSION,
      exports: { CodexTurnModel, CodexTurnView }
    })
};

export default [line, widget];
