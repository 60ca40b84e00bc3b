// @ts-check
/**
 * What both SDK generations do with the features of conformance/everything.py, written against what they share.
 *
 * @typedef {import('@modelcontextprotocol/client').Client} Client
 * @typedef {{ onprogress?: (p: { progress: number }) => void }} CallOptions
 * @typedef {{ content?: unknown, structuredContent?: unknown }} ToolResult
 * @typedef {object} Driver
 * @property {Pick<Client, 'listResources' | 'listResourceTemplates' | 'readResource' | 'listPrompts' | 'getPrompt' | 'complete'>} client
 * @property {boolean} modern
 * @property {(name: string, args?: Record<string, unknown>, options?: CallOptions) => Promise<ToolResult>} callTool
 * @property {(uri: string) => Promise<() => Promise<unknown>>} subscribe  to a resource and to the list of tools; gives the way out
 * @property {() => Promise<string | null>} task  the text of slow_compute as a task, or null where the SDK lacks tasks
 */
import { EventEmitter, once } from 'node:events';

const WATCHED = 'test://watched-resource';
const PROMPT = 'test_prompt_with_arguments';
const INPUTS = 'test_input_required_result';
const NOTICE_TIMEOUT_MS = 5000;
/** @type {Record<string, string | boolean>} */
const FILL_IN = { string: 'Alice', boolean: true };

/** What the client says it can do. */
export const capabilities = { sampling: {}, elicitation: { form: {} }, roots: {} };

/** Emits 'updated' with a URI and 'tools', when the server announces them. */
export const notices = new EventEmitter();

/** The text blocks of one or more contents. @param {unknown} content */
export function textOf(content) {
  const blocks = /** @type {{ type: string, text?: string }[]} */ ([content].flat());
  return blocks.filter((block) => block.type === 'text').map((block) => block.text).join('\n');
}

/** Answers sampling/createMessage. @param {{ messages: { role: string, content: unknown }[] }} params */
export function sample({ messages }) {
  const asked = messages.filter((message) => message.role === 'user').at(-1);
  const text = `sampled: ${textOf(asked?.content)}`;
  return { model: 'test', role: /** @type {const} */ ('assistant'), content: { type: /** @type {const} */ ('text'), text } };
}

/** Answers elicitation/create in form mode. @param {object} params */
export function elicit(params) {
  const { requestedSchema } = /** @type {{ requestedSchema: { properties: Record<string, { type: string }> } }} */ (params);
  const fields = Object.entries(requestedSchema.properties);
  const content = Object.fromEntries(fields.map(([name, field]) => [name, FILL_IN[field.type]]));
  return { action: /** @type {const} */ ('accept'), content };
}

/** Answers roots/list. */
export const listRoots = () => ({ roots: [{ uri: 'file:///tmp' }] });

/** Whether a notice comes in time after its cause. @param {string} event @param {() => Promise<unknown>} cause */
async function announces(event, cause) {
  const arrival = once(notices, event, { signal: AbortSignal.timeout(NOTICE_TIMEOUT_MS) });
  const arrived = arrival.then(([uri]) => uri === undefined || uri === WATCHED, () => false);
  await cause();
  return arrived;
}

/** @param {Driver} driver */
export async function features(driver) {
  const { client, callTool, modern } = driver;
  /** @param {string} name @param {Record<string, unknown>} [args] */
  const call = async (name, args) => textOf((await callTool(name, args)).content);
  /** @param {string} uri */
  const read = async (uri) => /** @type {{ text?: string, mimeType?: string }} */ ((await client.readResource({ uri })).contents[0]);
  /** @type {number[]} */
  const progress = [];

  const report = {
    sampling: await (modern ? call(`${INPUTS}_sampling`) : call('test_sampling', { prompt: 'hi' })),
    elicitation: await (modern ? call(`${INPUTS}_elicitation`) : call('test_elicitation', { message: '?' })),
    roots: await call('test_roots'),
    multi: await call(`${INPUTS}_multiple_inputs`),
    multi_round: await call(`${INPUTS}_multi_round`),
    resources: (await client.listResources()).resources.map((each) => each.uri),
    templates: (await client.listResourceTemplates()).resourceTemplates.map((each) => each.uriTemplate),
    text: (await read('test://static-text')).text,
    template: (await read('test://template/42/data')).text,
    blob_mime: (await read('test://static-binary')).mimeType,
    prompts: (await client.listPrompts()).prompts.map((each) => each.name),
    prompt: textOf((await client.getPrompt({ name: PROMPT, arguments: { arg1: 'a', arg2: 'b' } })).messages.map((each) => each.content)),
    completion: (await client.complete({ ref: { type: 'ref/prompt', name: PROMPT }, argument: { name: 'arg1', value: 'par' } })).completion.values,
    structured: (await callTool('test_structured', { a: 1 })).structuredContent,
    progress: (await callTool('test_tool_with_progress', {}, { onprogress: (p) => void progress.push(p.progress) }), progress),
    task: await driver.task(),
  };
  const unsubscribe = await driver.subscribe(WATCHED);
  const updated = await announces('updated', () => call('test_trigger_resource_update', { uri: WATCHED }));
  const toggle = () => call('test_trigger_tool_change');
  const added = await announces('tools', toggle);
  const removed = await announces('tools', toggle); // the second call takes the tool away again
  await unsubscribe();
  return { ...report, updated, list_changed: added && removed };
}
