// The messages of the protocol. Generated from codex_jupyter/protocol by `make docs`; do not edit.

/** A login has ended; told to every connection. */
export interface AccountLoginCompleted {
  loginId?: string | null;
  success: boolean;
  error?: string | null;
}

export type AccountLoginCompletedNotification = AccountLoginCompleted;

export type AccountRateLimitsUpdatedNotification = RateLimitsUpdated;

/** See whether there is a key for the configured provider; the key itself is never told. */
export interface AccountReadParams {
  /** Ignored: keys do not expire by themselves. */
  refreshToken?: boolean;
}

/** The result of account/read. */
export interface AccountReadResult {
  /** `{"type": "apiKey"}` if there is a key. */
  account?: Record<string, unknown> | null;
  /** Whether the provider needs one. */
  requiresOpenaiAuth: boolean;
}

/** There is a key now, or none any more; told to every connection. */
export interface AccountUpdated {
  authMode?: 'apikey' | null;
  planType?: string | null;
}

export type AccountUpdatedNotification = AccountUpdated;

/** Ours. Who an agent is, and what it used. */
export interface AgentFacts {
  threadId: string;
  turnId?: string | null;
  nickname?: string | null;
  role?: string | null;
  /** Into and out of the model, for its own answers. */
  tokens?: number | null;
  durationMs?: number | null;
}

export type AgentMessageDeltaNotification = ItemDelta;

/** What the model says. */
export interface AgentMessageItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'agentMessage';
  text: string;
  phase?: string | null;
  /** Ours. The stream broke here and the answer starts again in a later item. */
  abandoned?: boolean | null;
}

/** What an agent's newest work is doing. */
export interface AgentState {
  status: 'pendingInit' | 'running' | 'interrupted' | 'completed' | 'errored' | 'shutdown' | 'notFound';
  /** What it said last, or why it failed. */
  message?: string | null;
}

/** The answer to both kinds of approval request. `accept` runs it; `acceptForSession` also runs the very same again unasked; `decline` tells the model no; `cancel` declines and interrupts the turn. Anything else declines. */
export interface ApprovalAnswer {
  decision: unknown;
  /** Ours. The digest of what the answering page showed; optional. */
  digest?: string | null;
}

/** Ours. The delegate or agent that asks, when it is not the user's own thread. */
export interface AskingDelegate {
  /** Its own thread; the request's `threadId` is where the question is shown. */
  threadId: string;
  turnId: string;
  parentThreadId: string;
  nickname?: string | null;
  role?: string | null;
}

/** A command that runs. */
export interface BackgroundTerminal {
  itemId: string;
  processId: string;
  command: string;
  cwd: string;
  osPid?: number | null;
  /** Ours. The turn that started it. */
  turnId: string;
}

/** What would be merged into a branch. */
export interface BaseBranch {
  type: 'baseBranch';
  branch: string;
}

/** A part of a text, in bytes of its UTF-8 form; `end` is the first that is outside. */
export interface ByteRange {
  start: number;
  end: number;
}

export type CancelLoginAccountParams = LoginCancelParams;

export type CancelLoginAccountResponse = LoginCancelResult;

/** Who connects. */
export interface ClientInfo {
  name: string;
  title?: string | null;
  version: string;
}

export type ClientNotification = {
  method: 'initialized';
};

export type ClientRequest = {
  id: RequestId;
  method: 'initialize';
  params: InitializeParams;
} | {
  id: RequestId;
  method: 'thread/start';
  params: ThreadStartParams;
} | {
  id: RequestId;
  method: 'thread/resume';
  params: ThreadResumeParams;
} | {
  id: RequestId;
  method: 'thread/read';
  params: ThreadReadParams;
} | {
  id: RequestId;
  method: 'thread/list';
  params: ThreadListParams;
} | {
  id: RequestId;
  method: 'thread/fork';
  params: ThreadForkParams;
} | {
  id: RequestId;
  method: 'thread/rollback';
  params: ThreadRollbackParams;
} | {
  id: RequestId;
  method: 'thread/revert';
  params: ThreadRevertParams;
} | {
  id: RequestId;
  method: 'thread/loaded/list';
  params: ThreadLoadedListParams;
} | {
  id: RequestId;
  method: 'thread/name/set';
  params: ThreadNameParams;
} | {
  id: RequestId;
  method: 'thread/archive';
  params: ThreadArchiveParams;
} | {
  id: RequestId;
  method: 'thread/unarchive';
  params: ThreadUnarchiveParams;
} | {
  id: RequestId;
  method: 'thread/delete';
  params: ThreadDeleteParams;
} | {
  id: RequestId;
  method: 'thread/unsubscribe';
  params: ThreadUnsubscribeParams;
} | {
  id: RequestId;
  method: 'thread/compact/start';
  params: ThreadCompactParams;
} | {
  id: RequestId;
  method: 'thread/inject_items';
  params: ThreadInjectParams;
} | {
  id: RequestId;
  method: 'thread/undo';
  params: ThreadUndoParams;
} | {
  id: RequestId;
  method: 'thread/settings/update';
  params: ThreadSettingsParams;
} | {
  id: RequestId;
  method: 'thread/shellCommand';
  params: ThreadShellParams;
} | {
  id: RequestId;
  method: 'review/start';
  params: ReviewStartParams;
} | {
  id: RequestId;
  method: 'delegate/start';
  params: DelegateStartParams;
} | {
  id: RequestId;
  method: 'delegate/add';
  params: DelegateAddParams;
} | {
  id: RequestId;
  method: 'delegate/close';
  params: DelegateCloseParams;
} | {
  id: RequestId;
  method: 'turn/snapshot';
  params: TurnSnapshotParams;
} | {
  id: RequestId;
  method: 'thread/turns/list';
  params: TurnsListParams;
} | {
  id: RequestId;
  method: 'thread/search';
  params: ThreadSearchParams;
} | {
  id: RequestId;
  method: 'thread/searchOccurrences';
  params: SearchOccurrencesParams;
} | {
  id: RequestId;
  method: 'notebook/identify';
  params: NotebookIdentifyParams;
} | {
  id: RequestId;
  method: 'notebook/identity';
  params: NotebookIdentityParams;
} | {
  id: RequestId;
  method: 'mcpServerStatus/list';
  params: McpStatusListParams;
} | {
  id: RequestId;
  method: 'config/mcpServer/reload';
  params: McpReloadParams;
} | {
  id: RequestId;
  method: 'model/list';
  params: ModelListParams;
} | {
  id: RequestId;
  method: 'thread/backgroundTerminals/list';
  params: TerminalsListParams;
} | {
  id: RequestId;
  method: 'thread/backgroundTerminals/terminate';
  params: TerminalsTerminateParams;
} | {
  id: RequestId;
  method: 'thread/backgroundTerminals/clean';
  params: TerminalsCleanParams;
} | {
  id: RequestId;
  method: 'config/read';
  params: ConfigReadParams;
} | {
  id: RequestId;
  method: 'config/value/write';
  params: ConfigValueWriteParams;
} | {
  id: RequestId;
  method: 'config/batchWrite';
  params: ConfigBatchWriteParams;
} | {
  id: RequestId;
  method: 'configRequirements/read';
  params: ConfigRequirementsParams;
} | {
  id: RequestId;
  method: 'modelProvider/list';
  params: ModelProviderListParams;
} | {
  id: RequestId;
  method: 'collaborationMode/list';
  params: CollaborationModeListParams;
} | {
  id: RequestId;
  method: 'experimentalFeature/list';
  params: ExperimentalFeatureListParams;
} | {
  id: RequestId;
  method: 'permissionProfile/list';
  params: PermissionProfileListParams;
} | {
  id: RequestId;
  method: 'skills/list';
  params: SkillsListParams;
} | {
  id: RequestId;
  method: 'hooks/list';
  params: HooksListParams;
} | {
  id: RequestId;
  method: 'mock/experimentalMethod';
  params: MockExperimentalParams;
} | {
  id: RequestId;
  method: 'command/exec';
  params: CommandExecParams;
} | {
  id: RequestId;
  method: 'command/exec/write';
  params: CommandExecWriteParams;
} | {
  id: RequestId;
  method: 'command/exec/terminate';
  params: CommandExecTerminateParams;
} | {
  id: RequestId;
  method: 'command/exec/resize';
  params: CommandExecResizeParams;
} | {
  id: RequestId;
  method: 'fs/readFile';
  params: FsReadFileParams;
} | {
  id: RequestId;
  method: 'fs/writeFile';
  params: FsWriteFileParams;
} | {
  id: RequestId;
  method: 'fs/createDirectory';
  params: FsCreateDirectoryParams;
} | {
  id: RequestId;
  method: 'fs/getMetadata';
  params: FsGetMetadataParams;
} | {
  id: RequestId;
  method: 'fs/readDirectory';
  params: FsReadDirectoryParams;
} | {
  id: RequestId;
  method: 'fs/remove';
  params: FsRemoveParams;
} | {
  id: RequestId;
  method: 'fs/copy';
  params: FsCopyParams;
} | {
  id: RequestId;
  method: 'fs/watch';
  params: FsWatchParams;
} | {
  id: RequestId;
  method: 'fs/unwatch';
  params: FsUnwatchParams;
} | {
  id: RequestId;
  method: 'thread/items/list';
  params: ItemsListParams;
} | {
  id: RequestId;
  method: 'thread/items/read';
  params: ItemsReadParams;
} | {
  id: RequestId;
  method: 'thread/queue/add';
  params: QueueAddParams;
} | {
  id: RequestId;
  method: 'thread/queue/list';
  params: QueueListParams;
} | {
  id: RequestId;
  method: 'thread/queue/update';
  params: QueueUpdateParams;
} | {
  id: RequestId;
  method: 'thread/queue/delete';
  params: QueueDeleteParams;
} | {
  id: RequestId;
  method: 'thread/queue/reorder';
  params: QueueReorderParams;
} | {
  id: RequestId;
  method: 'thread/queue/start';
  params: QueueStartParams;
} | {
  id: RequestId;
  method: 'thread/metadata/update';
  params: ThreadMetadataParams;
} | {
  id: RequestId;
  method: 'turn/settings/update';
  params: TurnSettingsParams;
} | {
  id: RequestId;
  method: 'account/read';
  params: AccountReadParams;
} | {
  id: RequestId;
  method: 'account/login/start';
  params: LoginStartParams;
} | {
  id: RequestId;
  method: 'account/login/cancel';
  params: LoginCancelParams;
} | {
  id: RequestId;
  method: 'account/logout';
  params: LogoutParams;
} | {
  id: RequestId;
  method: 'fuzzyFileSearch';
  params: FileSearchParams;
} | {
  id: RequestId;
  method: 'fuzzyFileSearch/sessionStart';
  params: SearchSessionStartParams;
} | {
  id: RequestId;
  method: 'fuzzyFileSearch/sessionUpdate';
  params: SearchSessionUpdateParams;
} | {
  id: RequestId;
  method: 'fuzzyFileSearch/sessionStop';
  params: SearchSessionStopParams;
} | {
  id: RequestId;
  method: 'turn/start';
  params: TurnStartParams;
} | {
  id: RequestId;
  method: 'turn/steer';
  params: TurnSteerParams;
} | {
  id: RequestId;
  method: 'turn/interrupt';
  params: TurnInterruptParams;
} | {
  id: RequestId;
  method: 'turn/watch';
  params: TurnWatchParams;
} | {
  id: RequestId;
  method: 'turn/unwatch';
  params: TurnUnwatchParams;
} | {
  id: RequestId;
  method: 'turn/output';
  params: TurnOutputParams;
} | {
  id: RequestId;
  method: 'serverRequest/answer';
  params: ServerRequestAnswerParams;
} | {
  id: RequestId;
  method: 'serverRequest/list';
  params: ServerRequestListParams;
};

/** Work with other threads: agents of the model's, or delegates of the user's. */
export interface CollabAgentToolCallItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'collabAgentToolCall';
  tool: 'spawnAgent' | 'sendInput' | 'resumeAgent' | 'wait' | 'closeAgent';
  status: 'inProgress' | 'completed' | 'failed' | 'interrupted';
  senderThreadId: string;
  receiverThreadIds: Array<string>;
  prompt?: string | null;
  model?: string | null;
  reasoningEffort?: string | null;
  agentsStates: Record<string, AgentState>;
  agents?: Array<AgentFacts>;
}

/** A mode, and what it sets. */
export interface CollaborationMode {
  name: string;
  mode: 'plan' | 'default';
  model?: string | null;
  reasoning_effort?: string | null;
}

/** List the modes of working together. Experimental. */
export type CollaborationModeListParams = {
};

export type CollaborationModeListResponse = CollaborationModeListResult;

