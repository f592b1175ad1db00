// Put one task in by each way that a backend may have chosen; prints way -> task id.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, say } from './connect.mjs';

const QUEUE = 'ocr:task:queue';
const PRIORITY = 'ocr:task:priority';
const TOTAL = 'ocr:stats:tasks:total';
const client = await connect();
const data = (id) => `ocr:task:data:${id}`;
const fields = (more = {}) => ({
    user_id: 'user-1', file_id: 'file-1', status: 'pending', priority: 5, created_at: Date.now(), ...more,
});

const ways = {
    async transaction(id) {
        await client.multi().lPush(QUEUE, id).hSet(data(id), fields()).incr(TOTAL).exec();
    },
    async pushed_before_its_hash(id) {
        await client.lPush(QUEUE, id);
        await sleep(200);
        await client.hSet(data(id), fields());
    },
    async hash_before_it_is_pushed(id) {
        await client.hSet(data(id), fields());
        await client.lPush(QUEUE, id);
    },
    async hash_field_by_field(id) {
        for (const [name, value] of Object.entries(fields())) await client.hSet(data(id), name, value);
        await client.lPush(QUEUE, id);
    },
    async json_element(id) {
        await client.lPush(QUEUE, JSON.stringify({ task_id: id, ...fields(), language: 'de', pages: [1, 2], rotate: true, note: null }));
    },
    async json_element_and_hash(id) {
        await client.hSet(data(id), fields({ language: 'fr' }));
        await client.lPush(QUEUE, JSON.stringify({ task_id: id, user_id: 'another', language: 'de' }));
    },
    async json_element_by_priority(id) {
        await client.zAdd(PRIORITY, { score: 7, value: JSON.stringify({ task_id: id, user_id: 'user-1' }) });
    },
    async priority_only(id) {
        await client.hSet(data(id), fields({ priority: '8' }));
        await client.zAdd(PRIORITY, { score: 8, value: id });
    },
    async low_priority(id) {
        await client.multi().zAdd(PRIORITY, { score: 2, value: id }).hSet(data(id), fields({ priority: 2 })).exec();
    },
    async list_and_priority(id) {
        await client.multi().lPush(QUEUE, id).zAdd(PRIORITY, { score: 9, value: id }).hSet(data(id), fields({ priority: 9 })).exec();
    },
    async pushed_twice(id) {
        await client.multi().hSet(data(id), fields()).lPush(QUEUE, [id, id]).exec();
    },
    async priority_changed(id) {
        await client.multi().hSet(data(id), fields({ priority: 3 })).zAdd(PRIORITY, { score: 3, value: id }).exec();
        await client.zAdd(PRIORITY, { score: 9, value: id });
    },
    async times_in_seconds(id) {
        await client.multi().lPush(QUEUE, id).hSet(data(id), fields({ created_at: Math.floor(Date.now() / 1000) })).exec();
    },
    async flat_fields(id) {
        await client.multi().lPush(QUEUE, id).hSet(data(id), fields({ language: 'en', dpi: 300, title: 'Grüße, 世界' })).exec();
    },
    async status_only(id) {
        await client.multi().lPush(QUEUE, id).hSet(data(id), { status: 'pending' }).incr(TOTAL).exec();
    },
    async no_attempts_but_queued(id) {
        await client.multi().lPush(QUEUE, id).hSet(data(id), fields({ status: 'queued' })).exec();
    },
    async attempts_given(id) {
        await client.multi().lPush(QUEUE, id).hSet(data(id), fields({ attempts: 0 })).exec();
    },
    async user_of_many_alphabets(id) {
        await client.multi().lPush(QUEUE, id).hSet(data(id), fields({ user_id: 'Zoë 李 🙂' })).exec();
    },
};

const ids = {};
for (const [way, enqueue] of Object.entries(ways)) {
    ids[way] = randomUUID();
    await enqueue(ids[way]);
}
// And one whose id is a number, as a database mints them.
ids.number_as_id = '4711';
await client.lPush(QUEUE, JSON.stringify({ task_id: 4711, user_id: 'user-1' }));
say(ids);
await client.quit();
