// @ts-check
/**
 * Use every client-facing feature once, with the official TypeScript SDK, v1 line (handshake-era revisions only).
 * The server runs conformance/everything.py; the client answers sampling, form elicitation and roots.
 * Env: MCPD_URL, MCPD_TOKEN (may be empty). One JSON object on the last stdout line.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { bridge, installedVersion, requestInit, url } from './drive.mjs';
import { capabilities, elicit, features, listRoots, notices, sample, textOf } from './features.mjs';

const client = new Client({ name: 'mcpd-typescript-v1', version: '1.0.0' }, { capabilities });
client.setRequestHandler(types.CreateMessageRequestSchema, ({ params }) => sample(params));
client.setRequestHandler(types.ElicitRequestSchema, ({ params }) => elicit(params));
client.setRequestHandler(types.ListRootsRequestSchema, listRoots);
client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, ({ params }) => void notices.emit('updated', params.uri));
client.setNotificationHandler(types.ToolListChangedNotificationSchema, () => void notices.emit('tools'));

/** Call a tool as a task of 2025-11-25, with the SDK's experimental API. */
async function task() {
  const call = { name: 'slow_compute', arguments: { seconds: 0.3 } };
  const stream = client.experimental.tasks.callToolStream(call, types.CallToolResultSchema, { task: {} });
  let created = false;
  for await (const message of stream) {
    if (message.type === 'error') throw message.error;
    if (message.type === 'taskCreated') created = true;
    if (message.type === 'result' && created) return textOf(message.result.content);
  }
  throw new Error('slow_compute did not run as a task');
}

const http = new StreamableHTTPClientTransport(url, { requestInit });
await client.connect(bridge ? new StdioClientTransport(bridge) : http);
const report = {
  client: installedVersion('@modelcontextprotocol/sdk'),
  protocol_version: bridge ? types.LATEST_PROTOCOL_VERSION : http.protocolVersion,
  ...(await features({
    client: /** @type {any} */ (client), // the two lines agree on what is used of it
    modern: false,
    callTool: async (name, args, options) =>
      /** @type {import('./features.mjs').ToolResult} */ (await client.callTool({ name, arguments: args }, undefined, options)),
    subscribe: async (uri) => {
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    },
    task,
  })),
};
if (!bridge) await http.terminateSession(); // client.close() alone sends no DELETE
await client.close();
console.log(JSON.stringify(report));
