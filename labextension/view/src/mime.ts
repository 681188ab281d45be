// The renderer as a mime extension, the form that every front end built on JupyterLab loads.

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { TURN_MIME, TurnRenderer } from './renderer';

const extension: IRenderMime.IExtension = {
  id: '@codex-jupyter/view:turn',
  description: 'Shows turns of codex_jupyter, live while they run.',
  rendererFactory: {
    safe: true, // it draws text as text, asks nothing, and trusts nothing that was saved
    mimeTypes: [TURN_MIME],
    defaultRank: -20, // before a widget, which cannot be shown without its kernel
    createRenderer: options => new TurnRenderer(options.mimeType)
  },
  dataType: 'json'
};

export default extension;
