/**
 * Part of the fixture conformance/everything.py, served by the official TypeScript SDK, 2.x line.
 *
 * typescript_sdk.mjs PORT: Streamable HTTP at /mcp, on 127.0.0.1. Clients up to 2025-11-25 get
 * sessions with resumable streams, clients of 2026-07-28 the SDK's per-request handler.
 * With MCP_TOKEN in the environment, a bearer token is required.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { createMcpExpressApp, requireBearerAuth } from '@modelcontextprotocol/express';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import {
    completable,
    createMcpHandler,
    inputRequired,
    inputResponse,
    isInitializeRequest,
    isLegacyRequest,
    McpServer,
    OAuthError,
    OAuthErrorCode,
    ResourceTemplate
} from '@modelcontextprotocol/server';
import * as z from 'zod/v4';

const HOST = '127.0.0.1';
const PORT = Number(process.argv[2]);
const TOKEN = process.env.MCP_TOKEN;
const PAUSE_MS = 50;
const WORDS = ['paris', 'park', 'party', 'test', 'testing'];

const text = said => ({ content: [{ type: 'text', text: said }] });
const user = said => ({ messages: [{ role: 'user', content: { type: 'text', text: said } }] });

/** Form content the way the fixture, which is Python, prints it. */
const shown = content =>
    content ? `{${Object.entries(content).map(([key, value]) => `'${key}': '${value}'`).join(', ')}}` : 'None';

/** What the sessions up to 2025-11-25 subscribed to; the SDK leaves the books to the server. */
const watched = new Map();

async function announce(uri) {
    modern.notify.resourceUpdated(uri);
    for (const [server, uris] of watched) {
        if (uris.has(uri)) await server.server.sendResourceUpdated({ uri });
    }
}

function buildServer() {
    const server = new McpServer(
        { name: 'everything', version: '1.0.0', title: 'Everything' },
        {
            instructions: 'A server with one of everything, for conformance tests.',
            capabilities: { resources: { subscribe: true } }
        }
    );
    addTools(server);
    addQuestions(server);
    addResources(server);
    addPrompts(server);
    return server;
}

function addTools(server) {
    server.registerTool('test_simple_text', { description: 'Return a text.' }, async () =>
        text('This is a simple text response for testing.')
    );

    server.registerTool('test_error_handling', { description: 'Fail.' }, async () => {
        throw new Error('This tool intentionally returns an error for testing');
    });

    server.registerTool(
        'test_structured',
        {
            description: 'Return structured content.',
            inputSchema: z.object({ a: z.int(), b: z.int().default(2) }),
            outputSchema: z.object({ sum: z.int() })
        },
        async ({ a, b }) => {
            const structuredContent = { sum: a + b };
            return { ...text(JSON.stringify(structuredContent)), structuredContent };
        }
    );

    server.registerTool('test_tool_with_progress', { description: 'Report progress: 0, 50, 100.' }, async ctx => {
        const progressToken = ctx.mcpReq._meta?.progressToken;
        for (const progress of [0, 50, 100]) {
            if (progressToken !== undefined) {
                const params = { progressToken, progress, total: 100, message: `${progress} of 100` };
                await ctx.mcpReq.notify({ method: 'notifications/progress', params });
            }
            await sleep(PAUSE_MS);
        }
        return text('Progressed.');
    });

    server.registerTool(
        'test_reconnection',
        { description: "Let the client's connection go in the middle of the call." },
        async ctx => {
            ctx.http?.closeSSE?.();
            await sleep(2 * PAUSE_MS);
            return text('Reconnection test completed successfully.');
        }
    );

    server.registerTool(
        'test_slow',
        { description: 'Sleep, reporting progress.', inputSchema: z.object({ seconds: z.number(), key: z.string() }) },
        async ({ seconds }, ctx) => {
            const progressToken = ctx.mcpReq._meta?.progressToken;
            let progress = 0;
            while (progress < seconds) {
                const pause = Math.min(PAUSE_MS / 1000, seconds - progress);
                await sleep(pause * 1000, undefined, { signal: ctx.mcpReq.signal });
                progress += pause;
                if (progressToken !== undefined) {
                    const params = { progressToken, progress, total: seconds };
                    await ctx.mcpReq.notify({ method: 'notifications/progress', params });
                }
            }
            return text(`slept ${seconds} s`);
        }
    );

    server.registerTool(
        'greet',
        {
            description: 'Answer at once, never as a task.',
            inputSchema: z.object({ name: z.string().default('World') })
        },
        async ({ name }) => text(`Hello, ${name}!`)
    );
}

/** Written in the form of 2026-07-28; for older clients the SDK turns it into requests. */
function addQuestions(server) {
    server.registerTool(
        'test_sampling',
        { description: "Ask the client's model.", inputSchema: z.object({ prompt: z.string() }) },
        async ({ prompt }, ctx) => {
            const answer = inputResponse(ctx.mcpReq.inputResponses, 'answer');
            if (answer.kind === 'sampling') return text(`LLM response: ${answer.result.content.text}`);
            const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
            return inputRequired({
                inputRequests: { answer: inputRequired.createMessage({ messages, maxTokens: 100 }) }
            });
        }
    );

    server.registerTool(
        'test_elicitation',
        { description: 'Ask the user.', inputSchema: z.object({ message: z.string() }) },
        async ({ message }, ctx) => {
            const reply = inputResponse(ctx.mcpReq.inputResponses, 'reply');
            if (reply.kind === 'elicit') {
                return text(`User response: action=${reply.action}, content=${shown(reply.content)}`);
            }
            const requestedSchema = {
                type: 'object',
                properties: {
                    username: { type: 'string', description: "User's response" },
                    email: { type: 'string', description: "User's email address" }
                },
                required: ['username', 'email']
            };
            return inputRequired({
                inputRequests: { reply: inputRequired.elicit({ message, requestedSchema }) }
            });
        }
    );
}