/** The result of collaborationMode/list. There is the default one; questions work in it. */
export interface CollaborationModeListResult {
  data: Array<CollaborationMode>;
}

/** Output of a command/exec of this connection, in order for each stream. */
export interface CommandExecOutputDelta {
  processId: string;
  stream: 'stdout' | 'stderr';
  /** At most 32 KiB of bytes. */
  deltaBase64: string;
  /** Whether what follows is dropped. */
  capReached: boolean;
}

export type CommandExecOutputDeltaNotification = CommandExecOutputDelta;

/** Run a command of the user's own, outside of any thread; nobody is asked. The answer comes when it has ended. It ends with the connection. Refused on connections that may not answer. */
export interface CommandExecParams {
  /** The program and its arguments; there is no shell unless it is one. */
  command: Array<string>;
  /** A name of the client's, for the other methods; needed for `tty` and the streams. */
  processId?: string | null;
  /** Whether it gets a terminal; implies both streams, and all output is `stdout`. */
  tty?: boolean;
  /** Of the terminal; default: 24 rows of 80. */
  size?: TerminalSize | null;
  /** Whether command/exec/write feeds it; otherwise it reads nothing. */
  streamStdin?: boolean;
  /** Whether output comes as `command/exec/outputDelta`, and not in the result. */
  streamStdoutStderr?: boolean;
  /** Default: the server's. */
  cwd?: string | null;
  /** Variables in addition to the server's; `null` takes one away. */
  env?: Record<string, string | null> | null;
  /** Default: 120000. What is not done by then is ended. */
  timeoutMs?: number | null;
  disableTimeout?: boolean;
  /** Bytes of each stream; default 1 MiB. What is beyond is dropped, and that is said. */
  outputBytesCap?: number | null;
  /** Leave nothing out. Streamed output has no limit then; the command waits for a client that reads slowly. An answer carries at most 4 MiB of each stream: where there is more, also of a larger `outputBytesCap`, the request fails and says so instead of leaving something out. */
  disableOutputCap?: boolean;
  /** Only `dangerFullAccess` and `externalSandbox`: nothing is sandboxed here. */
  sandboxPolicy?: SandboxPolicy | null;
  /** Refused: there are none. */
  permissionProfile?: string | null;
}

/** Give a command's terminal another size. */
export interface CommandExecResizeParams {
  processId: string;
  size: TerminalSize;
}

export type CommandExecResizeResponse = CommandExecResizeResult;

/** The result of command/exec/resize. */
export type CommandExecResizeResult = {
};

export type CommandExecResponse = CommandExecResult;

/** The result of command/exec. The texts are empty if they were streamed. */
export interface CommandExecResult {
  /** 128 + N if signal N ended it, 124 if its time was up. */
  exitCode: number;
  stdout: string;
  stderr: string;
  /** Ours. True where the rest was left out, as `outputBytesCap` says. */
  stdoutCapReached?: boolean | null;
  /** Ours. The same of the other stream. */
  stderrCapReached?: boolean | null;
}

/** End a command: politely, then not; its command/exec is answered when it is gone. */
export interface CommandExecTerminateParams {
  processId: string;
}

export type CommandExecTerminateResponse = CommandExecTerminateResult;

/** The result of command/exec/terminate. */
export type CommandExecTerminateResult = {
};

/** Feed a command; answered when it has taken everything. */
export interface CommandExecWriteParams {
  processId: string;
  deltaBase64?: string | null;
  /** Whether it then reads the end of its input. */
  closeStdin?: boolean;
}

export type CommandExecWriteResponse = CommandExecWriteResult;

/** The result of command/exec/write. */
export type CommandExecWriteResult = {
};

/** A command of the model's and what it printed. */
export interface CommandExecutionItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'commandExecution';
  command: string;
  cwd: string;
  processId?: string | null;
  source?: string;
  status: 'inProgress' | 'completed' | 'failed' | 'declined';
  commandActions?: Array<Record<string, unknown>>;
  aggregatedOutput?: string | null;
  exitCode?: number | null;
  durationMs?: number | null;
}

export type CommandExecutionOutputDeltaNotification = ItemDelta;

/** Ask whether a command, or code in the user's kernel, may run. Sent to every connection subscribed to the thread. The first answer settles it; all are told with `serverRequest/resolved`. */
export interface CommandExecutionRequestApprovalParams {
  /** Ours. */
  delegate?: AskingDelegate | null;
  threadId: string;
  turnId: string;
  itemId: string;
  startedAtMs?: number | null;
  kind?: 'command' | 'dynamicTool';
  /** For display, in a form in which different commands look different. What runs is what the session holds. */
  command?: string | null;
  cwd?: string | null;
  reason?: string | null;
  /** Ours. Why this deserves a close look. */
  warning?: string | null;
  /** Ours. What holds the command back, e.g. `not sandboxed`. */
  sandboxing?: string | null;
  /** Ours. SHA-256 of what will run. An answer that names another digest does not count. */
  digest?: string | null;
  commandActions?: Array<Record<string, unknown>>;
  availableDecisions?: Array<'accept' | 'acceptForSession' | 'decline' | 'cancel'>;
}

export type CommandExecutionRequestApprovalResponse = ApprovalAnswer;

/** What one commit changed. */
export interface Commit {
  type: 'commit';
  sha: string;
  title?: string | null;
}

/** Change `config.toml`: all of the edits, in order, or none; comments stay. New threads, and loaded ones from their next opening on, follow it. Refused on connections that may not answer. */
export interface ConfigBatchWriteParams {
  edits: Array<ConfigEdit>;
  /** If stated, it must be the user's `config.toml`. */
  filePath?: string | null;
  /** The version that was read; another one in the file is refused. */
  expectedVersion?: string | null;
  /** Ignored: it is always read again. */
  reloadUserConfig?: boolean;
}

/** One change. */
export interface ConfigEdit {
  /** Dotted, such as `model_providers.mine.name`; parts are quoted as in TOML. */
  keyPath: string;
  /** `null` removes the key. */
  value: unknown;
  /** `upsert` keeps the members of a table that `value` does not state. */
  mergeStrategy: 'replace' | 'upsert';
}

/** A place, and what it states. */
export interface ConfigLayer {
  /** `type` is `user` for the file, with its `file` and `profile`, or `sessionFlags` for options and variables of this process. */
  name: Record<string, unknown>;
  version: string;
  config: Record<string, unknown>;
}

/** A place that states settings, and which state of it. */
export interface ConfigLayerMetadata {
  /** `type` is `user` for the file, with its `file` and `profile`, or `sessionFlags` for options and variables of this process. */
  name: Record<string, unknown>;
  version: string;
}

export type ConfigMcpServerReloadParams = McpReloadParams;

/** See what is configured now, merged from all places; credentials are hidden. */
export interface ConfigReadParams {
  includeLayers?: boolean;
  /** Ignored: folders have no configuration of their own here. */
  cwd?: string | null;
}

export type ConfigReadResponse = ConfigReadResult;

/** The result of config/read. Keys are those of `config.toml`. */
export interface ConfigReadResult {
  config: Record<string, unknown>;
  /** For each value, by its dotted key, the place that decided. */
  origins: Record<string, ConfigLayerMetadata>;
  /** Highest rank first. */
  layers?: Array<ConfigLayer> | null;
}

/** See what an administrator demands. `params` may be left out. */
export type ConfigRequirementsParams = {
};

export type ConfigRequirementsReadParams = ConfigRequirementsParams;

export type ConfigRequirementsReadResponse = ConfigRequirementsResult;

/** The result of configRequirements/read: there are none here. */
export interface ConfigRequirementsResult {
  requirements?: Record<string, unknown> | null;
}

/** Change one key of `config.toml`; see config/batchWrite. */
export interface ConfigValueWriteParams {
  /** Dotted, such as `model_providers.mine.name`; parts are quoted as in TOML. */
  keyPath: string;
  /** `null` removes the key. */
  value: unknown;
  /** `upsert` keeps the members of a table that `value` does not state. */
  mergeStrategy: 'replace' | 'upsert';
  filePath?: string | null;
  expectedVersion?: string | null;
}

/** A configuration file has something unusual. */
export interface ConfigWarned {
  summary: string;
  details?: string | null;
  path?: string | null;
  range?: Record<string, unknown> | null;
}

export type ConfigWarningNotification = ConfigWarned;

export type ConfigWriteResponse = ConfigWriteResult;

/** The result of config/value/write and config/batchWrite. */
export interface ConfigWriteResult {
  status: 'ok' | 'okOverridden';
  version: string;
  filePath: string;
  overriddenMetadata?: OverriddenMetadata | null;
}

/** The model's memory was replaced by a summary; the item `contextCompaction` tells it too. */
export interface ContextCompacted {
  threadId: string;
  turnId: string;
}

export type ContextCompactedNotification = ContextCompacted;

/** The model's memory was replaced by a summary. */
export interface ContextCompactionItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'contextCompaction';
  abandoned?: boolean | null;
}

/** What the instructions say. */
export interface Custom {
  type: 'custom';
  instructions: string;
}

/** Ours. Have more delegates work in a turn that delegate/start began. */
export interface DelegateAddParams {
  threadId: string;
  turnId: string;
  tasks: Array<DelegateTaskParams>;
}

export type DelegateAddResponse = DelegateAddResult;

/** The result of delegate/add. */
export interface DelegateAddResult {
  tasks: Array<StartedTask>;
}

/** Ours. Let a turn that was kept open end with the tasks it has. */
export interface DelegateCloseParams {
  threadId: string;
  turnId: string;
}

export type DelegateCloseResponse = DelegateCloseResult;

/** The result of delegate/close. */
export type DelegateCloseResult = {
};

/** Ours. Have delegates work for a thread, beside its turns. A thread below it is made, whose turn starts them, shows each as one item, and ends with them. It is heard by whoever asked; all that it asks goes to whoever hears the thread, too. One of them is stopped by turn/interrupt with its own ids, also while it waits for its place. */
export interface DelegateStartParams {
  /** A loaded thread; its settings are the most that the delegates get. */
  threadId: string;
  tasks: Array<DelegateTaskParams>;
  /** How many work at a time, 1 to 64. */
  limit?: number;
  /** The id of the thread that is made; one that was made for this thread before is used again. */
  hostThreadId?: string | null;
  /** The id of its turn. Duplicates are refused, and say how that turn ended. */
  turnId?: string | null;
  /** Whether the turn waits for more tasks, which may be none at first, until delegate/close. */
  keepOpen?: boolean;
}

export type DelegateStartResponse = DelegateStartResult;

/** The result of delegate/start. */
export interface DelegateStartResult {
  thread: Thread;
  turn: Turn;
  /** In the order of the request. */
  tasks: Array<StartedTask>;
}

/** One task of a delegation; what is absent is as the thread has it. */
export interface DelegateTaskParams {
  input: Array<UserInput>;
  /** How people see it; default: its number. */
  name?: string | null;
  /** One of the roles of the settings. */
  role?: string | null;
  /** The id its thread shall have. Duplicates are refused. */
  threadId?: string | null;
  turnId?: string | null;
  model?: string | null;
  effort?: string | null;
  cwd?: string | null;
  /** Counts as far as it allows no more than the thread's, as does `sandboxPolicy`. */
  approvalPolicy?: 'untrusted' | 'on-request' | 'never' | GranularPolicy | null;
  sandboxPolicy?: SandboxPolicy | null;
  outputSchema?: unknown;
}

/** All file changes of the turn so far, as one git-style diff. */
export interface DiffUpdated {
  threadId: string;
  turnId: string;
  diff: string;
}

/** Audio that a tool gave back. It is kept; the model is told that it cannot be passed on. */
export interface DynamicToolAudio {
  type: 'inputAudio';
  audioUrl: string;
}

/** What the tool gave back. The model is told of an answer that cannot be read. */
export interface DynamicToolCallAnswer {
  contentItems: Array<DynamicToolText | DynamicToolImage | DynamicToolAudio>;
  success: boolean;
}

/** A call of a tool that a client runs. */
export interface DynamicToolCallItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'dynamicToolCall';
  namespace?: string | null;
  tool: string;
  arguments?: unknown;
  status: 'inProgress' | 'completed' | 'failed' | 'declined';
  contentItems?: Array<Record<string, unknown>> | null;
  success?: boolean | null;
  durationMs?: number | null;
}

/** Ask the client to run one of its tools. There is no `serverRequest/resolved` for it. */
export interface DynamicToolCallParams {
  /** Ours. */
  delegate?: AskingDelegate | null;
  threadId: string;
  turnId: string;
  callId: string;
  namespace?: string | null;
  tool: string;
  arguments?: unknown;
}

export type DynamicToolCallResponse = DynamicToolCallAnswer;

