// @ts-check
/**
 * Drive an MCP Streamable HTTP server with the official TypeScript SDK, v2 line.
 *
 * Env: MCPD_URL, MCPD_TOKEN (may be empty), and MCPD_MODE, an era optionally prefixed by "progress-":
 *   auto    (default) probe with server/discover, fall back to initialize
 *   modern  server/discover must offer the 2026-07-28 stateless revision, no fallback
 *   legacy  initialize handshake
 * "progress" alone means "progress-auto". One JSON object on the last stdout line.
 */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { installedVersion, mode, progress, requestInit, tour, url } from './drive.mjs';

/** @type {Record<string, import('@modelcontextprotocol/client').VersionNegotiationMode>} */
const NEGOTIATION = { auto: 'auto', modern: { pin: '2026-07-28' }, legacy: 'legacy' };

const wantProgress = mode.startsWith('progress');
const era = mode.replace(/^progress-?/, '') || 'auto';
if (!Object.hasOwn(NEGOTIATION, era)) throw new Error(`unknown MCPD_MODE ${mode}`);

const client = new Client(
  { name: 'mcpd-typescript-v2', version: '1.0.0' },
  { versionNegotiation: { mode: NEGOTIATION[era] } },
);
const transport = new StreamableHTTPClientTransport(url, { requestInit });
await client.connect(transport);

/** @type {import('./drive.mjs').Driver} */
const driver = {
  ping: () => client.ping(),
  listTools: () => client.listTools(),
  callTool: (name, args, options) => client.callTool({ name, arguments: args }, options),
};
const isModern = client.getProtocolEra() === 'modern'; // ping does not exist in 2026-07-28
const report = {
  client: installedVersion('@modelcontextprotocol/client'),
  mode: era,
  protocol_version: client.getNegotiatedProtocolVersion(),
  session_id: transport.sessionId ?? null,
  ...(await (wantProgress ? progress(driver) : tour(driver, 'from typescript v2', isModern))),
};
await transport.terminateSession(); // client.close() alone sends no DELETE; does nothing without a session
await client.close();
console.log(JSON.stringify(report));
