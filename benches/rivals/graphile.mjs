// graphile-worker with tasks that do nothing.
//
//   node graphile.mjs <drain|latency> <count> <slots> [batched]
//
// `batched` fetches 500 tasks at once into a local queue and completes in batches; otherwise the
// defaults are in force.

import { EventEmitter } from "node:events";

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

import { CONNECTIONS, enqueueAll, entries, main, progress, sample } from "./measure.mjs";

const BATCHED = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const TASK = "nothing";
// Standard output is for the result.
const logger = new Logger(() => () => {});

function pool() {
  const pgPool = new pg.Pool({ max: CONNECTIONS });
  pgPool.on("error", (error) => console.error(error.message));
  return pgPool;
}

async function start(pgPool, slots, variant, task, events = new EventEmitter()) {
  const worker = variant === "batched" ? BATCHED : {};
  return run({
    pgPool,
    taskList: { [TASK]: task },
    noHandleSignals: true,
    preset: { worker: { ...worker, concurrentJobs: slots, logger, events } },
  });
}

async function drain(count, slots, variant) {
  const pgPool = pool();
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  const enqueueS = await enqueueAll(count, (number) => utils.addJob(TASK, { number }));
  const counted = progress(count);
  // Tells when a task's end was written back.
  const events = new EventEmitter();
  events.on("job:complete", () => counted.handled());
  const began = performance.now();
  const runner = await start(pgPool, slots, variant, async () => {}, events);
  await counted.finished;
  await runner.stop();
  const drainS = (performance.now() - began) / 1e3;
  const left = await pgPool.query("select count(*)::int as left from graphile_worker.jobs");
  if (left.rows[0].left > 0) throw new Error(`${left.rows[0].left} are not stored as done`);
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
