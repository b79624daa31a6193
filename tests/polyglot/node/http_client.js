// SPDX-License-Identifier: Apache-2.0
// `http_client.js KIND URL CA HEADERS [UPLOAD]`, KIND: undici (HTTP/1.1, or HTTP/2 where TLS agrees on it) or http2 (Node's own, by prior
// knowledge without TLS). Prints the status in a line, then the body as it comes. A line on the standard input has it abort the request.
// websocket: opens a tunnel (RFC 8441), prints 200, sends what comes on the standard input and prints what comes back.
'use strict';
const fs = require('fs');
const http2 = require('http2');
const { Agent, request } = require('undici');

const [kind, url, caFile, headersText, upload] = process.argv.slice(2);
const headers = JSON.parse(headersText);
const ca = fs.readFileSync(caFile);
const body = upload ? fs.readFileSync(upload) : undefined;
const method = upload ? 'POST' : 'GET';
const onStatus = (status) => process.stdout.write(`${status}\n`);

async function byUndici() {
  const abort = new AbortController();
  process.stdin.once('data', () => abort.abort());
  const dispatcher = new Agent({ allowH2: true, connect: { ca, servername: 'localhost' } });
  const answer = await request(url, { method, body, headers, dispatcher, signal: abort.signal });
  onStatus(answer.statusCode);
  for await (const piece of answer.body) process.stdout.write(piece);
  await dispatcher.close();
}

function byHttp2() {
  const { pathname, search } = new URL(url);
  const session = http2.connect(url, { ca, servername: 'localhost' });
  const { host, ...rest } = headers;
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    session.on('remoteSettings', (settings) => {
      const tunnel = kind === 'websocket';
      if (tunnel && !settings.enableConnectProtocol) reject(new Error('the gateway does not offer extended CONNECT'));
      const how = tunnel ? { ':method': 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': '13' } : { ':method': method };
      const stream = session.request({ ...how, ':path': pathname + search, ':authority': host, ...rest }, { endStream: !tunnel && !body });
      stream.on('error', reject);
      stream.on('response', (fields) => onStatus(fields[':status']));
      stream.on('data', (piece) => process.stdout.write(piece));
      stream.on('close', () => (stream.rstCode ? reject(new Error(`reset: ${stream.rstCode}`)) : resolve()));
      stream.on('close', () => session.close());
      if (tunnel) {
        process.stdin.pipe(stream);
      } else {
        process.stdin.once('data', () => stream.close(http2.constants.NGHTTP2_CANCEL));
        if (body) stream.end(body);
      }
    });
  });
}

(kind === 'undici' ? byUndici() : byHttp2()).then(() => process.stdin.destroy(), (error) => { // no exit: it would cut what is still being printed
  process.stderr.write(`${error.stack}\n`);
  process.exit(3);
});
