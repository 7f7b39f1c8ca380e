import { what } from './helper.js';
const waited = await new Promise((resolve) => setTimeout(resolve, 1, 'waited'));
export const handler = async () => [what, waited, typeof require];
