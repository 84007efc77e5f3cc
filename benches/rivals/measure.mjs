// What the rivals share with each other: the same counts, pauses and clock as the Rust side
// (benches/queue_bench/src/measure.rs).

import process from "node:process";

export const PRODUCERS = 10;
export const CONNECTIONS = 10;
export const LIMIT_MS = 300_000;
const WARM_UP = 10;
const PAUSE_MS = 80;
const PAUSE_STEP_MS = 13;
const PAUSE_STEPS = 7;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Counts handled tasks up to `wanted`; `finished` resolves then, or fails after a long time. */
export function progress(wanted) {
  let handled = 0;
  let finish;
  const done = new Promise((resolve) => (finish = resolve));
  const limit = sleep(LIMIT_MS).then(() => {
    throw new Error(`only ${handled} of ${wanted} were handled`);
  });
  limit.catch(() => {});
  return {
    handled(count = 1) {
      handled += count;
      if (handled >= wanted) finish();
    },
    finished: Promise.race([done, limit]),
  };
}

/** Enqueues `count` tasks one by one from all producers at once; gives the seconds it took. */
export async function enqueueAll(count, enqueue) {
  const began = performance.now();
  const producer = async (first) => {
    for (let number = first; number < count; number += PRODUCERS) await enqueue(number);
  };
  await Promise.all(Array.from({ length: PRODUCERS }, (_, first) => producer(first)));
  return (performance.now() - began) / 1e3;
}

/** Enqueues one task at a time; `nextEntry()` resolves with the time a handler is entered. */
export async function sample(count, enqueue, nextEntry) {
  const entryMs = [];
  const enqueueMs = [];
  let step = 0;
  for (let number = 0; number < WARM_UP + count; number += 1) {
    step = (step + 3) % PAUSE_STEPS;
    await sleep(PAUSE_MS + step * PAUSE_STEP_MS);
    const entry = nextEntry();
    const began = performance.now();
    await enqueue(number);
    const enqueued = performance.now();
    const entered = await entry;
    if (number >= WARM_UP) {
      entryMs.push(entered - began);
      enqueueMs.push(enqueued - began);
    }
  }
  return { entryMs, enqueueMs };
}

/** Entries of handlers: `entered()` is called first thing, `next()` resolves with its time. */
export function entries() {
  let waiting = () => {};
  return {
    entered: () => waiting(performance.now()),
    next: () => new Promise((resolve) => (waiting = resolve)),
  };
}

/** Runs the measurement that the arguments name and prints its result as a line of JSON. */
export async function main(measurements) {
  const [what, count, slots, variant] = process.argv.slice(2);
  const result = await measurements[what](Number(count), Number(slots), variant);
  console.log(JSON.stringify(result));
  process.exit(0);
}
