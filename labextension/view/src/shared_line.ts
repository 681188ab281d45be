// One line for the page, whoever asks first: renderers are made before plugins are activated.

import { ServerLine } from './line';

let line: ServerLine | null = null;

export function sharedLine(): ServerLine {
  line ??= new ServerLine();
  return line;
}
