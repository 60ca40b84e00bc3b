/** The MCP client of the AI SDK: ai-sdk. It chooses the revision by itself, as it does by default. */
import { createMCPClient, ElicitationRequestSchema } from '@ai-sdk/mcp';
import * as common from './common.mjs';

const { capabilities } = common;

await common.main(async () => {
  const transport = { type: 'http', url: common.url.href, headers: common.headers };
  const client = await createMCPClient({ transport, capabilities });
  if (capabilities.elicitation) client.onElicitationRequest(ElicitationRequestSchema, common.elicit);
  return {
    client,
    more: { revision: client.initializeResult.protocolVersion },
    call: (name, args, options) => client.callTool({ name, arguments: args, options }),
    readResource: (uri) => client.readResource({ uri }),
    getPrompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: (params) => client.complete(params),
    close: () => client.close(),
  };
});