/** A tool that the client of the thread runs when the model calls it. */
export interface DynamicToolFunction {
  type: 'function';
  name: string;
  description: string;
  inputSchema: unknown;
  /** In a namespace only. It changes nothing: there is no search for tools here, so that the model knows each of them from the beginning. */
  deferLoading?: boolean;
  /** Ours. The tool changes nothing, so that no approval is asked for. */
  readOnly?: boolean;
  /** Ours. Every call is decided like a command, by the thread's approval policy. */
  requiresApproval?: boolean;
  /** Ours. The argument that holds what will run, shown when approval is asked for. */
  codeArgument?: string | null;
}

/** An image that a tool gave back. */
export interface DynamicToolImage {
  type: 'inputImage';
  imageUrl: string;
}

/** Tools of a client's that belong together; their names need to differ only in here. */
export interface DynamicToolNamespace {
  type: 'namespace';
  name: string;
  description: string;
  tools: Array<DynamicToolFunction>;
}

/** Text that a tool gave back. */
export interface DynamicToolText {
  type: 'inputText';
  text: string;
}

/** A review began. */
export interface EnteredReviewModeItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'enteredReviewMode';
  /** What is looked at, in words. */
  review: string;
}

/** Something went wrong; with `willRetry` the turn goes on. */
export interface ErrorNotice {
  threadId: string;
  turnId: string;
  willRetry: boolean;
  error: TurnError;
}

export type ErrorNotification = ErrorNotice;

/** A place in the events of a thread, as thread/resume and notifications tell it. */
export interface EventPlace {
  epoch: string;
  sequence: number;
}

/** A review is over. */
export interface ExitedReviewModeItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'exitedReviewMode';
  /** What was found, as text. */
  review: string;
  /** Null if the reviewer did not answer in the form it was asked for. */
  output?: ReviewResult | null;
}

/** A switch. */
export interface ExperimentalFeature {
  name: string;
  stage: 'beta' | 'underDevelopment' | 'stable' | 'deprecated' | 'removed';
  displayName?: string | null;
  description?: string | null;
  announcement?: string | null;
  enabled: boolean;
  defaultEnabled: boolean;
}

/** List what can be switched under `[features]`. */
export interface ExperimentalFeatureListParams {
  /** Index of the next one, as a decimal number. */
  cursor?: string | null;
  limit?: number | null;
  /** A loaded thread. Switches are the same for all. */
  threadId?: string | null;
}

export type ExperimentalFeatureListResponse = ExperimentalFeatureListResult;

/** The result of experimentalFeature/list. */
export interface ExperimentalFeatureListResult {
  data: Array<ExperimentalFeature>;
  nextCursor?: string | null;
}

/** A patch of the model's. */
export interface FileChangeItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'fileChange';
  changes: Array<FileUpdateChange>;
  status: 'inProgress' | 'completed' | 'failed' | 'declined';
}

/** Ask whether the patch of `itemId` may be applied; its item shows the changes. */
export interface FileChangeRequestApprovalParams {
  /** Ours. */
  delegate?: AskingDelegate | null;
  threadId: string;
  turnId: string;
  itemId: string;
  startedAtMs?: number | null;
  reason?: string | null;
  grantRoot?: string | null;
  /** Ours. Why this deserves a close look. */
  warning?: string | null;
  /** Ours. What holds the change back, e.g. `not sandboxed`. */
  sandboxing?: string | null;
  /** Ours. SHA-256 of what will be written. An answer that names another does not count. */
  digest?: string | null;
}

export type FileChangeRequestApprovalResponse = ApprovalAnswer;

/** A file or folder that matches. */
export interface FileMatch {
  root: string;
  /** Relative to the root. */
  path: string;
  match_type: 'file' | 'directory';
  file_name: string;
  score: number;
  /** Characters of `path` that match. */
  indices?: Array<number> | null;
}

/** Find files and folders whose paths have the characters of each word in order. What git ignores is left out where git can list a root, else what is hidden. */
export interface FileSearchParams {
  /** At most 500 characters. */
  query: string;
  /** Absolute folders, at most 32; 100000 files and folders of each are looked at. */
  roots: Array<string>;
  /** A later search with the same one ends this one, which then has no matches. */
  cancellationToken?: string | null;
}

/** The result of fuzzyFileSearch: the best 50, best first. */
export interface FileSearchResult {
  files: Array<FileMatch>;
}

/** One file of a patch. `diff` is the whole text for add and delete, hunks for update. */
export interface FileUpdateChange {
  path: string;
  kind: PatchKind;
  diff: string;
}

/** Something changed at a path that this connection watches. */
export interface FsChanged {
  watchId: string;
  /** What came, went or was written, sorted. */
  changedPaths: Array<string>;
}

export type FsChangedNotification = FsChanged;

/** Copy a file, or a folder with at most 50000 entries, in place of what is there. If it fails half-way, or its connection ends, what was copied stays. */
export interface FsCopyParams {
  sourcePath: string;
  destinationPath: string;
  /** Whether the source may be a folder. */
  recursive?: boolean;
}

export type FsCopyResponse = FsCopyResult;

/** The result of fs/copy. */
export type FsCopyResult = {
};

/** Create a folder. */
export interface FsCreateDirectoryParams {
  /** Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead out. */
  path: string;
  /** Create those above it too, and be content if it exists; default: true. */
  recursive?: boolean | null;
}

export type FsCreateDirectoryResponse = FsCreateDirectoryResult;

/** The result of fs/createDirectory. */
export type FsCreateDirectoryResult = {
};

/** One entry; a link counts as what it leads to beneath a workspace. */
export interface FsDirectoryEntry {
  fileName: string;
  isDirectory: boolean;
  isFile: boolean;
}

/** Look at a path. */
export interface FsGetMetadataParams {
  /** Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead out. */
  path: string;
}

export type FsGetMetadataResponse = FsGetMetadataResult;

/** The result of fs/getMetadata; of a link, what it leads to beneath a workspace. */
export interface FsGetMetadataResult {
  isDirectory: boolean;
  isFile: boolean;
  isSymlink: boolean;
  /** 0 where it is not known. */
  createdAtMs: number;
  modifiedAtMs: number;
}

/** List a folder of at most 10000 entries. */
export interface FsReadDirectoryParams {
  /** Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead out. */
  path: string;
}

export type FsReadDirectoryResponse = FsReadDirectoryResult;

/** The result of fs/readDirectory, by name. */
export interface FsReadDirectoryResult {
  entries: Array<FsDirectoryEntry>;
}

/** Read a file of at most 8 MiB. */
export interface FsReadFileParams {
  /** Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead out. */
  path: string;
}

export type FsReadFileResponse = FsReadFileResult;

/** The result of fs/readFile. */
export interface FsReadFileResult {
  dataBase64: string;
}

/** Remove a file, a link or a folder, but no workspace. */
export interface FsRemoveParams {
  /** Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead out. */
  path: string;
  /** Whether a folder may hold something; default: true. */
  recursive?: boolean | null;
  /** Whether it is fine if there is nothing; default: true. */
  force?: boolean | null;
}

export type FsRemoveResponse = FsRemoveResult;

/** The result of fs/remove. */
export type FsRemoveResult = {
};

/** Hear of it no more. An unknown name is fine. */
export interface FsUnwatchParams {
  watchId: string;
}

export type FsUnwatchResponse = FsUnwatchResult;

/** The result of fs/unwatch. */
export type FsUnwatchResult = {
};

/** Hear of changes to a file, or to the direct entries of a folder, as `fs/changed`. It ends with the connection, which may have 64 of them. */
export interface FsWatchParams {
  /** Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead out. */
  path: string;
  /** A name of the client's. */
  watchId: string;
}

export type FsWatchResponse = FsWatchResult;

/** The result of fs/watch: the path without links. */
export interface FsWatchResult {
  path: string;
}

/** Write a file, whole: its readers see the old one or the new one. Refused, as is all that changes files, on connections that may not answer. */
export interface FsWriteFileParams {
  /** Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead out. */
  path: string;
  dataBase64: string;
}

export type FsWriteFileResponse = FsWriteFileResult;

/** The result of fs/writeFile. */
export type FsWriteFileResult = {
};

/** What a tool outside of the conversation delivered; started and completed at once. */
export interface FunctionCallOutputItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'functionCallOutput';
  name: string;
  namespace?: string | null;
  /** Text, or content items (`input_text`, `input_image`). */
  output: string | Array<Record<string, unknown>>;
}

export type FuzzyFileSearchParams = FileSearchParams;

export type FuzzyFileSearchResponse = FileSearchResult;

export type FuzzyFileSearchSessionCompletedNotification = SearchCompleted;

export type FuzzyFileSearchSessionStartParams = SearchSessionStartParams;

export type FuzzyFileSearchSessionStartResponse = SearchSessionStartResult;

export type FuzzyFileSearchSessionStopParams = SearchSessionStopParams;

export type FuzzyFileSearchSessionStopResponse = SearchSessionStopResult;

export type FuzzyFileSearchSessionUpdateParams = SearchSessionUpdateParams;

export type FuzzyFileSearchSessionUpdateResponse = SearchSessionUpdateResult;

export type FuzzyFileSearchSessionUpdatedNotification = SearchUpdated;

export type GetAccountParams = AccountReadParams;

export type GetAccountResponse = AccountReadResult;

/** What changes; absent members stay, and `null` is none. */
export interface GitInfoChange {
  sha?: string | null;
  branch?: string | null;
  originUrl?: string | null;
}

/** Which kinds of questions are put to somebody; the others are refused at once. */
export interface GranularFlags {
  /** For commands, patches, and the tools that a client brings. */
  sandbox_approval: boolean;
  /** Carried: nothing here asks because of a rule. */
  rules: boolean;
  /** For the forms and addresses that MCP servers show. Calls of their tools have no flag. */
  mcp_elicitations: boolean;
  /** Carried: nothing here asks for permissions. */
  request_permissions?: boolean;
  /** Carried: nothing here asks before a skill is used. */
  skill_approval?: boolean;
  /** Ours. Present if another policy than `on-request` says what is asked that no flag refuses: so it is in a thread below one whose policy is another one than its own. */
  base?: 'untrusted' | 'on-request' | 'never' | null;
}

/** Ask as under `on-request`, but only what the flags say. As the value of a request's member it needs `experimentalApi`. */
export interface GranularPolicy {
  granular: GranularFlags;
}

/** The hooks of one working directory: there are none here. */
export interface HooksListEntry {
  cwd: string;
  hooks: Array<Record<string, unknown>>;
  warnings: Array<string>;
  errors: Array<SkillError>;
}

/** List the hooks of working directories. */
export interface HooksListParams {
  /** At most 32; default: the thread's if one is named, else the server's. */
  cwds?: Array<string> | null;
  /** A loaded thread. */
  threadId?: string | null;
}

export type HooksListResponse = HooksListResult;

/** The result of hooks/list. */
export interface HooksListResult {
  data: Array<HooksListEntry>;
}

/** An image by address; a `data:` URL carries the bytes themselves. */
export interface ImageInput {
  type: 'image';
  url: string;
}

/** What this connection wants to see. */
export interface InitializeCapabilities {
  experimentalApi?: boolean;
  /** Ours. Let each notification of a thread carry its number, as `seq` beside `method`. */
  eventSequences?: boolean;
  optOutNotificationMethods?: Array<string> | null;
}

/** The first request of every connection. */
export interface InitializeParams {
  clientInfo: ClientInfo;
  capabilities?: InitializeCapabilities | null;
}

export type InitializeResponse = InitializeResult;

/** Who answers. The version in `userAgent` is the protocol's, which clients compare. */
export interface InitializeResult {
  userAgent: string;
  codexHome: string;
  platformFamily: string;
  platformOs: string;
}

/** An item is final, and stored. */
export interface ItemCompleted {
  threadId: string;
  turnId: string;
  item: ThreadItem;
  completedAtMs: number;
}

export type ItemCompletedNotification = ItemCompleted;

/** A piece of one item's text; pieces may have been merged on the way, none is lost. */
export interface ItemDelta {
  threadId: string;
  turnId: string;
  itemId: string;
  delta: string;
  summaryIndex?: number | null;
  contentIndex?: number | null;
}

/** An item, and where and when it was. */
export interface ItemEntry {
  turnId: string;
  item: ThreadItem;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  /** Whether its output was left out. */
  outputDeferred?: boolean;
}

/** An item has begun; its deltas follow. */
export interface ItemStarted {
  threadId: string;
  turnId: string;
  item: ThreadItem;
  startedAtMs: number;
}

export type ItemStartedNotification = ItemStarted;

/** The item that a page begins after. */
export interface ItemsAnchor {
  type: 'item';
  itemId: string;
}

