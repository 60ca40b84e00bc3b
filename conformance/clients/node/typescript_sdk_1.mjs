/** The official TypeScript SDK, v1 line: typescript-sdk-1. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import * as common from './common.mjs';

const { capabilities, scenario, WATCHED } = common;

await common.main(async () => {
  const client = new Client(common.clientInfo, { capabilities });
  if (capabilities.sampling) client.setRequestHandler(types.CreateMessageRequestSchema, common.sample);
  if (capabilities.elicitation) client.setRequestHandler(types.ElicitRequestSchema, common.elicit);
  const note = () => void common.updates.emit('updated');
  client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, note);

  const authProvider = scenario === 'oauth' ? common.authProvider : undefined;
  const options = { requestInit: common.requestInit, authProvider };
  const transport = new StreamableHTTPClientTransport(common.url, options);
  await client.connect(transport);
  return {
    client,
    more: { revision: transport.protocolVersion },
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    readResource: (uri) => client.readResource({ uri }),
    getPrompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: (params) => client.complete(params),
    async subscribe() {
      await client.subscribeResource({ uri: WATCHED });
      return () => client.unsubscribeResource({ uri: WATCHED });
    },
    async close() {
      await transport.terminateSession(); // close() alone sends no DELETE
      await client.close();
    },
  };
});
