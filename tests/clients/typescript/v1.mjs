// @ts-check
/**
 * Drive an MCP Streamable HTTP server with the official TypeScript SDK, v1 line (handshake-era revisions only).
 * Env: MCPD_URL, MCPD_TOKEN (may be empty), MCPD_MODE ("" or "progress"). One JSON object on the last stdout line.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { installedVersion, mode, progress, requestInit, tour, url } from './drive.mjs';

if (!['', 'progress'].includes(mode)) throw new Error(`unknown MCPD_MODE ${mode}`);

const client = new Client({ name: 'mcpd-typescript-v1', version: '1.0.0' });
const transport = new StreamableHTTPClientTransport(url, { requestInit });
await client.connect(transport);

/** @type {import('./drive.mjs').Driver} */
const driver = {
  ping: () => client.ping(),
  listTools: () => client.listTools(),
  callTool: async (name, args, options) =>
    /** @type {import('./drive.mjs').ToolResult} */ (
      await client.callTool({ name, arguments: args }, undefined, options)
    ),
};
const report = {
  client: installedVersion('@modelcontextprotocol/sdk'),
  protocol_version: transport.protocolVersion,
  session_id: transport.sessionId ?? null,
  ...(await (mode === 'progress' ? progress(driver) : tour(driver, 'from typescript v1'))),
};
await transport.terminateSession(); // client.close() alone sends no DELETE
await client.close();
console.log(JSON.stringify(report));
