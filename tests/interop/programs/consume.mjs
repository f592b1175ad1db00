// A worker as the specification's examples have it: no leases, no fence. Takes whatever waits, and how it goes on with
// it is the first argument: `finish`, `keep-result` (finish, and cache a result), `die` (in the middle of it) or
// `pop-and-die` (right after the pop). Prints the ids that it took, in their order.
import { connect, say } from './connect.mjs';

const [manner] = process.argv.slice(2);
const client = await connect();
const taken = [];

async function next() {
    const urgent = await client.zPopMax('ocr:task:priority');
    if (urgent) return urgent.value;
    const result = await client.brPop('ocr:task:queue', 1);
    return result?.element;
}

for (let taskId = await next(); taskId; taskId = await next()) {
    taken.push(taskId);
    if (manner === 'pop-and-die') continue;
    const key = `ocr:task:data:${taskId}`;
    await client.hSet(key, { status: 'processing', worker_id: 'worker-001', started_at: Date.now() });
    await client.hIncrBy(key, 'attempts', 1);
    if (manner === 'die') continue;
    const userId = await client.hGet(key, 'user_id');
    if (manner === 'keep-result') {
        await client.setEx(`ocr:cache:result:${taskId}`, 3600, JSON.stringify({ text: 'by Node.js', confidence: 0.95, word_count: 2 }));
    }
    await client.hSet(key, { status: 'completed', completed_at: Date.now() });
    const notification = { type: 'task_completed', task_id: taskId, user_id: userId, status: 'completed', timestamp: Date.now() };
    await client.publish('ocr:notifications', JSON.stringify(notification));
    await client.publish(`ocr:notifications:user:${userId}`, JSON.stringify(notification));
    await client.incr('ocr:stats:tasks:completed');
    await client.expire(key, 86400);
}
say(taken);
process.exit(0);
