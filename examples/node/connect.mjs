// The server that REDIS_URL names. Of the embedded one, that is the unix:// URL that `ocrq server --status` shows.
import { createClient } from 'redis';

export async function connect() {
    const url = process.env.REDIS_URL ?? 'redis://localhost:6379';
    const where = url.startsWith('unix://') ? { socket: { path: decodeURIComponent(url.slice(7)) } } : { url };
    const client = createClient(where);
    client.on('error', (error) => console.error(`redis: ${error.message || error.code}`));  // it connects again by itself
    return await client.connect();
}
