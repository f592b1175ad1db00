// Print what is published as [subscription, channel, message], first by name, then by pattern; "ready" says when.
import { connect, say } from './connect.mjs';

const subscriber = await connect();
for (const channel of ['ocr:notifications', ...process.argv.slice(2)]) {
    await subscriber.subscribe(channel, (message) => say(['name', channel, JSON.parse(message)]));
}
await subscriber.pSubscribe('ocr:notifications:*', (message, channel) => say(['pattern', channel, JSON.parse(message)]));
say('ready');
