//! Every bound, its unit in its name. An error that a bound causes names the bound.

/// A definition file, or any YAML document read by Segno.
pub const DEFINITION_SIZE_BYTES_MAX: usize = 1024 * 1024;
/// Folders within folders in which a worker, `lint` and the other commands look for definitions.
pub(crate) const DEFINITION_FOLDERS_DEPTH_MAX: usize = 64;
/// Nodes of a YAML document after its aliases are expanded.
pub(crate) const YAML_NODES_MAX: usize = 200_000;
/// Nested sequences and mappings of a YAML document.
pub(crate) const YAML_DEPTH_MAX: usize = 128;
/// The text that all aliases of a YAML file repeat.
pub(crate) const YAML_ALIASES_SIZE_BYTES_MAX: usize = DEFINITION_SIZE_BYTES_MAX;
/// The text of a definition's expressions and data, including what it uses, counted at each place of use: defaults at
/// each step.
pub(crate) const COMPILED_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Operations that the expressions and data of a definition, including what it uses, compile to.
pub(crate) const COMPILED_OPERATIONS_MAX: usize = 300_000;
/// Schemas within the schemas of a definition and of what it uses, counted at each reference to them.
pub(crate) const SCHEMA_NODES_MAX: usize = 200_000;
/// Levels of a schema, including those behind references.
pub(crate) const SCHEMA_DEPTH_MAX: usize = 256;
/// Parts of one schema that the checker looks at; it knows nothing about the rest.
pub(crate) const SCHEMA_TYPE_NODES_MAX: usize = 10_000;
/// Parts of the type of an expression; a larger type is treated as unknown.
pub(crate) const TYPE_NODES_MAX: usize = 300;
/// Walks over a definition to infer the types of its state; a variable whose type is still open then has an unknown
/// type.
pub(crate) const STATE_TYPE_WALKS_MAX: usize = 4;
/// Total compiled size of all regular expressions in a definition and its schemas.
pub(crate) const PATTERNS_PROGRAM_SIZE_BYTES_MAX: usize = 6 * 1024 * 1024;
/// A name for which a similar one is looked for.
pub(crate) const SUGGESTION_SIZE_BYTES_MAX: usize = 64;
/// Names among which a similar one is looked for.
pub(crate) const SUGGESTION_CANDIDATES_MAX: usize = 500;
/// Comparisons of names that one rule of lint makes to find misspelt ones.
pub(crate) const SUGGESTION_COMPARISONS_MAX: usize = 200_000;
/// Diagnostics reported for one file; further ones are only counted.
pub(crate) const DIAGNOSTICS_PER_FILE_MAX: usize = 100;
/// Diagnostics of one definition that are kept until all of it is compiled, so that the first ones can be reported.
pub(crate) const DIAGNOSTICS_KEPT_MAX: usize = 1_000;
/// The text of one expression.
pub const EXPRESSION_SIZE_BYTES_MAX: usize = 16 * 1024;
/// Nested brackets of one expression.
pub(crate) const EXPRESSION_BRACKETS_DEPTH_MAX: usize = 64;
/// Levels of an expression's syntax tree.
pub(crate) const EXPRESSION_DEPTH_MAX: usize = 250;
/// The cost of evaluating one expression.
pub const EXPRESSION_COST_MAX: u64 = 100_000;
/// The highest value of a definition's `expression_cost_max`, which raises [`EXPRESSION_COST_MAX`].
pub const EXPRESSION_COST_RAISED_MAX: u64 = 5_000_000;
/// The highest `expression_cost_max` that a worker accepts without the flag `--expression-cost-max`.
pub const WORKER_EXPRESSION_COST_MAX: u64 = 1_000_000;
/// Bundles that a worker compiles at a time; runs of other bundles continue meanwhile.
pub(crate) const COMPILATIONS_MAX: usize = 2;
/// Bundles that cannot be compiled, which a worker remembers instead of trying them again at each attempt.
pub(crate) const BUNDLES_REFUSED_MAX: usize = 1_000;
/// The text of a regular expression.
pub(crate) const REGEX_SIZE_BYTES_MAX: usize = 1_000;
/// Compiled size of a regular expression in a definition.
pub(crate) const REGEX_PROGRAM_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Compiled size of a regular expression that is computed while the workflow runs.
pub(crate) const REGEX_COMPUTED_PROGRAM_SIZE_BYTES_MAX: usize = 512 * 1024;
/// The cost of all expressions of one workflow task.
pub(crate) const WORKFLOW_TASK_COST_MAX: u64 = 10_000_000;
/// Temporal's bound on one payload (`limit.blobSize.error`).
pub const PAYLOAD_SIZE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// An update's arguments: workers repeat them in their answer, with a few more fields.
pub(crate) const UPDATE_SIZE_BYTES_MAX: usize = PAYLOAD_SIZE_BYTES_MAX - 4 * 1024;
/// Temporal's bound on a step's summary.
pub(crate) const SUMMARY_SIZE_BYTES_MAX: usize = 400;
/// Temporal's bound on ids, types and names of task queues (`limit.maxIDLength`).
pub const ID_SIZE_BYTES_MAX: usize = 1_000;
/// Temporal's bound on a fairness key.
pub(crate) const FAIRNESS_KEY_SIZE_BYTES_MAX: usize = 64;
/// Nested data of a value: lists and maps.
pub(crate) const VALUE_DEPTH_MAX: usize = 128;
/// Nested data of a run's stored state: the deepest value in the last cause of the longest failure fits.
pub(crate) const STATE_DEPTH_MAX: usize = 512;
/// Steps of validating a value against its schema, to which each part of the value adds some.
pub(crate) const SCHEMA_CHECKS_MAX: u64 = 200_000;
pub(crate) const SCHEMA_CHECKS_PER_PART_MAX: u64 = 50;
/// Steps of validating a value while the error that explains the mismatch is composed.
pub(crate) const SCHEMA_EXPLANATION_CHECKS_MAX: u64 = 1_000_000;
/// What a message quotes of a text from outside, such as a client's value or name.
pub(crate) const QUOTE_SIZE_BYTES_MAX: usize = 1_000;
/// The message with which an update or a query is refused.
pub(crate) const REFUSAL_SIZE_BYTES_MAX: usize = 16 * 1024;
/// A line of a log; the rest of a longer one is left out.
pub(crate) const LOG_LINE_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Steps a workflow may take in one workflow task without waiting for anything.
pub(crate) const STEPS_PER_WORKFLOW_TASK_MAX: u64 = 100_000;
/// Calls of blocks within calls of blocks.
pub(crate) const CALL_DEPTH_MAX: usize = 64;
/// Commands of one workflow task; further ones are sent with the next task.
pub const COMMANDS_PER_WORKFLOW_TASK_MAX: usize = 1_000;
/// Payloads in the commands of one workflow task, after which further commands are sent with the next one: with the
/// largest payload on top it stays under the 4 MiB of a gRPC message.
pub(crate) const PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX: usize = 1536 * 1024;
/// Everything that one workflow task sends, including results of local activities; the rest of a gRPC message's 4 MiB
/// is for the fields around it.
pub(crate) const WORKFLOW_TASK_SIZE_BYTES_MAX: usize =
    PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX + PAYLOAD_SIZE_BYTES_MAX + 128 * 1024;
