// @ts-check
/**
 * What both SDK generations do to the server, written against the few client methods they share.
 *
 * @typedef {{ isError?: boolean, structuredContent?: unknown, content?: unknown }} ToolResult
 * @typedef {{ onprogress?: (p: { progress: number }) => void }} CallOptions
 * @typedef {object} Driver
 * @property {() => Promise<unknown>} ping
 * @property {() => Promise<{ tools: { name: string }[] }>} listTools
 * @property {(name: string, args: Record<string, unknown>, options?: CallOptions) => Promise<ToolResult>} callTool
 */
import { readFileSync } from 'node:fs';

const env = process.env;
if (!env.MCPD_URL) throw new Error('MCPD_URL is not set');

export const url = new URL(env.MCPD_URL);
export const mode = env.MCPD_MODE ?? '';
export const requestInit = env.MCPD_TOKEN ? { headers: { Authorization: `Bearer ${env.MCPD_TOKEN}` } } : {};

/** How to start a bridge instead, if that is wanted: a command, split at spaces. */
export const bridge = env.MCPD_COMMAND
  ? {
      command: env.MCPD_COMMAND.split(' ')[0],
      args: env.MCPD_COMMAND.split(' ').slice(1),
      env: { MCPD_TOKEN: env.MCPD_TOKEN ?? '', PATH: env.PATH ?? '' },
    }
  : undefined;

/** The installed version of a package, from its package.json. @param {string} name */
export function installedVersion(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return `typescript ${name} ${JSON.parse(readFileSync(file, 'utf8')).version}`;
}

/** A tool result as plain JSON: the error flag and the text blocks. @param {ToolResult} result */
function describe(result) {
  const blocks = /** @type {{ type: string, text?: string }[]} */ (result.content ?? []);
  return { isError: result.isError ?? false, text: blocks.filter((b) => b.type === 'text').map((b) => b.text).join('\n') };
}

/** The outcome of `attempt`, or the error it threw, as plain JSON. @param {() => Promise<unknown>} attempt */
async function outcome(attempt) {
  try {
    return await attempt();
  } catch (error) {
    const { name, code, message } = /** @type {Error & { code?: number | string }} */ (error);
    return { error: { name, code, message } };
  }
}

/** Call manage_task; its structured content, or throw. @param {Driver} driver @param {Record<string, unknown>} args */
async function manageTask(driver, args) {
  const result = await driver.callTool('manage_task', args);
  if (result.isError) throw new Error(`manage_task failed: ${describe(result).text}`);
  return result.structuredContent;
}

/** @param {Driver} driver @param {string} title @param {boolean} mayLackPing */
export async function tour(driver, title, mayLackPing = false) {
  const ping = async () => (await driver.ping(), 'ok');
  return {
    ping: await (mayLackPing ? outcome(ping) : ping()),
    tools: (await driver.listTools()).tools.map((tool) => tool.name),
    created: await manageTask(driver, { action: 'create', title }),
    listed: await manageTask(driver, { action: 'list' }),
    wrong: await outcome(async () => describe(await driver.callTool('manage_task', { action: 'nonsense' }))),
  };
}

/** @param {Driver} driver */
export async function progress(driver) {
  /** @type {number[]} */
  const seen = [];
  const result = await driver.callTool('count', { to: 5 }, { onprogress: (p) => void seen.push(p.progress) });
  return { progress: seen, result: describe(result) };
}
