// What every program here begins with.
import { createClient } from 'redis';

export const connect = () => createClient({ url: process.env.REDIS_URL }).connect();
export const say = (value) => console.log(JSON.stringify(value));
