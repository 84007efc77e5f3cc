// pg-boss with tasks that do nothing.
//
//   node pgboss.mjs <drain|latency> <count> <slots> [batched]
//
// `batched` runs four workers that fetch 32 tasks at once, continuously while there are enough.
// Otherwise each slot fetches one task and completes it, in a loop: its `work` fetches one task each
// two seconds by default, which nobody would drain a queue with.

import { PgBoss } from "pg-boss";

import { CONNECTIONS, enqueueAll, entries, main, progress, sample } from "./measure.mjs";

const QUEUE = "bench";
const BATCHED = { localConcurrency: 4, batchSize: 32, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };

async function start() {
  const boss = new PgBoss({
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    password: process.env.PGPASSWORD,
    database: process.env.PGDATABASE,
    max: CONNECTIONS,
    useListenNotify: true,
  });
  boss.on("error", (error) => console.error(error.message));
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });
  await boss.deleteAllJobs(QUEUE);
  return boss;
}

async function fetchAndComplete(boss, counted) {
  for (;;) {
    const [job] = await boss.fetch(QUEUE);
    if (!job) return;
    await boss.complete(QUEUE, job.id);
    counted.handled();
  }
}

async function drain(count, slots, variant) {
  const boss = await start();
  const enqueueS = await enqueueAll(count, (number) => boss.send(QUEUE, { number }));
  const counted = progress(count);
  const began = performance.now();
  if (variant === "batched") {
    await boss.work(QUEUE, BATCHED, async (jobs) => counted.handled(jobs.length));
  } else {
    await Promise.all(Array.from({ length: slots }, () => fetchAndComplete(boss, counted)));
  }
  await counted.finished;
  // Waits for the completions of what was handled.
  await boss.offWork(QUEUE, { wait: true });
  const drainS = (performance.now() - began) / 1e3;
  const { rows } = await boss.getDb().executeSql(
    "select count(*)::int as left from pgboss.job where name = $1 and state <> 'completed'", [QUEUE]);
  if (rows[0].left > 0) throw new Error(`${rows[0].left} are not stored as done`);
  await boss.stop({ graceful: false });
  return { count, enqueueS, drainS };
}

async function latency(count) {
  const boss = await start();
  const { entered, next } = entries();
  await boss.work(QUEUE, async () => entered());
  const result = await sample(count, (number) => boss.send(QUEUE, { number }), next);
  await boss.stop({ graceful: false });
  return result;
}

await main({ drain, latency });
