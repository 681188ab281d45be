// The list of plugins, nothing else.

import { files } from './plugins/files';
import { identity } from './plugins/identity';
import { notices } from './plugins/notices';
import { outputs } from './plugins/outputs';
import { panel } from './plugins/panel';

export default [panel, outputs, notices, identity, files];
