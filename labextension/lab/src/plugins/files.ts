import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';

import { openFiles } from '../files';

export const files: JupyterFrontEndPlugin<void> = {
  id: '@codex-jupyter/lab:files',
  description: 'Opens the files that a turn names.',
  autoStart: true,
  activate: app => {
    openFiles(app.commands, PageConfig.getOption('serverRoot'));
  }
};
