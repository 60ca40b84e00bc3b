/** The official TypeScript SDK, v2 line: typescript-sdk-2-handshake, typescript-sdk-2-modern (2026-07-28). */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import * as common from './common.mjs';

const { capabilities, scenario, WATCHED } = common;
const modern = common.name === 'typescript-sdk-2-modern';

await common.main(async () => {
  const versionNegotiation = { mode: modern ? 'auto' : 'legacy' };
  const client = new Client(common.clientInfo, { capabilities, versionNegotiation });
  if (capabilities.sampling) client.setRequestHandler('sampling/createMessage', common.sample);
  if (capabilities.elicitation) client.setRequestHandler('elicitation/create', common.elicit);
  const note = () => void common.updates.emit('updated');
  client.setNotificationHandler('notifications/resources/updated', note);

  const authProvider = scenario === 'oauth' ? common.authProvider : undefined;
  const options = { requestInit: common.requestInit, authProvider };
  const transport = new StreamableHTTPClientTransport(common.url, options);
  await client.connect(transport);
  const revision = client.getNegotiatedProtocolVersion();
  if (modern !== (client.getProtocolEra() === 'modern')) throw new Error(`got revision ${revision}`);
  return {
    client,
    more: { revision },
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    readResource: (uri) => client.readResource({ uri }),
    getPrompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: (params) => client.complete(params),
    async subscribe() {
      if (modern) {
        const subscription = await client.listen({ resourceSubscriptions: [WATCHED] });
        return () => subscription.close();
      }
      await client.subscribeResource({ uri: WATCHED });
      return () => client.unsubscribeResource({ uri: WATCHED });
    },
    async close() {
      await transport.terminateSession(); // close() alone sends no DELETE
      await client.close();
    },
  };
});
