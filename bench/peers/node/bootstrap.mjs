#!/usr/bin/env node
// A Lambda runtime on Node that does nothing with its events: what a cold start of Node costs before any code of one's
// own, and before any client of a service.

import { request } from 'node:http';

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const base = '/2018-06-01/runtime/invocation/';

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, method, path }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(parts) }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

for (;;) {
  const next = await call('GET', `${base}next`);
  JSON.parse(next.body.toString('utf-8'));
  const id = next.headers['lambda-runtime-aws-request-id'];
  await call('POST', `${base}${id}/response`, JSON.stringify({ batchItemFailures: [] }));
}