/** Page through the items of a thread, loaded or stored, or of one of its turns. */
export interface ItemsListParams {
  threadId: string;
  turnId?: string | null;
  cursor?: string | ItemsAnchor | null;
  /** Items on a page, 1 to 100; default 25. A page also ends where its line would pass 64 KiB. */
  limit?: number | null;
  /** Oldest first by default. */
  sortDirection?: 'asc' | 'desc' | null;
  deferOutput?: OutputDeferral | null;
}

/** The result of thread/items/list. */
export interface ItemsListResult {
  data: Array<ItemEntry>;
  /** Goes on in the same direction; absent on the last page. */
  nextCursor?: string | null;
  /** Goes back, asked for with the other direction, from the first entry of this page on, which is told again as it is then; absent on an empty page. */
  backwardsCursor?: string | null;
}

/** Read items of one turn by their ids, whole. */
export interface ItemsReadParams {
  threadId: string;
  turnId: string;
  /** 1 to 100. Those that the turn does not have are left out. */
  itemIds: Array<string>;
}

/** The result of thread/items/read, in the order asked for. */
export interface ItemsReadResult {
  data: Array<ItemEntry>;
}

export type ListMcpServerStatusParams = McpStatusListParams;

export type ListMcpServerStatusResponse = McpStatusListResult;

/** An image file on the server's machine; a missing file becomes a text for the model. */
export interface LocalImageInput {
  type: 'localImage';
  path: string;
}

export type LoginAccountParams = LoginStartParams;

export type LoginAccountResponse = LoginStartResult;

/** Give up a login that waits for somebody. None does here. */
export interface LoginCancelParams {
  loginId: string;
}

/** The result of account/login/cancel. */
export interface LoginCancelResult {
  status: 'canceled' | 'notFound';
}

/** Keep a key for the configured provider, or for OpenAI if that one needs none. It is kept in the system's keyring, else in a file for the user alone; a variable that holds a key outranks it. Refused on connections that may not answer. */
export interface LoginStartParams {
  /** The other ways to sign in are not offered. */
  type: 'apiKey';
  apiKey: string;
}

/** The result of account/login/start; `account/login/completed` follows at once. */
export interface LoginStartResult {
  type: 'apiKey';
}

export type LogoutAccountParams = LogoutParams;

export type LogoutAccountResponse = LogoutResult;

/** Forget the key that was kept. `params` may be left out. */
export type LogoutParams = {
};

/** The result of account/logout. A key in a variable stays where it is. */
export type LogoutResult = {
};

/** A tool of an MCP server says how far it is. */
export interface McpProgress {
  threadId: string;
  turnId: string;
  itemId: string;
  message: string;
}

/** Look for tools anew, at the next turn of each thread; servers that died start again. */
export type McpReloadParams = {
};

/** The result of config/mcpServer/reload. */
export type McpReloadResult = {
};

/** The answer to an MCP server's question. Whatever cannot be read counts as `decline`. An error counts as `decline`, too. */
export interface McpServerElicitationAnswer {
  action: 'accept' | 'decline' | 'cancel';
  /** The fields of the form by name, with `accept`; nothing for an address. */
  content?: unknown;
  _meta?: unknown;
}

/** Pass on what an MCP server asks the user while one of its tools runs. `mode` is `form`, with a `requestedSchema` of flat fields, or `url`, with an address that the user is to open. The first answer settles it; all are told with `serverRequest/resolved`. It is put under every approval policy: it is a question. */
export interface McpServerElicitationParams {
  /** Ours. */
  delegate?: AskingDelegate | null;
  threadId: string;
  turnId?: string | null;
  /** Ours. The call that the server works on, an item of type `mcpToolCall`. */
  itemId?: string | null;
  /** Ours. */
  startedAtMs?: number | null;
  serverName: string;
  mode: 'form' | 'url';
  message: string;
  /** The form's JSON schema, as the server sent it. */
  requestedSchema?: Record<string, unknown> | null;
  url?: string | null;
  elicitationId?: string | null;
  /** What the server sent along. */
  _meta?: unknown;
}

export type McpServerElicitationRequestParams = McpServerElicitationParams;

export type McpServerElicitationRequestResponse = McpServerElicitationAnswer;

export type McpServerRefreshResponse = McpReloadResult;

/** One server. */
export interface McpServerStatus {
  name: string;
  authStatus: string;
  tools: Record<string, unknown>;
  resources: Array<unknown>;
  resourceTemplates: Array<unknown>;
  toolsError?: string | null;
}

/** List the configured servers, and what is known of them in a loaded thread. */
export interface McpStatusListParams {
  cursor?: string | null;
  limit?: number | null;
  /** Ours. The thread whose servers are meant; default: any loaded one that has started them. */
  threadId?: string | null;
  /** Tell only of this one. */
  serverName?: string | null;
  /** Both tell the same here: resources are not looked at. */
  detail?: 'full' | 'toolsAndAuthOnly' | null;
}

/** The result of mcpServerStatus/list. */
export interface McpStatusListResult {
  data: Array<McpServerStatus>;
  nextCursor?: string | null;
}

/** A call of a tool of an MCP server. */
export interface McpToolCallItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'mcpToolCall';
  server: string;
  tool: string;
  arguments?: unknown;
  status: 'inProgress' | 'completed' | 'failed' | 'declined';
  result?: Record<string, unknown> | null;
  error?: Record<string, unknown> | null;
  durationMs?: number | null;
}

export type McpToolCallProgressNotification = McpProgress;

/** A file or other thing the user pointed at. */
export interface MentionInput {
  type: 'mention';
  name: string;
  path: string;
}

export type MockExperimentalMethodParams = MockExperimentalParams;

export type MockExperimentalMethodResponse = MockExperimentalResult;

/** Echo a text. Experimental: it tells whether this connection may use what is. */
export interface MockExperimentalParams {
  value?: string | null;
}

/** The result of mock/experimentalMethod. */
export interface MockExperimentalResult {
  echoed?: string | null;
}

/** A model that can be asked for. */
export interface Model {
  id: string;
  model: string;
  displayName: string;
  description: string;
  hidden?: boolean;
  isDefault: boolean;
  supportedReasoningEfforts: Array<Record<string, unknown>>;
  defaultReasoningEffort: string;
  inputModalities?: Array<string>;
  supportsPersonality?: boolean;
  upgrade?: string | null;
  /** Ours. Tokens that fit into a request, if that is known. */
  contextWindow?: number | null;
}

/** List the models of a provider. */
export interface ModelListParams {
  /** Index of the next one, as a decimal number. */
  cursor?: string | null;
  limit?: number | null;
  includeHidden?: boolean | null;
  /** Default: the configured one. */
  modelProvider?: string | null;
}

export type ModelListResponse = ModelListResult;

/** The result of model/list. */
export interface ModelListResult {
  data: Array<Model>;
  nextCursor?: string | null;
}

/** List the model providers, built-in and configured. */
export type ModelProviderListParams = {
};

export type ModelProviderListResponse = ModelProviderListResult;

/** The result of modelProvider/list. */
export interface ModelProviderListResult {
  data: Array<ModelProviderSummary>;
  defaultProviderId: string;
  /** Whether this connection may write `config.toml`. */
  canChangeDefault: boolean;
}

/** A provider; its address is without credentials. */
export interface ModelProviderSummary {
  id: string;
  name: string;
  baseUrl?: string | null;
  /** Whether it comes from the user's `config.toml`, which this connection may write. */
  canEdit: boolean;
  /** `type` is `openai` or `customGateway`; the latter with `auth`. */
  settings: Record<string, unknown>;
}

/** The provider answers with another model than the one that was asked. */
export interface ModelRerouted {
  threadId: string;
  turnId: string;
  fromModel: string;
  toModel: string;
  reason: string;
}

export type ModelReroutedNotification = ModelRerouted;

/** Ours. For pages: which notebook a kernel runs. The id is kept in the notebook's metadata. */
export interface NotebookIdentifyParams {
  kernelId: string;
  notebookId: string;
  path: string;
  /** Whether the id was made just now. If another page made one before, for the same kernel and path, that one counts. */
  isNew?: boolean;
}

export type NotebookIdentifyResponse = NotebookIdentifyResult;

/** The result of notebook/identify. */
export interface NotebookIdentifyResult {
  /** The id that counts; the page keeps it. */
  notebookId: string;
}

/** Ours. For kernels: which notebook the asking kernel runs. */
export interface NotebookIdentityParams {
  /** Whether the cell came from a page, so that one is waited for even before it is connected. */
  expectsPage?: boolean;
}

export type NotebookIdentityResponse = NotebookIdentityResult;

/** The result of notebook/identity; both are null if no page has said so. */
export interface NotebookIdentityResult {
  notebookId?: string | null;
  path?: string | null;
}

/** The result of what has nothing to tell. */
export type Nothing = {
};

/** One remark for whoever begins a thread. */
export interface Notice {
  level: 'info' | 'warning';
  text: string;
}

/** One place. */
export interface Occurrence {
  turnId: string;
  itemId: string;
  /** For thread/turns/list: the page that begins with this turn. */
  turnCursor: string;
  snippet: string;
  /** `start` and `end` in characters of the snippet; equal if it is not in it. */
  snippetMatchRange: Record<string, number>;
}

/** A thread was closed, archived, unarchived or deleted, or something of it has to be read anew. The first four are told to every connection, `thread/reverted` and `thread/queue/changed` to its subscribers. */
export interface OfThread {
  threadId: string;
}

/** A question as a page shows it; other members are those of its kind. */
export interface OpenRequest {
  requestId: string;
  threadId: string;
  turnId: string;
  itemId: string;
  kind: 'command' | 'patch' | 'tool' | 'question';
  title: string;
}

/** Which outputs to leave out; thread/items/read has them. */
export interface OutputDeferral {
  commandExecution?: boolean;
  mcpToolCall?: boolean;
}

/** What counts instead of what was written. */
export interface OverriddenMetadata {
  message: string;
  overridingLayer: ConfigLayerMetadata;
  effectiveValue?: unknown;
}

/** What happens to one file. */
export interface PatchKind {
  type: 'add' | 'delete' | 'update';
  movePath?: string | null;
}

/** List the named permission profiles. */
export interface PermissionProfileListParams {
  cursor?: string | null;
  limit?: number | null;
  cwd?: string | null;
}

export type PermissionProfileListResponse = PermissionProfileListResult;

/** The result of permissionProfile/list: there are none here. */
export interface PermissionProfileListResult {
  data: Array<Record<string, unknown>>;
  nextCursor?: string | null;
}

/** One step of the model's plan. */
export interface PlanStep {
  step: string;
  status: 'pending' | 'inProgress' | 'completed';
}

/** The model's plan, whole. */
export interface PlanUpdated {
  threadId: string;
  turnId: string;
  explanation?: string | null;
  plan: Array<PlanStep>;
}

/** The chosen labels and typed texts of one question. */
export interface QuestionAnswers {
  answers?: Array<string>;
}

/** Let a message become a turn as soon as the thread, which must be loaded, is at rest. A turn that completes starts the next one; after one that failed or was stopped the others wait for thread/queue/start. The queue ends with the loading of the thread. */
export interface QueueAddParams {
  threadId: string;
  input: Array<UserInput>;
  clientUserMessageId: string;
  /** Kept and shown, and not used. */
  responsesapiClientMetadata?: Record<string, unknown> | null;
}

/** Take a message back. */
export interface QueueDeleteParams {
  threadId: string;
  queuedSubmissionId: string;
}

/** The result of thread/queue/delete. */
export interface QueueDeleteResult {
  /** Whether it waited. */
  deleted: boolean;
}

/** List the messages that wait. */
export interface QueueListParams {
  threadId: string;
  /** Index of the next one, as a decimal number. */
  cursor?: string | null;
  limit?: number | null;
}

/** The result of thread/queue/list, next first. */
export interface QueueListResult {
  data: Array<QueuedSubmission>;
  nextCursor?: string | null;
}

/** Put the messages into another order. */
export interface QueueReorderParams {
  threadId: string;
  /** Each that waits, once. */
  queuedSubmissionIds: Array<string>;
}

/** The result of thread/queue/reorder. */
export type QueueReorderResult = {
};

/** Let a message that waits begin now, or join the turn that runs; the next one by default. */
export interface QueueStartParams {
  threadId: string;
  queuedSubmissionId?: string | null;
}

/** The result of thread/queue/start: the turn that carries it. */
export interface QueueStartResult {
  turn: Turn;
}

/** Say something else in a message that waits. */
export interface QueueUpdateParams {
  threadId: string;
  queuedSubmissionId: string;
  input: Array<UserInput>;
  responsesapiClientMetadata?: Record<string, unknown> | null;
}

/** The result of thread/queue/add and thread/queue/update. */
export interface QueuedResult {
  queuedSubmission: QueuedSubmission;
}

