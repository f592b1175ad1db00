// Put one task in and wait for it, with documented keys and commands only.
//
//   npm install
//   REDIS_URL=redis://localhost:6379 node producer.mjs PROCESSOR [FILE_ID]
import { randomUUID } from 'node:crypto';
import { connect } from './connect.mjs';

const [processor, fileId = ''] = process.argv.slice(2);
const client = await connect();
const subscriber = await client.duplicate().connect();

const taskId = randomUUID();
const finished = new Set(['task_completed', 'task_failed', 'task_cancelled']);
let resolve;
const end = new Promise((resolved) => { resolve = resolved; });

// Subscribed before the task exists, so that no message is missed.
await subscriber.subscribe(`ocr:notifications:task:${taskId}`, (text) => {
    const message = JSON.parse(text);
    console.error(message.type, message.progress ?? '');
    if (finished.has(message.type)) resolve(message);
});

await client.multi()
    .lPush('ocr:task:queue', taskId)
    .hSet(`ocr:task:data:${taskId}`, {
        processor,
        file_id: fileId,
        user_id: 'user-1',
        status: 'pending',
        priority: 5,
        created_at: Date.now(),
    })
    .incr('ocr:stats:tasks:total')
    .exec();

const message = await end;
const result = await client.get(`ocr:cache:result:${taskId}`);
console.log(JSON.stringify({ task_id: taskId, status: message.status, result: JSON.parse(result) }));
subscriber.destroy();
client.destroy();
process.exitCode = message.type === 'task_completed' ? 0 : 1;
