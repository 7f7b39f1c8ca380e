import fs from 'node:fs';
export const handler = async () => typeof fs.readFileSync;