/** A message that waits. */
export interface QueuedSubmission {
  id: string;
  input: Array<UserInput>;
  clientUserMessageId: string;
  responsesapiClientMetadata?: Record<string, unknown> | null;
}

/** How much of the provider's limits this key has used. */
export interface RateLimits {
  primary?: Record<string, unknown> | null;
  secondary?: Record<string, unknown> | null;
}

/** Told to the subscribers of a thread after an answer whose headers tell it. */
export interface RateLimitsUpdated {
  rateLimits: RateLimits;
}

/** How the model got there, as far as it tells. */
export interface ReasoningItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'reasoning';
  summary?: Array<string>;
  content?: Array<string>;
  abandoned?: boolean | null;
}

export type ReasoningSummaryPartAddedNotification = SummaryPartAdded;

export type ReasoningSummaryTextDeltaNotification = ItemDelta;

export type ReasoningTextDeltaNotification = ItemDelta;

export type RequestId = string | number;

/** Ours. A question waits for an answer in some thread; told to pages. */
export interface RequestOpened {
  request: OpenRequest;
}

/** A server request is settled or withdrawn. */
export interface RequestResolved {
  threadId: string;
  requestId: string;
  /** Ours. The turn that asked. */
  turnId?: string | null;
  /** Ours. `accept`, `acceptForSession`, `decline`, `cancel`, `answered`, `refused` or `withdrawn`. */
  outcome?: string | null;
}

/** One thing a reviewer found; these members are spelt as the reviewer does. */
export interface ReviewFinding {
  title: string;
  body: string;
  /** 0 (everything stops) to 3 (would be nice). */
  priority?: number | null;
  confidence_score?: number | null;
  code_location?: ReviewPlace | null;
}

/** A range of lines, both ends included, from 1. */
export interface ReviewLines {
  start?: number | null;
  end?: number | null;
}

/** Where a finding is. */
export interface ReviewPlace {
  absolute_file_path: string;
  line_range: ReviewLines;
}

/** Ours. What a review found, for programs. */
export interface ReviewResult {
  findings: Array<ReviewFinding>;
  overall_correctness?: string;
  overall_explanation?: string;
  overall_confidence_score?: number | null;
}

/** Have a reviewer of its own look at changes; a running turn is stopped for it. */
export interface ReviewStartParams {
  threadId: string;
  target: UncommittedChanges | BaseBranch | Commit | Custom;
  /** `detached` (dropped by the original since) reviews in a copy of the thread. */
  delivery?: 'inline' | 'detached' | null;
  /** Ours. The id of the turn. Duplicates are refused. */
  turnId?: string | null;
  /** Ours. For `detached`: the id the copy shall have. Duplicates are refused. */
  reviewThreadId?: string | null;
}

export type ReviewStartResponse = ReviewStartResult;

/** The result of review/start. */
export interface ReviewStartResult {
  turn: Turn;
  reviewThreadId: string;
}

/** What commands may touch, as asked for. Nothing is enforced in this version: see cards. */
export interface SandboxPolicy {
  type: 'readOnly' | 'workspaceWrite' | 'dangerFullAccess' | 'externalSandbox';
  writableRoots?: Array<string> | null;
  networkAccess?: boolean | string | null;
  excludeTmpdirEnvVar?: boolean | null;
  excludeSlashTmp?: boolean | null;
}

/** That search is over; the session goes on. */
export interface SearchCompleted {
  sessionId: string;
}

/** Find the places in one thread where a term occurs. */
export interface SearchOccurrencesParams {
  threadId: string;
  searchTerm: string;
  cursor?: string | null;
  limit?: number | null;
}

/** The result of thread/searchOccurrences, oldest first. */
export interface SearchOccurrencesResult {
  data: Array<Occurrence>;
  nextCursor?: string | null;
}

/** Begin to search while somebody types. Experimental. It belongs to this connection and takes the place of one of the same name; a connection may have 16. */
export interface SearchSessionStartParams {
  sessionId: string;
  roots: Array<string>;
}

/** The result of fuzzyFileSearch/sessionStart; the roots are listed meanwhile. */
export type SearchSessionStartResult = {
};

/** End a session. Experimental. */
export interface SearchSessionStopParams {
  sessionId: string;
}

/** The result of fuzzyFileSearch/sessionStop. */
export type SearchSessionStopResult = {
};

/** Search for what is typed now, and no longer for what was. Experimental. */
export interface SearchSessionUpdateParams {
  sessionId: string;
  query: string;
}

/** The result of fuzzyFileSearch/sessionUpdate; matches come as a notification. */
export type SearchSessionUpdateResult = {
};

/** What the newest query of a search session finds. Programs that own the server hear each other's; a page and a kernel hear their own only. */
export interface SearchUpdated {
  sessionId: string;
  query: string;
  /** The best 50, best first. */
  files: Array<FileMatch>;
}

export type ServerNotification = {
  method: 'thread/started';
  params: ThreadStarted;
} | {
  method: 'thread/status/changed';
  params: ThreadStatusChanged;
} | {
  method: 'account/rateLimits/updated';
  params: RateLimitsUpdated;
} | {
  method: 'model/rerouted';
  params: ModelRerouted;
} | {
  method: 'thread/closed';
  params: OfThread;
} | {
  method: 'thread/archived';
  params: OfThread;
} | {
  method: 'thread/unarchived';
  params: OfThread;
} | {
  method: 'thread/deleted';
  params: OfThread;
} | {
  method: 'thread/reverted';
  params: OfThread;
} | {
  method: 'thread/queue/changed';
  params: OfThread;
} | {
  method: 'thread/name/updated';
  params: ThreadNameUpdated;
} | {
  method: 'thread/settings/updated';
  params: ThreadSettingsUpdated;
} | {
  method: 'thread/compacted';
  params: ContextCompacted;
} | {
  method: 'thread/tokenUsage/updated';
  params: TokenUsageUpdated;
} | {
  method: 'turn/started';
  params: TurnNotice;
} | {
  method: 'turn/completed';
  params: TurnNotice;
} | {
  method: 'turn/plan/updated';
  params: PlanUpdated;
} | {
  method: 'turn/diff/updated';
  params: DiffUpdated;
} | {
  method: 'item/started';
  params: ItemStarted;
} | {
  method: 'item/completed';
  params: ItemCompleted;
} | {
  method: 'item/agentMessage/delta';
  params: ItemDelta;
} | {
  method: 'item/reasoning/summaryPartAdded';
  params: SummaryPartAdded;
} | {
  method: 'item/reasoning/summaryTextDelta';
  params: ItemDelta;
} | {
  method: 'item/reasoning/textDelta';
  params: ItemDelta;
} | {
  method: 'item/commandExecution/outputDelta';
  params: ItemDelta;
} | {
  method: 'item/mcpToolCall/progress';
  params: McpProgress;
} | {
  method: 'item/commandExecution/terminalInteraction';
  params: TerminalInteraction;
} | {
  method: 'serverRequest/opened';
  params: RequestOpened;
} | {
  method: 'serverRequest/resolved';
  params: RequestResolved;
} | {
  method: 'turn/ops';
  params: TurnOps;
} | {
  method: 'command/exec/outputDelta';
  params: CommandExecOutputDelta;
} | {
  method: 'fs/changed';
  params: FsChanged;
} | {
  method: 'fuzzyFileSearch/sessionUpdated';
  params: SearchUpdated;
} | {
  method: 'fuzzyFileSearch/sessionCompleted';
  params: SearchCompleted;
} | {
  method: 'account/updated';
  params: AccountUpdated;
} | {
  method: 'account/login/completed';
  params: AccountLoginCompleted;
} | {
  method: 'error';
  params: ErrorNotice;
} | {
  method: 'warning';
  params: Warned;
} | {
  method: 'configWarning';
  params: ConfigWarned;
};

export type ServerRequest = {
  id: RequestId;
  method: 'item/commandExecution/requestApproval';
  params: CommandExecutionRequestApprovalParams;
} | {
  id: RequestId;
  method: 'item/fileChange/requestApproval';
  params: FileChangeRequestApprovalParams;
} | {
  id: RequestId;
  method: 'item/tool/requestUserInput';
  params: UserInputRequestParams;
} | {
  id: RequestId;
  method: 'mcpServer/elicitation/request';
  params: McpServerElicitationParams;
} | {
  id: RequestId;
  method: 'item/tool/call';
  params: DynamicToolCallParams;
};

/** Ours. Answer a question, and learn whether the answer counted. Give `decision` for an approval, `answers` for questions. Refused on connections that may not answer, such as a kernel's. */
export interface ServerRequestAnswerParams {
  requestId: string;
  decision?: 'accept' | 'acceptForSession' | 'decline' | 'cancel' | null;
  /** The digest of what was shown; it must be the one that was asked with. */
  digest?: string | null;
  answers?: Record<string, unknown> | null;
}

export type ServerRequestAnswerResponse = ServerRequestAnswerResult;

/** The result of serverRequest/answer. */
export interface ServerRequestAnswerResult {
  /** `gone`: it is unknown, settled, or was shown differently. */
  status: 'ok' | 'gone';
}

/** Ours. Every question that waits for an answer, in all threads. */
export type ServerRequestListParams = {
};

export type ServerRequestListResponse = ServerRequestListResult;

/** The result of serverRequest/list, oldest first. */
export interface ServerRequestListResult {
  data: Array<OpenRequest>;
}

export type ServerRequestOpenedNotification = RequestOpened;

export type ServerRequestResolvedNotification = RequestResolved;

/** A skill, by its file's front matter. */
export interface Skill {
  name: string;
  description: string;
  shortDescription?: string | null;
  path: string;
  /** Where it was found: the home folder or the working directory. */
  scope: 'user' | 'repo';
  enabled?: boolean;
}

/** A file that is no skill, and why. */
export interface SkillError {
  path: string;
  message: string;
}

/** A skill named by the user. */
export interface SkillInput {
  type: 'skill';
  name: string;
  path: string;
}

/** The skills that count in one working directory. */
export interface SkillsListEntry {
  cwd: string;
  skills: Array<Skill>;
  errors: Array<SkillError>;
}

/** List the skills: files `SKILL.md` below the home folder and below working directories. */
export interface SkillsListParams {
  /** Working directories to look in; default: the server's. At most 32. */
  cwds?: Array<string> | null;
  /** Ignored: files are always read. */
  forceReload?: boolean;
}

export type SkillsListResponse = SkillsListResult;

/** The result of skills/list. */
export interface SkillsListResult {
  data: Array<SkillsListEntry>;
}

/** Where a task is done. */
export interface StartedTask {
  /** Of the item in the turn that delegates. */
  itemId: string;
  threadId: string;
  turnId: string;
}

/** The next part of a reasoning summary begins. */
export interface SummaryPartAdded {
  threadId: string;
  turnId: string;
  itemId: string;
  summaryIndex: number;
}

/** The model typed into a running command. */
export interface TerminalInteraction {
  threadId: string;
  turnId: string;
  itemId: string;
  processId: string;
  stdin: string;
}

export type TerminalInteractionNotification = TerminalInteraction;

/** A terminal's size, in characters, each 1 to 65535. */
export interface TerminalSize {
  rows: number;
  cols: number;
}

/** End all of them. */
export interface TerminalsCleanParams {
  threadId: string;
}

/** The result of thread/backgroundTerminals/clean. */
export type TerminalsCleanResult = {
};

/** List the commands of a loaded thread that still run. */
export interface TerminalsListParams {
  threadId: string;
  cursor?: string | null;
  limit?: number | null;
}

/** The result of thread/backgroundTerminals/list, oldest first; always one page. */
export interface TerminalsListResult {
  data: Array<BackgroundTerminal>;
  nextCursor?: string | null;
}

/** End one of them. */
export interface TerminalsTerminateParams {
  threadId: string;
  processId: string;
}

/** The result of thread/backgroundTerminals/terminate. */
export interface TerminalsTerminateResult {
  /** Whether it ran. */
  terminated: boolean;
}

/** A part of a text that stands for something, e.g. a file that is mentioned. */
export interface TextElement {
  byteRange: ByteRange;
  placeholder?: string | null;
}

/** What a person typed. */
export interface TextInput {
  type: 'text';
  text: string;
  /** Kept in snake_case on the wire, as the original does. */
  text_elements?: Array<TextElement>;
}

/** A conversation, with as many turns as the message at hand shows. */
export interface Thread {
  id: string;
  sessionId: string;
  preview: string;
  ephemeral: boolean;
  modelProvider: string;
  model?: string | null;
  createdAt: number;
  updatedAt: number;
  status: Record<string, unknown>;
  path?: string | null;
  cwd: string;
  cliVersion: string;
  source?: unknown;
  forkedFromId?: string | null;
  parentThreadId?: string | null;
  agentNickname?: string | null;
  agentRole?: string | null;
  gitInfo?: Record<string, unknown> | null;
  name?: string | null;
  projectId?: string | null;
  turns?: Array<Turn>;
}

