// The handler of the source system on Node, with its one rule made a loop over rules: decode, parse, compare, keep
// what fires. An event is parsed from its bytes, as Lambda's Node runtime does before it calls a handler.
//
//   node consumer.mjs --corpus DIR --passes N

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({ options: { corpus: { type: 'string' }, passes: { type: 'string' } } });
const COOLDOWN_MS = 300_000;

const rules = JSON.parse(readFileSync(join(options.corpus, 'rules.json')));
const devices = new Map(Object.entries(JSON.parse(readFileSync(join(options.corpus, 'devices.json')))));
const events = [];
const bytes = readFileSync(join(options.corpus, 'events.bin'));
for (let at = 0; at < bytes.length; ) {
  const length = bytes.readUInt32LE(at);
  events.push(bytes.subarray(at + 4, at + 4 + length));
  at += 4 + length;
}

function samplesOf(message) {
  const samples = message.records ?? [message];
  for (const sample of samples) {
    if (typeof sample.readings !== 'object' || sample.readings === null) return null;
    for (const key in sample.readings) {
      if (typeof sample.readings[key] !== 'number') return null;
    }
  }
  return samples;
}

function newState() {
  return { firing: new Map(), noticed: new Map(), records: 0, malformed: 0, alerts: 0, resolved: 0, suppressed: 0 };
}

function handler(event, state) {
  const alerts = [];
  for (const record of event.Records) {
    state.records += 1;
    const wrapped = JSON.parse(Buffer.from(record.kinesis.data, 'base64').toString('utf-8'));
    let samples = null;
    try {
      samples = samplesOf(JSON.parse(Buffer.from(wrapped.p, 'base64').toString('utf-8')));
    } catch {
      // Counted below.
    }
    if (samples === null) {
      state.malformed += 1;
      continue;
    }
    const device = wrapped.d;
    const zone = devices.get(device);
    let firing = state.firing.get(device);
    if (firing === undefined) state.firing.set(device, (firing = new Set()));
    for (const sample of samples) {
      const readings = sample.readings;
      for (const rule of rules) {
        if (rule.zone !== null && rule.zone !== zone) continue;
        const value = readings[rule.metric];
        if (value === undefined) continue;
        if (value > rule.threshold) {
          if (firing.has(rule.id)) continue;
          firing.add(rule.id);
          state.alerts += 1;
          const key = `${device}:${rule.id}`;
          const last = state.noticed.get(key);
          if (last !== undefined && wrapped.t - last < COOLDOWN_MS) {
            state.suppressed += 1;
          } else {
            state.noticed.set(key, wrapped.t);
            alerts.push({ type: rule.id, device, value, threshold: rule.threshold, timestamp: sample.timestamp });
          }
        } else if (firing.size > 0 && firing.delete(rule.id)) {
          state.resolved += 1;
        }
      }
    }
  }
  return { processed: event.Records.length, alerts: alerts.length };
}

let cpu = 0;
let answer;
for (let pass = 0; pass <= Number(options.passes); pass += 1) {
  const state = newState();
  const before = process.cpuUsage();
  for (const event of events) handler(JSON.parse(event.toString('utf-8')), state);
  const used = process.cpuUsage(before);
  if (pass > 0) cpu += (used.user + used.system) / 1e6;
  const { records, malformed, alerts, resolved, suppressed } = state;
  answer = { records, malformed, alerts, resolved, suppressed };
}
console.log(JSON.stringify({ ...answer, cpu_s: cpu, passes: Number(options.passes) }));
