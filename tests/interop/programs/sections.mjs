// The calls of the specification, a section a function. The first argument names the section, the second is JSON for it;
// prints what the calls returned.
import { connect, say } from './connect.mjs';

const [section, given = 'null'] = process.argv.slice(2);
const client = await connect();
const WEEK = 7 * 24 * 60 * 60;

const sections = {
    async queue(taskIds) {
        for (const id of taskIds) await client.lPush('ocr:task:queue', id);
        return {
            length: await client.lLen('ocr:task:queue'),
            all: await client.lRange('ocr:task:queue', 0, -1),
            popped: await client.rPop('ocr:task:queue'),
            blocked: (await client.brPop('ocr:task:queue', 1)).element,
            late: await client.brPop('ocr:task:queue', 0.1),
        };
    },

    async hash(taskId) {
        const key = `ocr:task:data:${taskId}`;
        const before = await client.hGetAll(key);
        await client.hSet(key, 'status', 'processing');
        return {
            before,
            status: await client.hGet(key, 'status'),
            attempts: await client.hIncrBy(key, 'attempts', 1),
            expires: Number(await client.expire(key, 86400)),
        };
    },

    async priority(taskId) {
        await client.zAdd('ocr:task:priority', { score: 8, value: taskId });
        return {
            high: await client.zRangeByScore('ocr:task:priority', 7, '+inf'),
            count: await client.zCard('ocr:task:priority'),
            top: await client.zPopMax('ocr:task:priority'),
            none: await client.zPopMax('ocr:no:such:key'),
        };
    },

    // Looks at a session that another made, in the way of the specification's idle check.
    async use_session(token) {
        const key = `ocr:session:${token}`;
        const text = await client.get(key);
        if (!text) return { valid: false };
        const session = JSON.parse(text);
        const idleMinutes = (Date.now() - session.last_activity) / 60000;
        if (idleMinutes > 30) {
            await client.del(key);
            return { valid: false, idleMinutes };
        }
        session.last_activity = Date.now();
        await client.setEx(key, WEEK, JSON.stringify(session));
        return { valid: true, idleMinutes, session };
    },

    async make_sessions(users) {
        const made = {};
        for (const [token, { user_id, seconds, idle }] of Object.entries(users)) {
            const now = seconds ? Math.floor(Date.now() / 1000) : Date.now();
            const session = { user_id, email: `${user_id}@example.com`, role: 'user', created_at: now, theme: { dark: true } };
            if (idle !== undefined) session.last_activity = now - idle * (seconds ? 60 : 60000);
            await client.setEx(`ocr:session:${token}`, WEEK, JSON.stringify(session));
            made[token] = await client.ttl(`ocr:session:${token}`);
        }
        return made;
    },

    async statistics() {
        await client.incr('ocr:stats:tasks:total');
        const today = new Date().toISOString().split('T')[0];
        await client.hSet('ocr:stats:daily:2024-10-14', { tasks_completed: 45, tasks_failed: 2, avg_processing_time: 3500 });
        return {
            total: await client.get('ocr:stats:tasks:total'),
            completed: await client.get('ocr:stats:tasks:completed'),
            today: await client.hGetAll(`ocr:stats:daily:${today}`),
        };
    },

    async cache(userId) {
        const key = `ocr:cache:user:${userId}`;
        const cached = await client.get(key);
        if (cached) return { cached: JSON.parse(cached), deleted: await client.del(key) };
        await client.setEx(key, 300, JSON.stringify({ username: 'jörg', role: 'user' }));
        return { cached: null };
    },

    async transaction(taskId) {
        const results = await client.multi()
            .lPush('ocr:task:queue', taskId)
            .hSet(`ocr:task:data:${taskId}`, { status: 'pending', user_id: 'u' })
            .incr('ocr:stats:tasks:total')
            .exec();
        return { results };
    },

    async scan() {
        const found = [];
        for await (const keys of client.scanIterator({ MATCH: 'ocr:session:*' })) found.push(...[keys].flat());
        return { found: found.sort() };
    },
};

say(await sections[section](JSON.parse(given)));
await client.quit();
