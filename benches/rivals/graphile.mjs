// graphile-worker with tasks that do nothing.
//
//   node graphile.mjs <drain|latency> <count> <slots> [batched]
//
// `batched` fetches 500 tasks at once into a local queue and completes in batches; otherwise the
// defaults are in force.

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

import { CONNECTIONS, LIMIT_MS, enqueueAll, entries, main, progress, sample } from "./measure.mjs";

const BATCHED = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const TASK = "nothing";
// Standard output is for the result.
const logger = new Logger(() => () => {});

function pool() {
  const pgPool = new pg.Pool({ max: CONNECTIONS });
  const note = (error) => console.error(error.message);
  pgPool.on("error", note);
  pgPool.on("connect", (client) => client.on("error", note));
  return pgPool;
}

async function start(pgPool, slots, variant, task) {
  const worker = variant === "batched" ? BATCHED : {};
  return run({
    pgPool,
    taskList: { [TASK]: task },
    noHandleSignals: true,
    preset: { worker: { ...worker, concurrentJobs: slots, logger } },
  });
}

async function drain(count, slots, variant) {
  const pgPool = pool();
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  const enqueueS = await enqueueAll(count, (number) => utils.addJob(TASK, { number }));
  const counted = progress(count);
  const began = performance.now();
  const runner = await start(pgPool, slots, variant, async () => counted.handled());
  await counted.finished;
  await runner.stop();
  await runner.promise;
  // The last completions may still be under way then; what is done is deleted.
  const open = async () => (await pgPool.query("select from graphile_worker.jobs limit 1")).rowCount;
  while (await open()) {
    if (performance.now() - began > LIMIT_MS) throw new Error("tasks are not stored as done");
  }
  const drainS = (performance.now() - began) / 1e3;
  return { count, enqueueS, drainS };
}

async function latency(count, slots, variant) {
  const pgPool = pool();
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  const { entered, next } = entries();
  const runner = await start(pgPool, slots, variant, async () => entered());
  const result = await sample(count, (number) => utils.addJob(TASK, { number }), next);
  await runner.stop();
  return result;
}

await main({ drain, latency });
