/**
 * What the scripts of the clients for Node share: settings, the scenarios, and the report.
 * Env: MCP_URL, MCP_TOKEN (may be empty), LOSE_SESSION (for session_lost). Arguments: CLIENT SCENARIO.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';

export const [name, scenario] = process.argv.slice(2);
export const url = new URL(process.env.MCP_URL);
export const clientInfo = { name: 'recorder', version: '1.0.0' };
export const WATCHED = 'test://watched-resource';
export const updates = new EventEmitter(); // emits 'updated' when the server announces a change
const PROMPT = 'test_prompt_with_arguments';
const NOTICE_MS = 5000;
const HANG_MS = 10_000;
const REFUSED = ['no_token', 'bad_token', 'oauth']; // the server lets none of these in

const wrong = { no_token: '', oauth: '', bad_token: 'not-a-token' };
const token = wrong[scenario] ?? process.env.MCP_TOKEN;
export const headers = token ? { Authorization: `Bearer ${token}` } : {};
export const requestInit = { headers };

/** What the client says it can do: no more than the scenario needs. */
export const capabilities = {
  sampling: { sampling: {} },
  elicitation: { elicitation: { form: {} } },
}[scenario] ?? {};

export const sample = () => ({ role: 'assistant', model: 'm', content: { type: 'text', text: 'hi' } });
export const elicit = () => ({ action: 'accept', content: { username: 'ada', email: 'ada@example.com' } });

/** An OAuth provider that keeps all in memory and opens no browser. */
export const authProvider = {
  redirectUrl: 'http://127.0.0.1:33418/callback',
  clientMetadata: { client_name: 'recorder', redirect_uris: ['http://127.0.0.1:33418/callback'] },
  clientInformation() { return this.client; },
  saveClientInformation(client) { this.client = client; },
  tokens() { return this.kept; },
  saveTokens(tokens) { this.kept = tokens; },
  redirectToAuthorization(where) { throw new Error(`no browser to open ${where} with`); },
  saveCodeVerifier(verifier) { this.verifier = verifier; },
  codeVerifier() { return this.verifier; },
};

/** The result of a tool: its text, and what is set besides. */
function shown({ content = [], structuredContent, isError }) {
  const text = content.filter((each) => each.type === 'text').map((each) => each.text).join('\n');
  return { text, structuredContent, isError: isError || undefined };
}

const reason = (error) => `${error.name}: ${error.message}`;

/** What a call gave, be it an error, or that it hangs. */
function outcome(call) {
  const hangs = { error: `hangs: stopped after ${HANG_MS / 1000} s` };
  const late = new Promise((resolve) => setTimeout(resolve, HANG_MS, hangs).unref());
  return Promise.race([call.then(shown, (error) => ({ error: reason(error) })), late]);
}

/** The scenarios, written against the methods that the libraries share. */
function scenariosOf({ client, call, readResource, getPrompt, complete, subscribe }) {
  const one = (tool, args) => async () => shown(await call(tool, args));
  const list = async () => ({
    tools: (await client.listTools()).tools.map((each) => each.name),
    resources: (await client.listResources()).resources.map((each) => each.uri),
    templates: (await client.listResourceTemplates()).resourceTemplates.map((each) => each.uriTemplate),
    prompts: (await client.listPrompts()).prompts.map((each) => each.name),
  });
  return {
    connect: () => ({}),
    list,
    call: one('test_simple_text', {}),
    structured: one('test_structured', { a: 1, b: 2 }),
    async error() {
      const tool = await outcome(call('test_error_handling', {}));
      return { tool, protocol: await outcome(call('no_such_tool', {})) };
    },
    async progress() {
      const progress = [];
      const onprogress = (update) => progress.push(update.progress);
      return { progress, ...shown(await call('test_tool_with_progress', {}, { onprogress })) };
    },
    async cancel() {
      const stop = new AbortController();
      setTimeout(() => stop.abort('changed my mind'), 500);
      const { signal } = stop;
      const cancelled = await outcome(call('test_slow', { seconds: 20, key: randomUUID() }, { signal }));
      return { cancelled, ...shown(await call('test_simple_text', {})) };
    },
    sampling: one('test_sampling', { prompt: 'Say hi' }),
    elicitation: one('test_elicitation', { message: 'Who are you?' }),
    async resources() {
      const contents = [];
      for (const uri of ['test://static-text', 'test://template/42/data']) {
        contents.push(...(await readResource(uri)).contents);
      }
      if (!subscribe) return { contents };
      const unsubscribe = await subscribe();
      const notice = once(updates, 'updated', { signal: AbortSignal.timeout(NOTICE_MS) });
      const updated = notice.then(() => true, () => false);
      await call('test_trigger_resource_update', { uri: WATCHED });
      const arrived = await updated;
      await unsubscribe();
      return { contents, updated: arrived };
    },
    async prompts() {
      const simple = await getPrompt('test_simple_prompt');
      const filled = await getPrompt(PROMPT, { arg1: 'a', arg2: 'b' });
      const ref = { type: 'ref/prompt', name: PROMPT };
      const { completion } = await complete({ ref, argument: { name: 'arg1', value: 'par' } });
      return { messages: [...simple.messages, ...filled.messages], completion: completion.values };
    },
    reconnect: one('test_reconnection', {}),
    async session_lost() {
      await list();
      await once(spawn(process.env.LOSE_SESSION, { shell: true, stdio: ['ignore', 2, 2] }), 'exit');
      return { then: await outcome(call('test_simple_text', {})) };
    },
    ...Object.fromEntries(REFUSED.map((each) => [each, () => ({})])),
  };
}

/**
 * Run the scenario of the command line. Print what it got as a line of JSON.
 * `connect` gives what scenariosOf takes, and `close`, and perhaps `more` to report.
 */
export async function main(connect) {
  let got = {};
  try {
    const driver = await connect();
    got = { ...driver.more, ...(await scenariosOf(driver)[scenario]()) };
    await driver.close();
  } catch (error) {
    if (![...REFUSED, 'session_lost'].includes(scenario)) throw error;
    got.error = reason(error);
  }
  console.log(JSON.stringify(got));
  process.exit(0); // what a client left running keeps node alive
}