/** Put a thread away: it is closed, and only found by who asks for archived ones. */
export interface ThreadArchiveParams {
  threadId: string;
}

export type ThreadArchiveResponse = Nothing;

export type ThreadArchivedNotification = OfThread;

export type ThreadBackgroundTerminalsCleanParams = TerminalsCleanParams;

export type ThreadBackgroundTerminalsCleanResponse = TerminalsCleanResult;

export type ThreadBackgroundTerminalsListParams = TerminalsListParams;

export type ThreadBackgroundTerminalsListResponse = TerminalsListResult;

export type ThreadBackgroundTerminalsTerminateParams = TerminalsTerminateParams;

export type ThreadBackgroundTerminalsTerminateResponse = TerminalsTerminateResult;

export type ThreadClosedNotification = OfThread;

/** Let the model sum up the conversation, and remember only that. */
export interface ThreadCompactParams {
  threadId: string;
  /** Ours. The id the turn that does it shall have. Duplicates are refused. */
  turnId?: string | null;
}

export type ThreadCompactStartParams = ThreadCompactParams;

export type ThreadCompactStartResponse = Nothing;

/** Remove a thread for good. */
export interface ThreadDeleteParams {
  threadId: string;
}

export type ThreadDeleteResponse = Nothing;

export type ThreadDeletedNotification = OfThread;

/** Begin a new thread as a copy of one, whole or up to one of its turns. */
export interface ThreadForkParams {
  threadId: string;
  /** Ours. The id the copy shall have. Duplicates are refused. */
  newThreadId?: string | null;
  /** Experimental: the rollout to copy, as in thread/resume; `threadId` is then ignored. */
  path?: string | null;
  /** The last turn that is copied. */
  lastTurnId?: string | null;
  /** The first turn that is not copied; not beside `lastTurnId`. */
  beforeTurnId?: string | null;
  model?: string | null;
  modelProvider?: string | null;
  cwd?: string | null;
  approvalPolicy?: 'untrusted' | 'on-request' | 'never' | GranularPolicy | null;
  approvalsReviewer?: 'user' | 'auto_review' | 'guardian_subagent' | null;
  sandbox?: 'read-only' | 'workspace-write' | 'danger-full-access' | null;
  config?: Record<string, unknown> | null;
  baseInstructions?: string | null;
  developerInstructions?: string | null;
  ephemeral?: boolean;
  excludeTurns?: boolean;
}

export type ThreadForkResponse = ThreadOpened;

/** A thread, and the words around the best place in it. */
export interface ThreadFound {
  thread: Thread;
  snippet: string;
}

export type ThreadInjectItemsParams = ThreadInjectParams;

export type ThreadInjectItemsResponse = Nothing;

/** Let the model know something without a turn, such as what a cell printed. */
export interface ThreadInjectParams {
  threadId: string;
  /** Items of the Responses API. */
  items: Array<Record<string, unknown>>;
}

export type ThreadItem = UserMessageItem | FunctionCallOutputItem | AgentMessageItem | ReasoningItem | CommandExecutionItem | FileChangeItem | DynamicToolCallItem | McpToolCallItem | WebSearchItem | ContextCompactionItem | CollabAgentToolCallItem | EnteredReviewModeItem | ExitedReviewModeItem;

export type ThreadItemsListParams = ItemsListParams;

export type ThreadItemsListResponse = ItemsListResult;

export type ThreadItemsReadParams = ItemsReadParams;

export type ThreadItemsReadResponse = ItemsReadResult;

/** List stored threads, newest first. */
export interface ThreadListParams {
  cursor?: string | null;
  limit?: number | null;
  sortKey?: 'created_at' | 'updated_at' | 'recency_at' | null;
  /** Newest first by default. */
  sortDirection?: 'asc' | 'desc' | null;
  modelProviders?: Array<string> | null;
  /** Default: `cli` and `vscode`. */
  sourceKinds?: Array<'cli' | 'vscode' | 'exec' | 'appServer' | 'subAgent' | 'subAgentReview' | 'subAgentCompact' | 'subAgentThreadSpawn' | 'subAgentOther' | 'unknown'> | null;
  /** Only threads right below this one, of every kind. */
  parentThreadId?: string | null;
  /** Only threads below this one, however far, of every kind. */
  ancestorThreadId?: string | null;
  archived?: boolean | null;
  cwd?: string | Array<string> | null;
  searchTerm?: string | null;
}

export type ThreadListResponse = ThreadListResult;

/** The result of thread/list; `nextCursor` is absent on the last page. */
export interface ThreadListResult {
  data: Array<Thread>;
  nextCursor?: string | null;
}

/** List the ids of the loaded threads. */
export interface ThreadLoadedListParams {
  /** The last id of the page before. */
  cursor?: string | null;
  /** Ids on a page, at least 1; default: all. */
  limit?: number | null;
}

export type ThreadLoadedListResponse = ThreadLoadedListResult;

/** The result of thread/loaded/list: sorted ids. */
export interface ThreadLoadedListResult {
  data: Array<string>;
  nextCursor?: string | null;
}

/** Note which repository a thread, loaded or stored, works in. */
export interface ThreadMetadataParams {
  threadId: string;
  gitInfo?: GitInfoChange | null;
}

/** The result of thread/metadata/update. */
export interface ThreadMetadataResult {
  thread: Thread;
}

export type ThreadMetadataUpdateParams = ThreadMetadataParams;

export type ThreadMetadataUpdateResponse = ThreadMetadataResult;

/** Name a thread, loaded or stored. */
export interface ThreadNameParams {
  threadId: string;
  name: string;
}

/** A thread has another name. */
export interface ThreadNameUpdated {
  threadId: string;
  threadName?: string | null;
}

export type ThreadNameUpdatedNotification = ThreadNameUpdated;

/** The result of thread/start and thread/fork. */
export interface ThreadOpened {
  thread: Thread;
  model: string;
  modelProvider: string;
  cwd: string;
  approvalPolicy: 'untrusted' | 'on-request' | 'never' | GranularPolicy;
  approvalsReviewer: 'user' | 'auto_review' | 'guardian_subagent';
  sandbox: SandboxPolicy;
  reasoningEffort?: string | null;
  /** Ours. What holds commands back on this machine, in words for a card. */
  sandboxing: string;
  /** Ours. Which model answers and why, and what the settings warn of. */
  notices?: Array<Notice>;
  /** Ours. Names this loading of the thread, in which its events are numbered. */
  epoch?: string | null;
  /** Ours. The number of the last event that the result contains. */
  sequence?: number | null;
}

export type ThreadQueueAddParams = QueueAddParams;

export type ThreadQueueAddResponse = QueuedResult;

export type ThreadQueueChangedNotification = OfThread;

export type ThreadQueueDeleteParams = QueueDeleteParams;

export type ThreadQueueDeleteResponse = QueueDeleteResult;

export type ThreadQueueListParams = QueueListParams;

export type ThreadQueueListResponse = QueueListResult;

export type ThreadQueueReorderParams = QueueReorderParams;

export type ThreadQueueReorderResponse = QueueReorderResult;

export type ThreadQueueStartParams = QueueStartParams;

export type ThreadQueueStartResponse = QueueStartResult;

export type ThreadQueueUpdateParams = QueueUpdateParams;

export type ThreadQueueUpdateResponse = QueuedResult;

/** Look at a thread without loading it. */
export interface ThreadReadParams {
  threadId: string;
  includeTurns?: boolean;
}

export type ThreadReadResponse = ThreadReadResult;

/** The result of thread/read. */
export interface ThreadReadResult {
  thread: Thread;
}

/** The result of what changes a thread. */
export interface ThreadResult {
  thread: Thread;
}

/** Open a stored thread, or join one that is loaded. */
export interface ThreadResumeParams {
  /** Ignored beside `history` and `path`. */
  threadId: string;
  /** Experimental: items of the Responses API, with which a new thread begins. */
  history?: Array<Record<string, unknown>> | null;
  /** Experimental: the thread's rollout below `sessions` of the home, which may be left out. */
  path?: string | null;
  model?: string | null;
  modelProvider?: string | null;
  cwd?: string | null;
  approvalPolicy?: 'untrusted' | 'on-request' | 'never' | GranularPolicy | null;
  approvalsReviewer?: 'user' | 'auto_review' | 'guardian_subagent' | null;
  sandbox?: 'read-only' | 'workspace-write' | 'danger-full-access' | null;
  config?: Record<string, unknown> | null;
  baseInstructions?: string | null;
  developerInstructions?: string | null;
  excludeTurns?: boolean;
  /** Experimental: what `thread/turns/list` would tell, in the same result. */
  initialTurnsPage?: TurnsPageParams | null;
  /** Ours. The last event this client has seen, after a lost connection. What came since follows the result as notifications, each once, and the result has no turns. Where that is no longer kept the result has the turns instead, and `replayed` is false. */
  after?: EventPlace | null;
}

export type ThreadResumeResponse = ThreadResumed;

/** The result of thread/resume. */
export interface ThreadResumed {
  /** For `thread/turns/list`, newest first: its page begins with the last turn. */
  turnsBackwardsCursor?: string | null;
  /** For `thread/items/list` with `sortDirection: desc`: its page begins with the last item. */
  itemsBackwardsCursor?: string | null;
  thread: Thread;
  model: string;
  modelProvider: string;
  cwd: string;
  approvalPolicy: 'untrusted' | 'on-request' | 'never' | GranularPolicy;
  approvalsReviewer: 'user' | 'auto_review' | 'guardian_subagent';
  sandbox: SandboxPolicy;
  reasoningEffort?: string | null;
  /** Ours. What holds commands back on this machine, in words for a card. */
  sandboxing: string;
  /** Ours. Which model answers and why, and what the settings warn of. */
  notices?: Array<Notice>;
  /** Ours. Names this loading of the thread, in which its events are numbered. */
  epoch?: string | null;
  /** Ours. The number of the last event that the result contains. */
  sequence?: number | null;
  /** The page that was asked for; its cursors are those of `thread/turns/list`. */
  initialTurnsPage?: TurnsPage | null;
  /** Ours. Whether the events after those that were asked for follow, instead of the turns. */
  replayed?: boolean;
}

/** Take a turn and all later ones back. Files stay as they are, and the ids stay used. */
export interface ThreadRevertParams {
  threadId: string;
  beforeTurnId: string;
}

export type ThreadRevertResponse = ThreadReverted;

/** The result of thread/revert. */
export interface ThreadReverted {
  /** For `thread/turns/list`, newest first: its page begins with the last turn. */
  turnsBackwardsCursor?: string | null;
  /** For `thread/items/list` with `sortDirection: desc`: its page begins with the last item. */
  itemsBackwardsCursor?: string | null;
  thread: Thread;
}

export type ThreadRevertedNotification = OfThread;

/** Take the last turns back. Files stay as they are. */
export interface ThreadRollbackParams {
  threadId: string;
  numTurns: number;
}

export type ThreadRollbackResponse = ThreadResult;

export type ThreadSearchOccurrencesParams = SearchOccurrencesParams;

export type ThreadSearchOccurrencesResponse = SearchOccurrencesResult;

/** Find threads by words in their names and messages; the last word may be a beginning. */
export interface ThreadSearchParams {
  searchTerm: string;
  cursor?: string | null;
  /** Threads on a page, 1 to 100; default 25. */
  limit?: number | null;
  archived?: boolean | null;
  /** Ignored, as is the direction: what fits best comes first. */
  sortKey?: 'created_at' | 'updated_at' | 'recency_at' | null;
  sortDirection?: 'asc' | 'desc' | null;
  sourceKinds?: Array<string> | null;
}

export type ThreadSearchResponse = ThreadSearchResult;

/** The result of thread/search, best first. */
export interface ThreadSearchResult {
  data: Array<ThreadFound>;
  nextCursor?: string | null;
  backwardsCursor?: string | null;
}

export type ThreadSetNameParams = ThreadNameParams;

export type ThreadSetNameResponse = Nothing;

/** What the next turn of a thread works under. */
export interface ThreadSettings {
  model: string;
  modelProvider: string;
  cwd: string;
  approvalPolicy: 'untrusted' | 'on-request' | 'never' | GranularPolicy;
  approvalsReviewer: string;
  sandboxPolicy: SandboxPolicy;
  effort?: string | null;
  summary?: string | null;
}

/** Change the settings of later turns without a turn; what is absent stays. */
export interface ThreadSettingsParams {
  threadId: string;
  model?: string | null;
  cwd?: string | null;
  approvalPolicy?: 'untrusted' | 'on-request' | 'never' | GranularPolicy | null;
  approvalsReviewer?: 'user' | 'auto_review' | 'guardian_subagent' | null;
  sandboxPolicy?: SandboxPolicy | null;
  effort?: string | null;
  summary?: 'auto' | 'concise' | 'detailed' | 'none' | null;
}

