// Drives the definitions of this folder with the official TypeScript SDK and says what came of it, one line each. The
// arguments: the server's address, and the task queue of the Segno worker.

import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { ApplicationFailure, Context } from '@temporalio/activity';
import * as sdk from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import proto from '@temporalio/proto';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';

const BINARY = Uint8Array.of(0, 1, 128, 255);
const STAGE = defineSearchAttributeKey('Stage', SearchAttributeType.KEYWORD);
const RANK = defineSearchAttributeKey('Rank', SearchAttributeType.INT);
const QUEUE = 'interop-typescript';

const activities = {
  echo: async (value) => value,
  several: async (...values) => values,
  sleeps: () => Context.current().sleep(30_000),
  async fails() {
    throw ApplicationFailure.create({
      message: 'the toast is burnt',
      type: 'Burnt',
      details: [{ minutes: 9 }, BINARY, null, 2 ** 53],
      category: 'BENIGN',
      nonRetryable: Context.current().info.attempt > 1,
      cause: ApplicationFailure.create({ message: 'the toaster is hot 🔥', type: 'TooHot', details: [[1.5, 'é']] }),
    });
  },
};

/** JSON with its keys in order, and bytes. */
function text(value) {
  if (value instanceof Uint8Array) return `"bytes ${Buffer.from(value).toString('hex')}"`;
  if (Array.isArray(value)) return `[${value.map(text).join(', ')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}: ${text(value[key])}`).join(', ')}}`;
}

const say = (what, value) => console.log(`${what}: ${text(value)}`);

/** A failure and its causes, as the SDK has them. */
function chain(error) {
  const told = [];
  for (; error; error = error.cause) {
    const one = { kind: error.name.replace('WorkflowFailure', '').replace('Failure', '').toLowerCase() };
    if (error.failure) one.message = error.message;
    if (error instanceof ApplicationFailure) {
      const { source, stackTrace } = error.failure;
      Object.assign(one, {
        type: error.type,
        details: error.details,
        non_retryable: error.nonRetryable,
        source: source === 'TypeScriptSDK' ? 'the SDK' : source,
        stack: Boolean(stackTrace),
        benign: error.category === 'BENIGN',
      });
    }
    told.push(one);
  }
  return told;
}

async function end(handle) {
  try {
    return await handle.result();
  } catch (error) {
    if (error instanceof sdk.WorkflowFailedError) return chain(error.cause);
    throw error;
  }
}

async function answer(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof sdk.WorkflowUpdateFailedError) return chain(error.cause);
    if (error instanceof sdk.QueryNotRegisteredError) return 'failed';
    throw error;
  }
}

class Talk {
  constructor(client, queue) {
    this.client = client;
    this.queue = queue;
  }

  options(name) {
    return {
      workflowId: `typescript-${name}-${randomUUID()}`,
      taskQueue: this.queue,
      memo: { queue: QUEUE, note: 'é' },
      workflowExecutionTimeout: '90s',
    };
  }

  start(workflow, args = [], options = {}) {
    return this.client.start(workflow, { ...this.options(workflow), args, ...options });
  }

  async result(workflow, ...args) {
    return (await this.start(workflow, args)).result();
  }

  async messages() {
    const order = await this.start('interop-order', [{ name: 'Grace' }], {
      typedSearchAttributes: [{ key: STAGE, value: 'début' }, { key: RANK, value: -7 }],
      priority: { priorityKey: 2, fairnessKey: 'f', fairnessWeight: 2.5 },
    });
    const described = await order.describe();
    say('type', described.type);
    say('note', described.memo.note);
    say('search attributes', [described.typedSearchAttributes.get(STAGE), described.typedSearchAttributes.get(RANK)]);
    await order.signal('add', 'tea');
    await order.signal('add');
    await order.signal('add', 'two', 2);
    await order.signal('add', { deep: [{ er: null }] });
    say('query without an argument', await order.query('name'));
    say('query', await order.query('items'));
    say('query with an argument', await order.query('count_of', 'tea'));
    say('query that breaks', await answer(order.query('breaks')));
    say('query that nobody knows', await answer(order.query('unknown')));
    say('update', await order.executeUpdate('rename', { args: ['Ada'] }));
    say('update rejected', await answer(order.executeUpdate('rename', { args: [''] })));
    say('update of a wrong type', await answer(order.executeUpdate('rename', { args: [7] })));
    say('update that nobody knows', (await answer(order.executeUpdate('unknown')))[0].kind);
    say('update that fails', await answer(order.executeUpdate('fails')));
    const begun = await order.startUpdate('rename', { args: ['Ada'], waitForStage: 'ACCEPTED', updateId: 'again' });
    const same = await order.startUpdate('rename', { args: ['Eve'], waitForStage: 'ACCEPTED', updateId: 'again' });
    say('update by its id', [await begun.result(), await same.result()]);
    await this.again(order);
    await order.signal('done', { by: 'client' });
    say('result', await order.result());
    say('query after the end', await order.query('name'));
    await this.withStart();
  }

  async again(order) {
    const options = { workflowId: order.workflowId, taskQueue: this.queue };
    try {
      await this.client.start('interop-order', options);
    } catch (error) {
      if (!(error instanceof sdk.WorkflowExecutionAlreadyStartedError)) throw error;
      say('started twice', 'refused');
    }
    const taken = await this.client.start('interop-order', { ...options, workflowIdConflictPolicy: 'USE_EXISTING' });
    say('taken as it is', taken.firstExecutionRunId === order.firstExecutionRunId);
  }

  async withStart() {
    const options = this.options('with-start');
    let order;
    for (const word of ['first', 'second']) {
      order = await this.client.signalWithStart('interop-order', { ...options, signal: 'add', signalArgs: [word] });
    }
    say('signal with start', await order.query('items'));
    const update = (name, options) => this.client.executeUpdateWithStart('rename', {
      args: [name],
      startWorkflowOperation: new sdk.WithStartWorkflowOperation('interop-order', options),
    });
    for (const name of ['Eve', 'Bob']) {
      say('update with start', await update(name, { ...options, workflowIdConflictPolicy: 'USE_EXISTING' }));
    }
    const fresh = this.options('with-start');
    say('update with start, rejected', await answer(update('', { ...fresh, workflowIdConflictPolicy: 'FAIL' })));
    await order.signal('done');
    say('its end', await order.result());
    await this.client.getHandle(fresh.workflowId).terminate();
  }

  async interruptions() {
    const order = await this.start('interop-order');
    await order.query('name');
    await order.terminate('it is late');
    say('terminated', await end(order));
    const cleaned = await this.start('interop-cleans-up');
    await cleaned.query('away');
    await cleaned.cancel();
    say('cancelled', await end(cleaned));
    say('what it put away', await cleaned.query('away'));
    const late = await this.start('interop-order', [], { workflowExecutionTimeout: '1s' });
    say('timed out', await end(late));
    say('through all runs', await this.result('interop-goes-on', { at: 1, to: 4 }));
  }

  async failures() {
    for (const how of ['plainly', 'activity', 'child', 'timeout', 'mistake']) {
      for (const one of await end(await this.start('interop-fails', [how]))) say(`failure ${how}`, one);
    }
    say('what a catch sees', await this.result('interop-catches'));
  }

  async children() {
    const parent = await this.start('interop-parent');
    say('children here', await end(parent));
    const { events } = await parent.fetchHistory();
    for (const kind of ['SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', 'EXTERNAL_WORKFLOW_EXECUTION_SIGNALED',
      'CHILD_WORKFLOW_EXECUTION_COMPLETED', 'CHILD_WORKFLOW_EXECUTION_CANCELED']) {
      const type = proto.temporal.api.enums.v1.EventType[`EVENT_TYPE_${kind}`];
      say(kind, events.filter((event) => event.eventType === type).length);
    }
    const handle = await this.client.start('Parent', { ...this.options('parent'), taskQueue: QUEUE, args: [this.queue] });
    say('children there', await end(handle));
  }

  async values() {
    let deep = [];
    for (let level = 0; level < 60; level++) deep = [deep];
    const values = {
      'null': null, 'true': true, 'empty text': '', 'text': 'Zoë 👩‍👩‍👧 \u0000 \u2028 e\u0301 \\ " ${ input }',
      'zero': 0, 'integer': 42, '2^53': 2 ** 53, 'double': 0.1 + 0.2, 'large': 1e300, 'small': 5e-324, 'negative': -1.5,
      'empty list': [], 'empty object': {}, 'list': [1, [2, [3, null]], {}], 'keys': { '': 1, 'a b': 2, 'é': 3 },
      'deep': deep, 'many': [...Array(5000).keys()], 'long': 'x'.repeat(100_000), 'json in text': '{"a": 1}',
    };
    // JSON as JavaScript writes it says `\ud800` where a text is broken.
    const whole = { 'bytes': BINARY, 'no bytes': new Uint8Array(), 'half a character': '\ud800' };
    await this.each('passes', { ...values, ...whole }, (value) => value, (came) => came);
    await this.each('looks', values, (value) => ({ value }), (came) => came.value);
    for (const args of [[], [null], ['one'], ['one', null, [3]]]) {
      say(`${args.length} arguments`, await this.result('interop-arguments', ...args));
    }
  }

  /** Each value comes back as it went. */
  async each(how, values, wrap, unwrap) {
    await Promise.all(Object.entries(values).map(async ([name, value]) => {
      const came = unwrap(await this.result(`interop-${how}`, wrap(value)));
      const bytes = came instanceof Uint8Array ? Uint8Array.from(came) : came;
      if (!isDeepStrictEqual(bytes, value)) say(`${how} ${name}`, [value, bytes]);
    }));
    say(how, 'each value came back as it went');
  }
}

const [address, queue] = process.argv.slice(2);
setTimeout(() => process.exit(3), 100_000).unref();
Runtime.install({ logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error: console.error } });
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue: QUEUE,
  activities,
  workflowsPath: fileURLToPath(new URL('typescript_workflows.js', import.meta.url)),
});
const connection = await sdk.Connection.connect({ address });
const talk = new Talk(new sdk.WorkflowClient({ connection }), queue);
await worker.runUntil(async () => {
  await talk.messages();
  await talk.interruptions();
  await talk.failures();
  await talk.children();
  await talk.values();
});
process.exit(0);
