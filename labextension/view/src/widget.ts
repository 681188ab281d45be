// The live view where the kernel hosts the core: an ipywidget around the same drawing code.

import { DOMWidgetModel, DOMWidgetView } from '@jupyter-widgets/base';

import { VERSION } from './line';
import { render } from './turn/turn_view.js';

export const MODULE = '@codex-jupyter/view';

export class CodexTurnModel extends DOMWidgetModel {
  defaults(): Record<string, unknown> {
    return {
      ...super.defaults(),
      _model_module: MODULE,
      _model_module_version: VERSION,
      _model_name: 'CodexTurnModel',
      _view_module: MODULE,
      _view_module_version: VERSION,
      _view_name: 'CodexTurnView',
      snapshot: {},
      seq: 0
    };
  }
}

export class CodexTurnView extends DOMWidgetView {
  render(): void {
    this._stop = render({ model: this.model, el: this.el });
  }

  remove(): this {
    this._stop?.();
    this._stop = null;
    return super.remove();
  }

  private _stop: (() => void) | null = null;
}
