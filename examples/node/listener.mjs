// Print notifications as they come, one JSON object per line: all of them, or those of a user or a task.
//
//   REDIS_URL=redis://localhost:6379 node listener.mjs [user USER_ID | task TASK_ID]
//
// Pub/sub is a hint: what is published while nobody listens is lost. A backend that must know looks at the task's hash.
import { connect } from './connect.mjs';

const [kind, id] = process.argv.slice(2);
const channel = kind ? `ocr:notifications:${kind}:${id}` : 'ocr:notifications';

const client = await connect();
client.on('reconnecting', () => console.error('the connection is lost; messages may be missed'));
await client.subscribe(channel, (text) => {
    const message = JSON.parse(text);
    console.log(JSON.stringify(message));
    // In a web backend: io.to(message.user_id).emit('task_update', message)
});
console.error(`listening on ${channel}`);

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.destroy());
