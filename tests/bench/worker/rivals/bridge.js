// A bridge between Twilio Media Streams and OpenAI Realtime as they are usually written for Node: Fastify, ws,
// and one JSON.parse and JSON.stringify a message, in the structure of Twilio's public sample. It keeps no call,
// journal or conversation.
//
//   PORT=... AI_URL=ws://... [MARK_MS=2000] [QUIET=1] node bridge.js
//
// As the samples do, it marks every delta and logs events. MARK_MS (a mark after so much audio) and QUIET make it
// do the work of the worker, and no more.

import fastifyFormBody from '@fastify/formbody';
import fastifyWebSocket from '@fastify/websocket';
import Fastify from 'fastify';
import WebSocket from 'ws';

const { PORT, AI_URL, MARK_MS, QUIET } = process.env;
const INSTRUCTIONS = 'You answer the phone of a dental practice. Be friendly and brief.';
const LOGGED = new Set([
  'error',
  'rate_limits.updated',
  'response.done',
  'input_audio_buffer.committed',
  'input_audio_buffer.speech_started',
  'input_audio_buffer.speech_stopped',
  'session.created',
]);
const BYTES_PER_MS = 8;

const log = QUIET ? () => {} : console.log;

function bridge(stream) {
  let streamSid = null;
  let latestTimestamp = 0;
  let answerStart = null;
  let lastItem = null;
  let marks = [];
  let unmarked = 0;

  const ai = new WebSocket(`${AI_URL}?model=gpt-realtime`, { headers: { Authorization: 'Bearer sk-test' } });

  const configure = () =>
    ai.send(
      JSON.stringify({
        type: 'session.update',
        session: {
          type: 'realtime',
          output_modalities: ['audio'],
          instructions: INSTRUCTIONS,
          audio: {
            input: { format: { type: 'audio/pcmu' }, turn_detection: { type: 'server_vad' } },
            output: { format: { type: 'audio/pcmu' }, voice: 'marin' },
          },
        },
      }),
    );

  const mark = (bytes) => {
    unmarked += bytes;
    if (!streamSid || (MARK_MS && unmarked < MARK_MS * BYTES_PER_MS)) return;
    unmarked = 0;
    stream.send(JSON.stringify({ event: 'mark', streamSid, mark: { name: 'part' } }));
    marks.push('part');
  };

  const interrupt = () => {
    if (marks.length === 0 || answerStart === null) return;
    if (lastItem) {
      const heard = latestTimestamp - answerStart;
      ai.send(
        JSON.stringify({ type: 'conversation.item.truncate', item_id: lastItem, content_index: 0, audio_end_ms: heard }),
      );
    }
    stream.send(JSON.stringify({ event: 'clear', streamSid }));
    marks = [];
    lastItem = null;
    answerStart = null;
  };

  ai.on('open', () => setTimeout(configure, 100));

  ai.on('message', (text) => {
    const event = JSON.parse(text);
    if (LOGGED.has(event.type)) log(`AI event: ${event.type}`, event);
    if (event.type === 'response.output_audio.delta' && event.delta) {
      stream.send(JSON.stringify({ event: 'media', streamSid, media: { payload: event.delta } }));
      if (answerStart === null) answerStart = latestTimestamp;
      if (event.item_id) lastItem = event.item_id;
      mark((event.delta.length / 4) * 3);
    }
    if (event.type === 'input_audio_buffer.speech_started') interrupt();
  });

  stream.on('message', (text) => {
    const message = JSON.parse(text);
    switch (message.event) {
      case 'media':
        latestTimestamp = message.media.timestamp;
        if (ai.readyState === WebSocket.OPEN) {
          ai.send(JSON.stringify({ type: 'input_audio_buffer.append', audio: message.media.payload }));
        }
        break;
      case 'start':
        streamSid = message.start.streamSid;
        log('stream started', streamSid);
        break;
      case 'mark':
        marks.shift();
        break;
      case 'stop':
        stream.close();
        break;
      default:
        log('other event:', message.event);
    }
  });

  stream.on('close', () => ai.close());
  ai.on('close', () => log('AI session closed'));
  ai.on('error', (error) => console.error('AI session:', error.message));
}

const server = Fastify();
server.register(fastifyFormBody);
server.register(fastifyWebSocket);
server.register(async (routes) => {
  routes.get('/media', { websocket: true }, (stream) => bridge(stream));
});
await server.listen({ port: Number(PORT), host: '127.0.0.1' });