/// A request to the server (gRPC's own 4 MiB) without the fields around a workflow task's commands.
pub(crate) const GRPC_REQUEST_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024 - 64 * 1024;
/// The result of a local activity: its marker has more fields, and the server applies [`PAYLOAD_SIZE_BYTES_MAX`] to the
/// whole marker.
pub(crate) const LOCAL_RESULT_SIZE_BYTES_MAX: usize = PAYLOAD_SIZE_BYTES_MAX - 4 * 1024;
/// What a command counts beside its payloads and names: its summary, its fields, and a local activity's data in its
/// marker.
pub(crate) const COMMAND_SIZE_BYTES: usize = 768;
/// Room that a local activity in flight is given for its result, unless an earlier one had a larger one.
pub(crate) const LOCAL_RESULT_SIZE_BYTES_RESERVED: usize = 64 * 1024;
/// Activities of a run in flight (`limit.numPendingActivities.error`); further ones wait until one resolves.
pub(crate) const ACTIVITIES_PENDING_MAX: u32 = 2_000;
/// Children of a run in flight (`limit.numPendingChildExecutions.error`); further ones wait.
pub(crate) const CHILDREN_PENDING_MAX: u32 = 2_000;
/// Signals to other workflows in flight (`limit.numPendingSignals.error`); further ones wait.
pub(crate) const SIGNALS_PENDING_MAX: u32 = 2_000;
/// Requests to cancel other workflows in flight (`limit.numPendingCancelRequests.error`); further ones wait.
pub(crate) const CANCEL_REQUESTS_PENDING_MAX: u32 = 2_000;
/// Nexus operations of a run in flight (`component.nexusoperations.limit.operation.concurrency`); further ones wait.
pub(crate) const NEXUS_OPERATIONS_PENDING_MAX: u32 = 30;
/// A definition and all the files it uses, before they are packed.
pub(crate) const BUNDLE_SIZE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A packed bundle: one payload of a run's history, with room for the fields around it.
pub(crate) const BUNDLE_PACKED_SIZE_BYTES_MAX: usize = 1024 * 1024;
/// The window that unpacking a bundle may need: the smallest that holds the largest bundle.
pub(crate) const BUNDLE_WINDOW_SIZE_LOG2_MAX: u32 = 24;
/// Files of one bundle.
pub(crate) const BUNDLE_FILES_MAX: usize = 256;
/// Causes that a failure leads to; deeper ones are left out.
pub(crate) const FAILURE_CAUSES_MAX: usize = 100;
/// A response body that the `http` activity reads, decompressed; a request may set a lower bound, or a higher one up to
/// a payload's.
pub(crate) const HTTP_RESPONSE_SIZE_BYTES_MAX: usize = 1024 * 1024;
/// What a failure keeps of the body of an unsuccessful response; the rest is left out.
pub(crate) const HTTP_FAILURE_BODY_SIZE_BYTES_MAX: usize = 4 * 1024;
/// Redirects that the `http` activity follows.
pub(crate) const HTTP_REDIRECTS_MAX: u32 = 20;
/// The longest wait that a `Retry-After` may ask for; a longer one is cut to it.
pub(crate) const HTTP_RETRY_AFTER_SECONDS_MAX: i64 = 24 * 60 * 60;
/// The answer of a `grpc` call, which is gRPC's default.
pub(crate) const GRPC_MESSAGE_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Estimated memory of an answer's fields, or of a service's descriptors, once they are decoded.
pub(crate) const GRPC_DECODED_SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Memory of the descriptors that all `grpc` calls of a worker hold together; further calls wait.
pub(crate) const GRPC_DESCRIPTORS_HELD_SIZE_BYTES_MAX: usize = 192 * 1024 * 1024;
/// What a failure quotes of a gRPC server's message.
pub const GRPC_STATUS_SIZE_BYTES_MAX: usize = 4 * 1024;
/// A service's descriptors with all that they import, and how many files these may be.
pub(crate) const GRPC_DESCRIPTORS_SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
pub(crate) const GRPC_DESCRIPTOR_FILES_MAX: usize = 1_000;
/// A line in which a program that `exec` runs reports its progress.
pub(crate) const EXEC_HEARTBEAT_SIZE_BYTES_MAX: usize = 64 * 1024;
/// What a program that `exec` runs may write to its standard output.
pub const EXEC_OUTPUT_SIZE_BYTES_MAX: usize = 1024 * 1024;
/// What is kept of a program's standard error; the rest is read and dropped.
pub const EXEC_ERROR_OUTPUT_SIZE_BYTES_MAX: usize = 64 * 1024;
/// What a failure keeps of each output of a program; the server truncates a large failure.
pub const EXEC_FAILURE_OUTPUT_SIZE_BYTES_MAX: usize = 4 * 1024;
/// Decompressed size of a compressed payload. A run continues without a message that exceeds this bound or the next
/// one, so a replay depends on both.
pub const CODEC_DECOMPRESSED_SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Total decompressed size of the payloads of one message: many can inflate from little.
pub(crate) const CODEC_MESSAGE_DECOMPRESSED_SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Total decompressed size of the payloads of a request to a codec server, whose answer has them in JSON.
pub(crate) const CODEC_REQUEST_DECOMPRESSED_SIZE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Entries of a compressed payload's metadata.
pub(crate) const CODEC_METADATA_ENTRIES_MAX: usize = 1_000;
/// A request to a codec server: the payloads of one message, in JSON.
pub(crate) const CODEC_REQUEST_SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A codec server's answer.
pub(crate) const CODEC_BODY_SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Lists, objects and their entries in the payloads that a codec server is sent or answers.
pub(crate) const CODEC_JSON_PARTS_MAX: usize = 200_000;
/// Connections of a codec server; a further one closes the one that has been idle for longest.
pub const CODEC_CONNECTIONS_MAX: usize = 256;
/// The size up to which a codec server's request, and what its payloads inflate to, is small.
pub(crate) const CODEC_SMALL_SIZE_BYTES_MAX: usize = 256 * 1024;
/// Requests that a codec server processes at a time, and how many larger ones it keeps in memory.
pub(crate) const CODEC_REQUESTS_AT_WORK_MAX: usize = 8;
pub(crate) const CODEC_LARGE_REQUESTS_MAX: usize = 2;
/// Messages in a worker's memory at a time that inflate to more than one payload.
pub(crate) const CODEC_INFLATED_MESSAGES_MAX: usize = 2;
/// One secret.
pub(crate) const SECRET_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Fields of a JSON secret, or lines of one: each of them is looked for in all that an activity returns.
pub(crate) const SECRET_PARTS_MAX: usize = 1_000;
/// A field of a JSON secret or a value in a secret URL that is looked for by itself; a shorter one is found in any text.
pub(crate) const SECRET_PART_SIZE_BYTES_MIN: usize = 4;
/// A segment of a secret URL's path, or a line of a secret, that is looked for by itself.
pub(crate) const SECRET_SEGMENT_SIZE_BYTES_MIN: usize = 8;
/// Secrets that are redacted from a worker's logs: the last ones that it read.
pub(crate) const SECRETS_IN_LOGS_MAX: usize = 1_000;
/// The newest version of the language that is understood.
pub(crate) const LANGUAGE_VERSION_MAX: u32 = 1;
/// Estimated memory of all definitions that a worker keeps.
pub(crate) const DEFINITIONS_MEMORY_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Definitions no longer in force that a worker keeps for runs that have just started with them.
pub(crate) const DEFINITIONS_SUPERSEDED_MAX: usize = 1_000;
/// The shortest interval of a schedule: the server counts in seconds.
pub(crate) const SCHEDULE_INTERVAL_SECONDS_MIN: i64 = 1;
/// The shortest time after which a schedule gives up a start that it missed.
pub(crate) const SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN: i64 = 10;
/// Times in a row that a schedule skips, after which a simulation assumes that it never starts anything again.
pub(crate) const SCHEDULE_SKIPPED_TIMES_MAX: usize = 100_000;
/// Starts that wait for the end of a schedule's last run: the server drops further ones.
pub(crate) const SCHEDULE_BUFFER_MAX: usize = 1_000;
/// Comparisons to find out which steps of two definitions are the same; beyond it only equal ones are found.
pub(crate) const DIFFERENCE_COMPARISONS_MAX: usize = 2_000_000;
/// Parts of a step by which it is compared with others.
pub(crate) const DIFFERENCE_FEATURES_PER_STEP_MAX: usize = 64;
/// Differences between two definitions that are listed; further ones are only counted.
pub const DIFFERENCES_MAX: usize = 1_000;
/// What a difference shows of a value.
pub(crate) const DIFFERENCE_TEXT_CHARACTERS_MAX: usize = 80;
/// Events that are requested at a time to learn their order.
pub(crate) const ORDER_EVENTS_PER_PAGE_MAX: i32 = 1_000;
/// Definitions in one deployment: its change is one signal, well under a payload's bound.
pub(crate) const DEPLOYMENT_DEFINITIONS_MAX: usize = 5_000;
/// Workflow types that a deployment retires without a request by name or count.
pub(crate) const RETIRED_UNASKED_MAX: usize = 3;
/// `segno.toml`.
pub(crate) const PROJECT_FILE_SIZE_BYTES_MAX: usize = 64 * 1024;
/// One piece of what a registry stores, before the cluster's codec: it fits a payload with room to spare.
pub(crate) const REGISTRY_PIECE_SIZE_BYTES_MAX: usize = 1024 * 1024;
/// Unpacked size of one stored message of a registry.
pub(crate) const REGISTRY_DATA_SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The window that unpacking it may need: packing uses a smaller one.
pub(crate) const REGISTRY_WINDOW_SIZE_LOG2_MAX: u32 = 24;
/// Memory of such a message once it is read: parts of two bytes take a hundred times as much.
pub(crate) const REGISTRY_DATA_MEMORY_BYTES_MAX: usize = 2 * REGISTRY_DATA_SIZE_BYTES_MAX;
/// Memory of a change, and of anything else in a registry's log.
pub(crate) const REGISTRY_ENTRY_MEMORY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// An entry of a log in an object store or a folder: a change has the size of a payload.
pub(crate) const REGISTRY_ENTRY_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Different pieces of data that one change may name: a worker fetches them.
pub(crate) const REGISTRY_CHANGE_PIECES_MAX: usize = 1_000;
/// Unpacked size of the bundles that a registry stores together: they are already packed, and about two of the largest
/// fit.
pub(crate) const REGISTRY_SEGMENT_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Changes in one run of a registry, after which the deploying client lets it continue as new.
pub const REGISTRY_CHANGES_PER_RUN_MAX: u64 = 500;
/// Changes after which a registry in an object store gets a snapshot, so that a new reader fetches fewer entries than
/// this.
pub const REGISTRY_CHANGES_PER_SNAPSHOT: u64 = 100;
/// A file that `segno definitions import` reads.
pub(crate) const REGISTRY_EXPORT_SIZE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Consecutive entries that a registry in an object store may have lost; entries beyond a longer gap are ignored.
pub(crate) const REGISTRY_ENTRIES_LOST_MAX: u64 = 1_000;
/// Entries of a registry's copy, after which the deploying client replaces it by a shorter one.
pub(crate) const REGISTRY_COPY_ENTRIES_MAX: usize = 500;
/// Records of changes that a registry keeps in its state; older ones are stored in pages.
pub const REGISTRY_RECORDS_MAX: usize = 200;
/// The name of a tag or a project, and each text that describes a deployment.
pub(crate) const REGISTRY_TEXT_SIZE_BYTES_MAX: usize = 1_000;
/// Repairs after which the search for a value that matches a schema stops.
pub(crate) const SCHEMA_EXAMPLE_REPAIRS_MAX: usize = 200;
/// Characters of a text and items of a list in such a value.
pub(crate) const SCHEMA_EXAMPLE_SIZE_MAX: usize = 100;
