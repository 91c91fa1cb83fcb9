// Workflows of the official TypeScript SDK that the definitions of this folder call.

import * as wf from '@temporalio/workflow';

export async function Echo(value) {
  return value;
}

export async function Several(a, b, c, d, e, f) {
  return [a, b, c, d, e, f];
}

export async function Fails() {
  throw wf.ApplicationFailure.nonRetryable('the child gave up', 'GaveUp', { why: null });
}

const tell = wf.defineSignal('tell');

/** Hears words until one is `done`. */
export async function Waits(what) {
  const heard = [];
  wf.setHandler(tell, (words) => void heard.push(words));
  await wf.condition(() => heard.includes('done'));
  return { of: what.of, heard };
}

/** Runs Segno workflows as children: signals one to its end, cancels one, and looks at the failure of a third. */
export async function Parent(taskQueue) {
  const id = wf.workflowInfo().workflowId;
  const options = { taskQueue, memo: { queue: wf.workflowInfo().taskQueue } };
  const told = await wf.startChild('interop-order', { ...options, workflowId: `${id}-told`, args: [{ name: 'Ada' }] });
  await told.signal('add', 'tea');
  await wf.getExternalWorkflowHandle(`${id}-told`).signal('done', 'by', 1);
  const failed = [];
  try {
    await wf.executeChild('interop-fails', { ...options, workflowId: `${id}-fails`, args: ['plainly'] });
  } catch (error) {
    for (let one = error; one; one = one.cause) {
      failed.push([one.name.replace('Failure', ''), one.type ?? null, one.message]);
    }
  }
  const scope = new wf.CancellationScope();
  const stopped = scope.run(async () => {
    const child = await wf.startChild('interop-cleans-up', { ...options, workflowId: `${id}-stopped` });
    return child.result();
  });
  await wf.sleep(1);
  scope.cancel();
  try {
    await stopped;
  } catch (error) {
    failed.push([error.cause.name.replace('Failure', '')]);
  }
  return { told: await told.result(), failed };
}