function addResources(server) {
    server.registerResource(
        'static_text',
        'test://static-text',
        { title: 'Static text', description: 'A static text resource.', mimeType: 'text/plain' },
        async uri => ({
            contents: [
                {
                    uri: uri.href,
                    mimeType: 'text/plain',
                    text: 'This is the content of the static text resource.'
                }
            ]
        })
    );

    server.registerResource(
        'template_data',
        new ResourceTemplate('test://template/{id}/data', { list: undefined }),
        { description: 'Data of the given id.', mimeType: 'application/json' },
        async (uri, { id }) => {
            const data = { id, templateTest: true, data: `Data for ID: ${id}` };
            return { contents: [{ uri: uri.href, mimeType: 'application/json', text: JSON.stringify(data) }] };
        }
    );

    server.registerResource(
        'watched_resource',
        'test://watched-resource',
        { description: 'A resource to subscribe to.', mimeType: 'text/plain' },
        async uri => ({ contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'Watched resource content' }] })
    );

    server.server.setRequestHandler('resources/subscribe', request => {
        if (!watched.has(server)) watched.set(server, new Set());
        watched.get(server).add(request.params.uri);
        return {};
    });
    server.server.setRequestHandler('resources/unsubscribe', request => {
        watched.get(server)?.delete(request.params.uri);
        return {};
    });

    server.registerTool(
        'test_trigger_resource_update',
        { description: 'Announce that a resource changed.', inputSchema: z.object({ uri: z.string() }) },
        async ({ uri }) => {
            await announce(uri);
            return text(`announced ${uri}`);
        }
    );
}

function addPrompts(server) {
    server.registerPrompt('test_simple_prompt', { description: 'A prompt without arguments.' }, async () =>
        user('This is a simple prompt for testing.')
    );

    const completeArg1 = value => WORDS.filter(word => word.startsWith(value));
    server.registerPrompt(
        'test_prompt_with_arguments',
        {
            description: 'A prompt with two arguments.',
            argsSchema: z.object({
                arg1: completable(z.string().describe('First test argument'), completeArg1),
                arg2: z.string().describe('Second test argument')
            })
        },
        async ({ arg1, arg2 }) => user(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)
    );
}

/** The events of one session, in memory. */
class Events {
    stored = []; // the id of an event is its place

    async storeEvent(streamId, message) {
        return String(this.stored.push({ streamId, message }) - 1);
    }

    async getStreamIdForEventId(eventId) {
        return this.stored[Number(eventId)]?.streamId;
    }

    async replayEventsAfter(lastEventId, { send }) {
        const last = Number(lastEventId);
        const wanted = this.stored[last]?.streamId;
        if (wanted === undefined) throw new Error(`no event ${lastEventId}`);
        for (const [place, { streamId, message }] of [...this.stored.entries()].slice(last + 1)) {
            if (streamId === wanted) await send(String(place), message);
        }
        return wanted;
    }
}

const sessions = new Map();

async function openSession() {
    const server = buildServer();
    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        eventStore: new Events(),
        retryInterval: 500,
        onsessioninitialized: id => {
            sessions.set(id, transport);
        }
    });
    transport.onclose = () => {
        sessions.delete(transport.sessionId);
        watched.delete(server);
    };
    await server.connect(transport);
    return transport;
}

function refuse(res, status, code, message) {
    res.status(status).json({ jsonrpc: '2.0', error: { code, message }, id: null });
}

async function serveSession(req, res) {
    const id = req.headers['mcp-session-id'];
    const transport = id ? sessions.get(id) : isInitializeRequest(req.body) && (await openSession());
    if (transport) return transport.handleRequest(req, res, req.body);
    if (id) return refuse(res, 404, -32001, 'Session not found');
    return refuse(res, 400, -32000, 'Bad Request: Session ID required');
}

const modern = createMcpHandler(buildServer, { legacy: 'reject' });
const serveModern = toNodeHandler(modern);

const app = createMcpExpressApp({ host: HOST });
if (TOKEN) {
    const verifyAccessToken = async token => {
        if (token !== TOKEN) throw new OAuthError(OAuthErrorCode.InvalidToken, 'Unknown token');
        return { token, clientId: 'conformance', scopes: [], expiresAt: Math.floor(Date.now() / 1000) + 3600 };
    };
    app.use('/mcp', requireBearerAuth({ verifier: { verifyAccessToken } }));
}
app.post('/mcp', async (req, res) => {
    const legacy = await isLegacyRequest(await toWebRequest(req, req.body));
    await (legacy ? serveSession(req, res) : serveModern(req, res, req.body));
});
app.get('/mcp', serveSession);
app.delete('/mcp', serveSession);
app.listen(PORT, HOST, () => console.log('ready'));