export type ThreadSettingsUpdateParams = ThreadSettingsParams;

export type ThreadSettingsUpdateResponse = Nothing;

/** The settings of later turns were changed, by a turn that brought its own or without one. */
export interface ThreadSettingsUpdated {
  threadId: string;
  threadSettings: ThreadSettings;
}

export type ThreadSettingsUpdatedNotification = ThreadSettingsUpdated;

export type ThreadShellCommandParams = ThreadShellParams;

export type ThreadShellCommandResponse = Nothing;

/** Run a command of the user's own, unasked and not sandboxed; the model sees it. */
export interface ThreadShellParams {
  threadId: string;
  command: string;
  /** Default and most: an hour. */
  timeoutMs?: number | null;
}

/** Start a conversation. */
export interface ThreadStartParams {
  /** Ours. The id the thread shall have. Duplicates are refused. */
  threadId?: string | null;
  model?: string | null;
  modelProvider?: string | null;
  cwd?: string | null;
  approvalPolicy?: 'untrusted' | 'on-request' | 'never' | GranularPolicy | null;
  approvalsReviewer?: 'user' | 'auto_review' | 'guardian_subagent' | null;
  sandbox?: 'read-only' | 'workspace-write' | 'danger-full-access' | null;
  config?: Record<string, unknown> | null;
  baseInstructions?: string | null;
  developerInstructions?: string | null;
  ephemeral?: boolean | null;
  dynamicTools?: Array<DynamicToolFunction | DynamicToolNamespace> | null;
}

export type ThreadStartResponse = ThreadOpened;

/** A thread exists now; told to every connection. */
export interface ThreadStarted {
  thread: Thread;
}

export type ThreadStartedNotification = ThreadStarted;

/** What a thread is doing; `activeFlags` only while `active`. */
export interface ThreadStatus {
  type: 'notLoaded' | 'idle' | 'active' | 'systemError';
  activeFlags?: Array<'waitingOnApproval' | 'waitingOnUserInput'> | null;
}

/** Told to every connection, only on change. */
export interface ThreadStatusChanged {
  threadId: string;
  status: ThreadStatus;
}

export type ThreadStatusChangedNotification = ThreadStatusChanged;

export type ThreadTokenUsageUpdatedNotification = TokenUsageUpdated;

export type ThreadTurnsListParams = TurnsListParams;

export type ThreadTurnsListResponse = TurnsListResult;

/** Take a thread out of the archive; it is not loaded by that. */
export interface ThreadUnarchiveParams {
  threadId: string;
}

export type ThreadUnarchiveResponse = ThreadResult;

export type ThreadUnarchivedNotification = OfThread;

/** Ours. Take back what the newest turn's patches did to files, all or nothing. */
export interface ThreadUndoParams {
  threadId: string;
}

export type ThreadUndoResponse = ThreadUndoResult;

/** The result of thread/undo. */
export interface ThreadUndoResult {
  turnId: string;
  /** Absolute paths; each is as it was before that turn. */
  files: Array<string>;
}

/** Hear no more of a thread; it stays loaded for a while. */
export interface ThreadUnsubscribeParams {
  threadId: string;
  /** Ours. Stop its turn and unload it at once, with all that it runs, if nobody else hears it. */
  unload?: boolean;
}

export type ThreadUnsubscribeResponse = ThreadUnsubscribeResult;

/** The result of thread/unsubscribe. */
export interface ThreadUnsubscribeResult {
  status: 'unsubscribed' | 'notSubscribed' | 'notLoaded';
}

/** Tokens used by the thread and by the last response. */
export interface TokenUsage {
  total: TokenUsageBreakdown;
  last: TokenUsageBreakdown;
  modelContextWindow?: number | null;
}

/** Tokens of one response, or of all responses of a thread. */
export interface TokenUsageBreakdown {
  totalTokens?: number;
  inputTokens?: number;
  cachedInputTokens?: number;
  cacheWriteInputTokens?: number;
  outputTokens?: number;
  reasoningOutputTokens?: number;
}

/** Told after each response of the model. */
export interface TokenUsageUpdated {
  threadId: string;
  turnId: string;
  tokenUsage: TokenUsage;
}

export type ToolRequestUserInputParams = UserInputRequestParams;

export type ToolRequestUserInputResponse = UserInputAnswer;

/** One turn, with as many items as the message at hand shows. */
export interface Turn {
  id: string;
  rootTurnId?: string | null;
  items?: Array<Record<string, unknown>>;
  itemsView?: 'notLoaded' | 'summary' | 'full';
  status: 'inProgress' | 'completed' | 'interrupted' | 'failed';
  error?: Record<string, unknown> | null;
  /** Unix seconds. */
  startedAt?: number | null;
  completedAt?: number | null;
  durationMs?: number | null;
  /** Ours. Of ended turns: the last plan. */
  plan?: Record<string, unknown> | null;
  /** Ours. Of ended turns: all file changes. */
  diff?: string | null;
  /** Ours. Of ended turns: the tokens of this turn. */
  usage?: Record<string, unknown> | null;
}

export type TurnCompletedNotification = TurnNotice;

export type TurnDiffUpdatedNotification = DiffUpdated;

/** Why a turn failed. */
export interface TurnError {
  message: string;
  /** A word such as `unauthorized`, or one member that carries an `httpStatusCode`. */
  codexErrorInfo?: unknown;
  additionalDetails?: string | null;
}

/** Stop the running turn, or a delegate that waits for its place. */
export interface TurnInterruptParams {
  threadId: string;
  turnId: string;
}

export type TurnInterruptResponse = TurnInterruptResult;

/** The result of turn/interrupt: the turn is on its way out. */
export type TurnInterruptResult = {
};

/** `turn/started` and `turn/completed`; the latter exactly once for each announced turn. */
export interface TurnNotice {
  threadId: string;
  turn: Turn;
}

/** Ours. What changed in a turn that this connection watches (`turn/watch`). */
export interface TurnOps {
  threadId: string;
  turnId: string;
  /** One more than that of the message before it, or than that of the snapshot. */
  seq: number;
  /** In order. `view/turn_state.py` folds them into the snapshot. */
  ops: Array<Record<string, unknown>>;
}

export type TurnOpsNotification = TurnOps;

/** Ours. The forms in which a turn is kept in a notebook. */
export interface TurnOutputParams {
  threadId: string;
  turnId: string;
}

export type TurnOutputResponse = TurnOutputResult;

/** The result of turn/output: one display of a notebook's format. */
export interface TurnOutputResult {
  data: Record<string, unknown>;
  metadata: Record<string, unknown>;
}

export type TurnPlanUpdatedNotification = PlanUpdated;

/** Change what the running turn asks the model with, from its next request on. The thread's settings stay. */
export interface TurnSettingsParams {
  threadId: string;
  turnId: string;
  model?: string | null;
  effort?: string | null;
  summary?: 'auto' | 'concise' | 'detailed' | 'none' | null;
  approvalsReviewer?: 'user' | 'auto_review' | 'guardian_subagent' | null;
}

/** The result of turn/settings/update. */
export interface TurnSettingsResult {
  /** The latter: that turn does not run, or is on its way out. */
  status: 'applied' | 'targetUnavailable';
}

export type TurnSettingsUpdateParams = TurnSettingsParams;

export type TurnSettingsUpdateResponse = TurnSettingsResult;

/** Ours. For pages: what a turn looks like now, once. */
export interface TurnSnapshotParams {
  threadId: string;
  turnId: string;
}

export type TurnSnapshotResponse = TurnSnapshotResult;

/** The result of turn/snapshot; null if there is no such turn. */
export interface TurnSnapshotResult {
  snapshot?: Record<string, unknown> | null;
}

/** Say something, and let the model work on it. */
export interface TurnStartParams {
  threadId: string;
  /** Ours. The id the turn shall have. Duplicates within the thread are refused. */
  turnId?: string | null;
  input: Array<UserInput>;
  clientUserMessageId?: string | null;
  cwd?: string | null;
  approvalPolicy?: 'untrusted' | 'on-request' | 'never' | GranularPolicy | null;
  approvalsReviewer?: 'user' | 'auto_review' | 'guardian_subagent' | null;
  sandboxPolicy?: SandboxPolicy | null;
  model?: string | null;
  effort?: string | null;
  summary?: 'auto' | 'concise' | 'detailed' | 'none' | null;
  outputSchema?: unknown;
  /** Instead of `input`, which is then empty; it joins a running turn as input does. */
  toolOutput?: TurnToolOutput | null;
  /** What started the turn, in words of the caller's; accepted, without any authority. */
  turnTrigger?: string | null;
  /** Accepted; no provider has tiers here. */
  serviceTierForTurn?: string | null;
}

export type TurnStartResponse = TurnStartResult;

/** The result of turn/start: the turn that will carry the input. */
export interface TurnStartResult {
  turn: Turn;
}

export type TurnStartedNotification = TurnNotice;

/** Say something more to the running turn. */
export interface TurnSteerParams {
  threadId: string;
  expectedTurnId: string;
  input: Array<UserInput>;
  clientUserMessageId?: string | null;
}

export type TurnSteerResponse = TurnSteerResult;

/** The result of turn/steer. */
export interface TurnSteerResult {
  turnId: string;
}

/** What a tool outside of the conversation, such as another agent or program, delivers. The model reads it as a tool's output: it is nobody's order and nobody's consent. */
export interface TurnToolOutput {
  name: string;
  namespace?: string | null;
  /** Text, or content items as the model's service takes them (`input_text`, `input_image`). */
  output: string | Array<Record<string, unknown>>;
  /** Accepted; all that is delivered is kept like the rest of the conversation. */
  retain?: boolean | null;
}

/** Ours. Hear no more of a turn. */
export interface TurnUnwatchParams {
  threadId: string;
  turnId: string;
}

export type TurnUnwatchResponse = TurnUnwatchResult;

/** The result of turn/unwatch. */
export type TurnUnwatchResult = {
};

/** Ours. See a turn as a page draws it, from a snapshot on, by `turn/ops`. A turn that runs is live; one that has ended, or is only stored, is just a snapshot. Watching again starts from a new snapshot. */
export interface TurnWatchParams {
  threadId: string;
  turnId: string;
}

export type TurnWatchResponse = TurnWatchResult;

/** The result of turn/watch. */
export interface TurnWatchResult {
  /** Whether there is such a turn; if not, the rest is empty. */
  known: boolean;
  /** At most 256 KiB; the state that `view/turn_state.py` describes. */
  snapshot?: Record<string, unknown> | null;
  /** Number of the last `turn/ops` that the snapshot contains. */
  seq?: number;
  running?: boolean;
  /** Ids of the questions that can be answered now. */
  open?: Array<string>;
}

/** Page through the turns of a thread, loaded or stored. */
export interface TurnsListParams {
  /** Turns on a page, 1 to 100; default 25. A page also ends where its line would pass 64 KiB. */
  limit?: number | null;
  /** Newest first by default. */
  sortDirection?: 'asc' | 'desc' | null;
  /** `summary`, the default, has what the user said and the last answer. */
  itemsView?: 'notLoaded' | 'summary' | 'full' | null;
  threadId: string;
  cursor?: string | null;
  /** Ours. List this turn alone, or nothing if the thread has none of this id. */
  turnId?: string | null;
}

/** The result of thread/turns/list. */
export interface TurnsListResult {
  data: Array<Turn>;
  /** Goes on in the same direction; absent on the last page. */
  nextCursor?: string | null;
  /** Goes back, asked for with the other direction, from the first entry of this page on, which is told again as it is then; absent on an empty page. */
  backwardsCursor?: string | null;
}

/** Some turns of a thread. */
export interface TurnsPage {
  data: Array<Turn>;
  /** Goes on in the same direction; absent on the last page. */
  nextCursor?: string | null;
  /** Goes back, asked for with the other direction, from the first entry of this page on, which is told again as it is then; absent on an empty page. */
  backwardsCursor?: string | null;
}

/** What a page of turns has: how many, in which order, and how much of each. */
export interface TurnsPageParams {
  /** Turns on a page, 1 to 100; default 25. A page also ends where its line would pass 64 KiB. */
  limit?: number | null;
  /** Newest first by default. */
  sortDirection?: 'asc' | 'desc' | null;
  /** `summary`, the default, has what the user said and the last answer. */
  itemsView?: 'notLoaded' | 'summary' | 'full' | null;
}

/** What is not committed: staged, unstaged and untracked files. */
export interface UncommittedChanges {
  type: 'uncommittedChanges';
}

export type UserInput = TextInput | ImageInput | LocalImageInput | SkillInput | MentionInput;

