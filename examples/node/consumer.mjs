// Take tasks and run them with plain commands, beside ocrq's workers or instead of them.
//
//   REDIS_URL=redis://localhost:6379 node consumer.mjs [QUEUE] [COUNT]
//
// QUEUE is a queue of your own (without it the default one, whose tasks are then everybody's); COUNT ends the program
// after so many tasks. docs/schema.md says what a consumer must and should do: this one does.
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from './connect.mjs';

const LEASE_MS = 30_000;
const [queue = 'default', count = 'Infinity'] = process.argv.slice(2);
const suffix = queue === 'default' ? '' : `:${queue}`;
const list = `ocr:task:queue${suffix}`;
const urgent = `ocr:task:priority${suffix}`;
const me = `${hostname()}-${process.pid}`;

const client = await connect();
const waiting = await client.duplicate().connect();  // BRPOP keeps a connection busy

// What a task is to become. Throw to have it fail.
async function work(task) {
    const { name = 'world' } = { ...task, ...parsed(task.payload) };
    return { text: `Hello, ${name}, from Node.js!`, confidence: 1, word_count: 4 };
}

function parsed(text) {
    try {
        return JSON.parse(text ?? '{}');
    } catch {
        return {};
    }
}

// The order of claims: what is urgent, then the list, then the rest.
async function take() {
    const [first] = await client.zRangeWithScores(urgent, 0, 0, { REV: true });
    return (first?.score > 5 && (await client.zPopMax(urgent))?.value)
        || (await client.rPop(list))
        || (await client.zPopMax(urgent))?.value
        || (await waiting.brPop(list, 1))?.element;
}

async function serverMs() {
    const [seconds, micros] = await client.sendCommand(['TIME']);
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

// The task behind an element, leased; null when there is nothing to run.
async function claim(element) {
    let id = element;
    if (element.startsWith('{')) {  // a producer may push its fields along with the id
        const { task_id, ...fields } = parsed(element);
        if (task_id === undefined) return quarantine(element, 'element has no task_id');
        id = String(task_id);
        for (const [name, value] of Object.entries(fields)) {
            if (value === null) continue;
            const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
            await client.hSetNX(`ocr:task:data:${id}`, name, text);
        }
    }
    const key = `ocr:task:data:${id}`;
    if (!await client.exists(key)) await sleep(500);  // a producer may push first and write the hash after that
    if (!await client.exists(key)) return quarantine(id, 'no hash');
    const status = await client.hGet(key, 'status');
    const leased = await client.zScore('ocr:task:leases', id);
    const over = ['completed', 'failed', 'cancelled'].includes(status);
    if (over || leased !== null) return null;  // it was cancelled, or pushed twice
    const now = await serverMs();
    const [token] = await client.multi()
        .hIncrBy(key, 'deliveries', 1)
        .hIncrBy(key, 'attempts', 1)
        .hSet(key, { status: 'processing', worker_id: me, started_at: Math.floor(now / 1000) })
        .zAdd('ocr:task:leases', { score: now + LEASE_MS, value: id })
        .decr('ocr:stats:tasks:pending')
        .exec();
    return { id, key, token, fields: await client.hGetAll(key) };
}

// Nothing that was taken may be lost: what cannot be run is set aside, where `ocrq quarantine list` shows it.
async function quarantine(element, reason) {
    const now = await serverMs();
    const why = JSON.stringify({ reason, queue, priority: '', first_seen: String(now) });
    await client.multi()
        .zAdd('ocr:task:quarantine', { score: now, value: element })
        .hSet('ocr:task:quarantine:reasons', element, why)
        .exec();
    return null;
}

// Write the end of a task, but only while it is still ours: had the lease run out, another may have it by now.
async function settle({ id, key, token, fields }, status, more, message, result) {
    await client.watch(key);
    const [deliveries, now_is] = await client.hmGet(key, ['deliveries', 'status']);
    if (Number(deliveries) !== token || now_is !== 'processing') {
        await client.unwatch();
        return console.error(`${id} is no longer ours, its ${status} does not count`);
    }
    const now = await serverMs();
    const timestamp = Math.floor(now / 1000);
    const about = { type: `task_${status}`, task_id: id, user_id: fields.user_id ?? '', status };
    const text = JSON.stringify({ ...about, ...message, timestamp });
    const end = client.multi()
        .zRem('ocr:task:leases', id)
        .hSet(key, { status, completed_at: timestamp, ...more })
        .incr(`ocr:stats:tasks:${status}`)
        .expire(key, status === 'failed' ? 30 * 86400 : 86400)
        .publish('ocr:notifications', text)
        .publish(`ocr:notifications:task:${id}`, text);
    if (fields.user_id) end.publish(`ocr:notifications:user:${fields.user_id}`, text);
    if (status === 'failed') end.zAdd('ocr:task:dead', { score: now, value: id });
    if (result !== undefined) end.setEx(`ocr:cache:result:${id}`, 3600, JSON.stringify(result));
    await end.exec();  // throws a WatchError when the task was taken from us in this very moment
}

async function run(task) {
    const renewal = setInterval(async () => {
        await client.zAdd('ocr:task:leases', { score: await serverMs() + LEASE_MS, value: task.id }, { condition: 'XX' });
    }, LEASE_MS / 3);
    let end;
    try {
        const result = await work(task.fields);
        const { confidence, word_count } = result;
        end = ['completed', { confidence, word_count }, { result: { confidence, word_count } }, result];
    } catch (error) {
        const failure = { error: error.message, error_type: error.name };
        end = ['failed', failure, failure];
    }
    clearInterval(renewal);
    await settle(task, ...end);
}

let left = Number(count);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { left = 0; });
console.error(`${me} takes tasks of ${queue}`);
while (left > 0) {
    const element = await take();
    const task = element && await claim(element);
    if (!task) continue;
    await run(task);
    console.log(JSON.stringify({ task_id: task.id, status: await client.hGet(task.key, 'status') }));
    left -= 1;
}
waiting.destroy();
client.destroy();
