// @ts-check
/**
 * Use every client-facing feature once, with the official TypeScript SDK, v2 line.
 * The server runs conformance/everything.py; the client answers sampling, form elicitation and roots.
 * Env: MCPD_URL, MCPD_TOKEN (may be empty), MCPD_MODE: "legacy" (initialize handshake) or "modern" (2026-07-28, found
 * with server/discover). A feature that the SDK lacks is null. One JSON object on the last stdout line.
 */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { bridge, installedVersion, mode, requestInit, url } from './drive.mjs';
import { capabilities, elicit, features, listRoots, notices, sample } from './features.mjs';

/** @type {Record<string, import('@modelcontextprotocol/client').VersionNegotiationMode>} */
const NEGOTIATION = { modern: { pin: '2026-07-28' }, legacy: 'legacy' };
if (!Object.hasOwn(NEGOTIATION, mode)) throw new Error(`unknown MCPD_MODE ${mode}`);

const client = new Client(
  { name: 'mcpd-typescript-v2', version: '1.0.0' },
  { capabilities, versionNegotiation: { mode: NEGOTIATION[mode] } },
);
client.setRequestHandler('sampling/createMessage', ({ params }) => sample(params));
client.setRequestHandler('elicitation/create', ({ params }) => elicit(params));
client.setRequestHandler('roots/list', listRoots);
client.setNotificationHandler('notifications/resources/updated', ({ params }) => void notices.emit('updated', params.uri));
client.setNotificationHandler('notifications/tools/list_changed', () => void notices.emit('tools'));

const http = new StreamableHTTPClientTransport(url, { requestInit });
await client.connect(bridge ? new StdioClientTransport(bridge) : http);
const modern = client.getProtocolEra() === 'modern';

/** Listen (2026-07-28), or subscribe (before); gives the way out. @param {string} uri */
async function subscribe(uri) {
  if (modern) {
    const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
    return () => subscription.close();
  }
  await client.subscribeResource({ uri });
  return () => client.unsubscribeResource({ uri });
}

const report = {
  client: installedVersion('@modelcontextprotocol/client'),
  protocol_version: client.getNegotiatedProtocolVersion(),
  ...(await features({
    client,
    modern,
    callTool: (name, args, options) => client.callTool({ name, arguments: args }, options),
    subscribe,
    task: async () => null, // no API for tasks in either era: a result of type "task" is refused
  })),
};
if (!bridge) await http.terminateSession(); // client.close() alone sends no DELETE; does nothing without a session
await client.close();
console.log(JSON.stringify(report));