/** The answers by question id; a missing question was left open. */
export interface UserInputAnswer {
  answers?: Record<string, QuestionAnswers>;
}

/** One prepared answer. */
export interface UserInputOption {
  label: string;
  description?: string;
}

/** One question to the user. */
export interface UserInputQuestion {
  id: string;
  header?: string;
  question: string;
  isOther?: boolean;
  isSecret?: boolean;
  options?: Array<UserInputOption> | null;
}

/** Ask the user something on behalf of the model. */
export interface UserInputRequestParams {
  /** Ours. */
  delegate?: AskingDelegate | null;
  threadId: string;
  turnId: string;
  itemId: string;
  startedAtMs?: number | null;
  questions: Array<UserInputQuestion>;
  /** Whether the turn waits for the answer. */
  isBlocking?: boolean;
}

/** What the user said; started and completed at once. */
export interface UserMessageItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'userMessage';
  clientId?: string | null;
  content: Array<UserInput>;
}

/** Something the user should know. */
export interface Warned {
  message: string;
  threadId?: string | null;
}

export type WarningNotification = Warned;

/** The provider searched the web by itself. */
export interface WebSearchItem {
  id: string;
  startedAtMs?: number | null;
  completedAtMs?: number | null;
  type: 'webSearch';
  query: string;
  action?: Record<string, unknown> | null;
}

export interface ClientRequests {
  'initialize': { params: InitializeParams; result: InitializeResponse };
  'thread/start': { params: ThreadStartParams; result: ThreadStartResponse };
  'thread/resume': { params: ThreadResumeParams; result: ThreadResumeResponse };
  'thread/read': { params: ThreadReadParams; result: ThreadReadResponse };
  'thread/list': { params: ThreadListParams; result: ThreadListResponse };
  'thread/fork': { params: ThreadForkParams; result: ThreadForkResponse };
  'thread/rollback': { params: ThreadRollbackParams; result: ThreadRollbackResponse };
  'thread/revert': { params: ThreadRevertParams; result: ThreadRevertResponse };
  'thread/loaded/list': { params: ThreadLoadedListParams; result: ThreadLoadedListResponse };
  'thread/name/set': { params: ThreadSetNameParams; result: ThreadSetNameResponse };
  'thread/archive': { params: ThreadArchiveParams; result: ThreadArchiveResponse };
  'thread/unarchive': { params: ThreadUnarchiveParams; result: ThreadUnarchiveResponse };
  'thread/delete': { params: ThreadDeleteParams; result: ThreadDeleteResponse };
  'thread/unsubscribe': { params: ThreadUnsubscribeParams; result: ThreadUnsubscribeResponse };
  'thread/compact/start': { params: ThreadCompactStartParams; result: ThreadCompactStartResponse };
  'thread/inject_items': { params: ThreadInjectItemsParams; result: ThreadInjectItemsResponse };
  'thread/undo': { params: ThreadUndoParams; result: ThreadUndoResponse };
  'thread/settings/update': { params: ThreadSettingsUpdateParams; result: ThreadSettingsUpdateResponse };
  'thread/shellCommand': { params: ThreadShellCommandParams; result: ThreadShellCommandResponse };
  'review/start': { params: ReviewStartParams; result: ReviewStartResponse };
  'delegate/start': { params: DelegateStartParams; result: DelegateStartResponse };
  'delegate/add': { params: DelegateAddParams; result: DelegateAddResponse };
  'delegate/close': { params: DelegateCloseParams; result: DelegateCloseResponse };
  'turn/snapshot': { params: TurnSnapshotParams; result: TurnSnapshotResponse };
  'thread/turns/list': { params: ThreadTurnsListParams; result: ThreadTurnsListResponse };
  'thread/search': { params: ThreadSearchParams; result: ThreadSearchResponse };
  'thread/searchOccurrences': { params: ThreadSearchOccurrencesParams; result: ThreadSearchOccurrencesResponse };
  'notebook/identify': { params: NotebookIdentifyParams; result: NotebookIdentifyResponse };
  'notebook/identity': { params: NotebookIdentityParams; result: NotebookIdentityResponse };
  'mcpServerStatus/list': { params: ListMcpServerStatusParams; result: ListMcpServerStatusResponse };
  'config/mcpServer/reload': { params: ConfigMcpServerReloadParams; result: McpServerRefreshResponse };
  'model/list': { params: ModelListParams; result: ModelListResponse };
  'thread/backgroundTerminals/list': { params: ThreadBackgroundTerminalsListParams; result: ThreadBackgroundTerminalsListResponse };
  'thread/backgroundTerminals/terminate': { params: ThreadBackgroundTerminalsTerminateParams; result: ThreadBackgroundTerminalsTerminateResponse };
  'thread/backgroundTerminals/clean': { params: ThreadBackgroundTerminalsCleanParams; result: ThreadBackgroundTerminalsCleanResponse };
  'config/read': { params: ConfigReadParams; result: ConfigReadResponse };
  'config/value/write': { params: ConfigValueWriteParams; result: ConfigWriteResponse };
  'config/batchWrite': { params: ConfigBatchWriteParams; result: ConfigWriteResponse };
  'configRequirements/read': { params: ConfigRequirementsReadParams; result: ConfigRequirementsReadResponse };
  'modelProvider/list': { params: ModelProviderListParams; result: ModelProviderListResponse };
  'collaborationMode/list': { params: CollaborationModeListParams; result: CollaborationModeListResponse };
  'experimentalFeature/list': { params: ExperimentalFeatureListParams; result: ExperimentalFeatureListResponse };
  'permissionProfile/list': { params: PermissionProfileListParams; result: PermissionProfileListResponse };
  'skills/list': { params: SkillsListParams; result: SkillsListResponse };
  'hooks/list': { params: HooksListParams; result: HooksListResponse };
  'mock/experimentalMethod': { params: MockExperimentalMethodParams; result: MockExperimentalMethodResponse };
  'command/exec': { params: CommandExecParams; result: CommandExecResponse };
  'command/exec/write': { params: CommandExecWriteParams; result: CommandExecWriteResponse };
  'command/exec/terminate': { params: CommandExecTerminateParams; result: CommandExecTerminateResponse };
  'command/exec/resize': { params: CommandExecResizeParams; result: CommandExecResizeResponse };
  'fs/readFile': { params: FsReadFileParams; result: FsReadFileResponse };
  'fs/writeFile': { params: FsWriteFileParams; result: FsWriteFileResponse };
  'fs/createDirectory': { params: FsCreateDirectoryParams; result: FsCreateDirectoryResponse };
  'fs/getMetadata': { params: FsGetMetadataParams; result: FsGetMetadataResponse };
  'fs/readDirectory': { params: FsReadDirectoryParams; result: FsReadDirectoryResponse };
  'fs/remove': { params: FsRemoveParams; result: FsRemoveResponse };
  'fs/copy': { params: FsCopyParams; result: FsCopyResponse };
  'fs/watch': { params: FsWatchParams; result: FsWatchResponse };
  'fs/unwatch': { params: FsUnwatchParams; result: FsUnwatchResponse };
  'thread/items/list': { params: ThreadItemsListParams; result: ThreadItemsListResponse };
  'thread/items/read': { params: ThreadItemsReadParams; result: ThreadItemsReadResponse };
  'thread/queue/add': { params: ThreadQueueAddParams; result: ThreadQueueAddResponse };
  'thread/queue/list': { params: ThreadQueueListParams; result: ThreadQueueListResponse };
  'thread/queue/update': { params: ThreadQueueUpdateParams; result: ThreadQueueUpdateResponse };
  'thread/queue/delete': { params: ThreadQueueDeleteParams; result: ThreadQueueDeleteResponse };
  'thread/queue/reorder': { params: ThreadQueueReorderParams; result: ThreadQueueReorderResponse };
  'thread/queue/start': { params: ThreadQueueStartParams; result: ThreadQueueStartResponse };
  'thread/metadata/update': { params: ThreadMetadataUpdateParams; result: ThreadMetadataUpdateResponse };
  'turn/settings/update': { params: TurnSettingsUpdateParams; result: TurnSettingsUpdateResponse };
  'account/read': { params: GetAccountParams; result: GetAccountResponse };
  'account/login/start': { params: LoginAccountParams; result: LoginAccountResponse };
  'account/login/cancel': { params: CancelLoginAccountParams; result: CancelLoginAccountResponse };
  'account/logout': { params: LogoutAccountParams; result: LogoutAccountResponse };
  'fuzzyFileSearch': { params: FuzzyFileSearchParams; result: FuzzyFileSearchResponse };
  'fuzzyFileSearch/sessionStart': { params: FuzzyFileSearchSessionStartParams; result: FuzzyFileSearchSessionStartResponse };
  'fuzzyFileSearch/sessionUpdate': { params: FuzzyFileSearchSessionUpdateParams; result: FuzzyFileSearchSessionUpdateResponse };
  'fuzzyFileSearch/sessionStop': { params: FuzzyFileSearchSessionStopParams; result: FuzzyFileSearchSessionStopResponse };
  'turn/start': { params: TurnStartParams; result: TurnStartResponse };
  'turn/steer': { params: TurnSteerParams; result: TurnSteerResponse };
  'turn/interrupt': { params: TurnInterruptParams; result: TurnInterruptResponse };
  'turn/watch': { params: TurnWatchParams; result: TurnWatchResponse };
  'turn/unwatch': { params: TurnUnwatchParams; result: TurnUnwatchResponse };
  'turn/output': { params: TurnOutputParams; result: TurnOutputResponse };
  'serverRequest/answer': { params: ServerRequestAnswerParams; result: ServerRequestAnswerResponse };
  'serverRequest/list': { params: ServerRequestListParams; result: ServerRequestListResponse };
}

export interface ServerRequests {
  'item/commandExecution/requestApproval': { params: CommandExecutionRequestApprovalParams; result: CommandExecutionRequestApprovalResponse };
  'item/fileChange/requestApproval': { params: FileChangeRequestApprovalParams; result: FileChangeRequestApprovalResponse };
  'item/tool/requestUserInput': { params: ToolRequestUserInputParams; result: ToolRequestUserInputResponse };
  'mcpServer/elicitation/request': { params: McpServerElicitationRequestParams; result: McpServerElicitationRequestResponse };
  'item/tool/call': { params: DynamicToolCallParams; result: DynamicToolCallResponse };
}

export interface ServerNotifications {
  'thread/started': ThreadStartedNotification;
  'thread/status/changed': ThreadStatusChangedNotification;
  'account/rateLimits/updated': AccountRateLimitsUpdatedNotification;
  'model/rerouted': ModelReroutedNotification;
  'thread/closed': ThreadClosedNotification;
  'thread/archived': ThreadArchivedNotification;
  'thread/unarchived': ThreadUnarchivedNotification;
  'thread/deleted': ThreadDeletedNotification;
  'thread/reverted': ThreadRevertedNotification;
  'thread/queue/changed': ThreadQueueChangedNotification;
  'thread/name/updated': ThreadNameUpdatedNotification;
  'thread/settings/updated': ThreadSettingsUpdatedNotification;
  'thread/compacted': ContextCompactedNotification;
  'thread/tokenUsage/updated': ThreadTokenUsageUpdatedNotification;
  'turn/started': TurnStartedNotification;
  'turn/completed': TurnCompletedNotification;
  'turn/plan/updated': TurnPlanUpdatedNotification;
  'turn/diff/updated': TurnDiffUpdatedNotification;
  'item/started': ItemStartedNotification;
  'item/completed': ItemCompletedNotification;
  'item/agentMessage/delta': AgentMessageDeltaNotification;
  'item/reasoning/summaryPartAdded': ReasoningSummaryPartAddedNotification;
  'item/reasoning/summaryTextDelta': ReasoningSummaryTextDeltaNotification;
  'item/reasoning/textDelta': ReasoningTextDeltaNotification;
  'item/commandExecution/outputDelta': CommandExecutionOutputDeltaNotification;
  'item/mcpToolCall/progress': McpToolCallProgressNotification;
  'item/commandExecution/terminalInteraction': TerminalInteractionNotification;
  'serverRequest/opened': ServerRequestOpenedNotification;
  'serverRequest/resolved': ServerRequestResolvedNotification;
  'turn/ops': TurnOpsNotification;
  'command/exec/outputDelta': CommandExecOutputDeltaNotification;
  'fs/changed': FsChangedNotification;
  'fuzzyFileSearch/sessionUpdated': FuzzyFileSearchSessionUpdatedNotification;
  'fuzzyFileSearch/sessionCompleted': FuzzyFileSearchSessionCompletedNotification;
  'account/updated': AccountUpdatedNotification;
  'account/login/completed': AccountLoginCompletedNotification;
  'error': ErrorNotification;
  'warning': WarningNotification;
  'configWarning': ConfigWarningNotification;
}
